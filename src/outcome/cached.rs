//! Reports on the cache of golden states.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::engine::DamagedGolden;
use crate::spec::EngineKind;

/// How much of a golden state was in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cached {
    /// The whole state.
    Hit,
    /// A state with some of its migrations.
    Prefix,
    /// At most the empty database.
    Miss,
}

/// What `cache list` shows.
#[derive(Debug, Default, Serialize, schemars::JsonSchema)]
pub struct CacheReport {
    /// The project whose states are listed; null when the states of all projects are listed.
    pub project: Option<String>,
    /// The states, the most recently used first.
    pub states: Vec<CachedState>,
    /// Damaged states. devdb does not use them, and `cache prune` removes them.
    pub damaged: Vec<DamagedGolden>,
    /// Errors of engines that did not answer and of files that cannot be read.
    pub troubles: Vec<String>,
}

/// One golden state.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct CachedState {
    /// The engine that has it.
    pub engine: EngineKind,
    /// The engine's name for it.
    pub handle: String,
    /// Its fingerprint: 64 hexadecimal digits.
    pub fingerprint: String,
    /// The project it was first made for.
    pub project: String,
    /// How many migrations it has; the command of another tool counts as one.
    pub migrations: usize,
    /// Whether another tool has migrated it.
    pub by_tool: bool,
    /// How many seed files it has.
    pub seeds: usize,
    /// Whether new databases can start from it. If not, only new golden states are built on it.
    pub clean: bool,
    /// Whether it can be used on this machine only.
    pub local: bool,
    /// Its bytes on disk, without the states that it is built on.
    pub bytes: u64,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When this user last used it, or else when it was made.
    pub last_used: DateTime<Utc>,
    /// How the files in this directory use it; null when they do not.
    pub wanted: Option<Wanted>,
}

/// How the files in this directory use a golden state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// A new database is a copy of it.
    Whole,
    /// A new database can be built on it.
    Part,
}

/// What `cache prune` and `cache clear` did.
#[derive(Debug, Default, Serialize, schemars::JsonSchema)]
pub struct PruneReport {
    /// The removed golden states.
    pub removed: Vec<String>,
    /// The removed damaged states.
    pub damaged: Vec<String>,
    /// The states that stay because they are in use.
    pub in_use: Vec<String>,
    /// How many bytes were freed.
    pub bytes: u64,
}

/// What `cache push` and `cache pull` did.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct TransferReport {
    /// The file, or the name in a registry.
    pub reference: String,
    /// The engine that has the state.
    pub engine: EngineKind,
    /// The state's fingerprint: 64 hexadecimal digits.
    pub fingerprint: String,
    /// How much of the state was in the cache.
    pub cached: Cached,
    /// Whether anything was sent or fetched.
    pub changed: bool,
    /// How many milliseconds the command took.
    pub took_ms: u64,
}
