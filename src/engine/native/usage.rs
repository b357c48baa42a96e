//! How much disk generations take.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Native;
use crate::error::{Kind, Result, ResultExt};

/// The unit of `st_blocks`, in bytes.
const BLOCK: u64 = 512;

impl Native {
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
