//! Records beside a data directory: who owns it, and how its server was launched.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::disk;
use crate::disk::sealed::{self, Broken};
use crate::engine::{Lease, Role};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::spec::{EngineKind, MadeWith, Owner, ServerSpec};

/// The version of all records in this file.
pub(super) const SCHEMA: u32 = 1;

/// The file with the label of a golden state.
pub(super) const GOLDEN: &str = "golden.json";

/// `generation.json`: devdb's mark on a generation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct GenerationRecord {
    pub schema: u32,
    pub owner: Owner,
    pub number: u32,
    pub created: DateTime<Utc>,
    pub made_with: MadeWith,
    /// Whether initdb is done and the database exists. A server never starts without this.
    pub initialised: bool,
    /// The fingerprint of the golden state that the generation is a copy of.
    #[serde(default)]
    pub origin: Option<String>,
    /// The lease of a private server.
    #[serde(default)]
    pub lease: Option<Lease>,
}

impl GenerationRecord {
    /// The mark of a generation that has just been made. Its data directory is not complete yet.
    pub fn new(owner: &Owner, number: u32, spec: &ServerSpec) -> Self {
        GenerationRecord {
            schema: SCHEMA,
            owner: owner.clone(),
            number,
            created: Utc::now(),
            made_with: MadeWith::of(spec, EngineKind::Native),
            initialised: false,
            origin: None,
            lease: None,
        }
    }
}

/// `server.json`: the note of a server. devdb writes it before the first process starts and deletes
/// it when the server is removed. It corresponds to a container on the docker engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ServerNote {
    pub schema: u32,
    pub role: Role,
    pub port: u16,
    pub launch_digest: String,
    /// The directory of the programs at the launch.
    pub bin: PathBuf,
    /// The version of the programs: `15.18`.
    pub version: String,
    /// The settings that the server starts with. devdb adds its own at each start.
    pub settings: BTreeMap<String, String>,
    /// The process number of the latest start.
    pub pid: Option<i32>,
    /// The length of the log before the latest start, in bytes.
    pub log_start: u64,
}

/// `store.json`: the identity of the store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoreRecord {
    pub schema: u32,
    pub id: String,
    /// The data directory that the store belongs to. It helps people who find the store of root.
    pub belongs_to: PathBuf,
}

/// Reads a record. None when the file does not exist.
///
/// # Errors
/// `Unexpected` when a newer devdb wrote the record, or when the record is damaged or cannot be
/// read.
pub(super) fn read<T: DeserializeOwned>(file: &Path) -> Result<Option<T>> {
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(None);
        }
        Err(error) => {
            return Err(error)
                .or_fail(Kind::Unexpected, || format!("cannot read {}", file.display()));
        }
    };
    sealed::open(&text, SCHEMA).map(Some).map_err(|broken| match broken {
        Broken::Newer(schema) => {
            Error::new(Kind::Unexpected, format!("{} was written by a newer devdb", file.display()))
                .because(format!("its schema is {schema}, this devdb knows them up to {SCHEMA}"))
                .hint("update devdb")
        }
        Broken::Damaged(why) => {
            Error::new(Kind::Unexpected, format!("{} is not what devdb writes", file.display()))
                .because(why)
        }
    })
}

/// Replaces a record in one step. All writers of a record hold the same lock.
///
/// # Errors
/// `Unexpected` when the record cannot be written. The old record then stays.
pub(super) fn write<T: Serialize>(file: &Path, record: &T) -> Result<()> {
    let text = sealed::to_text(record).map_err(io::Error::from);
    text.and_then(|text| disk::replace(file, &text))
        .or_fail(Kind::Unexpected, || format!("cannot write {}", file.display()))
}

/// Writes a record unless the file exists. Returns whether it wrote the record.
///
/// # Errors
/// `Unexpected` when the record cannot be written.
pub(super) fn write_new<T: Serialize>(file: &Path, record: &T) -> Result<bool> {
    let text = sealed::to_text(record).map_err(io::Error::from);
    match text.and_then(|text| disk::Draft::new(file, &text)?.create()) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        written => written
            .map(|()| true)
            .or_fail(Kind::Unexpected, || format!("cannot write {}", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str) -> StoreRecord {
        StoreRecord { schema: SCHEMA, id: id.into(), belongs_to: "/home/anna".into() }
    }

    #[test]
    fn the_first_of_two_writers_wins() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("store.json");
        assert!(write_new(&file, &record("a")).unwrap());
        assert!(!write_new(&file, &record("b")).unwrap());
        assert_eq!(read::<StoreRecord>(&file).unwrap().unwrap().id, "a");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "a temporary file is left");
    }

    #[test]
    fn a_newer_record_is_refused_and_a_missing_one_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("store.json");
        assert!(read::<StoreRecord>(&file).unwrap().is_none());
        fs::write(&file, r#"{"schema": 2, "future": true}"#).unwrap();
        let error = read::<StoreRecord>(&file).unwrap_err();
        assert!(error.message().contains("newer devdb"), "{error}");
        fs::write(&file, "{").unwrap();
        let error = read::<StoreRecord>(&file).unwrap_err();
        assert!(error.message().contains("not what devdb writes"), "{error}");
    }
}
