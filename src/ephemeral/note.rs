//! How to log in to an ephemeral database that outlives its devdb: a private file each, since what
//! CI prints is kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::Id;
use crate::db::connect::Address;
use crate::disk::{self, private_directory};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::spec::{EngineKind, Owner};
use crate::state::Store;

/// The version of the layout.
const SCHEMA: u32 = 1;

/// What the name of a note ends with once it is whole.
const NOTE: &str = "json";

/// How long nobody takes to write one.
const ABANDONED: Duration = Duration::from_secs(60);

/// One kept database.
#[derive(Clone, Serialize, Deserialize)]
pub struct Note {
    schema: u32,
    /// Its id.
    id: String,
    /// Whose it is.
    pub owner: Owner,
    /// Where it runs.
    pub engine: EngineKind,
    host: String,
    port: u16,
    database: String,
    user: String,
    password: String,
    /// When it goes.
    pub until: DateTime<Utc>,
}

impl Note {
    /// What is to be known of a database.
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

    /// Its id.
    ///
    /// # Errors
    /// `Usage` when the file was changed.
    pub fn id(&self) -> Result<Id> {
        Id::parse(&self.id)
    }

    /// How to log in.
    pub fn address(&self) -> Address {
        Address {
            host: self.host.clone(),
            port: self.port,
            database: self.database.clone(),
            user: self.user.clone(),
            password: SecretString::from(self.password.clone()),
        }
    }

    /// Writes it down.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, store: &Store) -> Result<()> {
        private_directory(&directory(store))?;
        let file = file(store, &self.id);
        let text = serde_json::to_vec_pretty(self)
            .or_fail(Kind::Unexpected, || format!("cannot write {}", file.display()))?;
        disk::replace(&file, &text)
            .or_fail(Kind::Unexpected, || format!("cannot write {}", file.display()))
    }
}

/// Those that are still to be there, the one that goes first first. The notes of the others are
/// removed.
///
/// # Errors
/// When the directory cannot be read.
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
        if path.extension().is_none_or(|extension| extension != NOTE) {
            // Being written, or left by whoever was killed at it.
            let written = fs::metadata(&path).and_then(|draft| draft.modified());
            if written.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > ABANDONED)) {
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

/// Those of `owner`'s project and developer.
///
/// # Errors
/// When the directory cannot be read.
pub fn of(store: &Store, owner: &Owner) -> Result<Vec<Note>> {
    let mut notes = all(store)?;
    notes.retain(|note| {
        note.owner.project_id == owner.project_id && note.owner.developer == owner.developer
    });
    Ok(notes)
}

/// The note of `id`, or of the only database that there is of `owner`'s project and developer.
///
/// # Errors
/// `NoInstance` when there is none, `Usage` when there are several to choose from.
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
            .because("none was started, or its time is over")
            .hint("devdb ephemeral list   shows them")),
        1 => Ok(notes.remove(0)),
        _ => {
            let ids: Vec<&str> = notes.iter().map(|note| note.id.as_str()).collect();
            Err(Error::new(Kind::Usage, "there are several ephemeral databases")
                .hint(format!("name one: {}", ids.join(", "))))
        }
    }
}

/// Forgets one.
pub fn forget(store: &Store, id: &Id) {
    // It goes when its time is over at the latest.
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
    directory(store).join(format!("{id}.{NOTE}"))
}
