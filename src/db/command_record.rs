//! The table `_devdb.commands` records which commands of other tools have run on a database.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};

use super::connect::Address;
use super::{server_error, session};
use crate::error::{Error, Kind, Result, ResultExt};

/// The key of the advisory lock that a devdb holds while it runs a command: `devdb` in ASCII, then
/// the number 2. The lock of seeds has the number 1.
const LOCK_KEY: i64 = 0x6465_7664_6202;

/// How long to wait for another devdb that runs a command.
const COMMAND_LOCK_DEADLINE: Duration = Duration::from_secs(60);

/// The fingerprint of the last run of the command for `purpose` (`migrations`, `seeds`); none if it
/// has never run. Changes nothing.
///
/// # Errors
/// When the connection is lost, or `_devdb.commands` is not devdb's table.
pub async fn recorded(connection: &mut PgConnection, purpose: &str) -> Result<Option<String>> {
    let failed = || "cannot read the table _devdb.commands".to_owned();
    let exists: bool = sqlx::query_scalar("SELECT to_regclass('_devdb.commands') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .or_fail(Kind::Unexpected, failed)?;
    if !exists {
        return Ok(None);
    }
    sqlx::query_scalar("SELECT fingerprint FROM _devdb.commands WHERE purpose = $1")
        .bind(purpose)
        .fetch_optional(connection)
        .await
        .or_fail(Kind::Unexpected, failed)
}

/// The lock that one devdb holds while it runs a command on a database. It ends with its connection
/// at the latest.
pub struct CommandLock(PgConnection);

impl CommandLock {
    /// Waits for the lock.
    ///
    /// # Errors
    /// `Locked` when another devdb has held it for a minute, `NotReady` when devdb cannot log in.
    pub async fn take(address: &Address) -> Result<CommandLock> {
        let mut connection = session::open(address).await?;
        let deadline = Instant::now() + COMMAND_LOCK_DEADLINE;
        // devdb polls, because a statement that waits for the lock has a snapshot. If the other
        // tool runs CREATE INDEX CONCURRENTLY, it would wait for the end of that snapshot.
        while !try_lock(&mut connection).await? {
            if Instant::now() >= deadline {
                return Err(session::lock_held(
                    address,
                    LOCK_KEY,
                    "command",
                    COMMAND_LOCK_DEADLINE,
                )
                .await);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(CommandLock(connection))
    }

    /// Calls [`recorded`] under the lock, because another devdb may have run the command meanwhile.
    ///
    /// # Errors
    /// The errors of [`recorded`].
    pub async fn recorded(&mut self, purpose: &str) -> Result<Option<String>> {
        recorded(&mut self.0, purpose).await
    }

    /// Records that the command has run, and ends the lock.
    ///
    /// # Errors
    /// `Unexpected` when the database refuses.
    pub async fn record(mut self, purpose: &str, command: &str, fingerprint: &str) -> Result<()> {
        let connection = &mut self.0;
        let recording = async {
            let mut transaction = connection.begin().await?;
            ensure_table(&mut transaction).await?;
            sqlx::query(
                "INSERT INTO _devdb.commands (purpose, command, fingerprint) VALUES ($1, $2, $3) \
                 ON CONFLICT (purpose) DO UPDATE SET command = excluded.command, \
                     fingerprint = excluded.fingerprint, run_at = now()",
            )
            .bind(purpose)
            .bind(command)
            .bind(fingerprint)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await
        };
        recording.await.map_err(|error| {
            let message = format!("cannot record that {command} has run");
            server_error::explain(Error::new(Kind::Unexpected, message), &error)
        })?;
        super::connect::close(self.0).await;
        Ok(())
    }
}

async fn try_lock(connection: &mut PgConnection) -> Result<bool> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
        .bind(LOCK_KEY)
        .fetch_one(connection)
        .await
        .or_fail(Kind::Unexpected, || "cannot try the command lock".into())
}

async fn ensure_table(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(
        "CREATE SCHEMA IF NOT EXISTS _devdb; \
         CREATE TABLE IF NOT EXISTS _devdb.commands ( \
             purpose text PRIMARY KEY, \
             command text NOT NULL, \
             fingerprint text NOT NULL, \
             run_at timestamptz NOT NULL DEFAULT now())",
    )
    .execute(connection)
    .await?;
    Ok(())
}
