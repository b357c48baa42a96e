//! Golden states: complete data directories in a cache. The key is a fingerprint of everything that
//! the data directory was made from. Private servers bake golden states ([`super::private`]).
//!
//! A golden state has no owner: every instance on the engine may start from it. Its label describes
//! its contents. No password opens it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Engine, Generation};
use crate::db::counters::Writes;
use crate::error::Result;
use crate::spec::{MadeWith, Owner, ServerSpec};

/// The version of [`GoldenLabel`] that this devdb writes. It is also the newest version that it
/// reads.
pub const LABEL_SCHEMA: u32 = 1;

/// Properties of the machine and the server that a data directory depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// A part of the fingerprint. It is the same on all machines that can share golden states.
    pub name: String,
    /// The exact server: the id of an image, or the build of the programs. devdb does not use
    /// golden states of another server, because its libraries may sort text differently.
    pub exact: String,
    /// Operating system and processor: `linux/amd64`.
    pub machine: String,
}

/// The label of a golden state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoldenLabel {
    /// The label's version.
    pub schema: u32,
    /// The digest of everything that the state was made from: 64 hexadecimal digits.
    pub fingerprint: String,
    /// Whether its server was stopped cleanly, so that instances may start from it. A copy of a
    /// running server needs a recovery at the start, so only builders start from it.
    pub clean: bool,
    /// How many golden states it is built on.
    pub depth: u32,
    /// [`Platform::exact`] of the server that made it.
    pub platform: String,
    /// Version, database and user.
    pub made_with: MadeWith,
    /// The project that it was first made for. People read this.
    pub project: String,
    /// The number of migrations in it.
    pub migrations: usize,
    /// The number of seed files in it.
    pub seeds: usize,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// The server's next transaction id. Giving an instance its password takes one transaction. As
    /// long as the instance's next transaction id is this number plus one, nobody has written to
    /// the instance.
    pub next_transaction: u64,
    /// What the server had counted. It decides when only the transaction id has changed.
    #[serde(default, rename = "counted")]
    pub writes: Option<Writes>,
    /// Whether it contains values that were encrypted with a key of this machine. devdb never sends
    /// such a state anywhere.
    pub local: bool,
    /// The inputs of another tool's command, if that command has migrated the state. While it has
    /// no seeds, a state with more inputs may begin with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<ToolInputs>,
}

/// The inputs of another tool's command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolInputs {
    /// A digest of the state before the command, and of the command's words.
    pub base: String,
    /// A digest of the name and the content of each file that the command reads, in no order.
    pub files: Vec<String>,
}

impl GoldenLabel {
    /// The name of the state in the store. A state for builders has another name than a clean one.
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
    /// The label, which describes its contents.
    pub label: GoldenLabel,
    /// The bytes that it takes on the disk beyond the state that it is built on.
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
    /// The platform of data directories that this engine makes.
    ///
    /// # Errors
    /// When the image or the programs are missing. Call [`Engine::prepare`] first.
    pub async fn platform(&self, spec: &ServerSpec) -> Result<Platform> {
        each!(self.platform(spec))
    }

    /// Lists the complete golden states.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn golden_states(&self) -> Result<Vec<GoldenState>> {
        each!(self.golden_states())
    }

    /// Makes a generation that is a copy of a clean golden state. Its first launch needs a
    /// verifier, because the user has no password yet.
    ///
    /// # Errors
    /// `NotOurs` when something else has the name of the generation. `Unexpected` when the
    /// generation exists or the engine refuses. Nothing is left behind.
    pub async fn clone_golden(
        &self,
        state: &GoldenState,
        owner: &Owner,
        id: u32,
        spec: &ServerSpec,
    ) -> Result<Generation> {
        each!(self.clone_golden(state, owner, id, spec))
    }

    /// Lists the objects that are named like a golden state but have no readable label. Leaves out
    /// golden states of a newer devdb.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn damaged_golden(&self) -> Result<Vec<DamagedGolden>> {
        each!(self.damaged_golden())
    }

    /// Removes an object that [`Engine::damaged_golden`] found.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn remove_damaged(&self, damaged: &DamagedGolden) -> Result<()> {
        each!(self.remove_damaged(damaged))
    }

    /// Removes golden states that are incomplete because their command was killed. The caller
    /// ensures that no other command of this user makes a golden state meanwhile.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn sweep_golden(&self) -> Result<()> {
        each!(self.sweep_golden())
    }

    /// Whether [`Engine::sweep_golden`] may find an incomplete state. This is quick and may be
    /// wrong: the sweep may find nothing.
    pub fn may_have_half_made_golden(&self) -> bool {
        match self {
            Engine::Docker(_) => true,
            Engine::Native(native) => native.has_half_made_golden(),
        }
    }

    /// Removes a golden state. Copies of it stay. Does nothing when it is gone.
    ///
    /// # Errors
    /// When the engine refuses because the state is in use.
    pub async fn remove_golden(&self, state: &GoldenState) -> Result<()> {
        each!(self.remove_golden(state))
    }
}
