//! One database: made, replaced, looked at.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Cached, Location};
use crate::plan::Standing;
use crate::spec::{EngineKind, Owner};

/// What had to be done to get a running server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// Nothing: it ran as it should.
    Unchanged,
    /// The instance is new.
    Created,
    /// It was stopped or down.
    Started,
    /// It ran with other settings, image or port.
    Relaunched,
}

/// What `up`, `start`, `migrate run` and `seed` did.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct UpReport {
    /// What had to be done to the server.
    pub how: How,
    /// Whose instance.
    pub owner: Owner,
    /// On which engine.
    pub engine: EngineKind,
    /// PostgreSQL's version; none when nobody had to ask.
    pub server_version: Option<String>,
    /// Where it is.
    #[serde(flatten)]
    pub location: Location,
    /// What was applied to the database.
    #[serde(flatten)]
    pub applied: Applied,
    /// The file the environment was written to.
    pub env_file: Option<PathBuf>,
    /// Milliseconds it took.
    pub took_ms: u64,
}

/// What was applied to a database, and what was left.
#[derive(Debug, Default, Clone, Serialize, schemars::JsonSchema)]
pub struct Applied {
    /// Other tools' commands that this command ran, migrations first.
    pub commands_run: Vec<String>,
    /// Migrations that this command applied.
    pub migrations_applied: Vec<String>,
    /// Migrations that are pending all the same (`--no-migrate`).
    pub migrations_pending: Vec<String>,
    /// Seed files that this command applied.
    pub seeds_applied: Vec<String>,
    /// Seed files that are not applied (`--no-seed`, or new since the others were).
    pub seeds_pending: Vec<String>,
    /// Seed files that have changed since they were applied; `reset` applies them.
    pub seeds_changed: Vec<String>,
    /// The golden state that a new database started from.
    pub golden: Option<GoldenReport>,
}

/// A golden state that a database started from.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct GoldenReport {
    /// Its fingerprint: 64 hexadecimal digits.
    pub fingerprint: String,
    /// How much of it was cached.
    pub cached: Cached,
}

/// What becomes of a generation that is current no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is kept for `undo`.
    Kept,
    /// It was to be removed.
    Wiped,
    /// It is removed: nobody had written to it.
    Unwritten,
    /// It is removed: the project keeps none.
    NotWanted,
}

/// What `reset` and `undo` did.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct ResetReport {
    /// Whose instance.
    pub owner: Owner,
    /// On which engine.
    pub engine: EngineKind,
    /// Where it is.
    #[serde(flatten)]
    pub location: Location,
    /// The generation that is current now.
    pub generation: u32,
    /// The one before.
    pub former_generation: u32,
    /// What became of the former one.
    pub former: Fate,
    /// What has to be set back before `undo` can go there, in words.
    pub former_differs: Vec<String>,
    /// For how many days, if it is.
    pub kept_days: u16,
    /// What was applied to the new generation.
    #[serde(flatten)]
    pub applied: Applied,
    /// Milliseconds it took.
    pub took_ms: u64,
}

/// What `status` shows.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct StatusReport {
    /// Whose instance.
    pub owner: Owner,
    /// `running`, `stopped`, `down` (no server, data kept) or `absent`.
    pub state: &'static str,
    /// On which engine.
    pub engine: Option<EngineKind>,
    /// The engine's health word: `starting`, `healthy`, `unhealthy`; none while the engine has not looked
    /// yet and the server answers.
    pub health: Option<String>,
    /// PostgreSQL's version.
    pub server_version: Option<String>,
    /// Where it is.
    #[serde(flatten)]
    pub location: Option<Location>,
    /// Since when the server has been up.
    pub started: Option<DateTime<Utc>>,
    /// The database's size in bytes.
    pub database_bytes: Option<u64>,
    /// The current generation.
    pub generation: Option<u32>,
    /// Former generations that are kept.
    pub kept_generations: Vec<u32>,
    /// How many snapshots there are.
    pub snapshots: usize,
    /// Where migrations stand.
    pub migrations: Option<MigrationsReport>,
    /// Where seeds stand.
    pub seeds: Option<SeedsReport>,
    /// The golden state that the files want, where the engine can tell (text: with `--verbose`).
    pub golden: Option<StatusGolden>,
    /// Why the server could not be asked although it runs.
    pub trouble: Option<String>,
}

impl StatusReport {
    /// There is no instance.
    pub fn absent(owner: Owner) -> Self {
        StatusReport {
            owner,
            state: "absent",
            engine: None,
            health: None,
            server_version: None,
            location: None,
            started: None,
            database_bytes: None,
            generation: None,
            kept_generations: Vec::new(),
            snapshots: 0,
            migrations: None,
            seeds: None,
            golden: None,
            trouble: None,
        }
    }
}

/// Where migrations stand.
#[derive(Debug, Default, Serialize, schemars::JsonSchema)]
pub struct MigrationsReport {
    /// Applied files, oldest first.
    pub applied: Vec<String>,
    /// Files that are not applied.
    pub pending: Vec<String>,
    /// Files that differ from what was applied.
    pub changed: Vec<String>,
    /// Applied versions without a file.
    pub missing: Vec<String>,
    /// Pending files that are older than the newest applied one.
    pub out_of_order: Vec<String>,
    /// Versions that sqlx marked as begun and not finished.
    pub dirty: Vec<String>,
}

impl MigrationsReport {
    /// Whether applied migrations and files disagree.
    pub fn drifted(&self) -> bool {
        !(self.changed.is_empty() && self.missing.is_empty() && self.dirty.is_empty())
    }
}

impl From<Standing> for MigrationsReport {
    fn from(standing: Standing) -> Self {
        let Standing { applied, pending, changed, missing, out_of_order, dirty } = standing;
        MigrationsReport { applied, pending, changed, missing, out_of_order, dirty }
    }
}

/// Where seeds stand.
#[derive(Debug, Default, Serialize, schemars::JsonSchema)]
pub struct SeedsReport {
    /// The profile.
    pub profile: String,
    /// Applied files.
    pub applied: Vec<String>,
    /// Files that are not applied.
    pub pending: Vec<String>,
    /// Files that have changed since.
    pub changed: Vec<String>,
}

impl SeedsReport {
    /// Where the seeds of a profile stand.
    pub fn of(profile: String, standing: Standing) -> Self {
        let Standing { applied, pending, changed, .. } = standing;
        SeedsReport { profile, applied, pending, changed }
    }
}

/// Where the state that this directory's files want stands in the cache.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct StatusGolden {
    /// Its fingerprint: 64 hexadecimal digits. None while the key of `!encrypt` has yet to be made.
    pub fingerprint: Option<String>,
    /// How much of it is there.
    pub cached: Cached,
}

/// `ephemeral list`.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct EphemeralsReport {
    /// The one that goes first first.
    pub ephemerals: Vec<EphemeralReport>,
}

/// A database that lasts for a time.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct EphemeralReport {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub owner: Owner,
    /// Where it runs.
    pub engine: EngineKind,
    /// Where it is reached.
    #[serde(rename = "place")]
    pub location: Location,
    /// When it goes.
    pub until: DateTime<Utc>,
}
