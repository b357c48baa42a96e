//! Sessions that change a database. They are the same whatever the project's SQL has done before:
//! neither the settings of a former statement nor those that the database or the user has by ALTER
//! count in them. The server ends their statements soon after devdb has ended, and they wait for a
//! lock only for a limited time.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::connect::Address;
use super::inspect::holders_of_lock;
use super::server_error;
use crate::error::{Error, Kind, Result, ResultExt};
use crate::spec::LAUNCH_SETTINGS;

/// SQLSTATE `lock_not_available`: `lock_timeout` has passed.
pub(super) const LOCK_NOT_AVAILABLE: &str = "55P03";

/// What DISCARD ALL does, but for the advisory locks, which devdb goes on to hold. In addition it
/// ends a SET ROLE.
const DISCARD: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; SET ROLE NONE; RESET ALL; \
                       DEALLOCATE ALL; UNLISTEN *; DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES";

/// The server checks every half second whether devdb still lives, so that an interrupted migration
/// does not go on.
const CHECK_CLIENT: &str = "SET client_connection_check_interval = '500ms'";

/// A session for changes.
pub(super) struct Session {
    pub connection: PgConnection,
    pub baseline: Baseline,
}

/// How a session begins: SQL that brings it back there.
pub(super) struct Baseline(String);

impl Session {
    /// Opens a session.
    pub async fn open(address: &Address) -> Result<Session> {
        let mut connection = address.connect().await?;
        let connection_lost = || format!("lost the connection to {}", address.masked_url());
        let mut statements = vec![DISCARD.to_owned()];
        statements.extend(
            undo_altered_settings(&mut connection)
                .await
                .or_fail(Kind::Unexpected, connection_lost)?,
        );
        if checks_client(&mut connection).await.or_fail(Kind::Unexpected, connection_lost)? {
            statements.push(CHECK_CLIENT.to_owned());
        }
        let baseline = Baseline(statements.join("; "));
        baseline.restore(&mut connection).await.or_fail(Kind::Unexpected, connection_lost)?;
        Ok(Session { connection, baseline })
    }
}

impl Baseline {
    /// Makes the session as it was when it was opened, inside of a transaction or outside. Ends
    /// what a script has left: settings, a role, temporary tables, prepared statements, cursors.
    /// Advisory locks stay.
    pub async fn restore(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        // A script may have deallocated the statements that sqlx has prepared and remembers.
        connection.clear_cached_statements().await?;
        sqlx::raw_sql(AssertSqlSafe(self.0.as_str())).execute(connection).await?;
        Ok(())
    }
}

/// The statement that undoes ALTER DATABASE … SET and ALTER ROLE … SET for a session; none if there
/// is nothing to undo. A setting gets the value with which the server was launched, or else the
/// value in its files, or else PostgreSQL's own.
async fn undo_altered_settings(
    connection: &mut PgConnection,
) -> Result<Option<String>, sqlx::Error> {
    // pg_settings does not list settings that an extension or a project has invented. Their default
    // is not known; mostly there is none.
    let query = format!(
        "SELECT 'SELECT ' || string_agg(format('pg_catalog.set_config(%L, %L, false)', altered.name, \
             COALESCE(launch.value, file.setting, known.boot_val, '')), ', ') \
         FROM (SELECT DISTINCT lower(split_part(entry, '=', 1)) AS name \
               FROM pg_db_role_setting CROSS JOIN unnest(setconfig) AS entry \
               WHERE setdatabase IN (0, (SELECT oid FROM pg_database \
                                         WHERE datname = current_database())) \
                 AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user)) \
              ) AS altered \
         LEFT JOIN pg_settings AS known ON lower(known.name) = altered.name \
         LEFT JOIN jsonb_each_text(current_setting('{LAUNCH_SETTINGS}', true)::jsonb) AS launch \
             ON lower(launch.key) = altered.name \
         LEFT JOIN LATERAL (SELECT setting FROM pg_file_settings \
                            WHERE lower(name) = altered.name AND applied LIMIT 1) AS file ON true \
         WHERE altered.name NOT IN ('role', 'session_authorization') \
           AND (known.name IS NULL OR known.context IN ('user', 'superuser') \
                AND known.source IN ('global', 'database', 'user', 'database user'))"
    );
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(connection).await
}

/// Whether the server can look for its client while a statement runs. It can since PostgreSQL 14, if
/// its operating system supports it.
async fn checks_client(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    if connection.server_version_num().is_none_or(|version| version < 140_000) {
        return Ok(false);
    }
    match sqlx::raw_sql(CHECK_CLIENT).execute(connection).await {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Limits the time that statements wait for a lock; [`reset_lock_timeout`] removes the limit.
pub(super) async fn set_lock_timeout(
    connection: &mut PgConnection,
    timeout: Duration,
) -> Result<(), sqlx::Error> {
    // 0 would mean no limit.
    let millis = timeout.as_millis().clamp(1, i32::MAX as u128);
    let set = format!("SET lock_timeout = {millis}");
    sqlx::raw_sql(AssertSqlSafe(set)).execute(connection).await?;
    Ok(())
}

/// Undoes [`set_lock_timeout`].
pub(super) async fn reset_lock_timeout(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("RESET lock_timeout").execute(connection).await?;
    Ok(())
}

/// The error for an advisory lock that devdb did not get; it names the session that holds the lock.
pub(super) async fn lock_error(
    address: &Address,
    key: i64,
    what: &str,
    timeout: Duration,
    error: &sqlx::Error,
) -> Error {
    if server_error::has_code(error, LOCK_NOT_AVAILABLE) {
        return lock_held(address, key, what, timeout).await;
    }
    server_error::explain(Error::new(Kind::Unexpected, no_lock(address, what)), error)
}

fn no_lock(address: &Address, what: &str) -> String {
    format!("cannot take the {what} lock of database {:?}", address.database)
}

/// The error for an advisory lock that devdb did not get within `timeout`; it names the session
/// that holds the lock.
pub(super) async fn lock_held(address: &Address, key: i64, what: &str, timeout: Duration) -> Error {
    let waited = humantime::format_duration(timeout);
    let failure = Error::new(Kind::Locked, no_lock(address, what));
    // The connection that waited may be in a failed transaction, so this opens another one.
    let holders = match address.try_connect().await {
        Ok(mut connection) => holders_of_lock(&mut connection, key).await.unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let Some(holder) = holders.first() else {
        return failure
            .because(format!("another session held it for more than {waited}"))
            .hint("try again");
    };
    failure
        .because(format!("{holder} has held it for more than {waited}"))
        .hint("wait until it has finished, then try again")
        .hint(format!(
            "devdb psql -c 'select pg_terminate_backend({})'   ends the session, if it hangs",
            holder.pid
        ))
}
