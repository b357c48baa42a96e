//! What has been seeded: the tables `_devdb.seeds` and `_devdb.labels`.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use super::{SeedFile, SeedSet};
use crate::error::{Kind, Result, ResultExt};

/// Seeds compared with what is recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SeedStatus {
    /// Everything that is recorded, of whatever profile, in name order.
    pub applied: Vec<RecordedSeed>,
    /// Files that have not been applied, in the order in which they will be.
    pub pending: Vec<String>,
    /// Applied, but the file has changed since (line endings aside).
    pub changed: Vec<String>,
    /// Applied, of this profile, but there is no such file.
    pub missing: Vec<String>,
}

/// A recorded seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct RecordedSeed {
    /// The file's name below the seed directory.
    pub file: String,
    /// The profile it was applied for.
    pub profile: String,
    /// SHA-256 of its text with LF line endings, hexadecimal.
    pub checksum: String,
    /// When, by the server's clock.
    pub applied_at: DateTime<Utc>,
}

impl SeedStatus {
    /// Whether everything is applied as the files say.
    pub fn is_current(&self) -> bool {
        self.pending.is_empty() && self.changed.is_empty() && self.missing.is_empty()
    }
}

/// Compares what is recorded with the files. Changes nothing.
///
/// # Errors
/// When the connection is lost, or `_devdb.seeds` is not devdb's table.
pub async fn status(connection: &mut PgConnection, set: &SeedSet) -> Result<SeedStatus> {
    let failed = || "cannot read the table _devdb.seeds".to_owned();
    let exists: bool = sqlx::query_scalar("SELECT to_regclass('_devdb.seeds') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .or_fail(Kind::Unexpected, failed)?;
    if !exists {
        return Ok(compare(Vec::new(), set));
    }
    let recorded = sqlx::query_as(
        "SELECT file, profile, checksum, applied_at FROM _devdb.seeds ORDER BY file",
    )
    .fetch_all(connection)
    .await
    .or_fail(Kind::Unexpected, failed)?;
    Ok(compare(recorded, set))
}

fn compare(applied: Vec<RecordedSeed>, set: &SeedSet) -> SeedStatus {
    let recorded: HashMap<&str, &RecordedSeed> =
        applied.iter().map(|seed| (seed.file.as_str(), seed)).collect();
    let names = |wanted: &dyn Fn(&SeedFile) -> bool| -> Vec<String> {
        set.files.iter().filter(|file| wanted(file)).map(|file| file.name.clone()).collect()
    };
    let pending = names(&|file| !recorded.contains_key(file.name.as_str()));
    let changed = names(&|file| {
        recorded.get(file.name.as_str()).is_some_and(|seed| seed.checksum != file.checksum)
    });
    let own = format!("{}/", set.profile);
    let missing = applied
        .iter()
        .map(|seed| &seed.file)
        // What another profile brought is none of this one's business.
        .filter(|file| !file.contains('/') || file.starts_with(&own))
        .filter(|name| set.files.iter().all(|file| file.name != **name))
        .cloned()
        .collect();
    SeedStatus { applied, pending, changed, missing }
}

/// Makes the tables where they are missing.
pub(super) async fn ensure_tables(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(
        "CREATE SCHEMA IF NOT EXISTS _devdb; \
         COMMENT ON SCHEMA _devdb IS 'devdb''s record of applied seeds, format 1'; \
         CREATE TABLE IF NOT EXISTS _devdb.seeds ( \
             file text PRIMARY KEY, \
             profile text NOT NULL, \
             checksum text NOT NULL, \
             applied_at timestamptz NOT NULL DEFAULT now()); \
         CREATE TABLE IF NOT EXISTS _devdb.labels ( \
             table_name text, \
             label text, \
             key text NOT NULL, \
             PRIMARY KEY (table_name, label))",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Records a file as applied.
pub(super) async fn add(
    connection: &mut PgConnection,
    file: &SeedFile,
    profile: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO _devdb.seeds (file, profile, checksum) VALUES ($1, $2, $3)")
        .bind(&file.name)
        .bind(profile)
        .bind(&file.checksum)
        .execute(connection)
        .await?;
    Ok(())
}

/// The primary keys of labelled rows, as text: what `!ref` stands for.
#[derive(Debug, Default)]
pub(super) struct Labels {
    keys: HashMap<(String, String), String>,
    /// Those that are not yet in the database.
    new: Vec<(String, String)>,
}

impl Labels {
    /// The labels of files that were applied earlier.
    pub async fn read(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let rows: Vec<(String, String, String)> =
            sqlx::query_as("SELECT table_name, label, key FROM _devdb.labels")
                .fetch_all(connection)
                .await?;
        let keys = rows.into_iter().map(|(table, label, key)| ((table, label), key)).collect();
        Ok(Labels { keys, new: Vec::new() })
    }

    pub fn get(&self, table: &str, label: &str) -> Option<&str> {
        self.keys.get(&(table.to_owned(), label.to_owned())).map(String::as_str)
    }

    pub fn add(&mut self, table: &str, label: &str, key: String) {
        let name = (table.to_owned(), label.to_owned());
        self.keys.insert(name.clone(), key);
        self.new.push(name);
    }

    /// The labels of a table, for suggestions.
    pub fn of_table<'a>(&'a self, table: &'a str) -> impl Iterator<Item = &'a str> {
        self.keys.keys().filter(move |(of, _)| of == table).map(|(_, label)| label.as_str())
    }

    /// Writes what was added.
    pub async fn store(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let new = std::mem::take(&mut self.new);
        let keys: Vec<&str> = new.iter().map(|name| self.keys[name].as_str()).collect();
        let (tables, labels): (Vec<&str>, Vec<&str>) =
            new.iter().map(|(table, label)| (table.as_str(), label.as_str())).unzip();
        sqlx::query(
            "INSERT INTO _devdb.labels (table_name, label, key) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) \
             ON CONFLICT (table_name, label) DO UPDATE SET key = excluded.key",
        )
        .bind(tables)
        .bind(labels)
        .bind(keys)
        .execute(connection)
        .await?;
        Ok(())
    }
}
