//! Reports on one database: created, reset, or looked at.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Cached, Location};
use crate::plan::{ByTool, Standing};
use crate::spec::{EngineKind, OutOfOrder, Owner};

/// What devdb did to get a running server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// Nothing, because the server ran as it should.
    Unchanged,
    /// It made a new instance.
    Created,
    /// It started the server, which was stopped or down.
    Started,
    /// It replaced the server, because the settings, the image or the port have changed.
    Relaunched,
    /// It replaced the data of detached heads, because another commit is checked out.
    Renewed,
}

/// What `up`, `start`, `migrate run` and `seed` did.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct UpReport {
    /// What devdb did to the server.
    pub how: How,
    /// The owner of the instance.
    pub owner: Owner,
    /// The engine of the instance.
    pub engine: EngineKind,
    /// The version of PostgreSQL; null when devdb did not need to ask.
    pub server_version: Option<String>,
    /// The location of the database.
    #[serde(flatten)]
    pub location: Location,
    /// What was applied to the database.
    #[serde(flatten)]
    pub applied: Applied,
    /// The file that the environment was written to.
    pub env_file: Option<PathBuf>,
    /// How many milliseconds the command took.
    pub took_ms: u64,
}

/// What was applied to a database, and what is still pending.
#[derive(Debug, Default, Clone, Serialize, schemars::JsonSchema)]
pub struct Applied {
    /// The commands of other tools that were run, migrations first.
    pub commands_run: Vec<String>,
    /// The migrations that were applied.
    pub migrations_applied: Vec<String>,
    /// The migrations that are still pending, for example with `--no-migrate`.
    pub migrations_pending: Vec<String>,
    /// The seed files that were applied.
    pub seeds_applied: Vec<String>,
    /// The seed files that are not applied, because of `--no-seed` or because they are new.
    pub seeds_pending: Vec<String>,
    /// The seed files that changed after they were applied; `reset` applies them.
    pub seeds_changed: Vec<String>,
    /// The applied seed files that no longer exist; their rows are still in the database.
    pub seeds_missing: Vec<String>,
    /// The generation with the data of before, when devdb copied it before it applied anything.
    pub kept_before: Option<u32>,
    /// The profile of these files, when `seed` has to be told. Null when it applies them without.
    pub seeds_profile: Option<String>,
    /// The golden state that a new database started from.
    pub golden: Option<GoldenReport>,
}

impl Applied {
    /// Whether something was applied.
    pub fn is_something(&self) -> bool {
        let lists = [&self.commands_run, &self.migrations_applied, &self.seeds_applied];
        lists.iter().any(|list| !list.is_empty())
    }
}

/// A golden state that a database started from.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct GoldenReport {
    /// Its fingerprint: 64 hexadecimal digits.
    pub fingerprint: String,
    /// How much of it was in the cache.
    pub cached: Cached,
}

/// What happens to the former generation after a swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is kept for `undo`.
    Kept,
    /// Nobody had written to it. It is kept for `undo` until the next reset or restore.
    UntilSwap,
    /// It is kept until a person removes it.
    ForGood,
    /// It is removed, because the command was given `--wipe`.
    Wiped,
    /// It is removed, because nobody had written to it.
    Unwritten,
    /// It is removed, because the project keeps no former generations.
    NotWanted,
    /// Another program had removed its data before.
    Gone,
}

/// What `reset` and `undo` did.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct ResetReport {
    /// The owner of the instance.
    pub owner: Owner,
    /// The engine of the instance.
    pub engine: EngineKind,
    /// The location of the database.
    #[serde(flatten)]
    pub location: Location,
    /// The number of the current generation.
    pub generation: u32,
    /// The number of the former generation.
    pub former_generation: u32,
    /// What happens to the former generation.
    pub former: Fate,
    /// The settings to change back before `undo` can return to the former generation, in words.
    pub former_differs: Vec<String>,
    /// For how many days a former generation is kept.
    pub kept_days: u16,
    /// What was applied to the current generation.
    #[serde(flatten)]
    pub applied: Applied,
    /// How many milliseconds the command took.
    pub took_ms: u64,
}

/// What `status` shows.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct StatusReport {
    /// The owner of the instance.
    pub owner: Owner,
    /// `running`, `stopped`, `down` (the data is kept without a server), `absent`, or `unrecorded` (an
    /// engine has it, and devdb has lost the record of it).
    pub state: &'static str,
    /// The engine of the instance.
    pub engine: Option<EngineKind>,
    /// The engine's health check: `starting`, `healthy` or `unhealthy`. Null when the server
    /// answers before the first check.
    pub health: Option<String>,
    /// The version of PostgreSQL.
    pub server_version: Option<String>,
    /// The location of the database.
    #[serde(flatten)]
    pub location: Option<Location>,
    /// When the server was started.
    pub started: Option<DateTime<Utc>>,
    /// The size of the database in bytes.
    pub database_bytes: Option<u64>,
    /// The number of the current generation.
    pub generation: Option<u32>,
    /// The numbers of the former generations that are kept.
    pub kept_generations: Vec<u32>,
    /// How many snapshots the instance has.
    pub snapshots: usize,
    /// The migrations in the database, compared with the files.
    pub migrations: Option<MigrationsReport>,
    /// The seeds in the database, compared with the files.
    pub seeds: Option<SeedsReport>,
    /// The golden state of the files. Null when the engine cannot tell. The text shows it with
    /// `--verbose`.
    pub golden: Option<StatusGolden>,
    /// Why a running server could not be asked, or a file could not be read.
    pub trouble: Option<String>,
    /// When data may be missing: the commands that go back to other data, the newest first, and
    /// what each brings back.
    pub go_back: Vec<String>,
}

impl StatusReport {
    /// The report when there is no instance.
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
            go_back: Vec::new(),
        }
    }
}

/// The migrations in a database, compared with the files.
#[derive(Debug, Default, Serialize, schemars::JsonSchema)]
pub struct MigrationsReport {
    /// The applied files, oldest first.
    pub applied: Vec<String>,
    /// The files that are not applied.
    pub pending: Vec<String>,
    /// The files that changed after they were applied.
    pub changed: Vec<String>,
    /// The applied versions that have no file.
    pub missing: Vec<String>,
    /// The pending files that are older than the newest applied one.
    pub out_of_order: Vec<String>,
    /// The versions that sqlx began and did not finish.
    pub dirty: Vec<String>,
    /// The other tool that migrates the database; null when devdb applies the files itself.
    /// `applied` has what that tool has recorded, and `pending` the tool's command.
    pub tool: Option<ByTool>,
}

impl MigrationsReport {
    /// Whether the applied migrations and the files disagree, so that `devdb up` applies nothing.
    pub fn drifted(&self, rule: OutOfOrder) -> bool {
        let is_refused = rule == OutOfOrder::Refuse && !self.out_of_order.is_empty();
        let agrees = self.changed.is_empty() && self.missing.is_empty() && self.dirty.is_empty();
        is_refused || !agrees
    }
}

impl From<Standing> for MigrationsReport {
    fn from(standing: Standing) -> Self {
        let Standing { applied, pending, changed, missing, out_of_order, dirty, tool } = standing;
        MigrationsReport { applied, pending, changed, missing, out_of_order, dirty, tool }
    }
}

/// The seeds in a database, compared with the files.
#[derive(Debug, Default, Serialize, schemars::JsonSchema)]
pub struct SeedsReport {
    /// The profile.
    pub profile: String,
    /// The applied files.
    pub applied: Vec<String>,
    /// The files that are not applied.
    pub pending: Vec<String>,
    /// The files that changed after they were applied.
    pub changed: Vec<String>,
    /// The applied files that no longer exist.
    pub missing: Vec<String>,
}

impl SeedsReport {
    /// The report on the seeds of a profile.
    pub fn of(profile: String, standing: Standing) -> Self {
        let Standing { applied, pending, changed, missing, .. } = standing;
        SeedsReport { profile, applied, pending, changed, missing }
    }
}

/// The golden state of the files in this directory.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct StatusGolden {
    /// Its fingerprint: 64 hexadecimal digits. Null as long as no key for `!encrypt` values exists.
    pub fingerprint: Option<String>,
    /// How much of it is in the cache.
    pub cached: Cached,
}

/// What `ephemeral list` shows.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct EphemeralsReport {
    /// The databases, the first to be removed first.
    pub ephemerals: Vec<EphemeralReport>,
}

/// A database that is removed after a set time.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct EphemeralReport {
    /// Its id.
    pub id: String,
    /// The owner of the database.
    pub owner: Owner,
    /// The engine that runs it.
    pub engine: EngineKind,
    /// The location of the database.
    #[serde(rename = "place")]
    pub location: Location,
    /// When it is removed.
    pub until: DateTime<Utc>,
}
