//! The directory of one generation, with its mark, its data and the note of its server.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::record::{self, GenerationRecord, ServerNote};
use crate::disk;
use crate::engine::Generation;
use crate::error::{Error, Kind, Result, ResultExt};

const GENERATION: &str = "generation.json";

/// The end of the handle of a server that was set aside.
pub(super) const ASIDE: &str = "/aside";

/// The directory of one generation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct GenerationDirectory {
    directory: PathBuf,
    /// Whether this value stands for the server that was set aside, which has a note of its own.
    aside: bool,
}

impl GenerationDirectory {
    /// The generation in this directory, whether it exists or not.
    pub fn new(directory: PathBuf) -> Self {
        GenerationDirectory { directory, aside: false }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The handle of the generation or server. The path of the store is UTF-8, so the conversion
    /// loses nothing.
    pub fn handle(&self) -> String {
        let directory = self.directory.to_string_lossy();
        if self.aside { format!("{directory}{ASIDE}") } else { directory.into_owned() }
    }

    /// Whether this value stands for the server that was set aside.
    pub fn is_aside(&self) -> bool {
        self.aside
    }

    /// The same generation. `aside` chooses between its server and the server that was set aside.
    pub fn with_aside(&self, aside: bool) -> GenerationDirectory {
        GenerationDirectory { directory: self.directory.clone(), aside }
    }

    /// Renames the note of this server to the note of `to`.
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

    /// The key of the owner, which is the name of the parent directory.
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

    /// Reads devdb's mark. None when there is no mark, or when the mark names another place.
    ///
    /// # Errors
    /// `Unexpected` when the mark cannot be read or a newer devdb wrote it.
    pub fn record(&self) -> Result<Option<GenerationRecord>> {
        let record: Option<GenerationRecord> = record::read(&self.directory.join(GENERATION))?;
        Ok(record.filter(|record| {
            self.directory.ends_with(format!("{}/g{}", record.owner.key(), record.id))
        }))
    }

    /// Reads devdb's mark before the generation is used or changed. None when the directory does
    /// not exist.
    ///
    /// # Errors
    /// `NotOurs` when the directory exists without the mark. `Unexpected` as [`Self::record`].
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

    /// Reads the note of the server. None when there is no note.
    ///
    /// # Errors
    /// `Unexpected` when the note cannot be read.
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

    /// Removes the note. Does nothing when there is no note.
    ///
    /// # Errors
    /// `Unexpected` when the note cannot be removed.
    pub fn remove_note(&self) -> Result<()> {
        match fs::remove_file(self.note_file()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error)
                .or_fail(Kind::Unexpected, || {
                    format!("cannot remove {}", self.note_file().display())
                }),
            _ => Ok(()),
        }
    }

    /// The number in the mark of completeness. The marks of older versions of devdb are empty, and
    /// there the number is the id. None when there is no mark.
    ///
    /// # Errors
    /// `Unexpected` when the mark cannot be read.
    pub fn completed_number(&self, id: u32) -> Result<Option<u32>> {
        let file = self.complete_file();
        match fs::read_to_string(&file) {
            Ok(text) => Ok(Some(text.trim().parse().unwrap_or(id))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(error).or_fail(Kind::Unexpected, || format!("cannot read {}", file.display()))
            }
        }
    }

    /// Writes the mark of completeness and syncs it to the disk.
    ///
    /// # Errors
    /// `Unexpected` when the mark cannot be written.
    pub fn mark_complete(&self, number: u32) -> Result<()> {
        let file = self.complete_file();
        disk::replace(&file, format!("{number}\n").as_bytes())
            .or_fail(Kind::Unexpected, || format!("cannot write {}", file.display()))
    }

    /// Describes the generation for [`Engine::generations`](crate::engine::Engine::generations).
    pub fn generation(&self, record: GenerationRecord) -> Generation {
        Generation {
            handle: self.handle(),
            owner: record.owner,
            id: record.id,
            created: Some(record.created),
            made_with: record.made_with,
            origin: record.origin,
        }
    }
}
