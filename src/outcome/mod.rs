//! The results of commands: typed values that `output/` renders as text or as JSON.

mod cached;
mod database;
mod kept;
mod manual;
mod project;
mod snapshot;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::db::connect::Address;

pub use cached::{CacheReport, Cached, CachedState, PruneReport, TransferReport, Wanted};
pub use database::{
    Applied, EphemeralReport, EphemeralsReport, Fate, GoldenReport, How, MigrationsReport,
    ResetReport, SeedsReport, StatusGolden, StatusReport, UpReport,
};
pub use kept::{
    Found, GcReport, GenerationRow, GenerationsReport, Keeping, ListReport, Listed, Reason,
    Skipped, WhySkipped,
};
pub use manual::{PageReport, TopicRow, TopicsReport};
pub use project::{Check, ConfigReport, ConfigRow, DoctorReport, InitReport, Verdict};
pub use snapshot::{ExportedReport, RestoredReport, SavedReport, SnapshotReport, SnapshotsReport};

/// A command's result and its exit code.
#[derive(Debug)]
pub struct Outcome {
    /// The command's name.
    pub command: &'static str,
    /// The report to show.
    pub report: Report,
    /// The exit code: 0, the result of `--check`, or the code of a command that devdb ran.
    pub exit: u8,
}

/// The report to show.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum Report {
    /// Nothing more than the command has shown already.
    #[serde(skip)]
    Nothing,
    /// Nothing. A signal ended the command that devdb ran, and devdb ends by the same signal.
    #[serde(skip)]
    Signal(i32),
    /// This text as it is, in every format.
    #[serde(skip)]
    Verbatim(String),
    /// One sentence.
    Said(Said),
    /// `up`, `start`, `migrate`, `seed`.
    Up(Box<UpReport>),
    /// `reset`, `undo`.
    Reset(Box<ResetReport>),
    /// `snapshot save`, `snapshot import`.
    Saved(Box<SavedReport>),
    /// `snapshot list`.
    Snapshots(SnapshotsReport),
    /// `snapshot show`.
    Snapshot(Box<SnapshotReport>),
    /// `snapshot restore`.
    Restored(Box<RestoredReport>),
    /// `snapshot export`.
    Exported(ExportedReport),
    /// `status`.
    Status(Box<StatusReport>),
    /// `list`.
    List(ListReport),
    /// `generations`.
    Generations(Box<GenerationsReport>),
    /// `gc`.
    Gc(Box<GcReport>),
    /// `cache list`.
    Cache(Box<CacheReport>),
    /// `cache prune`, `cache clear`.
    Prune(Box<PruneReport>),
    /// `cache push`.
    Pushed(Box<TransferReport>),
    /// `cache pull`.
    Pulled(Box<TransferReport>),
    /// `ephemeral list`.
    Ephemerals(EphemeralsReport),
    /// `url`.
    Url(UrlReport),
    /// `env`, `ephemeral start`, `ephemeral env`, without `--write`.
    Env(EnvReport),
    /// `migrate status`.
    Migrations(MigrationsReport),
    /// `config`.
    Config(ConfigReport),
    /// `init`.
    Init(InitReport),
    /// `doctor`.
    Doctor(DoctorReport),
    /// `help`.
    Topics(TopicsReport),
    /// `help TOPIC`.
    Page(PageReport),
}

impl Report {
    /// Whether it says no more than that the command has done its work. `--quiet` leaves it out.
    pub fn is_confirmation(&self) -> bool {
        matches!(
            self,
            Report::Said(_)
                | Report::Up(_)
                | Report::Reset(_)
                | Report::Restored(_)
                | Report::Saved(_)
                | Report::Exported(_)
                | Report::Pushed(_)
                | Report::Pulled(_)
                | Report::Init(_)
        )
    }
}

/// One sentence about what the command did.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Said {
    /// The sentence.
    pub message: String,
    /// Whether anything was changed.
    pub changed: bool,
}

/// The location of a database. A JSON document is for a program, which wants to connect: its `url`
/// has the password, in every document. What people see has none.
#[derive(Clone, Serialize, schemars::JsonSchema)]
pub struct Location {
    /// The URL with the password.
    url: String,
    /// The URL for people, with `***` in place of the password.
    #[serde(skip)]
    pub shown: String,
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The name of the database.
    pub database: String,
    /// The name of the user.
    pub user: String,
}

impl std::fmt::Debug for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

impl From<&Address> for Location {
    fn from(address: &Address) -> Self {
        Location {
            url: address.url(),
            shown: address.masked_url(),
            host: address.host.clone(),
            port: address.port,
            database: address.database.clone(),
            user: address.user.clone(),
        }
    }
}

/// What `url` prints.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct UrlReport {
    /// The URL with the password.
    pub url: String,
}

/// The variables of a database, for a program.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct EnvReport {
    /// The variables to set, by their names.
    pub variables: BTreeMap<String, String>,
    /// The variables to remove, because they would lead a program to another database.
    pub unset: Vec<&'static str>,
}

/// Converts a time to the whole milliseconds of reports.
pub fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
