//! devdb's archive file: a whole PostgreSQL data directory in one `.tar.zst`. devdb exports
//! snapshots and golden states in this format.
//!
//! ```text
//! manifest.json    the kind of the data, and the caller's description of it
//! data/            the data directory; each directory comes before its files
//! data/…
//! seal.json        counts, and the SHA-256 of the tar stream up to here
//! ```
//!
//! The seal is last because its numbers are known only then. A file without a seal is incomplete,
//! and devdb never uses it. `tar --zstd -tf` can list such a file too.
//!
//! All functions here block. Asynchronous callers use `spawn_blocking`, and [`bridge`] for the
//! streams of an engine.

pub mod bridge;
mod entry;
mod reader;
mod source;
mod tar_stream;
#[cfg(test)]
mod tests;
mod unpack;
mod writer;

use std::fmt;
use std::io;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use reader::{Archive, Verified};
pub use writer::{IfExists, Writer, remove_drafts};

use crate::error::{Error, Kind};

/// The version of the format that this devdb writes. It reads older versions and refuses newer
/// ones.
pub const FORMAT: u32 = 1;

/// What stands for standard input or output in place of a file's path.
pub const STANDARD_STREAM: &str = "-";

const MANIFEST: &str = "manifest.json";
const DATA: &str = "data";
const SEAL: &str = "seal.json";

/// The size of tar's blocks, in bytes. A header is one block; zeros fill the last block of a
/// content.
const BLOCK: usize = 512;

/// The kind of data in an archive file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveKind {
    /// A snapshot that a person exported.
    Snapshot,
    /// A golden state.
    Golden,
}

impl fmt::Display for ArchiveKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ArchiveKind::Snapshot => "a snapshot",
            ArchiveKind::Golden => "a golden state",
        })
    }
}

/// The first entry of a file. It tells whether the file can be used, before the rest is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest<P> {
    /// The version of the format; see [`FORMAT`].
    pub format: u32,
    /// The kind of the data.
    pub kind: ArchiveKind,
    /// When devdb began to write the file.
    pub created: DateTime<Utc>,
    /// The version of the devdb that wrote it.
    pub devdb: String,
    /// The writer's description of the data directory.
    pub payload: P,
}

/// The last entry of a file: counts and a checksum of everything before it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// The number of entries of the data directory, with the directory itself.
    pub entries: u64,
    /// The size of its files in bytes, uncompressed.
    pub bytes: u64,
    /// The SHA-256 of the uncompressed tar stream from its first byte to the seal's header, in
    /// hexadecimal.
    pub sha256: String,
}

/// The user and the group that own the files in a tar stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileOwner {
    /// The numeric user id.
    pub user_id: u32,
    /// The numeric group id.
    pub group_id: u32,
}

impl FileOwner {
    /// User 0 and group 0.
    pub const ROOT: FileOwner = FileOwner { user_id: 0, group_id: 0 };
}

impl fmt::Display for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seal { entries, bytes, sha256 } = self;
        write!(f, "{entries} entries with {bytes} bytes and SHA-256 {sha256}")
    }
}

/// Whether the disk is full or the quota is used up.
fn full_disk(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The error for a file that devdb cannot use, because of `what`.
fn unusable(path: &Path, what: impl fmt::Display) -> Error {
    Error::new(Kind::Snapshot, format!("cannot use the file {}", path.display()))
        .because(what)
        .hint("devdb took no data from it; fetch the file again or export it again")
}
