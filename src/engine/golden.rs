//! Golden states: complete data directories that are cached under a fingerprint of everything that
//! went into them. Private servers bake them ([`super::private`]).
//!
//! A golden state has no owner: every instance on the engine may start from it. Its label says what
//! it contains. No password opens it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Engine, Generation};
use crate::error::Result;
use crate::spec::{MadeWith, Owner, ServerSpec};

/// The version of [`GoldenLabel`] that this devdb writes, and the newest it understands.
pub const LABEL_SCHEMA: u32 = 1;

/// What a data directory depends on besides its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// Goes into the fingerprint. It is the same on all machines that can share golden states.
    pub name: String,
    /// Names the exact server: the id of an image, or the build of the programs. Golden states of
    /// another server are not used, because its libraries may sort text differently.
    pub exact: String,
    /// Operating system and processor: `linux/amd64`.
    pub machine: String,
}

/// What a golden state's label says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoldenLabel {
    /// The label's version.
    pub schema: u32,
    /// The digest of everything that went into it: 64 hexadecimal digits.
    pub fingerprint: String,
    /// Whether its server was stopped cleanly, so that instances may start from it. A state that was
    /// copied from a running server needs a recovery at the start; only builders start from it.
    pub clean: bool,
    /// How many golden states it is built on.
    pub depth: u32,
    /// [`Platform::exact`] of the server that made it.
    pub platform: String,
    /// Version, database and user.
    pub made_with: MadeWith,
    /// The project it was first made for, for people.
    pub project: String,
    /// How many migrations are in it.
    pub migrations: usize,
    /// How many seed files are in it.
    pub seeds: usize,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// The server's next transaction id. Giving an instance its password takes one more. As long as
    /// the instance's next transaction id is that number, nobody has written to it.
    pub next_transaction: u64,
    /// Whether it contains values that were encrypted with a key of this machine. Then it is never
    /// sent anywhere.
    pub local: bool,
}

impl GoldenLabel {
    /// The name that it is stored under. A state for builders has another name than a clean one.
    pub fn name(&self) -> String {
        let short = &self.fingerprint[..24.min(self.fingerprint.len())];
        if self.clean { short.to_owned() } else { format!("{short}-live") }
    }
}

/// Why a label cannot be read. None when it can be read, or when a newer devdb wrote it.
pub(super) fn unreadable(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Version {
        schema: u32,
    }
    match serde_json::from_str::<Version>(text) {
        Ok(Version { schema }) if schema > LABEL_SCHEMA => None,
        _ => serde_json::from_str::<GoldenLabel>(text)
            .err()
            .map(|error| format!("its label cannot be read: {error}")),
    }
}

/// A golden state that an engine has.
#[derive(Debug, Clone, Serialize)]
pub struct GoldenState {
    /// The engine's handle: an image's reference; native: a directory.
    pub handle: String,
    /// What is in it.
    pub label: GoldenLabel,
    /// What it takes on the disk beyond the state it is built on, in bytes.
    pub bytes: u64,
}

/// Something with the name of a golden state whose label cannot be read. It is never used.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct DamagedGolden {
    /// The engine's handle.
    pub handle: String,
    /// What is wrong with it.
    pub why: String,
}

impl Engine {
    /// What data directories made here depend on.
    ///
    /// # Errors
    /// When the image or the programs are not there: [`Engine::prepare`] first.
    pub async fn platform(&self, spec: &ServerSpec) -> Result<Platform> {
        each!(self.platform(spec))
    }

    /// Every golden state that is complete.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn golden_states(&self) -> Result<Vec<GoldenState>> {
        each!(self.golden_states())
    }

    /// Makes a generation that is a copy of a clean golden state. Its first launch needs a verifier,
    /// because the user has no password yet.
    ///
    /// # Errors
    /// `NotOurs` when something else has its name; `Unexpected` when the generation exists already or
    /// the engine refuses. Nothing is left behind.
    pub async fn clone_golden(
        &self,
        state: &GoldenState,
        owner: &Owner,
        number: u32,
        spec: &ServerSpec,
    ) -> Result<Generation> {
        each!(self.clone_golden(state, owner, number, spec))
    }

    /// Lists everything that has the name of a golden state and a label that cannot be read, except
    /// what a newer devdb made.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn damaged_golden(&self) -> Result<Vec<DamagedGolden>> {
        each!(self.damaged_golden())
    }

    /// Removes something that [`Engine::damaged_golden`] found.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn remove_damaged(&self, damaged: &DamagedGolden) -> Result<()> {
        each!(self.remove_damaged(damaged))
    }

    /// Removes golden states that are half made because their command was killed. The caller sees to
    /// it that no other command of this user makes one meanwhile.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn sweep_golden(&self) -> Result<()> {
        each!(self.sweep_golden())
    }

    /// Whether [`Engine::sweep_golden`] may find something. This is a quick look, so it may say yes
    /// when there is nothing.
    pub fn may_have_half_made_golden(&self) -> bool {
        match self {
            Engine::Docker(_) => true,
            Engine::Native(native) => native.has_half_made_golden(),
        }
    }

    /// Removes a golden state. Generations that were copied from it stay. Does nothing when it is gone
    /// already.
    ///
    /// # Errors
    /// When the engine refuses because it is in use.
    pub async fn remove_golden(&self, state: &GoldenState) -> Result<()> {
        each!(self.remove_golden(state))
    }
}
