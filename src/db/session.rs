//! Sessions that change a database. The server ends their statements soon after devdb has ended,
//! and they wait for a lock only for a limited time.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};

use super::connect::Address;
use super::inspect::holders_of_lock;
use super::server_error;
use crate::error::{Error, Kind, Result, ResultExt};

/// SQLSTATE `lock_not_available`: `lock_timeout` has passed.
pub(super) const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Opens a connection for changes. The server checks every half second whether devdb still lives,
/// so that an interrupted migration does not go on.
pub(super) async fn open(address: &Address) -> Result<PgConnection> {
    let mut connection = address.connect().await?;
    // The setting exists since PostgreSQL 14.
    if connection.server_version_num().is_some_and(|version| version >= 140_000) {
        let set = sqlx::raw_sql("SET client_connection_check_interval = '500ms'");
        match set.execute(&mut connection).await {
            // The server refuses the setting if its operating system does not support it.
            Err(sqlx::Error::Database(_)) | Ok(_) => {}
            Err(error) => return Err(error).or_fail(Kind::Unexpected, || unusable(address)),
        }
    }
    Ok(connection)
}

fn unusable(address: &Address) -> String {
    format!("lost the connection to {}", address.masked_url())
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
            "devdb psql -- -c 'select pg_terminate_backend({})'   ends the session, if it hangs",
            holder.pid
        ))
}
