//! Golden states as directories, beside the instances of the same store:
//!
//! ```text
//! <root>/golden/<fingerprint>/
//!     golden.json                 its label
//!     pgdata/                     the data directory
//! ```
//!
//! One appears whole, with its label, or not at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::Utc;
use serde::{Deserialize, Serialize};

use super::record::{self, GenerationRecord, SCHEMA};
use super::store::Store;
use super::{Native, copy, golden_transfer, pool};
use crate::engine::golden::LABEL_SCHEMA;
use crate::engine::{Generation, GoldenLabel, GoldenState, Platform};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::spec::{Durability, EngineKind, MadeWith, Owner, ServerSpec};

/// The file with the label.
pub(super) const LABEL: &str = "golden.json";

/// `golden.json`.
#[derive(Serialize, Deserialize)]
struct Mark {
    schema: u32,
    label: GoldenLabel,
    /// Bytes of its files.
    bytes: u64,
}

impl Native {
    /// The version of the programs, the machine, and what sorts text; the very build.
    ///
    /// # Errors
    /// `NoEngine` when there are no such programs.
    pub async fn platform(&self, spec: &ServerSpec) -> Result<Platform> {
        let programs = self.programs_for(spec.major, spec.bin_dir.as_deref())?;
        let machine = machine();
        let sorted = programs.c_library();
        let of = |version| format!("native {version} {machine}, {sorted}");
        Ok(Platform { name: of(&programs.version), exact: of(&programs.build), machine })
    }

    /// Every golden state of this store.
    ///
    /// # Errors
    /// `Unexpected` when the directory cannot be read.
    pub async fn golden_states(&self) -> Result<Vec<GoldenState>> {
        let directory = self.store.golden();
        let mut states = Vec::new();
        for name in super::directory::names(&directory)? {
            let place = directory.join(name);
            match read_mark(&place) {
                Ok(Some(state)) => states.push(state),
                Ok(None) => {}
                Err(error) => tracing::warn!("{} is left out: {error}", place.display()),
            }
        }
        Ok(states)
    }

    /// Makes a generation that is a copy of a golden state.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn clone_golden(
        &self,
        state: &GoldenState,
        owner: &Owner,
        number: u32,
        spec: &ServerSpec,
    ) -> Result<Generation> {
        let record = GenerationRecord {
            schema: SCHEMA,
            owner: owner.clone(),
            number,
            created: Utc::now(),
            made_with: MadeWith::of(spec, EngineKind::Native),
            initialised: true,
            origin: Some(state.label.fingerprint.clone()),
            lease: None,
        };
        let place = self.store.create(&record)?;
        let durable = spec.durability != Durability::None;
        let cloned = clone_data(Path::new(&state.handle), place.directory(), durable).await;
        match cloned {
            Ok(()) => Ok(place.generation(record)),
            Err(error) => {
                // Half a copy is of no use. The first failure is the one to tell.
                let store = Arc::clone(&self.store);
                let _ = blocking("remove it", move || store.remove(&place)).await;
                Err(error)
            }
        }
    }

    /// Removes what interrupted work on an instance's generations left.
    ///
    /// # Errors
    /// Never: what cannot be deleted now will be another time.
    pub async fn sweep(&self, key: &str) -> Result<()> {
        let (store, key) = (Arc::clone(&self.store), key.to_owned());
        blocking("tidy up", move || {
            store.sweep_instance(&key);
            Ok(())
        })
        .await
    }

    /// Removes a golden state.
    ///
    /// # Errors
    /// `Unexpected` when its files cannot be removed.
    pub async fn remove_golden(&self, state: &GoldenState) -> Result<()> {
        let store = Arc::clone(&self.store);
        let place = PathBuf::from(&state.handle);
        blocking("remove a golden state", move || {
            // What stays there is removed to make room for others.
            drop(pool::clear(&store, &place));
            store.discard(&place)
        })
        .await
    }
}

/// Operating system and processor, as Docker writes them.
pub(super) fn machine() -> String {
    let processor = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{}/{processor}", std::env::consts::OS)
}

#[derive(Clone, Copy)]
pub(super) enum Capture {
    Copy,
    Move,
}

pub(super) fn publish(
    store: &Store,
    from: &Path,
    label: GoldenLabel,
    how: Capture,
) -> Result<GoldenState> {
    let target = store.golden().join(label.name());
    let what = || format!("cannot publish the golden state {}", target.display());
    let draft = store.new_golden()?;
    let data = (from.join("pgdata"), draft.path().join("pgdata"));
    let taken = match how {
        Capture::Copy => copy::tree(&data.0, &data.1, &|_| false),
        Capture::Move => fs::rename(&data.0, &data.1),
    };
    taken.or_fail(Kind::Unexpected, what).map_err(|error| with_room(error, &target))?;
    let bytes = copy::size(&data.1).or_fail(Kind::Unexpected, what)?;
    // The builder wrote without syncing anything: all of it before the name that vouches for it.
    copy::sync(draft.path()).or_fail(Kind::Unexpected, what)?;
    record::write(
        &draft.path().join(LABEL),
        &Mark { schema: SCHEMA, label: label.clone(), bytes },
    )?;
    if golden_transfer::damage(&target).is_some() {
        // Never used, and in the way of what will be.
        store.discard(&target)?;
    }
    match fs::rename(draft.path(), &target) {
        Ok(()) => {}
        // Another process was first: the same fingerprint, the same state.
        Err(_) if matches!(read_mark(&target), Ok(Some(_))) => {}
        Err(error) => return Err(error).or_fail(Kind::Unexpected, what),
    }
    Ok(GoldenState { handle: target.to_string_lossy().into_owned(), label, bytes })
}

/// A state whose label is there, is understood, and names this directory.
pub(super) fn read_mark(place: &Path) -> Result<Option<GoldenState>> {
    let mark: Option<Mark> = record::read(&place.join(LABEL))?;
    Ok(mark
        .filter(|mark| mark.label.schema <= LABEL_SCHEMA && place.ends_with(mark.label.name()))
        .map(|Mark { label, bytes, .. }| GoldenState {
            handle: place.to_string_lossy().into_owned(),
            label,
            bytes,
        }))
}

/// Copies the data directory of one place to another.
pub(super) async fn clone_data(from: &Path, to: &Path, durable: bool) -> Result<()> {
    let (from, to) = (from.join("pgdata"), to.join("pgdata"));
    blocking("copy a golden state", move || {
        let copied = copy::tree(&from, &to, &|_| false);
        let copied = copied.and_then(|()| if durable { copy::sync(&to) } else { Ok(()) });
        copied
            .or_fail(Kind::Unexpected, || {
                format!("cannot copy {} to {}", from.display(), to.display())
            })
            .map_err(|error| with_room(error, &to))
    })
    .await
}

fn with_room(error: Error, place: &Path) -> Error {
    if error.causes().iter().any(|cause| cause.contains("No space left")) {
        let place = place.parent().unwrap_or(place);
        return error
            .hint(format!("make room on the disk: df -h {}", place.display()))
            .hint("devdb cache prune   removes golden states that have not been used for long");
    }
    error
}

/// Thousands of files: not on the runtime's own threads.
pub(super) async fn blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .or_fail(Kind::Unexpected, || format!("cannot {what}"))?
}
