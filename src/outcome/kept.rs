//! Reports on what devdb keeps: instances, generations, and what `gc` may remove.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::spec::{EngineKind, Owner};
use crate::state::Why;

/// What `list` shows.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct ListReport {
    /// The instances of all projects and developers.
    pub instances: Vec<Listed>,
    /// Errors of engines that did not answer and of damaged records.
    pub troubles: Vec<String>,
}

/// One instance in the list.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Listed {
    /// The owner of the instance.
    pub owner: Owner,
    /// The instance's key.
    pub key: String,
    /// The engine of the instance.
    pub engine: EngineKind,
    /// `running`, `stopped`, `down`, or `unknown` when the engine does not answer.
    pub state: &'static str,
    /// The port of its server.
    pub port: Option<u16>,
    /// The image, or the version of the server.
    pub image: Option<String>,
    /// How many generations it has.
    pub generations: usize,
    /// The project's directory, if this user's record has it.
    pub directory: Option<PathBuf>,
    /// Whether it is the instance of the current directory.
    pub current: bool,
    /// Whether this user has a record of it.
    pub recorded: bool,
}

/// What `generations` shows.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct GenerationsReport {
    /// The owner of the instance.
    pub owner: Owner,
    /// The engine of the instance.
    pub engine: EngineKind,
    /// The generations, the newest first.
    pub generations: Vec<GenerationRow>,
    /// Errors that kept devdb from reporting everything.
    pub troubles: Vec<String>,
}

/// One generation.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct GenerationRow {
    /// Its number.
    pub number: u32,
    /// Whether the instance uses it now.
    pub current: bool,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// What made it.
    pub why: Why,
    /// When it stopped being current.
    pub replaced: Option<DateTime<Utc>>,
    /// Its bytes on disk, if the engine knows.
    pub bytes: Option<u64>,
    /// Whether somebody has written to it since it was made; null when devdb cannot tell.
    pub written: Option<bool>,
    /// Whether devdb keeps it, and what for.
    pub state: Keeping,
    /// Until when devdb keeps it. Null when `state` needs no time.
    pub kept_until: Option<DateTime<Utc>>,
}

/// Whether devdb keeps a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keeping {
    /// The instance uses it now.
    Current,
    /// It is kept until `kept_until`. The first command after that time removes it.
    Kept,
    /// Nobody has written to it. The next reset or restore removes it, and the first command after
    /// `kept_until` does.
    UntilSwap,
    /// It is kept until `kept_until`. The first reset or restore after that time removes it, because
    /// the former generations take more of the disk than the settings allow.
    NoRoom,
    /// A person keeps it for good. Only a person removes it.
    ForGood,
    /// The next command removes it.
    Leaving,
    /// Another program has removed it.
    Gone,
}

/// What `gc` found and removed.
#[derive(Debug, Default, Serialize, schemars::JsonSchema)]
pub struct GcReport {
    /// Whether the command was given `--yes`, which removes what it found.
    pub yes: bool,
    /// What nobody needs any more.
    pub found: Vec<Found>,
    /// The instances that `gc` skipped.
    pub skipped: Vec<Skipped>,
    /// What could not be examined or removed, and why.
    pub troubles: Vec<String>,
}

/// An instance that `gc` skipped.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Skipped {
    /// The owner of the instance.
    pub owner: Owner,
    /// The reason.
    #[serde(flatten)]
    pub why: WhySkipped,
}

/// Why `gc` skipped an instance.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum WhySkipped {
    /// Another devdb works on it.
    Locked,
    /// The file system of its project is not mounted.
    NotMounted {
        /// The directory of its project.
        directory: PathBuf,
    },
    /// Its project is not in the checkout now, and a branch has it.
    OnBranch {
        /// The branch.
        branch: String,
        /// The directory of its project.
        directory: PathBuf,
    },
    /// Its branch was renamed, and the data may be needed under the new name.
    Renamed {
        /// The new name of the branch.
        to: String,
        /// The directory of its project.
        directory: PathBuf,
    },
}

/// Why nobody needs something any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The time of a former generation is over.
    Expired,
    /// A command was cut short and left it.
    CutShort,
    /// The branch that the instance was made for is gone.
    BranchGone,
    /// It was made for detached heads, and its checkout is on a branch again.
    OnBranchAgain,
    /// The directory of its project is gone.
    DirectoryGone,
    /// The directory of its project has another checkout now.
    CheckoutGone,
}

/// What nobody needs of one instance, for one reason.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Found {
    /// The owner of the instance.
    pub owner: Owner,
    /// The engine of the instance.
    pub engine: EngineKind,
    /// The reason.
    pub reason: Reason,
    /// The present or former directory of its project.
    pub directory: Option<PathBuf>,
    /// The numbers of the generations. One that was never current has no number.
    pub generations: Vec<u32>,
    /// The names of the snapshots.
    pub snapshots: Vec<String>,
    /// The engine's names of all objects.
    pub objects: Vec<String>,
    /// The bytes on disk, if the engine knows.
    pub bytes: Option<u64>,
    /// The objects that are left after the removal.
    pub left: Vec<String>,
}
