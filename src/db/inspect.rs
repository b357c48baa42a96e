//! What a running database says about itself.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{AssertSqlSafe, PgConnection};

use super::connect::{self, Address};
use super::server_error;
use crate::error::{Error, Kind, Result, ResultExt, nearest};

/// A server that takes longer has other troubles than an unwritten page.
const CHECKPOINT_DEADLINE: Duration = Duration::from_secs(60);

/// What a server and its database say about themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerFacts {
    /// The server's version without its packager's addition: `15.18`.
    pub version: String,
    /// The major version.
    pub major: u16,
    /// Since when it runs.
    pub started: DateTime<Utc>,
    /// The size of the current database, in bytes.
    pub database_size: u64,
    /// How many other clients are connected to the current database.
    pub clients: u32,
}

/// A session that holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// The process id of its backend, on the server's machine.
    pub pid: i32,
    /// The name it gave itself; may be empty.
    pub application: String,
    /// Its user.
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

/// The transaction id that the next writer gets. While it stays the same nobody has written;
/// it also grows when the server collects statistics, so a change proves nothing.
///
/// # Errors
/// `NotReady` when the server does not answer.
pub async fn next_transaction(address: &Address) -> Result<u64> {
    let mut connection = address.connect().await?;
    let next: i64 =
        sqlx::query_scalar("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::int8")
            .fetch_one(&mut connection)
            .await
            .or_fail(Kind::Unexpected, || "cannot ask for the next transaction".into())?;
    connect::close(connection).await;
    // A count that begins at 3 and never has a sign.
    Ok(next.unsigned_abs())
}

/// Takes the password of the user away, for good: nobody can log in any more. Returns the
/// transaction id that the next writer gets.
///
/// # Errors
/// `NotReady` when the server does not answer, `Unexpected` when it refuses.
pub async fn remove_password(address: &Address) -> Result<u64> {
    let failed = || format!("cannot take the password of {:?} away", address.user);
    let mut connection = address.connect().await?;
    sqlx::raw_sql("ALTER ROLE CURRENT_USER PASSWORD NULL")
        .execute(&mut connection)
        .await
        .or_fail(Kind::Unexpected, failed)?;
    let next: i64 =
        sqlx::query_scalar("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
            .fetch_one(&mut connection)
            .await
            .or_fail(Kind::Unexpected, failed)?;
    connect::close(connection).await;
    Ok(u64::try_from(next).unwrap_or_default())
}

/// Gives the user the password of `verifier` (SCRAM-SHA-256), through a way in that asks for none.
///
/// # Errors
/// sqlx's own: the server may still be starting.
pub async fn set_password(address: &Address, verifier: &str) -> Result<(), sqlx::Error> {
    let mut connection = address.try_connect().await?;
    // The server's log may show statements; not this one. A verifier has nothing to escape.
    let statement = format!(
        "SET log_statement TO 'none'; ALTER ROLE CURRENT_USER PASSWORD '{}'",
        verifier.replace('\'', "''")
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await?;
    connect::close(connection).await;
    Ok(())
}

/// Version, start time, size and clients, in one query.
///
/// # Errors
/// When the connection is lost.
pub async fn server(connection: &mut PgConnection) -> Result<ServerFacts> {
    let row: (String, i32, DateTime<Utc>, i64, i64) = sqlx::query_as(
        "SELECT current_setting('server_version'), current_setting('server_version_num')::int, \
                pg_postmaster_start_time(), pg_database_size(current_database()), \
                (SELECT count(*) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid())",
    )
    .fetch_one(connection)
    .await
    .or_fail(Kind::Unexpected, || "cannot ask the server about itself".into())?;
    let (version, number, started, size, clients) = row;
    Ok(ServerFacts {
        version: version.split_whitespace().next().unwrap_or_default().to_owned(),
        major: u16::try_from(number / 10_000).unwrap_or_default(),
        started,
        database_size: u64::try_from(size).unwrap_or_default(),
        clients: u32::try_from(clients).unwrap_or(u32::MAX),
    })
}

/// The sessions that hold an advisory lock of the current database, by its 64-bit key.
///
/// # Errors
/// When the connection is lost.
pub async fn holders_of_lock(connection: &mut PgConnection, key: i64) -> Result<Vec<Holder>> {
    // pg_locks shows a 64-bit key as two halves, with objsubid 1.
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
    .or_fail(Kind::Unexpected, || "cannot ask who holds a lock".into())?;
    Ok(rows.into_iter().map(|(pid, application, user)| Holder { pid, application, user }).collect())
}

/// Makes the server write everything to its data files, so that a stop is short.
///
/// # Errors
/// `NotReady` when it does not let devdb in, `Unexpected` when it refuses.
pub async fn checkpoint(address: &Address) -> Result<()> {
    let failed = || format!("CHECKPOINT failed on {}", address.masked_url());
    let mut connection = address.connect().await?;
    let checkpoint = sqlx::raw_sql("CHECKPOINT").execute(&mut connection);
    match tokio::time::timeout(CHECKPOINT_DEADLINE, checkpoint).await {
        Ok(done) => done.map(drop).or_fail(Kind::Unexpected, failed),
        Err(late) => Err(late).or_fail(Kind::Unexpected, failed),
    }
}

/// Creates the extensions that the current database lacks, with what they need, and returns
/// their names.
///
/// # Errors
/// `Config` when the server does not have one, with the nearest name it has; nothing is created
/// then. `Unexpected` when the server refuses to create one.
pub async fn ensure_extensions(
    connection: &mut PgConnection,
    extensions: &[String],
) -> Result<Vec<String>> {
    if extensions.is_empty() {
        return Ok(Vec::new());
    }
    let failed = || "cannot ask the server for its extensions".to_owned();
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
        let create = format!("CREATE EXTENSION IF NOT EXISTS {} CASCADE", quote(name));
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *connection).await.map_err(|error| {
            let failure =
                Error::new(Kind::Unexpected, format!("cannot create the extension {name:?}"));
            server_error::explain(failure, &error)
        })?;
    }
    Ok(wanted)
}

fn unavailable(name: &str, available: &[String]) -> Error {
    let failure =
        Error::new(Kind::Config, format!("postgres.extensions: the server has no {name:?}"));
    match nearest(name, available.iter().map(String::as_str)) {
        Some(near) => failure.hint(format!("did you mean {near:?}?")),
        None => failure,
    }
    .hint("set `postgres.image` in devdb.yaml to an image that has it, or install its package")
}

/// An identifier, quoted.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
