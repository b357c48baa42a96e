//! Golden states as directories in the same store as the instances.
//!
//! ```text
//! <root>/golden/<fingerprint>/
//!     golden.json                 its label
//!     pgdata/                     the data directory
//! ```
//!
//! A golden state appears with its label or not at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::blocking::blocking;
use super::directory::{self, names};
use super::record::{self, GOLDEN, GenerationRecord, SCHEMA};
use super::store::Store;
use super::{Native, copy, pool};
use crate::engine::golden::LABEL_SCHEMA;
use crate::engine::{DamagedGolden, Generation, GoldenLabel, GoldenState, Platform};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::spec::{Durability, Owner, ServerSpec};

/// The contents of `golden.json`.
#[derive(Serialize, Deserialize)]
struct Mark {
    schema: u32,
    label: GoldenLabel,
    /// The size of the files, in bytes.
    bytes: u64,
}

impl Native {
    /// The platform: the version and the build of the programs, the machine, and the C library,
    /// which sorts text.
    ///
    /// # Errors
    /// `NoEngine` when there are no programs of this version.
    pub async fn platform(&self, spec: &ServerSpec) -> Result<Platform> {
        let programs = self.programs_for(spec.major, spec.bin_dir.as_deref())?;
        let machine = machine();
        let sorted = programs.c_library();
        let of = |version| format!("native {version} {machine}, {sorted}");
        Ok(Platform { name: of(&programs.version), exact: of(&programs.build), machine })
    }

    /// Lists the golden states of this store.
    ///
    /// # Errors
    /// `Unexpected` when the directory cannot be read.
    pub async fn golden_states(&self) -> Result<Vec<GoldenState>> {
        let directory = self.store.golden();
        let mut states = Vec::new();
        for name in names(&directory)? {
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
    /// See [`Engine::clone_golden`](crate::engine::Engine::clone_golden).
    pub async fn clone_golden(
        &self,
        state: &GoldenState,
        owner: &Owner,
        number: u32,
        spec: &ServerSpec,
    ) -> Result<Generation> {
        let record = GenerationRecord {
            initialised: true,
            origin: Some(state.label.fingerprint.clone()),
            ..GenerationRecord::new(owner, number, spec)
        };
        let place = self.store.create(&record)?;
        let durable = spec.durability != Durability::None;
        let cloned = clone_data(Path::new(&state.handle), place.directory(), durable).await;
        match cloned {
            Ok(()) => Ok(place.generation(record)),
            Err(error) => {
                // An incomplete copy is useless. A failure of the removal would hide the first
                // error.
                let store = Arc::clone(&self.store);
                let _ = blocking("remove it", move || store.remove(&place)).await;
                Err(error)
            }
        }
    }

    /// Removes a golden state.
    ///
    /// # Errors
    /// `Unexpected` when its files cannot be removed.
    pub async fn remove_golden(&self, state: &GoldenState) -> Result<()> {
        let store = Arc::clone(&self.store);
        let place = PathBuf::from(&state.handle);
        blocking("remove a golden state", move || {
            // The pool removes leftover copies later, to make room for others.
            drop(pool::clear(&store, &place));
            store.discard(&place)
        })
        .await
    }

    /// Lists the directories of golden states whose label is missing or cannot be read.
    ///
    /// # Errors
    /// `Unexpected` when the directory cannot be read.
    pub async fn damaged_golden(&self) -> Result<Vec<DamagedGolden>> {
        let directory = self.store.golden();
        // A name with a dot in front belongs to a state that is being made or removed.
        let named = names(&directory)?.into_iter().filter(|name| !name.starts_with('.'));
        Ok(named
            .filter_map(|name| {
                let place = directory.join(name);
                let why = damage(&place)?;
                Some(DamagedGolden { handle: place.to_string_lossy().into_owned(), why })
            })
            .collect())
    }

    /// Removes a directory that [`Native::damaged_golden`] found.
    ///
    /// # Errors
    /// `Unexpected` when its files cannot be removed.
    pub async fn remove_damaged(&self, damaged: &DamagedGolden) -> Result<()> {
        let store = Arc::clone(&self.store);
        let place = Path::new(&damaged.handle).to_path_buf();
        blocking("remove a golden state", move || store.discard(&place)).await
    }

    /// Removes the golden states that a killed devdb was making or removing.
    ///
    /// # Errors
    /// `Unexpected` when the directory cannot be read.
    pub async fn sweep_golden(&self) -> Result<()> {
        let directory = self.store.golden();
        blocking("remove half-made golden states", move || directory::sweep_in(&directory)).await
    }

    /// Whether [`Native::sweep_golden`] would find something.
    pub fn has_half_made_golden(&self) -> bool {
        directory::has_left(&self.store.golden())
    }
}

/// Operating system and processor, spelled as Docker spells them.
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
    // The builder synced nothing, so the data is synced before the label vouches for it.
    copy::sync(draft.path()).or_fail(Kind::Unexpected, what)?;
    record::write(
        &draft.path().join(GOLDEN),
        &Mark { schema: SCHEMA, label: label.clone(), bytes },
    )?;
    if damage(&target).is_some() {
        // A damaged state is never used, but its directory has the name of the new one.
        store.discard(&target)?;
    }
    match fs::rename(draft.path(), &target) {
        Ok(()) => {}
        // Another process was faster. The same fingerprint means the same state.
        Err(_) if matches!(read_mark(&target), Ok(Some(_))) => {}
        Err(error) => return Err(error).or_fail(Kind::Unexpected, what),
    }
    Ok(GoldenState { handle: target.to_string_lossy().into_owned(), label, bytes })
}

/// Reads the state in a directory. None when the label is missing or names another directory.
pub(super) fn read_mark(place: &Path) -> Result<Option<GoldenState>> {
    let mark: Option<Mark> = record::read(&place.join(GOLDEN))?;
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

/// The damage of a golden state's label. None when the label is good, when the directory does not
/// exist, or when a newer devdb wrote the label.
fn damage(place: &Path) -> Option<String> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Version {
        schema: u32,
        label: Inner,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Inner {
        schema: u32,
    }
    if !place.is_dir() {
        return None;
    }
    let text = fs::read(place.join(GOLDEN)).unwrap_or_default();
    let version: Version = serde_json::from_slice(&text).unwrap_or_default();
    let is_newer = version.schema > SCHEMA || version.label.schema > LABEL_SCHEMA;
    match read_mark(place) {
        _ if is_newer => None,
        Ok(Some(_)) => None,
        Ok(None) if text.is_empty() => Some("its label is missing".to_owned()),
        Ok(None) => Some("its label is another state's".to_owned()),
        Err(error) => Some(format!("its label cannot be read: {error}")),
    }
}
