//! Golden states on their way into files and out of them, and what is wrong with damaged ones.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::directory::{self, give, names};
use super::golden::{LABEL, blocking, read_mark};
use super::record::SCHEMA;
use super::{Native, account};
use crate::archive::{Verified, Writer};
use crate::engine::golden::LABEL_SCHEMA;
use crate::engine::{DamagedGolden, GoldenLabel, GoldenState, Stop};
use crate::error::Result;
use crate::spec::Owner;

impl Native {
    /// Directories among the golden states whose label is missing or cannot be read.
    ///
    /// # Errors
    /// `Unexpected` when the directory cannot be read.
    pub async fn damaged_golden(&self) -> Result<Vec<DamagedGolden>> {
        let directory = self.store.golden();
        // What begins with a dot is being made or removed.
        let named = names(&directory)?.into_iter().filter(|name| !name.starts_with('.'));
        Ok(named
            .filter_map(|name| {
                let place = directory.join(name);
                let why = damage(&place)?;
                Some(DamagedGolden { handle: place.to_string_lossy().into_owned(), why })
            })
            .collect())
    }

    /// Removes such a directory.
    ///
    /// # Errors
    /// `Unexpected` when its files cannot be removed.
    pub async fn remove_damaged(&self, damaged: &DamagedGolden) -> Result<()> {
        let store = Arc::clone(&self.store);
        let place = Path::new(&damaged.handle).to_path_buf();
        blocking("remove a golden state", move || store.discard(&place)).await
    }

    /// Removes what was being made or removed when its devdb was killed.
    ///
    /// # Errors
    /// `Unexpected` when the directory cannot be read.
    pub async fn sweep_golden(&self) -> Result<()> {
        let directory = self.store.golden();
        blocking("remove half-made golden states", move || directory::sweep_in(&directory)).await
    }

    /// Whether there are any.
    pub fn has_half_made_golden(&self) -> bool {
        directory::has_left(&self.store.golden())
    }

    /// Writes a golden state's data directory into a file.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn export_golden(
        &self,
        state: &GoldenState,
        _owner: &Owner,
        mut writer: Writer,
        stop: &Stop,
    ) -> Result<()> {
        let (data, stop) = (Path::new(&state.handle).join("pgdata"), stop.clone());
        blocking("write the file", move || {
            writer.append_directory(&data, &|_| stop.is_asked())?;
            stop.check()?;
            writer.finish().map(drop)
        })
        .await
    }

    /// Unpacks the data directory of a file into a place that has none.
    pub(super) async fn unpack(
        &self,
        archive: &Arc<Verified<GoldenLabel>>,
        place: &Path,
    ) -> Result<()> {
        let (archive, data) = (Arc::clone(archive), place.join("pgdata"));
        blocking("unpack the file", move || {
            archive.unpack_into(&data)?;
            match account::for_servers()? {
                Some(account) => give_all(&data, account),
                None => Ok(()),
            }
        })
        .await
    }
}

/// What is wrong with the label of a golden state; none when nothing is, when there is no such
/// directory, or when a newer devdb wrote it.
pub(super) fn damage(place: &Path) -> Option<String> {
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
    let text = fs::read(place.join(LABEL)).unwrap_or_default();
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

/// Gives a directory and everything in it to the account that servers run under.
fn give_all(path: &Path, account: account::Account) -> Result<()> {
    give(path, account)?;
    if !path.is_dir() || path.is_symlink() {
        return Ok(());
    }
    for name in names(path)? {
        give_all(&path.join(name), account)?;
    }
    Ok(())
}
