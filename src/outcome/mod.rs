//! What a command came to: typed values that `output/` renders as text or as JSON.

mod cached;
mod database;
mod kept;
mod manual;
mod project;
mod snapshot;

use serde::Serialize;

use crate::db::connect::Address;

pub use cached::{CacheReport, Cached, CachedState, PruneReport, TransferReport, Wanted};
pub use database::{
    Applied, EphemeralReport, EphemeralsReport, Fate, GoldenReport, How, MigrationsReport,
    ResetReport, SeedsReport, StatusGolden, StatusReport, UpReport,
};
pub use kept::{
    Found, GcReport, GenerationRow, GenerationsReport, ListReport, Listed, Reason, Skipped,
    WhySkipped,
};
pub use manual::{PageReport, TopicRow, TopicsReport};
pub use project::{Check, ConfigReport, ConfigRow, DoctorReport, InitReport, Verdict};
pub use snapshot::{ExportedReport, RestoredReport, SavedReport, SnapshotReport, SnapshotsReport};

/// A command's result and its exit code.
#[derive(Debug)]
pub struct Outcome {
    /// The command's name.
    pub command: &'static str,
    /// What there is to show.
    pub report: Report,
    /// The exit code: 0, or what `--check` found, or a child's own.
    pub exit: u8,
}

/// What there is to show.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum Report {
    /// Nothing more than was shown on the way.
    #[serde(skip)]
    Nothing,
    /// The end of the command that devdb ran, by this signal: devdb ends likewise.
    #[serde(skip)]
    Signal(i32),
    /// Exactly this text, in every format.
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

/// One sentence about what was done, with what it was done to.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Said {
    /// The sentence.
    pub message: String,
    /// Whether anything was changed.
    pub changed: bool,
}

/// Where a database is; the password never shows.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Location {
    /// The URL with `***` for the password.
    pub url: String,
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// User.
    pub user: String,
}

impl From<&Address> for Location {
    fn from(address: &Address) -> Self {
        Location {
            url: address.masked_url(),
            host: address.host.clone(),
            port: address.port,
            database: address.database.clone(),
            user: address.user.clone(),
        }
    }
}

/// What `url` prints. The one report that carries a password: that is what it is for.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct UrlReport {
    /// The URL, password included.
    pub url: String,
}

/// Whole milliseconds, as reports count time.
pub fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
