//! The cache of golden states.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::engine::DamagedGolden;
use crate::spec::EngineKind;

/// How much of a state was there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cached {
    /// All of it.
    Hit,
    /// Some of its migrations.
    Prefix,
    /// The empty database at best.
    Miss,
}

/// What `cache list` shows.
#[derive(Debug, Default, Serialize, schemars::JsonSchema)]
pub struct CacheReport {
    /// Whose states are listed; none: everybody's.
    pub project: Option<String>,
    /// The states, the last used first.
    pub states: Vec<CachedState>,
    /// What is damaged: never used, and removed by `cache prune`.
    pub damaged: Vec<DamagedGolden>,
    /// Engines that could not be asked, and files that cannot be read.
    pub troubles: Vec<String>,
}

/// One golden state.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct CachedState {
    /// On which engine.
    pub engine: EngineKind,
    /// What the engine calls it.
    pub handle: String,
    /// Its fingerprint: 64 hexadecimal digits.
    pub fingerprint: String,
    /// The project it was first made for.
    pub project: String,
    /// How many migrations are in it.
    pub migrations: usize,
    /// How many seed files are in it.
    pub seeds: usize,
    /// Whether databases start from it; another one serves as a beginning for the next bake only.
    pub clean: bool,
    /// Whether it is never sent anywhere.
    pub local: bool,
    /// Bytes on disk beyond what it is built on.
    pub bytes: u64,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When this user used it last; when it was made, where that is not known.
    pub last_used: DateTime<Utc>,
    /// Whether this directory's files want it now.
    pub wanted: Option<Wanted>,
}

/// What this directory's files want of a golden state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// It is what they make.
    Whole,
    /// It is on the way to that.
    Part,
}

/// What `cache prune` and `cache clear` did.
#[derive(Debug, Default, Serialize, schemars::JsonSchema)]
pub struct PruneReport {
    /// Golden states that were removed.
    pub removed: Vec<String>,
    /// Damaged ones that were removed.
    pub damaged: Vec<String>,
    /// Those that should go and are in use.
    pub in_use: Vec<String>,
    /// Bytes that were given back.
    pub bytes: u64,
}

/// What `cache push` and `cache pull` did.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct TransferReport {
    /// The file, or the name in a registry.
    pub reference: String,
    /// On which engine.
    pub engine: EngineKind,
    /// The state's fingerprint: 64 hexadecimal digits.
    pub fingerprint: String,
    /// How much of it was there.
    pub cached: Cached,
    /// Whether anything was sent or fetched.
    pub changed: bool,
    /// Milliseconds it took.
    pub took_ms: u64,
}
