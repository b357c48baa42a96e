//! Writes a file under another name in the directory of its target, and renames it when it is
//! complete.

use std::fs;
use std::io::{self, BufWriter, IsTerminal, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use chrono::Utc;
use serde::Serialize;
use tempfile::NamedTempFile;
use zstd::stream::write::Encoder;

use super::entry::EntryKind;
use super::source::{self, CompleteStream};
use super::tar_stream::{Failure, SealedTar};
use super::{ArchiveKind, FORMAT, MANIFEST, Manifest, STANDARD_STREAM, Seal, full_disk};
use crate::disk;
use crate::error::{Error, Kind, Result};

/// Level 1 compresses 300 MB of tables and indexes to 46 % in 0.6 s (two cores). Level 3 compresses
/// them to 47 % in 1.5 s.
const COMPRESSION_LEVEL: i32 = 1;

/// Each thread needs a few megabytes, and more threads only wait for the disk.
const THREADS_MAX: usize = 4;

/// What to do when the target exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// Fail, and leave the target as it is.
    Refuse,
    /// Replace the target when the new file is complete.
    Replace,
}

/// The end of the name of an unfinished file.
const DRAFT_SUFFIX: &str = ".partial";

/// The beginning of the name of an unfinished file.
fn draft_prefix(path: &Path) -> String {
    format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy())
}

/// Removes the unfinished files that killed writers of `path` left. It ignores errors.
pub fn remove_drafts(path: &Path) {
    let Ok(disk::Target { path, .. }) = disk::target(path, Kind::Snapshot) else { return };
    let prefix = draft_prefix(&path);
    for entry in fs::read_dir(disk::parent(&path)).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&prefix)
            && name.ends_with(DRAFT_SUFFIX)
            && !is_being_written(&entry.path())
        {
            drop(fs::remove_file(entry.path()));
        }
    }
}

/// Whether another writer holds the lock of the draft. False on a file system without locks.
fn is_being_written(draft: &Path) -> bool {
    let locked = fs::File::open(draft).map(|file| file.try_lock());
    matches!(locked, Ok(Err(fs::TryLockError::WouldBlock)))
}

/// Writes a file, or to standard output. If it is dropped before [`Writer::finish`], no file remains.
pub struct Writer {
    /// The file, for errors too.
    path: PathBuf,
    if_exists: IfExists,
    /// None on standard output.
    draft: Option<NamedTempFile>,
    tar: Tar,
}

type Tar = SealedTar<Encoder<'static, BufWriter<fs::File>>>;

impl Writer {
    /// Begins a file of this kind at `path`. Until it is finished it has another name in the same
    /// directory. Only its owner can read it, also when it is finished. [`STANDARD_STREAM`] stands
    /// for standard output.
    ///
    /// # Errors
    /// `Snapshot` when the target exists and must not be replaced, when it is no regular file, or
    /// its directory cannot be written to. `Usage` when standard output is a terminal.
    pub fn create(
        path: &Path,
        kind: ArchiveKind,
        payload: &impl Serialize,
        if_exists: IfExists,
    ) -> Result<Self> {
        let manifest = Manifest {
            format: FORMAT,
            kind,
            created: Utc::now(),
            devdb: env!("CARGO_PKG_VERSION").to_owned(),
            payload,
        };
        if path == Path::new(STANDARD_STREAM) {
            return Writer::to_standard_output(&manifest);
        }
        let disk::Target { path, existing } = disk::target(path, Kind::Snapshot)?;
        if if_exists == IfExists::Refuse && existing.is_some() {
            return Err(exists(&path));
        }
        let begin = || {
            let draft = tempfile::Builder::new()
                .prefix(&draft_prefix(&path))
                .suffix(DRAFT_SUFFIX)
                .tempfile_in(disk::parent(&path))?;
            // The lock keeps another devdb from removing the draft. Nobody else can hold it yet.
            let _ = draft.as_file().try_lock();
            let tar = begun(draft.as_file().try_clone()?, &manifest)?;
            Ok((draft, tar))
        };
        let (draft, tar) = begin().map_err(|error: io::Error| cannot_write(&path, error))?;
        Ok(Writer { path, if_exists, draft: Some(draft), tar })
    }

    fn to_standard_output(manifest: &Manifest<impl Serialize>) -> Result<Self> {
        let path = PathBuf::from("standard output");
        let output = io::stdout();
        if output.is_terminal() {
            return Err(Error::new(Kind::Usage, "devdb does not write the file to a terminal")
                .hint("send it to a program or a file: devdb … - > FILE"));
        }
        let begin = || begun(output.as_fd().try_clone_to_owned()?.into(), manifest);
        let tar = begin().map_err(|error| cannot_write(&path, error))?;
        Ok(Writer { path, if_exists: IfExists::Replace, draft: None, tar })
    }

    /// Copies the data directory from the tar stream of a container engine, in which it is at
    /// `prefix`. `skip` gets each path relative to the data directory. When it returns true, the
    /// file or directory is left out, with everything below it.
    ///
    /// # Errors
    /// `Snapshot` when the stream ends too early or has entries that the rules forbid, or the file
    /// cannot be written.
    pub fn append_tar(
        &mut self,
        stream: impl Read,
        prefix: &Path,
        skip: &dyn Fn(&Path) -> bool,
    ) -> Result<()> {
        let path = self.path.clone();
        let failed = |failure| cannot_append(&path, "the data directory's stream", failure);
        let mut archive = tar::Archive::new(CompleteStream::new(stream));
        for entry in archive.entries().map_err(|error| failed(Failure::Read(error)))? {
            let mut entry = entry.map_err(|error| failed(Failure::Read(error)))?;
            let read = source::tar_entry(&mut entry, prefix);
            let described = read.map_err(|why| failed(Failure::Refused(why)))?;
            if described.path.ancestors().any(skip) {
                continue;
            }
            self.tar.entry(&described, &mut entry).map_err(failed)?;
        }
        archive.into_inner().finish().map_err(|error| failed(Failure::Read(error)))
    }

    /// Copies the data directory from `from`. `skip` is as in [`Writer::append_tar`]. A server may
    /// run in the directory if its changes do not matter or are replayed from its log: a file that
    /// disappears is left out, and zeros replace the end of a file that shrinks. Sockets are left
    /// out.
    ///
    /// # Errors
    /// `Snapshot` when it cannot be read or has entries that the rules forbid, or the file cannot
    /// be written.
    pub fn append_directory(&mut self, from: &Path, skip: &dyn Fn(&Path) -> bool) -> Result<()> {
        let path = self.path.clone();
        self.tree(from, PathBuf::new(), skip)
            .map_err(|(at, failure)| cannot_append(&path, &at.display().to_string(), failure))
    }

    fn tree(
        &mut self,
        from: &Path,
        relative: PathBuf,
        skip: &dyn Fn(&Path) -> bool,
    ) -> Result<(), (PathBuf, Failure)> {
        let at = if relative == Path::new("") { from.into() } else { from.join(&relative) };
        let described = source::described(&at, relative.clone())
            .map_err(|error| (at.clone(), Failure::Read(error)))?;
        let Some((described, content)) = described else {
            return match relative == Path::new("") {
                true => Err((at, Failure::Read(io::ErrorKind::NotFound.into()))),
                false => Ok(()),
            };
        };
        let is_directory = described.kind == EntryKind::Directory;
        self.tar.entry(&described, content).map_err(|failure| (at.clone(), failure))?;
        if is_directory {
            let children = source::children(&at).map_err(|error| (at, Failure::Read(error)))?;
            for child in children {
                let child = relative.join(child);
                if !skip(&child) {
                    self.tree(from, child, skip)?;
                }
            }
        }
        Ok(())
    }

    /// Writes the seal, waits until the file is on disk, and gives it its name.
    ///
    /// # Errors
    /// `Snapshot` when nothing was appended, the file cannot be written, or the target exists by
    /// now and must not be replaced.
    pub fn finish(self) -> Result<Seal> {
        let Writer { path, if_exists, draft, tar } = self;
        if !tar.is_begun() {
            return Err(Error::new(Kind::Snapshot, format!("cannot write {}", path.display()))
                .because("there is no data directory to write"));
        }
        let flush = || {
            let (encoder, seal) = tar.seal()?;
            let file = encoder.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
            if draft.is_some() {
                file.sync_all()?;
            }
            Ok(seal)
        };
        let seal = flush().map_err(|error| cannot_write(&path, error))?;
        let Some(draft) = draft else { return Ok(seal) };
        let persisted = match if_exists {
            IfExists::Refuse => draft.persist_noclobber(&path),
            IfExists::Replace => draft.persist(&path),
        };
        match persisted {
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(exists(&path));
            }
            persisted => persisted.map_err(|error| cannot_write(&path, error.error))?,
        };
        disk::sync_parent(&path).map_err(|error| cannot_write(&path, error))?;
        Ok(seal)
    }
}

/// Begins the tar stream with the manifest.
fn begun(file: fs::File, manifest: &Manifest<impl Serialize>) -> io::Result<Tar> {
    let mut encoder = Encoder::new(BufWriter::new(file), COMPRESSION_LEVEL)?;
    encoder.include_checksum(true)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    encoder.multithread(u32::try_from(threads.min(THREADS_MAX)).unwrap_or(1))?;
    let mut tar = SealedTar::new(encoder);
    tar.text(MANIFEST, manifest)?;
    Ok(tar)
}

fn exists(path: &Path) -> Error {
    Error::new(Kind::Snapshot, format!("{} already exists", path.display()))
        .hint("choose another name, or remove the file first")
}

fn cannot_write(path: &Path, error: io::Error) -> Error {
    let full = full_disk(&error);
    let error =
        Error::new(Kind::Snapshot, format!("cannot write {}", path.display())).because(error);
    match full {
        true => error.hint("make room on that disk, or name a file on another disk"),
        false => error.hint("name a file in a directory that you can write to"),
    }
}

fn cannot_append(path: &Path, source: &str, failure: Failure) -> Error {
    let reason = match failure {
        Failure::Write(error) => return cannot_write(path, error),
        Failure::Read(error) => format!("cannot read {source}: {error}"),
        Failure::Refused(reason) => reason,
    };
    Error::new(Kind::Snapshot, format!("cannot write {}", path.display()))
        .because(reason)
        .hint("devdb wrote no file and did not change the database")
}
