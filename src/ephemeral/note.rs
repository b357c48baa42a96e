//! Notes of the ephemeral databases that devdb keeps after it ends. A note has the address to log
//! in with. It is a private file, because CI keeps everything that devdb prints.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::Id;
use crate::db::connect::{Address, Counting};
use crate::disk::{self, private_directory};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::spec::{EngineKind, Owner};
use crate::state::Store;

/// The version of the file's layout.
const SCHEMA: u32 = 1;

/// The extension of a note's file. A draft that is being written has another one.
const EXTENSION: &str = "json";

/// The age of a draft that was abandoned. Nobody needs so long to write a note.
const ABANDONED_DRAFT: Duration = Duration::from_secs(60);

/// A database that devdb keeps after it ends.
#[derive(Clone, Serialize, Deserialize)]
pub struct Note {
    schema: u32,
    id: String,
    /// The owner of the database.
    pub owner: Owner,
    /// The engine that runs the server.
    pub engine: EngineKind,
    host: String,
    port: u16,
    database: String,
    user: String,
    password: String,
    /// When devdb removes the database.
    pub until: DateTime<Utc>,
}

impl Note {
    /// A note of a database; [`Note::write`] writes it.
    pub fn new(
        id: &Id,
        owner: &Owner,
        engine: EngineKind,
        address: &Address,
        until: DateTime<Utc>,
    ) -> Note {
        Note {
            schema: SCHEMA,
            id: id.to_string(),
            owner: owner.clone(),
            engine,
            host: address.host.clone(),
            port: address.port,
            database: address.database.clone(),
            user: address.user.clone(),
            password: address.password.expose_secret().to_owned(),
            until,
        }
    }

    /// The id of the database.
    ///
    /// # Errors
    /// `Usage` when somebody changed the file.
    pub fn id(&self) -> Result<Id> {
        Id::parse(&self.id)
    }

    /// The address to log in with.
    pub fn address(&self) -> Address {
        Address {
            host: self.host.clone(),
            port: self.port,
            database: self.database.clone(),
            user: self.user.clone(),
            password: SecretString::from(self.password.clone()),
            counting: Counting::On,
        }
    }

    /// Writes the note to its file.
    ///
    /// # Errors
    /// `Unexpected` when it cannot be written.
    pub fn write(&self, store: &Store) -> Result<()> {
        private_directory(&directory(store))?;
        let file = file(store, &self.id);
        let text = serde_json::to_vec_pretty(self)
            .or_fail(Kind::Unexpected, || format!("cannot write {}", file.display()))?;
        disk::replace(&file, &text)
            .or_fail(Kind::Unexpected, || format!("cannot write {}", file.display()))
    }
}

/// The notes of all databases whose time is not over, sorted by its end. Removes the other notes.
///
/// # Errors
/// `Unexpected` when the directory cannot be read.
pub fn all(store: &Store) -> Result<Vec<Note>> {
    let directory = directory(store);
    let entries = match fs::read_dir(&directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => {
            read.or_fail(Kind::Unexpected, || format!("cannot read {}", directory.display()))?
        }
    };
    let mut notes = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_none_or(|extension| extension != EXTENSION) {
            // A draft: a devdb is writing it, or was killed while it did.
            let written = fs::metadata(&path).and_then(|draft| draft.modified());
            if written.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > ABANDONED_DRAFT)) {
                drop(fs::remove_file(path));
            }
            continue;
        }
        match read(&path) {
            Some(note) if note.until > Utc::now() => notes.push(note),
            _ => drop(fs::remove_file(path)),
        }
    }
    notes.sort_by_key(|note: &Note| note.until);
    Ok(notes)
}

/// The notes of `owner`'s project and developer.
///
/// # Errors
/// `Unexpected` when the directory cannot be read.
pub fn of(store: &Store, owner: &Owner) -> Result<Vec<Note>> {
    let mut notes = all(store)?;
    notes.retain(|note| {
        note.owner.project_id == owner.project_id && note.owner.developer == owner.developer
    });
    Ok(notes)
}

/// The note of `id`. Without an id, the note of the only database of `owner`'s project and
/// developer.
///
/// # Errors
/// `NoInstance` when there is no such database, `Usage` when there are several.
pub fn find(store: &Store, owner: &Owner, id: Option<&str>) -> Result<Note> {
    let mut notes = match id {
        Some(text) => {
            let id = Id::parse(text)?;
            let mut all = all(store)?;
            all.retain(|note| note.id == id.as_str());
            all
        }
        None => of(store, owner)?,
    };
    match notes.len() {
        0 => Err(Error::new(Kind::NoInstance, "there is no such ephemeral database")
            .because("it was not started, or its time is over")
            .hint("devdb ephemeral list   shows the ephemeral databases")),
        1 => Ok(notes.remove(0)),
        _ => {
            let ids: Vec<&str> = notes.iter().map(|note| note.id.as_str()).collect();
            Err(Error::new(Kind::Usage, "there are several ephemeral databases")
                .hint(format!("name one: {}", ids.join(", "))))
        }
    }
}

/// Removes the note of `id`.
pub fn forget(store: &Store, id: &Id) {
    // If this fails, `all` removes the note when the time is over.
    drop(fs::remove_file(file(store, id.as_str())));
}

fn read(file: &Path) -> Option<Note> {
    let note: Note = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    (note.schema <= SCHEMA).then_some(note)
}

fn directory(store: &Store) -> PathBuf {
    store.root().join("ephemeral")
}

fn file(store: &Store, id: &str) -> PathBuf {
    directory(store).join(format!("{id}.{EXTENSION}"))
}
