//! Generations as directories that carry devdb's mark.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use super::Native;
use super::blocking::blocking;
use super::record::GenerationRecord;
use super::snapshot::copy_data;
use crate::db::backup::BackupEnd;
use crate::engine::{COPY, Generation, Numbered};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::spec::ServerSpec;

/// The unit of `st_blocks`, in bytes.
const BLOCK: u64 = 512;

impl Native {
    /// Lists the generations that carry devdb's mark.
    ///
    /// # Errors
    /// See [`Engine::generations`](crate::engine::Engine::generations).
    pub async fn generations(&self, key: Option<&str>) -> Result<Vec<Generation>> {
        let found = self.store.list(key)?;
        Ok(found.into_iter().map(|(place, record)| place.generation(record)).collect())
    }

    /// Reads the mark of completeness.
    ///
    /// # Errors
    /// See [`Engine::number_of`](crate::engine::Engine::number_of).
    pub async fn number_of(
        &self,
        generation: &Generation,
        _spec: &ServerSpec,
    ) -> Result<Option<u32>> {
        let place = self.store.place_of(&generation.handle);
        place.map_or(Ok(None), |place| place.completed_number(generation.id))
    }

    /// Copies a generation's data directory into a new generation.
    ///
    /// # Errors
    /// See [`Engine::copy_generation`](crate::engine::Engine::copy_generation).
    pub async fn copy_generation(
        &self,
        from: &Generation,
        new: Numbered,
        spec: &ServerSpec,
        end: Option<impl Future<Output = Result<BackupEnd>>>,
    ) -> Result<Generation> {
        let made_with = from.made_with.clone();
        let mut record = GenerationRecord {
            made_with,
            origin: Some(COPY.to_owned()),
            ..GenerationRecord::new(&from.owner, new.id, spec)
        };
        let place = self.store.create(&record)?;
        let original = self.store.place(&from.owner, from.id);
        copy_data(&original.pgdata(), &place.pgdata(), spec, end).await?;
        record.initialised = true;
        place.write_record(&record)?;
        place.mark_complete(new.number)?;
        Ok(place.generation(record))
    }

    /// Removes the directory of a generation.
    ///
    /// # Errors
    /// See [`Engine::remove_generation`](crate::engine::Engine::remove_generation).
    pub async fn remove_generation(&self, generation: &Generation) -> Result<()> {
        let place = self.store.place(&generation.owner, generation.id);
        let has_note = place.note()?.is_some() || place.with_aside(true).note()?.is_some();
        if place.require()?.is_some() && has_note {
            return Err(Error::new(
                Kind::Unexpected,
                format!("cannot remove generation {}", place.handle()),
            )
            .because("a server uses it"));
        }
        let store = Arc::clone(&self.store);
        // Deleting thousands of files would block the runtime's thread.
        tokio::task::spawn_blocking(move || store.remove(&place))
            .await
            .or_fail(Kind::Unexpected, || format!("cannot remove {}", generation.handle))?
    }

    /// Deletes the leftovers of interrupted work on an instance's generations.
    ///
    /// # Errors
    /// Never. A later sweep deletes what this one cannot delete.
    pub async fn sweep(&self, key: &str) -> Result<()> {
        let (store, key) = (Arc::clone(&self.store), key.to_owned());
        blocking("tidy up", move || {
            store.sweep_instance(&key);
            Ok(())
        })
        .await
    }

    /// The size of each generation on the disk, of one instance or of all, by handle. Blocks that
    /// copies share count for each copy.
    ///
    /// # Errors
    /// See [`Engine::sizes`](crate::engine::Engine::sizes).
    pub async fn sizes(&self, key: Option<&str>) -> Result<BTreeMap<String, u64>> {
        let places = self.store.list(key)?;
        let measure = move || {
            let sizes = places.into_iter().map(|(place, _)| {
                let bytes = size(place.directory());
                (place.handle(), bytes)
            });
            sizes.collect()
        };
        // Measuring thousands of files would block the runtime's thread.
        tokio::task::spawn_blocking(measure)
            .await
            .or_fail(Kind::Unexpected, || "cannot measure generations".into())
    }
}

/// The size on the disk, in bytes. Files that a running server removes meanwhile do not count.
fn size(path: &Path) -> u64 {
    let Ok(found) = fs::symlink_metadata(path) else { return 0 };
    let inside = match found.is_dir() {
        true => fs::read_dir(path).into_iter().flatten().flatten().map(|e| size(&e.path())).sum(),
        false => 0,
    };
    found.blocks() * BLOCK + inside
}
