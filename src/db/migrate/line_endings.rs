//! Line endings never count. git may write a file with LF on one machine and with CRLF on another,
//! and sqlx would take the one for a change of the other. So the database that a checkout uses
//! records the checksums of the files that are there.
//!
//! Nobody can compute the checksum of a file with both line endings from the file that git makes of
//! it later. So devdb remembers which text such a checksum belongs to.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, PgConnection};

use super::{MigrationFile, MigrationSet, table};
use crate::db::own_tables::{self, MIXED};
use crate::error::{Kind, Result, ResultExt};

/// The line endings whose checksums a database is to record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEndings {
    /// Those of the files in this checkout.
    Here,
    /// LF, in golden states, which all checkouts share.
    Lf,
}

/// For each version, the checksum of a file with both line endings, and that of its text with LF.
pub(super) type Mixed = HashMap<i64, (Vec<u8>, Vec<u8>)>;

/// Makes the database record the checksums that the files have with these line endings. Leaves
/// alone the migrations whose files differ in more than that.
///
/// # Errors
/// `Unexpected` when the database refuses.
pub async fn record_line_endings(
    connection: &mut PgConnection,
    set: &MigrationSet,
    endings: LineEndings,
) -> Result<()> {
    let failed = || "cannot adapt the table _sqlx_migrations to the files' line endings".to_owned();
    let Some(table) = table::find(connection).await.or_fail(Kind::Unexpected, failed)? else {
        return Ok(());
    };
    let query = format!("SELECT version, checksum FROM {table}");
    let recorded: Vec<(i64, Vec<u8>)> = sqlx::query_as(AssertSqlSafe(query))
        .fetch_all(&mut *connection)
        .await
        .or_fail(Kind::Unexpected, failed)?;
    let files: HashMap<i64, &MigrationFile> =
        set.files().iter().map(|file| (file.version(), file)).collect();
    let mixed = mixed(connection).await?;
    let (mut versions, mut checksums) = (Vec::new(), Vec::new());
    let mut to_remember = Mixed::new();
    for (version, recorded) in recorded {
        let Some(file) = files.get(&version).filter(|file| is_same(file, &recorded, &mixed)) else {
            continue;
        };
        let wanted = match endings {
            LineEndings::Here => file.checksum(),
            LineEndings::Lf => file.lf_checksum(),
        };
        if wanted != recorded {
            versions.push(version);
            checksums.push(wanted.to_vec());
        }
        let pair = (wanted.to_vec(), file.lf_checksum().to_vec());
        if endings == LineEndings::Here && file.is_mixed() && mixed.get(&version) != Some(&pair) {
            to_remember.insert(version, pair);
        }
    }
    if !to_remember.is_empty() {
        remember(connection, to_remember).await.or_fail(Kind::Unexpected, failed)?;
    }
    if versions.is_empty() {
        return Ok(());
    }
    sqlx::query(AssertSqlSafe(format!(
        "UPDATE {table} one SET checksum = other.checksum \
         FROM unnest($1::bigint[], $2::bytea[]) AS other (version, checksum) \
         WHERE one.version = other.version"
    )))
    .bind(versions)
    .bind(checksums)
    .execute(connection)
    .await
    .or_fail(Kind::Unexpected, failed)?;
    Ok(())
}

/// Whether a recorded checksum is that of this file, apart from line endings.
pub(super) fn is_same(file: &MigrationFile, recorded: &[u8], mixed: &Mixed) -> bool {
    let remembered = mixed.get(&file.version());
    file.has_checksum(recorded)
        || remembered.is_some_and(|(was, lf)| was == recorded && lf == file.lf_checksum())
}

/// Reads what the database remembers about files with both line endings.
///
/// # Errors
/// `Unexpected` when the connection is lost.
pub(super) async fn mixed(connection: &mut PgConnection) -> Result<Mixed> {
    let failed = || format!("cannot read the table {MIXED}");
    if !own_tables::exists(connection, MIXED).await.or_fail(Kind::Unexpected, failed)? {
        return Ok(Mixed::new());
    }
    let query = format!("SELECT version, checksum, lf_checksum FROM {MIXED}");
    let rows: Vec<(i64, Vec<u8>, Vec<u8>)> = sqlx::query_as(AssertSqlSafe(query))
        .fetch_all(connection)
        .await
        .or_fail(Kind::Unexpected, failed)?;
    Ok(rows.into_iter().map(|(version, checksum, lf)| (version, (checksum, lf))).collect())
}

async fn remember(connection: &mut PgConnection, mixed: Mixed) -> Result<(), sqlx::Error> {
    let create = format!(
        "CREATE TABLE IF NOT EXISTS {MIXED} ( \
             version bigint PRIMARY KEY, checksum bytea NOT NULL, lf_checksum bytea NOT NULL)"
    );
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *connection).await?;
    let mut versions = Vec::new();
    let (checksums, lf): (Vec<_>, Vec<_>) = mixed
        .into_iter()
        .map(|(version, pair)| {
            versions.push(version);
            pair
        })
        .unzip();
    let insert = format!(
        "INSERT INTO {MIXED} SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[]) \
         ON CONFLICT (version) DO UPDATE SET checksum = excluded.checksum, \
             lf_checksum = excluded.lf_checksum"
    );
    sqlx::query(AssertSqlSafe(insert))
        .bind(versions)
        .bind(checksums)
        .bind(lf)
        .execute(connection)
        .await?;
    Ok(())
}
