//! Records the applied seeds and the keys of their rows.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{AssertSqlSafe, PgConnection};

use super::{SeedFile, SeedSet};
use crate::db::own_tables::{self, LABELS, SEEDS};
use crate::error::{Kind, Result, ResultExt};

/// The comparison of seed files with the recorded seeds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SeedStatus {
    /// All recorded seeds of all profiles, in name order.
    pub applied: Vec<RecordedSeed>,
    /// The files that are not applied yet, in the order in which devdb will apply them.
    pub pending: Vec<String>,
    /// The applied files that have changed since. Other line endings do not count.
    pub changed: Vec<String>,
    /// The applied files of this profile that no longer exist.
    pub missing: Vec<String>,
}

/// A recorded seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct RecordedSeed {
    /// The file's name below the seed directory.
    pub file: String,
    /// The profile for which it was applied.
    pub profile: String,
    /// The SHA-256 of its text with LF line endings, in hexadecimal.
    pub checksum: String,
    /// When it was applied, by the server's clock.
    pub applied_at: DateTime<Utc>,
}

impl SeedStatus {
    /// Whether all files are applied and none has changed.
    pub fn is_current(&self) -> bool {
        self.pending.is_empty() && self.changed.is_empty() && self.missing.is_empty()
    }
}

/// Compares the recorded seeds with the files. Changes nothing.
///
/// # Errors
/// `Unexpected` when the connection is lost, or the table is not devdb's own.
pub async fn status(connection: &mut PgConnection, set: &SeedSet) -> Result<SeedStatus> {
    let failed = || format!("cannot read the table {SEEDS}");
    if !own_tables::exists(connection, SEEDS).await.or_fail(Kind::Unexpected, failed)? {
        return Ok(compare(Vec::new(), set));
    }
    let query = format!("SELECT file, profile, checksum, applied_at FROM {SEEDS} ORDER BY file");
    let recorded = sqlx::query_as(AssertSqlSafe(query))
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
        // The files of other profiles do not count.
        .filter(|file| !file.contains('/') || file.starts_with(&own))
        .filter(|name| set.files.iter().all(|file| file.name != **name))
        .cloned()
        .collect();
    SeedStatus { applied, pending, changed, missing }
}

/// Creates the tables if they do not exist.
pub(super) async fn ensure_tables(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(format!(
        "CREATE TABLE IF NOT EXISTS {SEEDS} ( \
             file text PRIMARY KEY, \
             profile text NOT NULL, \
             checksum text NOT NULL, \
             applied_at timestamptz NOT NULL DEFAULT now()); \
         CREATE TABLE IF NOT EXISTS {LABELS} ( \
             table_name text, \
             label text, \
             key text NOT NULL, \
             PRIMARY KEY (table_name, label))"
    )))
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
    let insert = format!("INSERT INTO {SEEDS} (file, profile, checksum) VALUES ($1, $2, $3)");
    sqlx::query(AssertSqlSafe(insert))
        .bind(&file.name)
        .bind(profile)
        .bind(&file.checksum)
        .execute(connection)
        .await?;
    Ok(())
}

/// The primary keys of rows by table and label. devdb replaces `!ref` by such a key.
#[derive(Debug, Default)]
pub(super) struct Labels {
    keys: HashMap<(String, String), String>,
    /// The tables and labels that are not in the database yet.
    new: Vec<(String, String)>,
}

impl Labels {
    /// Reads the labels of the files that were applied earlier.
    pub async fn read(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let query = format!("SELECT table_name, label, key FROM {LABELS}");
        let rows: Vec<(String, String, String)> =
            sqlx::query_as(AssertSqlSafe(query)).fetch_all(connection).await?;
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

    /// Writes the new labels to the database.
    pub async fn store(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let new = std::mem::take(&mut self.new);
        let keys: Vec<&str> = new.iter().map(|name| self.keys[name].as_str()).collect();
        let (tables, labels): (Vec<&str>, Vec<&str>) =
            new.iter().map(|(table, label)| (table.as_str(), label.as_str())).unzip();
        sqlx::query(AssertSqlSafe(format!(
            "INSERT INTO {LABELS} (table_name, label, key) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) \
             ON CONFLICT (table_name, label) DO UPDATE SET key = excluded.key"
        )))
        .bind(tables)
        .bind(labels)
        .bind(keys)
        .execute(connection)
        .await?;
        Ok(())
    }
}
