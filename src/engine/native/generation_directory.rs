//! The directory of one generation, and what is in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::record::{self, GenerationRecord, ServerNote};
use crate::disk;
use crate::engine::Generation;
use crate::error::{Error, Kind, Result, ResultExt};

/// The file with the mark.
const GENERATION: &str = "generation.json";

/// What the handle of a server that was set aside ends with.
pub(super) const ASIDE: &str = "/aside";

/// The directory of one generation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct GenerationDirectory {
    directory: PathBuf,
    /// Whether it stands for the server that was set aside. That has a note of its own.
    aside: bool,
}

impl GenerationDirectory {
    /// A generation that is, or is to be, in this directory.
    pub fn new(directory: PathBuf) -> Self {
        GenerationDirectory { directory, aside: false }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The contract's handle. The store's path is UTF-8, so nothing is lost.
    pub fn handle(&self) -> String {
        let directory = self.directory.to_string_lossy();
        if self.aside { format!("{directory}{ASIDE}") } else { directory.into_owned() }
    }

    /// Whether it stands for the server that was set aside.
    pub fn is_aside(&self) -> bool {
        self.aside
    }

    /// The same generation, as the place of its server or of the one set aside.
    pub fn with_aside(&self, aside: bool) -> GenerationDirectory {
        GenerationDirectory { directory: self.directory.clone(), aside }
    }

    /// Turns the note of one into the note of the other.
    ///
    /// # Errors
    /// `Unexpected` when the file system refuses.
    pub fn move_note(&self, to: &GenerationDirectory) -> Result<()> {
        fs::rename(self.note_file(), to.note_file())
            .or_fail(Kind::Unexpected, || format!("cannot rename {}", self.note_file().display()))
    }

    pub fn pgdata(&self) -> PathBuf {
        self.directory.join("pgdata")
    }

    pub fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// The key of its owner: the name of the directory above.
    pub fn key(&self) -> String {
        self.parent().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    pub fn parent(&self) -> &Path {
        self.directory.parent().unwrap_or(&self.directory)
    }

    fn note_file(&self) -> PathBuf {
        self.directory.join(if self.aside { "aside.json" } else { "server.json" })
    }

    fn complete_file(&self) -> PathBuf {
        self.directory.join("complete")
    }

    /// devdb's mark on it; none when it lacks one that names exactly this place.
    ///
    /// # Errors
    /// `Unexpected` when a newer devdb wrote it.
    pub fn record(&self) -> Result<Option<GenerationRecord>> {
        let record: Option<GenerationRecord> = record::read(&self.directory.join(GENERATION))?;
        Ok(record.filter(|record| {
            self.directory.ends_with(format!("{}/g{}", record.owner.key(), record.number))
        }))
    }

    /// The same, for someone who is about to use or change it; none when there is nothing.
    ///
    /// # Errors
    /// `NotOurs` when something is there without the mark.
    pub fn require(&self) -> Result<Option<GenerationRecord>> {
        let record = self.record()?;
        if record.is_none() && fs::symlink_metadata(&self.directory).is_ok() {
            return Err(Error::new(
                Kind::NotOurs,
                format!("{} was not made by devdb", self.directory.display()),
            )
            .because(format!("it has no {GENERATION} that names it"))
            .hint("move it elsewhere; devdb leaves it as it is"));
        }
        Ok(record)
    }

    /// Replaces the mark.
    ///
    /// # Errors
    /// `Unexpected` when it cannot be written.
    pub fn write_record(&self, record: &GenerationRecord) -> Result<()> {
        record::write(&self.directory.join(GENERATION), record)
    }

    /// The note of its server, if it has one.
    ///
    /// # Errors
    /// `Unexpected` when it cannot be read.
    pub fn note(&self) -> Result<Option<ServerNote>> {
        record::read(&self.note_file())
    }

    /// Replaces the note.
    ///
    /// # Errors
    /// `Unexpected` when it cannot be written.
    pub fn write_note(&self, note: &ServerNote) -> Result<()> {
        record::write(&self.note_file(), note)
    }

    /// Removes the note. Nothing happens if there is none.
    ///
    /// # Errors
    /// `Unexpected` when it cannot be removed.
    pub fn remove_note(&self) -> Result<()> {
        match fs::remove_file(self.note_file()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error)
                .or_fail(Kind::Unexpected, || {
                    format!("cannot remove {}", self.note_file().display())
                }),
            _ => Ok(()),
        }
    }

    /// Whether it carries the mark of completeness.
    pub fn is_complete(&self) -> bool {
        self.complete_file().exists()
    }

    /// Gives it that mark, durably.
    ///
    /// # Errors
    /// `Unexpected` when it cannot be written.
    pub fn mark_complete(&self) -> Result<()> {
        let file = self.complete_file();
        disk::mark(&file).or_fail(Kind::Unexpected, || format!("cannot write {}", file.display()))
    }

    /// What the contract says about it.
    pub fn generation(&self, record: GenerationRecord) -> Generation {
        Generation {
            handle: self.handle(),
            owner: record.owner,
            number: record.number,
            created: Some(record.created),
            made_with: record.made_with,
            origin: record.origin,
        }
    }
}
