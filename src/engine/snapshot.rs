//! Snapshots: copies of a generation's data directory. Each has a manifest, which is written last.
//! An interrupted save leaves a copy without a manifest.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Engine, Generation, Holding, Numbered};
use crate::db::backup::{BackupEnd, SavedMigration};
use crate::disk::sealed::{self, Broken};
use crate::error::{Error, Kind, Result};
use crate::spec::{EngineKind, MadeWith, Owner, ServerSpec};

/// The layout of the manifests that this devdb writes. It is also the newest layout that it reads.
const SCHEMA: u32 = 1;

/// The longest name of a snapshot, in characters.
const NAME_MAX: usize = 100;

/// The name of a snapshot. Volumes, directories and files can have this name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct SnapshotName(String);

impl SnapshotName {
    /// Checks the name that a person typed.
    ///
    /// # Errors
    /// `Usage` when it contains other characters than a name may have, or too many.
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

    /// The name of a snapshot that a person did not name: the present time, `20261125-101500`.
    pub fn of_now() -> Self {
        SnapshotName(chrono::Local::now().format("%Y%m%d-%H%M%S").to_string())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a snapshot says about itself. It is written after the data, and is the first thing in a file
/// that the snapshot is exported to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Manifest {
    /// The layout's version.
    pub schema: u32,
    /// The snapshot's name.
    pub name: String,
    /// The message that the person gave.
    pub message: Option<String>,
    /// When it was saved.
    pub created: DateTime<Utc>,
    /// The owner of the instance that it was saved from. An imported snapshot belongs to another.
    pub saved_from: Owner,
    /// The engine that it was saved on.
    pub engine: EngineKind,
    /// Operating system and processor of the server: `linux/amd64`.
    pub platform: String,
    /// The version of the server. None when the server did not run.
    pub server_version: Option<String>,
    /// What the data directory is bound to.
    pub made_with: MadeWith,
    /// The migrations that were applied. None when the server did not run.
    pub migrations: Option<Vec<SavedMigration>>,
    /// The size of the database, in bytes. None when the server did not run.
    pub database_bytes: Option<u64>,
    /// The size of the copy on the disk, in bytes.
    pub disk_bytes: u64,
}

impl Manifest {
    /// The version of the layout of a new manifest.
    pub const SCHEMA: u32 = SCHEMA;

    /// Reads the manifest of the snapshot `name`.
    ///
    /// # Errors
    /// The reason why the manifest cannot be read, or that it belongs to another snapshot.
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

/// A snapshot that an engine has.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The engine's handle: the name of a volume, or the path of a directory.
    pub handle: String,
    /// The owner of the instance that it belongs to.
    pub owner: Owner,
    /// Its name.
    pub name: String,
    /// Whether it can be used.
    pub state: State,
}

/// Whether a snapshot can be used.
#[derive(Debug, Clone)]
pub enum State {
    /// It can be used.
    Complete(Box<Manifest>),
    /// Its manifest cannot be read, for this reason. devdb never restores it, and removes it only
    /// on request.
    Damaged(String),
    /// It has no manifest: it is being saved, or its save was interrupted.
    Unfinished,
}

/// Asks work on another thread to end early. A clone asks the same work.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks the work to end.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Checks that the work may go on.
    ///
    /// # Errors
    /// `Interrupted` when it was asked to end.
    pub fn check(&self) -> Result<()> {
        if self.is_asked() { Err(Error::interrupted()) } else { Ok(()) }
    }

    /// Whether the work was asked to end.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Engine {
    /// Copies the data directory of a generation into a new snapshot, and writes the manifest last.
    /// This fills in the platform and the size on the disk. When a server runs on the generation,
    /// `end` ends its backup: this awaits `end` after the copy, and adds the result to the copy.
    /// None when no server changes the files. The engine holds the new snapshot from now on, and what
    /// `holding` says. This ignores a failure of that.
    ///
    /// # Errors
    /// `Snapshot`, and the errors of `end`. An error leaves an unfinished snapshot. Dropping the
    /// future leaves one, too.
    pub async fn save_snapshot(
        &self,
        generation: &Generation,
        manifest: Manifest,
        holding: &Holding<'_>,
        end: Option<impl Future<Output = Result<BackupEnd>>>,
    ) -> Result<Manifest> {
        each!(self.save_snapshot(generation, manifest, holding, end))
    }

    /// Lists the snapshots of an instance by name, or finds the snapshot with the name `only`. The
    /// list includes snapshots that cannot be used.
    ///
    /// # Errors
    /// When the engine does not answer. `Image` on docker when the image is missing, because a
    /// container reads the manifests.
    pub async fn snapshots(
        &self,
        owner: &Owner,
        only: Option<&SnapshotName>,
        spec: &ServerSpec,
    ) -> Result<Vec<Snapshot>> {
        each!(self.snapshots(owner, only, spec))
    }

    /// Lists the names of an instance's snapshots, also of unfinished ones. This is quick.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn snapshot_names(&self, owner: &Owner) -> Result<Vec<String>> {
        each!(self.snapshot_names(owner))
    }

    /// Lists the snapshots of an instance that look complete, and when each was saved. This is
    /// quick.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn snapshot_dates(&self, owner: &Owner) -> Result<Vec<(String, DateTime<Utc>)>> {
        each!(self.snapshot_dates(owner))
    }

    /// Makes a generation from a snapshot of any instance, and marks it as complete. The server
    /// recovers at its first launch.
    ///
    /// # Errors
    /// `NotOurs` when something else has the name of the generation. `Snapshot` when the copy
    /// fails. An error leaves an incomplete generation. Dropping the future leaves one, too.
    pub async fn create_generation_from_snapshot(
        &self,
        owner: &Owner,
        new: Numbered,
        snapshot: &Snapshot,
        spec: &ServerSpec,
    ) -> Result<Generation> {
        each!(self.create_generation_from_snapshot(owner, new, snapshot, spec))
    }

    /// Removes a snapshot of an instance, finished or not. Ends a save that is still at work on it.
    /// Does nothing when the snapshot is gone.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn remove_snapshot(&self, owner: &Owner, name: &str) -> Result<()> {
        each!(self.remove_snapshot(owner, name))
    }
}

/// Directories whose contents are left out of the copy of a running server. The PostgreSQL manual
/// lists them in "Making a Base Backup Using the Low Level API".
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

/// Adds hints on how to make room to the error of a copy that failed on a full disk.
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
