//! Snapshots.

use std::path::PathBuf;

use serde::Serialize;

use super::ResetReport;
use crate::engine::Manifest;

/// What `snapshot save` and `snapshot import` made.
#[derive(Debug, Serialize, schemars::JsonSchema)]
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
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct SnapshotsReport {
    /// Every snapshot of the instance, oldest first, those that cannot be used last.
    pub snapshots: Vec<SnapshotReport>,
}

/// One snapshot.
#[derive(Debug, Serialize, schemars::JsonSchema)]
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
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct RestoredReport {
    /// The snapshot's name.
    pub snapshot: String,
    /// The swap.
    #[serde(flatten)]
    pub swap: ResetReport,
}

/// What `snapshot export` wrote.
#[derive(Debug, Serialize, schemars::JsonSchema)]
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
