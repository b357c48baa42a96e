//! Snapshots into files and out of them.

use std::fs;
use std::io;
use std::path::Path;

use super::snapshot::{MANIFEST, PGDATA, blocking, bytes_on_disk, ensure_room};
use super::{Native, account, copy, record};
use crate::archive::{Verified, Writer};
use crate::engine::snapshot::explained;
use crate::engine::{Manifest, Snapshot, Stop};
use crate::error::{Kind, Result, ResultExt};
use crate::spec::{Durability, Owner, ServerSpec};

/// See [`crate::engine::Engine`] for what each verb promises.
impl Native {
    /// Reads a directory.
    ///
    /// # Errors
    /// As the contract has it.
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

    /// Unpacks into a directory, and writes the manifest.
    ///
    /// # Errors
    /// As the contract has it.
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
                own_tree(&target, account)?;
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
}

/// Gives everything to the account that servers run under.
fn own_tree(directory: &Path, account: account::Account) -> io::Result<()> {
    let own = |path: &Path| std::os::unix::fs::lchown(path, Some(account.uid), Some(account.gid));
    own(directory)?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => own_tree(&entry.path(), account)?,
            false => own(&entry.path())?,
        }
    }
    Ok(())
}
