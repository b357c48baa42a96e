//! Writes the tar stream of a file: the entries, then the seal.

use std::io::{self, Read, Write};
use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::entry::{Entry, Tree};
use super::{BLOCK, DATA, FileOwner, SEAL, Seal};

/// Why an entry was not written.
#[derive(Debug)]
pub(super) enum Failure {
    /// The rules forbid it.
    Refused(String),
    /// Reading its source failed.
    Read(io::Error),
    /// Writing the file failed.
    Write(io::Error),
}

/// Writes a tar stream to `W`, and hashes and counts for the seal.
pub(super) struct SealedTar<W: Write> {
    tar: tar::Builder<HashingWriter<W>>,
    tree: Tree,
    entries: u64,
    bytes: u64,
}

impl<W: Write> SealedTar<W> {
    pub(super) fn new(to: W) -> Self {
        let tar = tar::Builder::new(HashingWriter { to, hash: Sha256::new() });
        SealedTar { tar, tree: Tree::default(), entries: 0, bytes: 0 }
    }

    /// Writes a JSON entry.
    pub(super) fn text(&mut self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(value)?;
        let mut header = tar::Header::new_ustar();
        header.set_path(name)?;
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_cksum();
        self.tar.append(&header, text.as_slice())
    }

    /// Writes an entry of the data directory. For a file, `content` must give as many bytes as
    /// the entry's size.
    pub(super) fn entry(&mut self, entry: &Entry, content: impl Read) -> Result<(), Failure> {
        self.tree.admit(entry).map_err(Failure::Refused)?;
        let header = entry.header(Path::new(DATA), FileOwner::ROOT).map_err(Failure::Refused)?;
        let mut content = ExactReader::new(content, entry.size());
        self.tar.append(&header, &mut content).map_err(|error| match content.failed {
            true => Failure::Read(error),
            false => Failure::Write(error),
        })?;
        self.entries += 1;
        self.bytes += entry.size();
        Ok(())
    }

    /// Whether the data directory itself was written.
    pub(super) fn is_begun(&self) -> bool {
        self.tree.is_begun()
    }

    /// Writes the seal and the end of the tar stream.
    pub(super) fn seal(mut self) -> io::Result<(W, Seal)> {
        let sha256 = hexadecimal(self.tar.get_ref().hash.clone());
        let seal = Seal { entries: self.entries, bytes: self.bytes, sha256 };
        self.text(SEAL, &seal)?;
        Ok((self.tar.into_inner()?.to, seal))
    }
}

fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hashes a tar stream while it is read, one block behind. The seal's header does not count, and
/// the reader knows that a header is the seal's only after it has read that block.
#[derive(Default)]
pub(super) struct TrailingHash {
    hash: Sha256,
    behind: Vec<u8>,
}

impl TrailingHash {
    /// Adds the next bytes.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let (settled, last) = bytes.split_at(bytes.len().saturating_sub(BLOCK));
        let surplus = (self.behind.len() + bytes.len()).saturating_sub(BLOCK);
        let surplus = surplus.min(self.behind.len());
        self.hash.update(&self.behind[..surplus]);
        self.behind.drain(..surplus);
        self.hash.update(settled);
        self.behind.extend_from_slice(last);
    }

    /// The hash of all bytes before the last block.
    pub(super) fn before_this_block(&self) -> String {
        hexadecimal(self.hash.clone())
    }
}

struct HashingWriter<W> {
    to: W,
    hash: Sha256,
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Reads an exact number of bytes. `failed` tells whether reading failed, because a copy to a full
/// disk and a copy from a broken stream return the same type of error.
pub(super) struct ExactReader<R> {
    from: R,
    left: u64,
    pub(super) failed: bool,
}

impl<R: Read> ExactReader<R> {
    pub(super) fn new(from: R, size: u64) -> Self {
        ExactReader { from, left: size, failed: false }
    }
}

impl<R: Read> Read for ExactReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.from.read(&mut buffer[..most]);
        match &read {
            Ok(0) if most > 0 => {
                self.failed = true;
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends too early"));
            }
            Ok(count) => self.left -= *count as u64,
            Err(error) => self.failed = error.kind() != io::ErrorKind::Interrupted,
        }
        read
    }
}
