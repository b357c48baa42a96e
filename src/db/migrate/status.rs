//! Compares the applied migrations with the files.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{AssertSqlSafe, PgConnection};

use super::line_endings::{self, Mixed};
use super::{MigrationSet, table};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::spec::OutOfOrder;

/// The comparison of applied migrations with the files. Every list is in the order of versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MigrationStatus {
    /// All migrations that are recorded as applied.
    pub applied: Vec<AppliedMigration>,
    /// All files that are not applied.
    pub pending: Vec<PendingMigration>,
    /// The applied migrations whose files have changed since. Other line endings do not count.
    pub changed: Vec<AppliedMigration>,
    /// The applied migrations that have no file.
    pub missing: Vec<AppliedMigration>,
    /// The pending migrations that are older than the newest applied one.
    pub out_of_order: Vec<PendingMigration>,
    /// The migrations that another tool began and did not finish.
    pub dirty: Vec<AppliedMigration>,
}

/// A recorded migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppliedMigration {
    /// The version.
    pub version: i64,
    /// The description, as recorded.
    pub description: String,
    /// The file of this version, if there is one.
    pub file: Option<String>,
    /// When it was applied, by the server's clock.
    pub installed_on: DateTime<Utc>,
}

/// A file that is not applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PendingMigration {
    /// The version.
    pub version: i64,
    /// The description.
    pub description: String,
    /// The file's name.
    pub file: String,
}

impl MigrationStatus {
    /// Whether all files are applied and none has changed.
    pub fn is_current(&self) -> bool {
        self.pending.is_empty() && self.drift(OutOfOrder::Allow).is_none()
    }

    /// The error when the files and the applied migrations disagree, so that devdb cannot apply
    /// more of them. Files that are out of order count unless they are allowed.
    pub fn drift(&self, rule: OutOfOrder) -> Option<Error> {
        let out_of_order = match rule {
            OutOfOrder::Allow => &[][..],
            OutOfOrder::Refuse => &self.out_of_order,
        };
        let newest = self.applied.last().map(ToString::to_string).unwrap_or_default();
        let mut causes = Vec::new();
        causes.extend(few(&self.changed, |one| format!("{one} has changed since it was applied")));
        causes.extend(few(&self.missing, |one| format!("{one} is applied, but its file is gone")));
        causes.extend(few(&self.dirty, |one| {
            format!("{one} was begun by another tool and not finished")
        }));
        causes.extend(few(out_of_order, |one| {
            format!("{} is older than the newest applied migration, {newest}", one.file)
        }));
        if causes.is_empty() {
            return None;
        }
        let failure = Error::new(Kind::Drift, "the applied migrations and the files disagree");
        let mut failure = causes.into_iter().fold(failure, Error::because);
        if let Some(one) = self.changed.first().or(self.missing.first()) {
            let name = one.file.clone().unwrap_or_else(|| format!("{}_*", one.version));
            failure = failure
                .hint(format!("git diff HEAD -- '*{name}'   shows what is not committed of a file that git knows; take it back"))
                .hint(format!("git log -p --all -- '*{name}'   shows its commits on all branches; revert the one that changed it"))
                .hint("devdb migrate new NAME   makes a new migration; move your change into it, and restore the old file");
        }
        if !out_of_order.is_empty() {
            failure = failure
                .hint("set `migrations.out_of_order: allow` in devdb.yaml")
                .hint("or, if no other database has the file yet, give it a newer timestamp");
        }
        Some(failure.hint_of_database(
            "devdb reset   builds a new database from the files and keeps the old one",
        ))
    }
}

/// How many migrations of a kind an error names.
const FEW: usize = 5;

/// A sentence about each of the first migrations, and one about the rest.
fn few<T>(migrations: &[T], sentence: impl Fn(&T) -> String) -> Vec<String> {
    let mut sentences: Vec<String> = migrations.iter().take(FEW).map(sentence).collect();
    let rest = migrations.len() - sentences.len();
    if rest > 0 {
        sentences.push(format!("the same holds for {rest} more (devdb migrate status lists all)"));
    }
    sentences
}

impl std::fmt::Display for AppliedMigration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.file {
            Some(file) => f.write_str(file),
            None => write!(f, "{} ({})", self.version, self.description),
        }
    }
}

/// Compares the migrations that the database records as applied with the files. Changes nothing,
/// even if the database was never migrated.
///
/// # Errors
/// `Unexpected` when the connection is lost, or sqlx did not make the table `_sqlx_migrations`.
pub async fn status(connection: &mut PgConnection, set: &MigrationSet) -> Result<MigrationStatus> {
    let failed = || "cannot read the table _sqlx_migrations".to_owned();
    let Some(table) = table::find(connection).await.or_fail(Kind::Unexpected, failed)? else {
        return Ok(compare(&[], set, &Mixed::new()));
    };
    let query = format!(
        "SELECT version, description, installed_on, success, checksum FROM {table} ORDER BY version"
    );
    let records: Vec<Record> = sqlx::query_as(AssertSqlSafe(query))
        .fetch_all(&mut *connection)
        .await
        .or_fail(Kind::Unexpected, failed)?;
    let status = compare(&records, set, &Mixed::new());
    if status.changed.is_empty() {
        return Ok(status);
    }
    Ok(compare(&records, set, &line_endings::mixed(connection).await?))
}

#[derive(sqlx::FromRow)]
struct Record {
    version: i64,
    description: String,
    installed_on: DateTime<Utc>,
    success: bool,
    checksum: Vec<u8>,
}

fn compare(records: &[Record], set: &MigrationSet, mixed: &Mixed) -> MigrationStatus {
    let files: BTreeMap<i64, _> = set.files().iter().map(|file| (file.version(), file)).collect();
    let mut status = MigrationStatus::default();
    for record in records {
        let file = files.get(&record.version);
        let applied = AppliedMigration {
            version: record.version,
            description: record.description.clone(),
            file: file.map(|file| file.name().to_owned()),
            installed_on: record.installed_on,
        };
        match file {
            _ if !record.success => status.dirty.push(applied.clone()),
            None => status.missing.push(applied.clone()),
            Some(file) if !line_endings::is_same(file, &record.checksum, mixed) => {
                status.changed.push(applied.clone());
            }
            Some(_) => {}
        }
        status.applied.push(applied);
    }
    let is_applied =
        |version| status.applied.binary_search_by_key(&version, |applied| applied.version).is_ok();
    let newest = status.applied.last().map(|applied| applied.version);
    status.pending = set
        .files()
        .iter()
        .filter(|file| !is_applied(file.version()))
        .map(|file| PendingMigration {
            version: file.version(),
            description: file.description().to_owned(),
            file: file.name().to_owned(),
        })
        .collect();
    status.out_of_order = status
        .pending
        .iter()
        .filter(|pending| newest.is_some_and(|newest| pending.version < newest))
        .cloned()
        .collect();
    status
}
