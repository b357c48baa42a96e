//! Writing a file: beside its target, and renamed when it is whole.

use std::fs;
use std::io::{self, BufWriter, Read};
use std::path::{Path, PathBuf};

use chrono::Utc;
use serde::Serialize;
use tempfile::NamedTempFile;
use zstd::stream::write::Encoder;

use super::entry::What;
use super::pour::{Failure, Pour};
use super::source::{self, ToTheEnd};
use super::{Content, FORMAT, MANIFEST, Manifest, Seal, full_disk};
use crate::disk;
use crate::error::{Error, Kind, Result};

/// 300 MB of tables and indexes become 46 % in 0.6 s (two cores); at level 3, 47 % in 1.5 s.
const LEVEL: i32 = 1;

/// Each thread holds some megabytes, and more of them only wait for the disk.
const THREADS_MAX: usize = 4;

/// What to do when the target is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// It is an error, and the target stays as it is.
    Refuse,
    /// The target is replaced when the new file is whole.
    Replace,
}

/// What the name of an unfinished file ends with.
const DRAFT_SUFFIX: &str = ".partial";

/// What the name of an unfinished file begins with.
fn draft_prefix(path: &Path) -> String {
    format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy())
}

/// Removes what writers that were killed left of the file at `path`. What cannot be removed stays.
pub fn remove_drafts(path: &Path) {
    let prefix = draft_prefix(path);
    for entry in fs::read_dir(disk::parent(path)).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&prefix)
            && name.ends_with(DRAFT_SUFFIX)
            && !is_being_written(&entry.path())
        {
            drop(fs::remove_file(entry.path()));
        }
    }
}

/// Whether another writer has it: a file system without locks tells nothing.
fn is_being_written(draft: &Path) -> bool {
    let locked = fs::File::open(draft).map(|file| file.try_lock());
    matches!(locked, Ok(Err(fs::TryLockError::WouldBlock)))
}

/// A file that is being written. Dropped before [`Writer::finish`], it leaves nothing.
pub struct Writer {
    path: PathBuf,
    if_exists: IfExists,
    draft: NamedTempFile,
    pour: Pour<Encoder<'static, BufWriter<fs::File>>>,
}

impl Writer {
    /// Begins a file at `path` that holds `kind`. Until it is finished it is beside its target under
    /// another name, and only its owner can read it (as afterwards).
    ///
    /// # Errors
    /// `Snapshot` when the target exists and must not be replaced, or its directory cannot be
    /// written to.
    pub fn create(
        path: &Path,
        kind: Content,
        payload: &impl Serialize,
        if_exists: IfExists,
    ) -> Result<Self> {
        if if_exists == IfExists::Refuse && path.symlink_metadata().is_ok() {
            return Err(exists(path));
        }
        let begin = || {
            let draft = tempfile::Builder::new()
                .prefix(&draft_prefix(path))
                .suffix(DRAFT_SUFFIX)
                .tempfile_in(disk::parent(path))?;
            // So that no other devdb takes it for one that was left; nobody else can have it yet.
            let _ = draft.as_file().try_lock();
            let mut encoder = Encoder::new(BufWriter::new(draft.as_file().try_clone()?), LEVEL)?;
            encoder.include_checksum(true)?;
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            encoder.multithread(u32::try_from(threads.min(THREADS_MAX)).unwrap_or(1))?;
            let mut pour = Pour::new(encoder);
            pour.text(
                MANIFEST,
                &Manifest {
                    format: FORMAT,
                    kind,
                    created: Utc::now(),
                    devdb: env!("CARGO_PKG_VERSION").to_owned(),
                    payload,
                },
            )?;
            Ok((draft, pour))
        };
        let (draft, pour) = begin().map_err(|error: io::Error| unwritten(path, error))?;
        Ok(Writer { path: path.to_path_buf(), if_exists, draft, pour })
    }

    /// Copies the data directory out of a tar stream such as a container engine gives: what is below
    /// `prefix` in it, which is the data directory. `skip` is asked for each path relative to that;
    /// what it skips is left out, with what is below it.
    ///
    /// # Errors
    /// `Snapshot` when the stream breaks off or has entries that are not to be carried, or the file
    /// cannot be written.
    pub fn append_tar(
        &mut self,
        stream: impl Read,
        prefix: &Path,
        skip: &dyn Fn(&Path) -> bool,
    ) -> Result<()> {
        let path = self.path.clone();
        let failed = |failure| not_appended(&path, "the data directory's stream", failure);
        let mut archive = tar::Archive::new(ToTheEnd::new(stream));
        for entry in archive.entries().map_err(|error| failed(Failure::Read(error)))? {
            let mut entry = entry.map_err(|error| failed(Failure::Read(error)))?;
            let read = source::tar_entry(&mut entry, prefix);
            let described = read.map_err(|why| failed(Failure::Refused(why)))?;
            if described.path.ancestors().any(skip) {
                continue;
            }
            self.pour.entry(&described, &mut entry).map_err(failed)?;
        }
        archive.into_inner().finish().map_err(|error| failed(Failure::Read(error)))
    }

    /// Copies the data directory from `from`. `skip` is as in [`Writer::append_tar`]. A server may
    /// run in it, if what it writes meanwhile is of no concern or is mended from its log: a file
    /// that disappears is passed over, one that shrinks is filled with zeros. Sockets are left out.
    ///
    /// # Errors
    /// `Snapshot` when it cannot be read or has entries that are not to be carried, or the file
    /// cannot be written.
    pub fn append_directory(&mut self, from: &Path, skip: &dyn Fn(&Path) -> bool) -> Result<()> {
        let path = self.path.clone();
        self.tree(from, PathBuf::new(), skip)
            .map_err(|(at, failure)| not_appended(&path, &at.display().to_string(), failure))
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
        let is_directory = described.what == What::Directory;
        self.pour.entry(&described, content).map_err(|failure| (at.clone(), failure))?;
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

    /// Seals the file, waits until it is on disk and gives it its name.
    ///
    /// # Errors
    /// `Snapshot` when nothing was appended, the file cannot be written, or the target has appeared
    /// meanwhile and must not be replaced.
    pub fn finish(self) -> Result<Seal> {
        let Writer { path, if_exists, draft, pour } = self;
        if !pour.is_begun() {
            return Err(Error::new(Kind::Snapshot, format!("cannot write {}", path.display()))
                .because("there is no data directory to write"));
        }
        let flush = || {
            let (encoder, seal) = pour.seal()?;
            encoder.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            Ok(seal)
        };
        let seal = flush().map_err(|error| unwritten(&path, error))?;
        let persisted = match if_exists {
            IfExists::Refuse => draft.persist_noclobber(&path),
            IfExists::Replace => draft.persist(&path),
        };
        match persisted {
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(exists(&path));
            }
            persisted => persisted.map_err(|error| unwritten(&path, error.error))?,
        };
        disk::sync_parent(&path).map_err(|error| unwritten(&path, error))?;
        Ok(seal)
    }
}

fn exists(path: &Path) -> Error {
    Error::new(Kind::Snapshot, format!("{} is there already", path.display()))
        .hint("choose another name, or remove it first")
}

fn unwritten(path: &Path, error: io::Error) -> Error {
    let full = full_disk(&error);
    let error =
        Error::new(Kind::Snapshot, format!("cannot write {}", path.display())).because(error);
    match full {
        true => error.hint("make room on that disk, or name a file on another"),
        false => error.hint("name a file in a directory that you can write to"),
    }
}

fn not_appended(path: &Path, source: &str, failure: Failure) -> Error {
    let reason = match failure {
        Failure::Write(error) => return unwritten(path, error),
        Failure::Read(error) => format!("cannot read {source}: {error}"),
        Failure::Refused(reason) => reason,
    };
    Error::new(Kind::Snapshot, format!("cannot write {}", path.display()))
        .because(reason)
        .hint("no file was written, and the database is as it was")
}
