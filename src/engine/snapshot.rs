//! What a snapshot is, whichever engine keeps it: a copy of a generation's data directory, and a
//! manifest that is written last. A copy without a manifest is rubbish of a save that was cut short.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::MadeWith;
use crate::error::{Error, Kind, Result};
use crate::sealed::{self, Broken};
use crate::spec::{EngineKind, Owner};

/// The layout of manifests that this devdb writes, and the newest it understands.
const SCHEMA: u32 = 1;

/// The longest name of a snapshot, in characters.
const NAME_MAX: usize = 100;

/// A snapshot's name, fit for volumes, directories and file names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct SnapshotName(String);

impl SnapshotName {
    /// Takes what a person typed.
    ///
    /// # Errors
    /// `Usage` when it is no name.
    pub fn parse(text: &str) -> Result<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if begins_well && text.len() <= NAME_MAX && text.chars().all(plain) {
            return Ok(SnapshotName(text.to_owned()));
        }
        Err(Error::new(Kind::Usage, format!("{text:?} is no name for a snapshot"))
            .because(format!(
                "a name has 1 to {NAME_MAX} letters (a-z), digits, dots, hyphens and underscores, \
                 and begins with a letter or digit"
            ))
            .hint("devdb snapshot save before-the-import"))
    }

    /// The name of one that nobody named: when it was saved, `20261125-101500`.
    pub fn of_now() -> Self {
        SnapshotName(chrono::Local::now().format("%Y%m%d-%H%M%S").to_string())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is written beside a snapshot's data, last, and first into a file that it is exported to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Manifest {
    /// The layout's version.
    pub schema: u32,
    /// The snapshot's name.
    pub name: String,
    /// What the person had to say about it.
    pub message: Option<String>,
    /// When it was saved.
    pub created: DateTime<Utc>,
    /// Whose instance it was saved from, for people: an imported one belongs to another.
    pub saved_from: Owner,
    /// The engine that it was saved on.
    pub engine: EngineKind,
    /// Operating system and processor of the server: `linux/amd64`.
    pub platform: String,
    /// The server's version; none when it did not run.
    pub server_version: Option<String>,
    /// What the data directory is bound to.
    pub made_with: MadeWith,
    /// The migrations that were applied; none when the server did not run.
    pub migrations: Option<Vec<SavedMigration>>,
    /// The database's size in bytes; none when the server did not run.
    pub database_bytes: Option<u64>,
    /// What the copy takes on disk, in bytes.
    pub disk_bytes: u64,
}

/// A migration that was applied when the snapshot was saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SavedMigration {
    /// The version.
    pub version: i64,
    /// What it does.
    pub description: String,
}

impl Manifest {
    /// The version that is to be written into new ones.
    pub const SCHEMA: u32 = SCHEMA;

    /// Reads the manifest that lies beside the snapshot `name`.
    ///
    /// # Errors
    /// Why it is none, or not this snapshot's.
    pub fn parse(text: &[u8], name: &str) -> std::result::Result<Self, String> {
        let manifest: Manifest = sealed::open(text, SCHEMA).map_err(|broken| match broken {
            Broken::Newer(schema) => {
                format!("a newer devdb wrote its manifest (layout {schema})")
            }
            Broken::Damaged(why) => format!("its manifest is damaged: {why}"),
        })?;
        match manifest.name == name {
            true => Ok(manifest),
            false => Err(format!("its manifest is of a snapshot {:?}", manifest.name)),
        }
    }
}

/// A snapshot as an engine has it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The engine's handle: a volume name; native: a directory.
    pub handle: String,
    /// The instance it was saved of.
    pub owner: Owner,
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: State,
}

/// How a snapshot is.
#[derive(Debug, Clone)]
pub enum State {
    /// Whole.
    Complete(Box<Manifest>),
    /// Its manifest cannot be used, and why: it is never restored, and never removed by itself.
    Damaged(String),
    /// It has no manifest: being saved, or left by a save that was cut short.
    Unfinished,
}

/// What makes a copy of a running server's files consistent.
#[derive(Debug, Clone)]
pub struct BackupEnd {
    /// The content of the copy's `backup_label`.
    pub label: String,
    /// The names of the WAL segments from the backup's start to its end.
    pub segments: Vec<String>,
}

/// Asks work on another thread to end early. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks it.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Goes on, unless it was asked.
    ///
    /// # Errors
    /// `Interrupted`.
    pub fn check(&self) -> Result<()> {
        if self.is_asked() { Err(Error::interrupted()) } else { Ok(()) }
    }

    /// Whether it was asked.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is below `pg_wal` and the like is not copied from a running server; the directories are.
/// PostgreSQL manual, "Making a Base Backup Using the Low Level API", the part about what to omit.
pub(super) const EMPTIED: [&str; 8] = [
    "pg_dynshmem",
    "pg_notify",
    "pg_replslot",
    "pg_serial",
    "pg_snapshots",
    "pg_stat_tmp",
    "pg_subtrans",
    "pg_wal",
];

/// A copy that failed for want of space says so in words that people know how to act on.
pub(super) fn explained(error: Error, excerpt: &str) -> Error {
    match excerpt.contains("No space left on device") {
        true => error
            .hint("devdb snapshot list   shows what the others take; devdb snapshot rm NAME removes one")
            .hint("or make room on the disk; the database is as it was"),
        false => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_safe_as_a_directory_and_as_a_volume() {
        for good in ["a", "20261125-101500", "v1.2_x", &"x".repeat(100)] {
            assert!(SnapshotName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "-m", "a/b", "a b", "ä", "a\n", &"x".repeat(101)] {
            assert_eq!(SnapshotName::parse(bad).unwrap_err().kind(), Kind::Usage, "{bad}");
        }
        assert!(SnapshotName::parse(SnapshotName::of_now().as_str()).is_ok());
    }

    #[test]
    fn a_manifest_that_is_damaged_newer_or_anothers_says_so() {
        let why = |text: &str| Manifest::parse(text.as_bytes(), "a").unwrap_err();
        assert!(why("{\"schema\": 1, \"na").contains("damaged"));
        assert!(why("{\"schema\": 99}").contains("newer devdb"));
        assert!(why("{\"schema\": 1}").contains("damaged"));
    }
}
