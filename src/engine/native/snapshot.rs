//! Snapshots: directories beside the generations.
//!
//! ```text
//! <root>/<key>/snapshots/<name>/
//!     pgdata/                     the data directory
//!     snapshot.json               the manifest, written last
//! ```

use std::fs;
use std::future::Future;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::directory::{TRASH, delete, names, sweep};
use super::record::{self, GenerationRecord};
use super::store::{SNAPSHOTS, Store};
use super::{Native, account, copy};
use crate::db::backup::BackupEnd;
use crate::engine::snapshot::{EMPTIED, explained};
use crate::engine::{Generation, Holding, Manifest, Numbered, Snapshot, SnapshotName, State, Stop};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::spec::{Durability, Owner, ServerSpec};

pub(super) const MANIFEST: &str = "snapshot.json";
pub(super) const PGDATA: &str = "pgdata";

/// [`Engine`](crate::engine::Engine) documents the methods.
impl Native {
    /// Copies a generation, then writes the manifest.
    ///
    /// # Errors
    /// See [`Engine::save_snapshot`](crate::engine::Engine::save_snapshot).
    pub async fn save_snapshot(
        &self,
        generation: &Generation,
        manifest: Manifest,
        holding: &Holding<'_>,
        end: Option<impl Future<Output = Result<BackupEnd>>>,
    ) -> Result<Manifest> {
        let from = self.store.place(&generation.owner, generation.id).pgdata();
        let to = self.store.new_snapshot(&generation.owner, &manifest.name)?;
        let copied = to.join(PGDATA);
        copy_data(&from, &copied, holding.spec, end).await?;
        let bytes = blocking(&copied, {
            let copied = copied.clone();
            move || bytes_on_disk(&copied)
        });
        let manifest =
            Manifest { disk_bytes: bytes.await?, platform: super::golden::machine(), ..manifest };
        record::write(&to.join(MANIFEST), &manifest)?;
        Ok(manifest)
    }

    /// Reads the manifests of an instance's snapshots.
    ///
    /// # Errors
    /// See [`Engine::snapshots`](crate::engine::Engine::snapshots).
    pub async fn snapshots(
        &self,
        owner: &Owner,
        only: Option<&SnapshotName>,
        _spec: &ServerSpec,
    ) -> Result<Vec<Snapshot>> {
        let mut names = self.snapshot_names(owner).await?;
        names.retain(|name| only.is_none_or(|only| only.as_str() == name));
        names
            .into_iter()
            .map(|name| {
                let directory = self.store.snapshot(owner, &name);
                let state = state(&directory, &name)?;
                let handle = directory.to_string_lossy().into_owned();
                Ok(Snapshot { handle, owner: owner.clone(), name, state })
            })
            .collect()
    }

    /// Lists the directories of an instance's snapshots.
    ///
    /// # Errors
    /// See [`Engine::snapshot_names`](crate::engine::Engine::snapshot_names).
    pub async fn snapshot_names(&self, owner: &Owner) -> Result<Vec<String>> {
        let names = names(&self.store.snapshots_directory(owner))?;
        Ok(names.into_iter().filter(|name| !name.starts_with('.')).collect())
    }

    /// Reads the dates from the manifests.
    ///
    /// # Errors
    /// See [`Engine::snapshot_dates`](crate::engine::Engine::snapshot_dates).
    pub async fn snapshot_dates(&self, owner: &Owner) -> Result<Vec<(String, DateTime<Utc>)>> {
        let mut found = Vec::new();
        for name in self.snapshot_names(owner).await? {
            if let State::Complete(manifest) = state(&self.store.snapshot(owner, &name), &name)? {
                found.push((name, manifest.created));
            }
        }
        Ok(found)
    }

    /// Copies a snapshot and marks the copy as a complete generation.
    ///
    /// # Errors
    /// `NotOurs` when something else has the name of the generation. `Unexpected` when the
    /// generation exists. `Snapshot` when the copy fails.
    pub async fn create_generation_from_snapshot(
        &self,
        owner: &Owner,
        new: Numbered,
        snapshot: &Snapshot,
        spec: &ServerSpec,
    ) -> Result<Generation> {
        let mut record = GenerationRecord::new(owner, new.id, spec);
        let place = self.store.create(&record)?;
        let pgdata = place.pgdata();
        copy_tree(&Path::new(&snapshot.handle).join(PGDATA), &pgdata, of_stopped).await?;
        if spec.durability != Durability::None {
            let copied = pgdata.clone();
            blocking(&pgdata, move || copy::sync(&copied)).await?;
        }
        record.initialised = true;
        place.write_record(&record)?;
        place.mark_complete(new.number)?;
        Ok(place.generation(record))
    }

    /// Removes the directory of a snapshot. It disappears at once.
    ///
    /// # Errors
    /// `Snapshot` when the directory cannot be removed.
    pub async fn remove_snapshot(&self, owner: &Owner, name: &str) -> Result<()> {
        let directory = self.store.snapshot(owner, name);
        let parent = self.store.snapshots_directory(owner);
        let trash = parent.join(format!("{TRASH}{}", uuid::Uuid::new_v4().simple()));
        let cannot = || format!("cannot remove {}", directory.display());
        match fs::rename(&directory, &trash) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed.or_fail(Kind::Snapshot, cannot)?,
        }
        let removal = move || {
            let gone = delete(&trash);
            sweep(&parent);
            // Each call fails on purpose when the directory is not empty.
            let _ = fs::remove_dir(&parent);
            let _ = parent.parent().map(fs::remove_dir);
            gone
        };
        tokio::task::spawn_blocking(removal)
            .await
            .or_fail(Kind::Snapshot, cannot)?
            .or_fail(Kind::Snapshot, cannot)
    }
}

impl Store {
    /// The directory of an instance's snapshots, whether it exists or not.
    fn snapshots_directory(&self, owner: &Owner) -> PathBuf {
        self.root().join(owner.key()).join(SNAPSHOTS)
    }

    /// The directory of a snapshot, whether it exists or not. The caller has checked `name` or
    /// found it in a listing.
    pub(super) fn snapshot(&self, owner: &Owner, name: &str) -> PathBuf {
        self.snapshots_directory(owner).join(name)
    }

    /// Makes the directory of a snapshot, without a manifest.
    pub(super) fn new_snapshot(&self, owner: &Owner, name: &str) -> Result<PathBuf> {
        let directory = self.snapshot(owner, name);
        self.make_directory(&self.snapshots_directory(owner))?;
        fs::create_dir(&directory)
            .and_then(|()| fs::set_permissions(&directory, fs::Permissions::from_mode(0o711)))
            .or_fail(Kind::Snapshot, || {
                format!("cannot make the directory {}", directory.display())
            })?;
        Ok(directory)
    }
}

fn state(directory: &Path, name: &str) -> Result<State> {
    let file = directory.join(MANIFEST);
    match fs::read(&file) {
        Ok(text) => Ok(match Manifest::parse(&text, name) {
            Ok(manifest) => State::Complete(Box::new(manifest)),
            Err(why) => State::Damaged(why),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::Unfinished),
        Err(error) => {
            Err(error).or_fail(Kind::Snapshot, || format!("cannot read {}", file.display()))
        }
    }
}

/// Whether a file is left out of the copy of a running server: a file of the running process, or a
/// file in one of the [`EMPTIED`] directories. Directories in `pg_wal` are copied.
fn of_running(from: &Path, path: &Path) -> bool {
    let Some(first) = path.iter().next().and_then(|first| first.to_str()) else { return false };
    let below = path.iter().count() > 1;
    let is_temporary = path.file_name().is_some_and(|name| {
        name.to_string_lossy().starts_with("pgsql_tmp") || name == "pg_internal.init"
    });
    of_stopped(from, path)
        || matches!(first, "postmaster.opts" | "backup_label" | "tablespace_map")
        || is_temporary
        || (below && EMPTIED.contains(&first) && !(first == "pg_wal" && from.join(path).is_dir()))
}

fn of_stopped(_from: &Path, path: &Path) -> bool {
    path == Path::new("postmaster.pid")
}

/// Copies a data directory on another thread. The thread ends early when the future is dropped.
async fn copy_tree(from: &Path, to: &Path, skip: fn(&Path, &Path) -> bool) -> Result<()> {
    let stop = Stop::default();
    let _until_dropped = Unwanted(stop.clone());
    let (source, target) = (from.to_owned(), to.to_owned());
    blocking(to, move || {
        ensure_room(&target, bytes_on_disk(&source)?, Some(&source))?;
        copy::tree(&source, &target, &|path| stop.is_asked() || skip(&source, path))
    })
    .await
}

/// Copies the data directory of a server that runs when there is an `end` of its backup.
pub(super) async fn copy_data(
    from: &Path,
    to: &Path,
    spec: &ServerSpec,
    end: Option<impl Future<Output = Result<BackupEnd>>>,
) -> Result<()> {
    let skip = if end.is_some() { of_running } else { of_stopped };
    copy_tree(from, to, skip).await?;
    if let Some(end) = end {
        let end = end.await?;
        let (from, copied) = (from.to_owned(), to.to_owned());
        blocking(to, move || add_end(&from, &copied, &end)).await?;
    }
    if spec.durability != Durability::None {
        let copied = to.to_owned();
        blocking(to, move || copy::sync(&copied)).await?;
    }
    Ok(())
}

struct Unwanted(Stop);

impl Drop for Unwanted {
    fn drop(&mut self) {
        self.0.ask();
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    target: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let cannot = || format!("cannot write the copy {}", target.display());
    let done = tokio::task::spawn_blocking(work).await.or_fail(Kind::Snapshot, cannot)?;
    done.map_err(|error| {
        let text = error.to_string();
        explained(Error::new(Kind::Snapshot, cannot()).because(&text), &text)
    })
}

/// Fails before the copy starts when there is no room for `needed` bytes at `to`. A running server
/// dies on a full disk, because it cannot write its log. A copy of the data directory `from` needs
/// no room when it can share the blocks.
pub(super) fn ensure_room(to: &Path, needed: u64, from: Option<&Path>) -> io::Result<()> {
    let parent = to.parent().unwrap_or(to);
    let free = rustix::fs::statvfs(parent)?;
    let free = free.f_bavail.saturating_mul(free.f_frsize);
    let is_clone = || from.is_some_and(|from| shares_blocks(&from.join("PG_VERSION"), parent));
    if free >= needed || is_clone() {
        return Ok(());
    }
    let mib = |bytes: u64| bytes >> 20;
    Err(io::Error::new(
        io::ErrorKind::StorageFull,
        format!(
            "No space left on device: the copy takes {} MB, and {} MB are free",
            mib(needed) + 1,
            mib(free)
        ),
    ))
}

/// Whether a copy of this file shares its blocks and so needs almost no room.
#[cfg(target_os = "linux")]
fn shares_blocks(file: &Path, directory: &Path) -> bool {
    let clone = || -> io::Result<()> {
        let probe = tempfile::tempfile_in(directory)?;
        Ok(rustix::fs::ioctl_ficlone(&probe, fs::File::open(file)?)?)
    };
    clone().is_ok()
}

#[cfg(not(target_os = "linux"))]
fn shares_blocks(_file: &Path, _directory: &Path) -> bool {
    // APFS always shares blocks. On another file system the copy itself reports a full disk.
    true
}

pub(super) fn bytes_on_disk(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let taken = entry.metadata().and_then(|found| match found.is_dir() {
            true => bytes_on_disk(&entry.path()),
            false => Ok(found.blocks() * 512),
        });
        match taken {
            Ok(taken) => bytes += taken,
            // A running server removes its temporary files.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// Adds the WAL of the backup, and the label that makes PostgreSQL replay it.
fn add_end(from: &Path, to: &Path, end: &BackupEnd) -> io::Result<()> {
    let account = account::for_servers().map_err(io::Error::other)?;
    let own = |path: &Path| match account {
        Some(account) => account.own(path),
        None => Ok(()),
    };
    for segment in &end.segments {
        let copied = to.join("pg_wal").join(segment);
        fs::copy(from.join("pg_wal").join(segment), &copied)?;
        own(&copied)?;
    }
    let label = to.join("backup_label");
    fs::write(&label, &end.label)?;
    fs::set_permissions(&label, fs::Permissions::from_mode(0o600))?;
    own(&label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_running_server_the_directories_are_copied_and_not_what_comes_and_goes() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("pg_wal/archive_status")).unwrap();
        let skipped = |path: &str| of_running(home.path(), Path::new(path));
        for path in ["pg_wal", "pg_wal/archive_status", "pg_replslot", "base/1/1259", "PG_VERSION"]
        {
            assert!(!skipped(path), "{path}");
        }
        for path in [
            "pg_wal/000000010000000000000001",
            "pg_wal/archive_status/x.done",
            "postmaster.pid",
            "backup_label",
            "pg_stat_tmp/global.stat",
            "base/pgsql_tmp",
            "base/1/pg_internal.init",
        ] {
            assert!(skipped(path), "{path}");
        }
    }
}
