//! Makes a consistent copy of a running server's files with PostgreSQL's low-level backup (manual,
//! "Making a Base Backup Using the Low Level API").

use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, PgConnection, Row, raw_sql};

use super::connect::{self, Address};
use super::{migrate, server_error};
use crate::error::{Error, Kind, Result, ResultExt};

/// Facts about a database that is saved.
#[derive(Debug, Clone)]
pub struct Contents {
    /// The server's version: `15.18`.
    pub server_version: Option<String>,
    /// The size of the database, in bytes.
    pub database_bytes: u64,
    /// The applied migrations, in order.
    pub migrations: Vec<SavedMigration>,
    /// The unlogged tables. A copy of a running server does not have their rows.
    pub unlogged: Vec<String>,
}

/// A migration that was applied when the backup was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SavedMigration {
    /// The version: `20261125101500`.
    pub version: i64,
    /// The description, from the file's name.
    pub description: String,
}

/// The files that turn the copy of a running server's files into a consistent data directory. The
/// caller adds them to the copy.
#[derive(Debug, Clone)]
pub struct BackupEnd {
    /// The content of the file `backup_label`.
    pub label: String,
    /// The names of the WAL segments that were written between the start and the end of the backup.
    pub segments: Vec<String>,
}

impl BackupEnd {
    /// The end of a copy on which servers run more than once, so that its recovery may be
    /// interrupted.
    ///
    /// The first server on a copy reads the label and puts it away. If that server ends during its
    /// recovery, the next one has no label. When the method was `streamed`, the next server refuses
    /// the copy ("WAL ends before end of online backup"), because more log might come from an
    /// archive. With the method of pg_rewind it replays the log that is there (`read_backup_label`
    /// and `StartupXLOG` in PostgreSQL's source). The copy has all of the log up to its end.
    ///
    /// The first server then counts the copy as consistent from the beginning, and ends when the
    /// log is about a page that was cut off during the copying. The next server does not mind. A
    /// snapshot is copied anew for each restore and keeps `streamed`.
    pub fn restartable(self) -> BackupEnd {
        let label =
            self.label.replace("\nBACKUP METHOD: streamed\n", "\nBACKUP METHOD: pg_rewind\n");
        BackupEnd { label, ..self }
    }
}

/// A backup that has begun. If its connection ends before [`Backup::end`], the copy is useless.
pub struct Backup {
    connection: PgConnection,
    /// The position in the log from which a server of the copy replays it.
    start: u64,
}

/// Asks the server for facts about the database.
///
/// # Errors
/// `NotReady` when the server does not answer; `Snapshot` when a tablespace is outside of the data
/// directory.
pub async fn contents(address: &Address) -> Result<Contents> {
    let failed = || "cannot read the database's catalog".to_owned();
    let mut connection = address.connect().await?;
    let server_version = connect::server_version(&connection);
    let size: i64 = sqlx::query_scalar("SELECT pg_database_size(current_database())")
        .fetch_one(&mut connection)
        .await
        .or_fail(Kind::Snapshot, failed)?;
    let elsewhere: Option<String> = sqlx::query_scalar(
        "SELECT spcname::text FROM pg_tablespace \
         WHERE pg_tablespace_location(oid) LIKE '/%' LIMIT 1",
    )
    .fetch_optional(&mut connection)
    .await
    .or_fail(Kind::Snapshot, failed)?;
    if let Some(name) = elsewhere {
        return Err(Error::new(Kind::Snapshot, "cannot save a snapshot of this database")
            .because(format!("its tablespace {name:?} is outside of the data directory"))
            .hint("ALTER TABLE … SET TABLESPACE pg_default   moves a table out of it"));
    }
    let unlogged = sqlx::query_scalar(
        "SELECT oid::regclass::text FROM pg_class \
         WHERE relpersistence = 'u' AND relkind = 'r' ORDER BY 1",
    )
    .fetch_all(&mut connection)
    .await
    .or_fail(Kind::Snapshot, failed)?;
    let migrations = migrations(&mut connection).await.or_fail(Kind::Snapshot, failed)?;
    connect::close(connection).await;
    let database_bytes = u64::try_from(size).unwrap_or_default();
    Ok(Contents { server_version, database_bytes, migrations, unlogged })
}

/// The size of all databases of the server, in bytes.
///
/// # Errors
/// `NotReady` when the server does not answer.
pub async fn all_bytes(address: &Address) -> Result<u64> {
    let mut connection = address.connect().await?;
    let bytes: i64 =
        sqlx::query_scalar("SELECT sum(pg_database_size(oid))::bigint FROM pg_database")
            .fetch_one(&mut connection)
            .await
            .or_fail(Kind::Snapshot, || "cannot read the sizes of the databases".to_owned())?;
    connect::close(connection).await;
    Ok(bytes.unsigned_abs())
}

async fn migrations(connection: &mut PgConnection) -> Result<Vec<SavedMigration>, sqlx::Error> {
    let Some(table) = migrate::table::find(connection).await? else { return Ok(Vec::new()) };
    let query = format!("SELECT version, description FROM {table} ORDER BY version");
    let rows: Vec<(i64, String)> =
        sqlx::query_as(AssertSqlSafe(query)).fetch_all(connection).await?;
    let saved = |(version, description)| SavedMigration { version, description };
    Ok(rows.into_iter().map(saved).collect())
}

impl Backup {
    /// Begins a backup. None when the server's settings do not allow a backup while it runs: the
    /// log has too little information (`wal_level=minimal`), or no replication slot is free.
    ///
    /// # Errors
    /// `Snapshot` when the server refuses for another reason.
    pub async fn begin(address: &Address, label: &str) -> Result<Option<Backup>> {
        let mut connection = address.connect().await?;
        match begin(&mut connection, label).await {
            Ok(start) => Ok(Some(Backup { connection, start })),
            Err(error) if cannot_back_up(&error) => Ok(None),
            Err(error) => Err(refused("cannot begin a backup", &error)),
        }
    }

    /// Ends the backup. The caller then adds the result to the files that it copied.
    ///
    /// # Errors
    /// `Snapshot` when the server refuses or has ended. The copy is useless then.
    pub async fn end(mut self) -> Result<BackupEnd> {
        let ended = end(&mut self.connection, self.start).await;
        let ended = ended.map_err(|error| refused("cannot end the backup", &error))?;
        connect::close(self.connection).await;
        Ok(ended)
    }
}

/// Whether the error is `object_not_in_prerequisite_state` or `configuration_limit_exceeded`
/// (PostgreSQL's manual, appendix A).
fn cannot_back_up(error: &sqlx::Error) -> bool {
    ["55000", "53400"].iter().any(|code| server_error::has_code(error, code))
}

fn refused(what: &str, error: &sqlx::Error) -> Error {
    server_error::explain(Error::new(Kind::Snapshot, what), error)
}

/// Whether the backup functions have their new names, as they do since PostgreSQL 15.
fn has_new_names(connection: &PgConnection) -> bool {
    connection.server_version_num().is_some_and(|version| version >= 150_000)
}

async fn begin(connection: &mut PgConnection, label: &str) -> Result<u64, sqlx::Error> {
    // The checkpoint may take long, and then the session is idle until the files are copied.
    raw_sql("SET statement_timeout = 0").execute(&mut *connection).await?;
    if connection.server_version_num().is_some_and(|version| version >= 140_000) {
        raw_sql("SET idle_session_timeout = 0").execute(&mut *connection).await?;
    }
    // A temporary slot keeps the log that the copy needs. It ends with the session.
    sqlx::query(
        "SELECT pg_create_physical_replication_slot('devdb_snapshot_' || pg_backend_pid(), true, true)",
    )
    .execute(&mut *connection)
    .await?;
    let start = match has_new_names(connection) {
        true => "SELECT (pg_backup_start($1, true) - '0/0')::bigint",
        false => "SELECT (pg_start_backup($1, true, false) - '0/0')::bigint",
    };
    let start: i64 = sqlx::query_scalar(start).bind(label).fetch_one(connection).await?;
    Ok(start.unsigned_abs())
}

async fn end(connection: &mut PgConnection, start: u64) -> Result<BackupEnd, sqlx::Error> {
    let stop = match has_new_names(connection) {
        true => "SELECT lsn, labelfile FROM pg_backup_stop(false)",
        false => "SELECT lsn, labelfile FROM pg_stop_backup(false, false)",
    };
    // The name of the last segment begins with the timeline.
    let stop = format!(
        "SELECT (lsn - '0/0')::bigint AS stop, labelfile, \
                substr(pg_walfile_name(lsn), 1, 8) AS timeline, \
                (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size') AS size \
         FROM ({stop}) AS stopped"
    );
    let row = sqlx::query(AssertSqlSafe(stop)).fetch_one(connection).await?;
    let stop = row.try_get::<i64, _>("stop")?.unsigned_abs();
    let size = row.try_get::<i64, _>("size")?.unsigned_abs();
    let timeline: String = row.try_get("timeline")?;
    Ok(BackupEnd {
        label: row.try_get("labelfile")?,
        segments: segments(&timeline, size, start, stop),
    })
}

/// The names of the segments with the log from `start` up to `stop` (positions in bytes). A name is
/// the timeline, then the segment's number in two parts of eight digits (`XLogFileName` in
/// xlog_internal.h).
fn segments(timeline: &str, size: u64, start: u64, stop: u64) -> Vec<String> {
    let per_id = (1 << 32) / size.max(1);
    // `stop` is the position behind the last byte.
    (start / size.max(1)..=stop.saturating_sub(1) / size.max(1))
        .map(|number| format!("{timeline}{:08X}{:08X}", number / per_id, number % per_id))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_named_as_the_server_names_them() {
        let mib = 1 << 20;
        assert_eq!(
            segments("00000001", mib, 0xFFF0_0028, 0x1_0010_0000),
            ["000000010000000000000FFF", "000000010000000100000000"]
        );
        assert_eq!(
            segments("00000002", 16 * mib, 0x300_0028, 0x300_0100),
            ["000000020000000000000003"]
        );
    }
}
