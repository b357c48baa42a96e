//! Writing golden states and snapshots into files, and reading them from files.

use std::path::Path;
use std::sync::Arc;

use super::blocking::blocking as in_background;
use super::snapshot::{MANIFEST, PGDATA, blocking, bytes_on_disk, ensure_room};
use super::{Native, account, copy, record};
use crate::archive::{Verified, Writer};
use crate::engine::snapshot::explained;
use crate::engine::{GoldenLabel, GoldenState, Manifest, Snapshot, Stop};
use crate::error::{Kind, Result, ResultExt};
use crate::spec::{Durability, Owner, ServerSpec};

/// [`Engine`](crate::engine::Engine) documents the methods.
impl Native {
    /// Writes the data directory of a snapshot into a file.
    ///
    /// # Errors
    /// See [`Engine::export_snapshot`](crate::engine::Engine::export_snapshot).
    pub async fn export_snapshot(
        &self,
        owner: &Owner,
        snapshot: &Snapshot,
        _spec: &ServerSpec,
        mut to: Writer,
        stop: &Stop,
    ) -> Result<Writer> {
        let from = self.store.snapshot(owner, &snapshot.name).join(PGDATA);
        let stop = stop.clone();
        tokio::task::spawn_blocking(move || {
            to.append_directory(&from, &|_| stop.is_asked()).map(|()| to)
        })
        .await
        .or_fail(Kind::Snapshot, || format!("cannot export {}", snapshot.handle))?
    }

    /// Unpacks a file into a new snapshot, then writes the manifest.
    ///
    /// # Errors
    /// See [`Engine::import_snapshot`](crate::engine::Engine::import_snapshot).
    pub async fn import_snapshot(
        &self,
        owner: &Owner,
        manifest: Manifest,
        spec: &ServerSpec,
        from: Verified<Manifest>,
    ) -> Result<Manifest> {
        let to = self.store.new_snapshot(owner, &manifest.name)?;
        let data = to.join(PGDATA);
        let (target, needed) = (data.clone(), from.seal().bytes);
        blocking(&data, move || ensure_room(&target, needed, None)).await?;
        let target = data.clone();
        tokio::task::spawn_blocking(move || from.unpack_into(&target))
            .await
            .or_fail(Kind::Snapshot, || format!("cannot write {}", data.display()))?
            .map_err(|error| {
                let text = error.to_string();
                explained(error, &text)
            })?;
        let sync = spec.durability != Durability::None;
        let (target, account) = (data.clone(), account::for_servers()?);
        let bytes = blocking(&data, move || {
            if let Some(account) = account {
                account.own_tree(&target)?;
            }
            if sync {
                copy::sync(&target)?;
            }
            bytes_on_disk(&target)
        });
        let manifest = Manifest { disk_bytes: bytes.await?, ..manifest };
        record::write(&to.join(MANIFEST), &manifest)?;
        Ok(manifest)
    }

    /// Writes the data directory of a golden state into a file.
    ///
    /// # Errors
    /// See [`Engine::export_golden`](crate::engine::Engine::export_golden).
    pub async fn export_golden(
        &self,
        state: &GoldenState,
        _owner: &Owner,
        mut writer: Writer,
        stop: &Stop,
    ) -> Result<()> {
        let (data, stop) = (Path::new(&state.handle).join("pgdata"), stop.clone());
        in_background("write the file", move || {
            writer.append_directory(&data, &|_| stop.is_asked())?;
            stop.check()?;
            writer.finish().map(drop)
        })
        .await
    }

    /// Unpacks a file into the directory `place`, which has no data directory yet.
    pub(super) async fn unpack(
        &self,
        archive: &Arc<Verified<GoldenLabel>>,
        place: &Path,
    ) -> Result<()> {
        let (archive, data) = (Arc::clone(archive), place.join("pgdata"));
        in_background("unpack the file", move || {
            archive.unpack_into(&data)?;
            match account::for_servers()? {
                Some(account) => account.own_tree(&data).or_fail(Kind::Unexpected, || {
                    format!("cannot give {} to the user that the server runs as", data.display())
                }),
                None => Ok(()),
            }
        })
        .await
    }
}
