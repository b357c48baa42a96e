//! Generations: the data directories of an instance.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Engine;
use crate::error::Result;
use crate::spec::{MadeWith, Owner, ServerSpec};

/// A data directory that devdb made.
#[derive(Debug, Clone, Serialize)]
pub struct Generation {
    /// The engine's handle: a volume name; native: a directory.
    pub handle: String,
    /// Whose it is.
    pub owner: Owner,
    /// Counts up within an instance, from 1.
    pub number: u32,
    /// When it was made.
    pub created: Option<DateTime<Utc>>,
    /// PostgreSQL's major version of the data, the database and the user it was made with.
    pub made_with: MadeWith,
    /// The fingerprint of the golden state it is a copy of.
    pub origin: Option<String>,
}

impl Engine {
    /// Every generation devdb made here, of one instance or of all.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn generations(&self, key: Option<&str>) -> Result<Vec<Generation>> {
        each!(self.generations(key))
    }

    /// Bytes on disk of every generation devdb made here, of one instance or of all, by handle.
    /// What the engine cannot tell is left out. Slow: every file is looked at.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn sizes(&self, key: Option<&str>) -> Result<BTreeMap<String, u64>> {
        each!(self.sizes(key))
    }

    /// Whether a generation carries the mark of a complete one, which a launch with a verifier leaves
    /// and a copy of a snapshot has. What lacks it and is in no record is rubbish. May be slow; asked only when a record is lost.
    ///
    /// # Errors
    /// When it cannot be told.
    pub async fn is_complete(&self, generation: &Generation, spec: &ServerSpec) -> Result<bool> {
        each!(self.is_complete(generation, spec))
    }

    /// Removes a generation's data for good. Nothing happens if it is gone already.
    ///
    /// # Errors
    /// `NotOurs` without the labels; `Unexpected` while a server uses it.
    pub async fn remove_generation(&self, generation: &Generation) -> Result<()> {
        each!(self.remove_generation(generation))
    }

    /// The same, but an engine that goes on with it by itself is waited for as long as `patience`
    /// only. False when it was not gone by then.
    ///
    /// # Errors
    /// As [`Engine::remove_generation`].
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

    /// Removes what the making or the removal of one of an instance's generations left behind when
    /// it was cut short. Nobody else may be at work on the instance.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn sweep(&self, key: &str) -> Result<()> {
        match self {
            // A volume is there or is not.
            Engine::Docker(_) => Ok(()),
            Engine::Native(native) => native.sweep(key).await,
        }
    }
}
