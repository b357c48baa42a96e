//! What there is of many: instances, generations, and what is of no use any more.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::spec::{EngineKind, Owner};
use crate::state::Why;

/// What `list` shows.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct ListReport {
    /// Every instance, all projects and developers.
    pub instances: Vec<Listed>,
    /// Engines that could not be asked, and damaged records.
    pub troubles: Vec<String>,
}

/// One instance in the list.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Listed {
    /// Whose it is.
    pub owner: Owner,
    /// The instance's key.
    pub key: String,
    /// On which engine.
    pub engine: EngineKind,
    /// `running`, `stopped`, `down`, or `unknown` when the engine does not answer.
    pub state: &'static str,
    /// Its port.
    pub port: Option<u16>,
    /// The image or server version.
    pub image: Option<String>,
    /// How many generations it has.
    pub generations: usize,
    /// The project's directory, when this user's record has it.
    pub directory: Option<PathBuf>,
    /// Whether it is the instance of the current directory.
    pub current: bool,
    /// Whether this user has a record of it.
    pub recorded: bool,
}

/// What `generations` shows.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct GenerationsReport {
    /// Whose instance.
    pub owner: Owner,
    /// On which engine.
    pub engine: EngineKind,
    /// Every generation, the newest first.
    pub generations: Vec<GenerationRow>,
    /// Why something could not be told.
    pub troubles: Vec<String>,
}

/// One generation.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct GenerationRow {
    /// Its number.
    pub number: u32,
    /// Whether the instance points at it.
    pub current: bool,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// What made it.
    pub why: Why,
    /// When it stopped being current.
    pub replaced: Option<DateTime<Utc>>,
    /// Bytes on disk, where the engine knows.
    pub bytes: Option<u64>,
    /// Whether somebody may have written to it since it was made; none when nobody can tell.
    pub written: Option<bool>,
    /// When it will be collected; in the past: by the next command. None for the current one.
    pub kept_until: Option<DateTime<Utc>>,
}

/// What `gc` found, and did.
#[derive(Debug, Default, Serialize, schemars::JsonSchema)]
pub struct GcReport {
    /// Whether it was to be removed.
    pub yes: bool,
    /// What is of no use any more.
    pub found: Vec<Found>,
    /// Instances that were left alone, whatever there may be of them.
    pub skipped: Vec<Skipped>,
    /// What could not be looked at or removed, and why.
    pub troubles: Vec<String>,
}

/// An instance that `gc` left alone.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Skipped {
    /// Whose it is.
    pub owner: Owner,
    /// Why.
    #[serde(flatten)]
    pub why: WhySkipped,
}

/// Why `gc` left an instance alone.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum WhySkipped {
    /// Another devdb works on it.
    Locked,
    /// The file system that its project was on is not mounted.
    NotMounted {
        /// Where its project was.
        directory: PathBuf,
    },
    /// Its branch has another name now, and its data may be wanted there.
    Renamed {
        /// The branch's name.
        to: String,
        /// Where its project is.
        directory: PathBuf,
    },
}

/// Why something is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A former generation past its time.
    Expired,
    /// A command was cut short.
    CutShort,
    /// The branch that the instance was made for is gone.
    BranchGone,
    /// The directory of its project is gone.
    DirectoryGone,
    /// Another checkout is in the directory of its project.
    CheckoutGone,
}

/// What of one instance is of no use any more, for one reason.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Found {
    /// Whose it is.
    pub owner: Owner,
    /// On which engine.
    pub engine: EngineKind,
    /// Why.
    pub reason: Reason,
    /// Where its project is, or was.
    pub directory: Option<PathBuf>,
    /// Generations, with their data.
    pub generations: Vec<u32>,
    /// The names of snapshots, with theirs.
    pub snapshots: Vec<String>,
    /// What the engine calls all of it.
    pub objects: Vec<String>,
    /// Bytes on disk, where the engine knows.
    pub bytes: Option<u64>,
    /// What of it is still there after the removal.
    pub left: Vec<String>,
}
