//! Reports on snapshots.

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
    /// For how many milliseconds the database was unavailable; null when clients could stay
    /// connected.
    pub interrupted_ms: Option<u64>,
    /// How many milliseconds the command took.
    pub took_ms: u64,
}

/// What `snapshot list` shows.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct SnapshotsReport {
    /// All snapshots of the instance, oldest first, damaged ones last.
    pub snapshots: Vec<SnapshotReport>,
}

/// One snapshot.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct SnapshotReport {
    /// Its name.
    pub name: String,
    /// The engine's name for it: a volume, or a directory on the native engine.
    pub handle: String,
    /// Why it cannot be used; null when it can.
    pub trouble: Option<String>,
    /// Its manifest; null when it cannot be used.
    pub manifest: Option<Box<Manifest>>,
}

/// What `snapshot restore` did.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct RestoredReport {
    /// The snapshot's name.
    pub snapshot: String,
    /// The swap to the restored generation.
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
    /// The SHA-256 of its uncompressed content, in hexadecimal.
    pub sha256: String,
    /// How many milliseconds the command took.
    pub took_ms: u64,
}
