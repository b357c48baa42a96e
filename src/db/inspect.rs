//! Asks a running server for facts, and makes small changes to it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{AssertSqlSafe, PgConnection};

use super::connect::{self, Address, Counting};
use super::server_error;
use crate::error::{Error, Kind, Result, ResultExt, nearest};

/// Facts about a server and its database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerFacts {
    /// The server's version without the addition of a distribution: `15.18`.
    pub version: String,
    /// The major version.
    pub major: u16,
    /// When the server started.
    pub started: DateTime<Utc>,
    /// The size of the current database, in bytes.
    pub database_size: u64,
    /// The number of other clients that are connected to the current database.
    pub clients: u32,
}

/// A session that holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// The process id of its backend, on the server's machine.
    pub pid: i32,
    /// The name that the client gave itself; may be empty.
    pub application: String,
    /// The user.
    pub user: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Holder { pid, application, user } = self;
        if application.is_empty() {
            write!(f, "the session with pid {pid} (user {user})")
        } else {
            write!(f, "the session with pid {pid} (application {application:?}, user {user})")
        }
    }
}

/// The sessions of clients on a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sessions {
    /// How many there are now, besides the one that asks.
    pub open: i64,
    /// How many there have been since the statistics began; 0 before PostgreSQL 14, which does not
    /// count them.
    pub ever: i64,
}

/// Asks a server for its sessions, in all databases.
///
/// # Errors
/// `NotReady` when the server does not answer.
pub async fn sessions(address: &Address) -> Result<Sessions> {
    // A session that does not count may be left out of the number.
    let mut connection = address.counting(Counting::On).connect().await?;
    let (open, ever) = sqlx::query_as(
        "SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity \
                 WHERE backend_type IN ('client backend', 'walsender') \
                 AND pid <> pg_catalog.pg_backend_pid()), \
                (SELECT coalesce(pg_catalog.sum((pg_catalog.to_jsonb(d) ->> 'sessions')::int8), 0)\
                 ::int8 FROM pg_catalog.pg_stat_database d)",
    )
    .fetch_one(&mut connection)
    .await
    .or_fail(Kind::Unexpected, || "cannot count the server's sessions".into())?;
    connect::close(connection).await;
    Ok(Sessions { open, ever })
}

/// Asks for all facts with one query.
///
/// # Errors
/// `Unexpected` when the connection is lost.
pub async fn server(connection: &mut PgConnection) -> Result<ServerFacts> {
    let row: (String, i32, DateTime<Utc>, i64, i64) = sqlx::query_as(
        "SELECT current_setting('server_version'), current_setting('server_version_num')::int, \
                pg_postmaster_start_time(), pg_database_size(current_database()), \
                (SELECT count(*) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid())",
    )
    .fetch_one(connection)
    .await
    .or_fail(Kind::Unexpected, || "cannot read the server's version and size".into())?;
    let (version, number, started, size, clients) = row;
    Ok(ServerFacts {
        version: version.split_whitespace().next().unwrap_or_default().to_owned(),
        major: u16::try_from(number / 10_000).unwrap_or_default(),
        started,
        database_size: u64::try_from(size).unwrap_or_default(),
        clients: u32::try_from(clients).unwrap_or(u32::MAX),
    })
}

/// Whether there are roles that can log in and are no superusers.
///
/// # Errors
/// `Unexpected` when the server refuses.
pub async fn has_limited_logins(connection: &mut PgConnection) -> Result<bool> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolcanlogin AND NOT rolsuper)",
    )
    .fetch_one(connection)
    .await
    .or_fail(Kind::Unexpected, || "cannot read the roles".into())
}

/// The sessions that hold the advisory lock with this 64-bit key in the current database.
///
/// # Errors
/// `Unexpected` when the connection is lost.
pub async fn holders_of_lock(connection: &mut PgConnection, key: i64) -> Result<Vec<Holder>> {
    // pg_locks shows a 64-bit key as two halves; objsubid is 1 then.
    let rows: Vec<(i32, String, String)> = sqlx::query_as(
        "SELECT a.pid, COALESCE(a.application_name, ''), COALESCE(a.usename::text, '') \
         FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
           AND l.classid::bigint = $1 AND l.objid::bigint = $2 ORDER BY a.pid",
    )
    .bind((key >> 32) & 0xffff_ffff)
    .bind(key & 0xffff_ffff)
    .fetch_all(connection)
    .await
    .or_fail(Kind::Unexpected, || "cannot read which session holds the lock".into())?;
    Ok(rows.into_iter().map(|(pid, application, user)| Holder { pid, application, user }).collect())
}

/// Creates the extensions that the current database does not have, with their dependencies. Returns
/// the names of the new ones.
///
/// # Errors
/// `Config` when the server does not provide an extension; nothing is created then. `Unexpected`
/// when the server refuses to create one.
pub async fn ensure_extensions(
    connection: &mut PgConnection,
    extensions: &[String],
) -> Result<Vec<String>> {
    if extensions.is_empty() {
        return Ok(Vec::new());
    }
    let failed = || "cannot read the server's list of extensions".to_owned();
    let present: Vec<String> =
        sqlx::query_scalar("SELECT extname::text FROM pg_extension WHERE extname = ANY($1)")
            .bind(extensions)
            .fetch_all(&mut *connection)
            .await
            .or_fail(Kind::Unexpected, failed)?;
    let wanted: Vec<String> =
        extensions.iter().filter(|name| !present.contains(name)).cloned().collect();
    if wanted.is_empty() {
        return Ok(wanted);
    }
    let available: Vec<String> =
        sqlx::query_scalar("SELECT name::text FROM pg_available_extensions ORDER BY name")
            .fetch_all(&mut *connection)
            .await
            .or_fail(Kind::Unexpected, failed)?;
    if let Some(name) = wanted.iter().find(|name| !available.contains(name)) {
        return Err(unavailable(name, &available));
    }
    for name in &wanted {
        // Always in the same schema, whatever the project's migrations have done before.
        let create = format!(
            "SET LOCAL search_path = public; CREATE EXTENSION IF NOT EXISTS {} CASCADE",
            quote(name)
        );
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *connection).await.map_err(|error| {
            let failure =
                Error::new(Kind::Unexpected, format!("cannot create the extension {name:?}"));
            server_error::explain(failure, &error)
        })?;
    }
    Ok(wanted)
}

fn unavailable(name: &str, available: &[String]) -> Error {
    let failure = Error::new(
        Kind::Config,
        format!("postgres.extensions: the server has no extension {name:?}"),
    );
    match nearest(name, available.iter().map(String::as_str)) {
        Some(near) => failure.hint(format!("did you mean {near:?}?")),
        None => failure,
    }
    .hint(match name {
        "postgis" => {
            "on docker: set postgres.image to an image that has it, such as postgis/postgis:15-3.4"
        }
        "vector" => {
            "on docker: set postgres.image to an image that has it, such as pgvector/pgvector:pg15"
        }
        _ => "on docker: set postgres.image to an image that has it",
    })
    .hint("on native: install the package of your PostgreSQL that has it")
}

/// Quotes an identifier.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
