//! What a command came to: typed values that `output/` renders as text or as JSON.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::db::connect::Address;
use crate::engine::{DamagedGolden, Manifest};
use crate::golden::Cached;
use crate::instance::{Fate, How, Reason};
use crate::spec::{EngineKind, Owner};
use crate::state::Why;

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
#[derive(Debug, Serialize)]
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
}

/// One sentence about what was done, with what it was done to.
#[derive(Debug, Serialize)]
pub struct Said {
    /// The sentence.
    pub message: String,
    /// Whether anything was changed.
    pub changed: bool,
}

/// Where a database is; the password never shows.
#[derive(Debug, Clone, Serialize)]
pub struct Place {
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

impl From<&Address> for Place {
    fn from(address: &Address) -> Self {
        Place {
            url: address.masked_url(),
            host: address.host.clone(),
            port: address.port,
            database: address.database.clone(),
            user: address.user.clone(),
        }
    }
}

/// What `up`, `start`, `migrate run` and `seed` did.
#[derive(Debug, Serialize)]
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
    pub place: Place,
    /// What was applied to the database.
    #[serde(flatten)]
    pub applied: Applied,
    /// The file the environment was written to.
    pub env_file: Option<PathBuf>,
    /// Milliseconds it took.
    pub took_ms: u64,
}

/// What was applied to a database, and what was left.
#[derive(Debug, Default, Clone, Serialize)]
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
#[derive(Debug, Clone, Serialize)]
pub struct GoldenReport {
    /// Its fingerprint: 64 hexadecimal digits.
    pub fingerprint: String,
    /// How much of it was cached.
    pub cached: Cached,
}

/// What `reset` and `undo` did.
#[derive(Debug, Serialize)]
pub struct ResetReport {
    /// Whose instance.
    pub owner: Owner,
    /// On which engine.
    pub engine: EngineKind,
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
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
#[derive(Debug, Serialize)]
pub struct StatusReport {
    /// Whose instance.
    pub owner: Owner,
    /// `running`, `stopped`, `down` (no server, data kept) or `absent`.
    pub state: &'static str,
    /// On which engine.
    pub engine: Option<EngineKind>,
    /// The engine's health word: `starting`, `healthy`, `unhealthy`.
    pub health: Option<String>,
    /// PostgreSQL's version.
    pub server_version: Option<String>,
    /// Where it is.
    #[serde(flatten)]
    pub place: Option<Place>,
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
            place: None,
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

/// What `snapshot save` and `snapshot import` made.
#[derive(Debug, Serialize)]
pub struct SavedReport {
    /// The snapshot.
    #[serde(flatten)]
    pub snapshot: Manifest,
    /// Milliseconds for which the database was not there for its clients; none when it always was.
    pub interrupted_ms: Option<u64>,
    /// Milliseconds it took.
    pub took_ms: u64,
}

/// What `snapshot list` shows.
#[derive(Debug, Serialize)]
pub struct SnapshotsReport {
    /// Every snapshot of the instance, oldest first, those that cannot be used last.
    pub snapshots: Vec<SnapshotReport>,
}

/// One snapshot.
#[derive(Debug, Serialize)]
pub struct SnapshotReport {
    /// Its name.
    pub name: String,
    /// The engine's own name for it: a volume; native: a directory.
    pub handle: String,
    /// Why it cannot be used.
    pub trouble: Option<String>,
    /// What it holds; none when it cannot be used.
    pub manifest: Option<Box<Manifest>>,
}

/// What `snapshot restore` did.
#[derive(Debug, Serialize)]
pub struct RestoredReport {
    /// The snapshot's name.
    pub snapshot: String,
    /// The swap.
    #[serde(flatten)]
    pub swap: ResetReport,
}

/// What `snapshot export` wrote.
#[derive(Debug, Serialize)]
pub struct ExportedReport {
    /// The snapshot's name.
    pub snapshot: String,
    /// The file.
    pub file: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of its content, uncompressed, in hexadecimal.
    pub sha256: String,
    /// Milliseconds it took.
    pub took_ms: u64,
}

/// Where migrations stand.
#[derive(Debug, Default, Serialize)]
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

/// Where seeds stand.
#[derive(Debug, Default, Serialize)]
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

/// What `list` shows.
#[derive(Debug, Serialize)]
pub struct ListReport {
    /// Every instance, all projects and developers.
    pub instances: Vec<Listed>,
    /// Engines that could not be asked, and damaged records.
    pub troubles: Vec<String>,
}

/// One instance in the list.
#[derive(Debug, Serialize)]
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
#[derive(Debug, Serialize)]
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
#[derive(Debug, Serialize)]
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
#[derive(Debug, Default, Serialize)]
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
#[derive(Debug, Serialize)]
pub struct Skipped {
    /// Whose it is.
    pub owner: Owner,
    /// Why.
    #[serde(flatten)]
    pub why: WhySkipped,
}

/// Why `gc` left an instance alone.
#[derive(Debug, Serialize)]
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

/// What of one instance is of no use any more, for one reason.
#[derive(Debug, Serialize)]
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
    /// What the engine calls all of it.
    pub objects: Vec<String>,
    /// Bytes on disk, where the engine knows.
    pub bytes: Option<u64>,
    /// What of it is still there after the removal.
    pub left: Vec<String>,
}

/// What `cache list` shows.
#[derive(Debug, Default, Serialize)]
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
#[derive(Debug, Serialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// It is what they make.
    Whole,
    /// It is on the way to that.
    Part,
}

/// What `cache prune` and `cache clear` did.
#[derive(Debug, Default, Serialize)]
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
#[derive(Debug, Serialize)]
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

/// Where the state that this directory's files want stands in the cache.
#[derive(Debug, Serialize)]
pub struct StatusGolden {
    /// Its fingerprint: 64 hexadecimal digits. None while the key of `!encrypt` has yet to be made.
    pub fingerprint: Option<String>,
    /// How much of it is there.
    pub cached: Cached,
}

/// What `url` prints. The one report that carries a password: that is what it is for.
#[derive(Debug, Serialize)]
pub struct UrlReport {
    /// The URL, password included.
    pub url: String,
}

/// What `config` shows.
#[derive(Debug, Serialize)]
pub struct ConfigReport {
    /// The project's directory, none for the sample.
    pub directory: Option<PathBuf>,
    /// Every setting.
    pub settings: Vec<ConfigRow>,
}

/// One setting.
#[derive(Debug, Serialize)]
pub struct ConfigRow {
    /// Its name, with dots.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Where the value came from.
    pub origin: String,
}

/// What `init` did.
#[derive(Debug, Serialize)]
pub struct InitReport {
    /// Files it wrote.
    pub written: Vec<PathBuf>,
    /// Files that were there and stay as they are.
    pub kept: Vec<PathBuf>,
    /// What to do next, for a person.
    pub next: String,
}

/// What `doctor` found.
#[derive(Debug, Serialize)]
pub struct DoctorReport {
    /// Every check.
    pub checks: Vec<Check>,
}

/// One check of `doctor`.
#[derive(Debug, Serialize)]
pub struct Check {
    /// What was looked at.
    pub what: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do, for whatever is wrong.
    pub advice: Option<String>,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Not there, and not needed.
    Absent,
    /// Worth a look.
    Warning,
    /// Wrong.
    Bad,
}

/// `ephemeral list`.
#[derive(Debug, Serialize)]
pub struct EphemeralsReport {
    /// The one that goes first first.
    pub ephemerals: Vec<EphemeralReport>,
}

/// A database that lasts for a time.
#[derive(Debug, Serialize)]
pub struct EphemeralReport {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub owner: Owner,
    /// Where it runs.
    pub engine: EngineKind,
    /// Where it is reached.
    pub place: Place,
    /// When it goes.
    pub until: DateTime<Utc>,
}
