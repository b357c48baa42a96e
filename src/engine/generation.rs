//! Generations: the data directories of an instance.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Engine;
use crate::db::backup::BackupEnd;
use crate::error::Result;
use crate::spec::{MadeWith, Owner, ServerSpec};

/// The origin of a copy of another generation, which is not the successor of that one.
pub const COPY: &str = "copy";

/// A data directory that devdb made.
#[derive(Debug, Clone, Serialize)]
pub struct Generation {
    /// The engine's handle: the name of a volume, or the path of a directory.
    pub handle: String,
    /// The owner of its instance.
    pub owner: Owner,
    /// Its id, which is a part of the handle.
    pub id: u32,
    /// When it was made.
    pub created: Option<DateTime<Utc>>,
    /// The version, the image, the database and the user of the data directory.
    pub made_with: MadeWith,
    /// The fingerprint of the golden state that it is a copy of, or [`COPY`]. None for a copy of a
    /// snapshot.
    pub origin: Option<String>,
}

/// The id and the number of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbered {
    /// Its id: what the engine names it by.
    pub id: u32,
    /// Its number: what people call it. The first generation of an instance has number 1.
    pub number: u32,
}

impl Engine {
    /// Lists the generations that devdb made on this engine: those of one instance, or all.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn generations(&self, key: Option<&str>) -> Result<Vec<Generation>> {
        each!(self.generations(key))
    }

    /// Measures the generations that devdb made on this engine, in bytes on the disk, by handle.
    /// Leaves out generations that the engine cannot measure. This is slow, because it looks at
    /// every file.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn sizes(&self, key: Option<&str>) -> Result<BTreeMap<String, u64>> {
        each!(self.sizes(key))
    }

    /// The number in the mark of a complete generation. None when it has no mark. A launch with a
    /// verifier makes the mark, and so does the copy of a snapshot. A generation that has no mark
    /// and is in no record may be deleted. This may be slow, so devdb asks only about generations
    /// that are in no record.
    ///
    /// # Errors
    /// When the mark cannot be read.
    pub async fn number_of(
        &self,
        generation: &Generation,
        spec: &ServerSpec,
    ) -> Result<Option<u32>> {
        each!(self.number_of(generation, spec))
    }

    /// Copies the data directory of a generation into a new generation of its instance, and marks
    /// the copy as complete. When a server runs on the original, `end` ends its backup: this awaits
    /// `end` after the copy, and adds the result to the copy. None when no server changes the
    /// files. The server of the copy recovers at its first launch.
    ///
    /// # Errors
    /// `Snapshot`, `NotOurs` when something else has the name of the copy, and the errors of `end`.
    /// An error leaves an incomplete generation. Dropping the future leaves one, too.
    pub async fn copy_generation(
        &self,
        from: &Generation,
        new: Numbered,
        spec: &ServerSpec,
        end: Option<impl Future<Output = Result<BackupEnd>>>,
    ) -> Result<Generation> {
        each!(self.copy_generation(from, new, spec, end))
    }

    /// Removes a generation and its data for good. Does nothing when it is gone.
    ///
    /// # Errors
    /// `NotOurs` when it does not carry devdb's label. `Unexpected` while a server uses it.
    pub async fn remove_generation(&self, generation: &Generation) -> Result<()> {
        each!(self.remove_generation(generation))
    }

    /// Removes a generation, and waits no longer than `patience`, because a daemon finishes a
    /// removal by itself. Returns false when the generation still exists then.
    ///
    /// # Errors
    /// The errors of [`Engine::remove_generation`].
    pub async fn remove_generation_within(
        &self,
        generation: &Generation,
        patience: Duration,
    ) -> Result<bool> {
        match self {
            Engine::Docker(docker) => docker.remove_generation_within(generation, patience).await,
            Engine::Native(native) => native.remove_generation(generation).await.map(|()| true),
        }
    }

    /// Deletes the leftovers of generations whose making or removal was interrupted. The caller
    /// holds the lock of the instance.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn sweep(&self, key: &str) -> Result<()> {
        match self {
            // A volume appears in one step.
            Engine::Docker(_) => Ok(()),
            Engine::Native(native) => native.sweep(key).await,
        }
    }
}
