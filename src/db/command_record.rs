//! Records which commands of other tools have run on a database.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::connect::Address;
use super::own_tables::{self, COMMANDS};
use super::server_error;
use super::session::{self, Session};
use super::tool_record::ByTable;
use crate::error::{Error, Kind, Result, ResultExt};

/// The key of the advisory lock that a devdb holds while it runs a command: `devdb` in ASCII, then
/// the number 2. The lock of seeds has the number 1.
const LOCK_KEY: i64 = 0x6465_7664_6202;

/// How long to wait for another devdb that runs a command.
const COMMAND_LOCK_DEADLINE: Duration = Duration::from_secs(60);

/// What a database records about a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandRecord {
    /// The fingerprint of the last run.
    pub fingerprint: String,
    /// The digest of each input as the command has applied it, by the file's name. An older devdb
    /// recorded none.
    pub inputs: BTreeMap<String, String>,
    /// What the tool itself had recorded after the last run. None when devdb cannot read that, and
    /// for an older devdb.
    pub tool: Option<ByTable>,
}

impl CommandRecord {
    /// What the tool had applied after the last run and lacks `now`.
    pub fn taken_back(&self, now: Option<&ByTable>) -> Vec<String> {
        self.tool.as_ref().map(|then| then.taken_back(now)).unwrap_or_default()
    }
}

/// What is recorded about the command for `purpose` (`migrations`, `seeds`); none if it has never
/// run. Changes nothing.
///
/// # Errors
/// When the connection is lost, or the table is not devdb's own.
pub async fn recorded(
    connection: &mut PgConnection,
    purpose: &str,
) -> Result<Option<CommandRecord>> {
    let failed = || format!("cannot read the table {COMMANDS}");
    if !own_tables::exists(connection, COMMANDS).await.or_fail(Kind::Unexpected, failed)? {
        return Ok(None);
    }
    // As JSON, because the table of an older devdb lacks the columns.
    let query = format!(
        "SELECT fingerprint, to_jsonb(one) ->> 'inputs', to_jsonb(one) ->> 'tool' \
         FROM {COMMANDS} one WHERE purpose = $1"
    );
    let found: Option<(String, Option<String>, Option<String>)> =
        sqlx::query_as(AssertSqlSafe(query))
            .bind(purpose)
            .fetch_optional(connection)
            .await
            .or_fail(Kind::Unexpected, failed)?;
    let Some((fingerprint, inputs, tool)) = found else { return Ok(None) };
    let inputs = inputs.map(|text| serde_json::from_str(&text)).transpose();
    let inputs = inputs.or_fail(Kind::Unexpected, failed)?.unwrap_or_default();
    let tool = tool.map(|text| serde_json::from_str(&text)).transpose();
    let tool = tool.or_fail(Kind::Unexpected, failed)?;
    Ok(Some(CommandRecord { fingerprint, inputs, tool }))
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
        let mut connection = Session::open(address).await?.connection;
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
    pub async fn recorded(&mut self, purpose: &str) -> Result<Option<CommandRecord>> {
        recorded(&mut self.0, purpose).await
    }

    /// The connection that holds the lock.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.0
    }

    /// Records that the command has run, and ends the lock.
    ///
    /// # Errors
    /// `Unexpected` when the database refuses.
    pub async fn record(
        mut self,
        purpose: &str,
        command: &str,
        record: &CommandRecord,
    ) -> Result<()> {
        let connection = &mut self.0;
        let failed = || format!("cannot write what {command} has applied as JSON");
        let inputs = serde_json::to_string(&record.inputs).or_fail(Kind::Unexpected, failed)?;
        let tool = record.tool.as_ref().map(serde_json::to_string).transpose();
        let tool = tool.or_fail(Kind::Unexpected, failed)?;
        let recording = async {
            let mut transaction = connection.begin().await?;
            ensure_table(&mut transaction).await?;
            sqlx::query(AssertSqlSafe(format!(
                "INSERT INTO {COMMANDS} (purpose, command, fingerprint, inputs, tool) \
                     VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (purpose) DO UPDATE SET command = excluded.command, \
                     fingerprint = excluded.fingerprint, inputs = excluded.inputs, \
                     tool = excluded.tool, run_at = now()"
            )))
            .bind(purpose)
            .bind(command)
            .bind(&record.fingerprint)
            .bind(inputs)
            .bind(tool)
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
    sqlx::raw_sql(AssertSqlSafe(format!(
        "CREATE TABLE IF NOT EXISTS {COMMANDS} ( \
             purpose text PRIMARY KEY, \
             command text NOT NULL, \
             fingerprint text NOT NULL, \
             inputs text, \
             tool text, \
             run_at timestamptz NOT NULL DEFAULT now()); \
         ALTER TABLE {COMMANDS} ADD COLUMN IF NOT EXISTS inputs text; \
         ALTER TABLE {COMMANDS} ADD COLUMN IF NOT EXISTS tool text"
    )))
    .execute(connection)
    .await?;
    Ok(())
}
