//! The file that holds an identity.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::disk::Draft;
use crate::error::{Error, Kind, Result, ResultExt};

const SCHEMA: u32 = 1;

/// An id, and the directory that has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    schema: u32,
    /// The id, a random uuid.
    pub id: Uuid,
    /// The directory, without symbolic links.
    pub path: PathBuf,
    created: DateTime<Utc>,
    /// Whether it was made while git's directory was not there. It gives way to a record in that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_makeshift: bool,
}

impl Record {
    /// A new id for the directory `path`.
    pub fn new(path: &Path) -> Self {
        Record {
            schema: SCHEMA,
            id: Uuid::new_v4(),
            path: path.to_owned(),
            created: Utc::now(),
            is_makeshift: false,
        }
    }

    /// Whether another record gives the same directory the same id.
    pub fn is_of(&self, other: &Record) -> bool {
        self.id == other.id && self.path == other.path
    }

    /// The same id at another path.
    pub fn moved_to(&self, path: &Path) -> Self {
        Record { path: path.to_owned(), ..self.clone() }
    }
}

/// A place that can hold one record.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    path: PathBuf,
    kind: Where,
}

#[derive(Debug, PartialEq, Eq)]
enum Where {
    GitDir,
    /// A directory beside the project's files. git must ignore it.
    Project,
    /// Only the owner can read it.
    DataDir,
}

/// Why a record was not written.
#[derive(Debug)]
pub struct NotWritten {
    /// The error.
    pub error: Error,
    /// Whether the user may not write there.
    pub cannot_write: bool,
}

impl Store {
    fn new(directory: PathBuf, name: &str, kind: Where) -> Self {
        Store { path: directory.join(name), directory, kind }
    }

    /// The place in a checkout's git directory. `name` stands for the project's place in the
    /// checkout.
    pub fn in_git_dir(git_dir: &Path, name: &str) -> Self {
        Store::new(git_dir.join("devdb"), &format!("{name}.json"), Where::GitDir)
    }

    /// The place in the project's own directory.
    pub fn own(root: &Path) -> Self {
        Store::new(root.join(super::DIRECTORY), "identity.json", Where::Project)
    }

    /// The place in devdb's data directory.
    pub fn in_data_dir(data_dir: &Path, name: &str) -> Self {
        Store::new(data_dir.to_owned(), name, Where::DataDir)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The record, if there is one.
    ///
    /// # Errors
    /// `Config` when the file cannot be read or understood.
    pub fn read(&self) -> Result<Option<Record>> {
        #[derive(Deserialize)]
        struct Versioned {
            schema: u32,
        }
        let shown = self.path.display();
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(None);
            }
            Err(error) => {
                return Err(error)
                    .or_fail(Kind::Config, || format!("cannot read the project's id in {shown}"));
            }
        };
        let damaged = |error: serde_json::Error| {
            Error::new(Kind::Config, format!("the project's id in {shown} is damaged"))
                .because(error)
                .hint(format!("rm {shown}   gives the project a new id and new databases"))
                .hint("devdb list   shows the databases of the old one")
        };
        let Versioned { schema } = serde_json::from_slice(&text).map_err(damaged)?;
        if schema > SCHEMA {
            return Err(Error::new(Kind::Config, format!("{shown} was written by a newer devdb"))
                .because(format!("it has schema {schema}, and this devdb knows {SCHEMA}"))
                .hint("install that version of devdb"));
        }
        serde_json::from_slice(&text).map(Some).map_err(damaged)
    }

    /// Writes the first record. If another process has just written one, the result is that record.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn create(&self, new: Record) -> Result<Record, NotWritten> {
        let written = self.prepared().and_then(|()| self.draft(&new)?.create());
        match written {
            Ok(()) => Ok(new),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => match self.read() {
                Ok(Some(record)) => Ok(record),
                Ok(None) => Err(self.not_written(error)),
                Err(error) => Err(NotWritten { error, cannot_write: false }),
            },
            Err(error) => Err(self.not_written(error)),
        }
    }

    /// Replaces the record. The caller holds the [`Store::lock`].
    ///
    /// # Errors
    /// When it cannot be written. The old record is then unchanged.
    pub fn replace(&self, record: &Record) -> Result<(), NotWritten> {
        self.draft(record).and_then(Draft::replace).map_err(|error| self.not_written(error))
    }

    /// Removes the record, if that is possible.
    pub fn remove(&self) {
        drop(fs::remove_file(&self.path));
    }

    /// The recorded id. If there is none, a new one is recorded.
    ///
    /// # Errors
    /// `Config` when it cannot be read or written.
    pub fn settle(&self) -> Result<Uuid> {
        match self.read()? {
            Some(record) => Ok(record.id),
            None => self
                .create(Record::new(&self.directory))
                .map(|record| record.id)
                .map_err(|failure| failure.error),
        }
    }

    /// A lock that keeps other processes from replacing the record. None on a file system without
    /// locks, where two processes at the same time may use different ids once.
    pub fn lock(&self) -> Option<File> {
        let directory = File::open(&self.directory).ok()?;
        directory.lock().ok()?;
        Some(directory)
    }

    fn prepared(&self) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        match self.kind {
            Where::DataDir => {
                builder.recursive(true).mode(0o700);
            }
            Where::GitDir | Where::Project => {}
        }
        match builder.create(&self.directory) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if self.kind == Where::Project {
            fs::write(self.directory.join(".gitignore"), "*\n")?;
        }
        Ok(())
    }

    /// The record is no secret, and everybody who shares the checkout must be able to read it.
    fn draft(&self, record: &Record) -> io::Result<Draft<'_>> {
        let mut text = serde_json::to_vec_pretty(record)?;
        text.push(b'\n');
        let draft = Draft::new(&self.path, &text)?;
        draft.set_mode(0o644)?;
        Ok(draft)
    }

    fn not_written(&self, error: io::Error) -> NotWritten {
        let cannot_write =
            matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem);
        let error = Error::new(
            Kind::Config,
            format!("cannot record the project's id in {}", self.path.display()),
        )
        .because(error);
        NotWritten { error, cannot_write }
    }
}
