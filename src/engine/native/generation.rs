//! Generations: directories with a mark.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use super::Native;
use super::blocking::blocking;
use crate::engine::Generation;
use crate::error::{Error, Kind, Result, ResultExt};
use crate::spec::ServerSpec;

/// The unit of `st_blocks`, in bytes.
const BLOCK: u64 = 512;

impl Native {
    /// The generations with a mark.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn generations(&self, key: Option<&str>) -> Result<Vec<Generation>> {
        let found = self.store.list(key)?;
        Ok(found.into_iter().map(|(place, record)| place.generation(record)).collect())
    }

    /// Looks for the last mark.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn is_complete(&self, generation: &Generation, _spec: &ServerSpec) -> Result<bool> {
        Ok(self.store.place_of(&generation.handle).is_some_and(|place| place.is_complete()))
    }

    /// Removes a directory.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn remove_generation(&self, generation: &Generation) -> Result<()> {
        let place = self.store.place(&generation.owner, generation.number);
        let has_note = place.note()?.is_some() || place.with_aside(true).note()?.is_some();
        if place.require()?.is_some() && has_note {
            return Err(Error::new(
                Kind::Unexpected,
                format!("cannot remove generation {}", place.handle()),
            )
            .because("a server uses it"));
        }
        let store = Arc::clone(&self.store);
        // Thousands of files.
        tokio::task::spawn_blocking(move || store.remove(&place))
            .await
            .or_fail(Kind::Unexpected, || format!("cannot remove {}", generation.handle))?
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

    /// Bytes of every generation, of one instance or of all, by handle. What copies share counts
    /// in each.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn sizes(&self, key: Option<&str>) -> Result<BTreeMap<String, u64>> {
        let places = self.store.list(key)?;
        let measure = move || {
            let sizes = places.into_iter().map(|(place, _)| {
                let bytes = size(place.directory());
                (place.handle(), bytes)
            });
            sizes.collect()
        };
        // Thousands of files: not on a thread that others wait for.
        tokio::task::spawn_blocking(measure)
            .await
            .or_fail(Kind::Unexpected, || "cannot measure generations".into())
    }
}

/// What is allocated. Files that a running server removes meanwhile do not count.
fn size(path: &Path) -> u64 {
    let Ok(found) = fs::symlink_metadata(path) else { return 0 };
    let inside = match found.is_dir() {
        true => fs::read_dir(path).into_iter().flatten().flatten().map(|e| size(&e.path())).sum(),
        false => 0,
    };
    found.blocks() * BLOCK + inside
}
