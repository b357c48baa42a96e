//! devdb's portable file: a whole PostgreSQL data directory in one `.tar.zst`, as exported
//! snapshots and exported golden states are kept.
//!
//! ```text
//! manifest.json    what it holds, and what the caller says about it
//! data/            the data directory, a directory before what is in it
//! data/…
//! seal.json        counts, and the SHA-256 of the tar stream up to here
//! ```
//!
//! The seal is last because only then are its numbers known: a file without one is not whole, and
//! never used. `tar --zstd -tf` reads such a file too.
//!
//! Everything here blocks; asynchronous callers use `spawn_blocking`, and [`bridge`] for what an engine streams.

pub mod bridge;
mod entry;
mod pour;
mod reader;
mod source;
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

/// The format that this devdb writes. It reads older ones, and refuses newer ones.
pub const FORMAT: u32 = 1;

const MANIFEST: &str = "manifest.json";
const DATA: &str = "data";
const SEAL: &str = "seal.json";

/// The size of tar's blocks: a header is one, and contents are filled up to whole ones.
const BLOCK: usize = 512;

/// What the data directory in a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// A snapshot that a person asked for.
    Snapshot,
    /// A golden state.
    Golden,
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Content::Snapshot => "a snapshot",
            Content::Golden => "a golden state",
        })
    }
}

/// The first entry of a file: what is needed to decide whether it is of use, before reading the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest<P> {
    /// The version of the format; see [`FORMAT`].
    pub format: u32,
    /// What the file holds.
    pub kind: Content,
    /// When it was begun.
    pub created: DateTime<Utc>,
    /// The version of the devdb that wrote it.
    pub devdb: String,
    /// What the writer says about the data directory.
    pub payload: P,
}

/// The last entry of a file: what everything before it must be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// How many entries are in the data directory, itself included.
    pub entries: u64,
    /// How many bytes the contents of its files are, uncompressed.
    pub bytes: u64,
    /// Of the uncompressed tar stream from its first byte to the seal's header, in hexadecimal.
    pub sha256: String,
}

impl fmt::Display for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seal { entries, bytes, sha256 } = self;
        write!(f, "{entries} entries with {bytes} bytes and SHA-256 {sha256}")
    }
}

/// Whether it failed for want of space.
fn full_disk(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// `path` cannot be used, because of `what`.
fn unusable(path: &Path, what: impl fmt::Display) -> Error {
    Error::new(Kind::Snapshot, format!("cannot use the file {}", path.display()))
        .because(what)
        .hint("nothing was taken from it; fetch it or export it again")
}
