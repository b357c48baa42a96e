//! Used copies of golden states, kept for the next ephemeral server. A new copy means that more
//! than a thousand files are made and later deleted. Restoring a used copy rewrites only the files
//! that were changed.
//!
//! ```text
//! <root>/pool/<name of the golden state>-<uuid>/
//!     pgdata/                     the same contents as the golden state's
//!     made                        when the contents became the same (see `Made`)
//! ```
//!
//! A file has changed when its inode has a later `ctime`. No program can set `ctime`, but it comes
//! from the machine's clock, so a copy is useless after the clock was set back. Nothing is synced,
//! so a copy is useless after the machine was started again.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::copy;
use super::directory::names;
use super::record::GOLDEN;
use super::store::Store;

/// The limit of copies, of all golden states together.
const MOST: usize = 4;

const MADE: &str = "made";

const DATA: &str = "pgdata";

/// The name of a copy on its way into the pool and out of it.
const WAY: &str = "pooled";

/// Moves a copy of the golden state `golden` from the pool into `place`. False when the pool has
/// none.
pub(super) fn take(store: &Store, golden: &Path, place: &Path) -> bool {
    let Some(prefix) = prefix(golden) else { return false };
    let pool = store.pool();
    let entries = names(&pool).unwrap_or_default();
    entries.iter().filter(|name| name.starts_with(&prefix)).any(|name| {
        // A rename succeeds for one process only, so two processes never take the same copy.
        let mine = place.join(WAY);
        let taken = fs::rename(pool.join(name), &mine).is_ok()
            && Made::is_good(&mine, golden)
            && fs::rename(mine.join(DATA), place.join(DATA)).is_ok()
            && fs::rename(mine.join(MADE), place.join(MADE)).is_ok();
        // The directory is empty now, or its copy cannot be used.
        let _ = fs::remove_dir_all(&mine);
        taken
    })
}

/// Records that the data in `place` is the same as the golden state's at this moment.
///
/// # Errors
/// The errors of the file system.
pub(super) fn mark(golden: &Path, place: &Path) -> io::Result<()> {
    fs::write(place.join(MADE), serde_json::to_vec(&Made::now(golden)?)?)
}

/// Restores the data in `place` to the data in `golden`, and puts the copy into the pool. The
/// server has ended before.
///
/// # Errors
/// The errors of the file system, and `Unsupported` when the copy was never marked or its mark is
/// not good any more. The data in `place` is then useless.
pub(super) fn give_back(store: &Store, golden: &Path, place: &Path) -> io::Result<()> {
    let Some(prefix) = prefix(golden).filter(|_| Made::is_good(place, golden)) else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    let pool = store.pool();
    if names(&pool).unwrap_or_default().len() >= MOST {
        make_room(store)?;
    }
    let made = fs::metadata(place.join(MADE))?;
    let mut again = Again { made: (made.ctime(), made.ctime_nsec()) };
    again.directory(&golden.join(DATA), &place.join(DATA))?;
    if !Made::is_good(place, golden) {
        // Another process baked the golden state again during the copy.
        return Err(io::ErrorKind::Unsupported.into());
    }
    mark(golden, place)?;
    store.make_directory(&pool).map_err(io::Error::other)?;
    let whole = place.join(WAY);
    fs::create_dir(&whole)?;
    fs::rename(place.join(MADE), whole.join(MADE))?;
    fs::rename(place.join(DATA), whole.join(DATA))?;
    // The rename puts the complete copy into the pool in one step.
    fs::rename(whole, pool.join(format!("{prefix}{}", uuid::Uuid::new_v4().simple())))
}

/// Removes the copies of a golden state from the pool.
///
/// # Errors
/// The errors of the file system.
pub(super) fn clear(store: &Store, golden: &Path) -> io::Result<()> {
    let Some(prefix) = prefix(golden) else { return Ok(()) };
    let pool = store.pool();
    for name in names(&pool).unwrap_or_default() {
        if name.starts_with(&prefix) {
            store.discard_whole(&pool.join(name)).map_err(io::Error::other)?;
        }
    }
    Ok(())
}

/// Removes the oldest copy.
fn make_room(store: &Store) -> io::Result<()> {
    let pool = store.pool();
    let age = |name: &String| fs::metadata(pool.join(name)).map_or(0, |found| found.mtime());
    match names(&pool).unwrap_or_default().into_iter().min_by_key(age) {
        Some(oldest) => store.discard_whole(&pool.join(oldest)).map_err(io::Error::other),
        None => Ok(()),
    }
}

fn prefix(golden: &Path) -> Option<String> {
    Some(format!("{}-", golden.file_name()?.to_str()?))
}

/// The conditions under which the time of a copy was recorded. The time tells which files changed
/// only as long as they hold.
#[derive(Serialize, Deserialize)]
struct Made {
    /// The id of the machine's boot. Only Linux has one, so copies are pooled only on Linux.
    boot: String,
    /// Seconds since the boot. Setting the clock does not change them.
    uptime: f64,
    /// Seconds of the clock.
    clock: f64,
    /// The label of the golden state. Another bake of the same state has other files.
    label: String,
}

impl Made {
    /// The part of a second that a clock may lose when the system slows it down: twice the limit of
    /// the kernel.
    const SLOWER: f64 = 0.001;
    /// Twice the resolution of `/proc/uptime`, in seconds. A server takes longer to start.
    const INEXACT: f64 = 0.02;

    fn now(golden: &Path) -> io::Result<Made> {
        let uptime = fs::read_to_string("/proc/uptime")?;
        let seconds = uptime.split_whitespace().next().and_then(|first| first.parse().ok());
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        Ok(Made {
            boot: fs::read_to_string("/proc/sys/kernel/random/boot_id")?,
            uptime: seconds.ok_or(io::ErrorKind::InvalidData)?,
            clock: clock.as_secs_f64(),
            label: fs::read_to_string(golden.join(GOLDEN)).unwrap_or_default(),
        })
    }

    /// Whether the time of the copy in `place` still tells which files changed.
    fn is_good(place: &Path, golden: &Path) -> bool {
        let then =
            fs::read(place.join(MADE)).ok().and_then(|text| serde_json::from_slice(&text).ok());
        match (then, Made::now(golden)) {
            (Some(then), Ok(now)) => now.follows(&then),
            _ => false,
        }
    }

    fn follows(&self, then: &Made) -> bool {
        let passed = self.uptime - then.uptime;
        let set_back = passed - (self.clock - then.clock);
        let is_same = (&self.boot, &self.label) == (&then.boot, &then.label);
        is_same && set_back <= Made::INEXACT + passed * Made::SLOWER
    }
}

struct Again {
    /// The time of the copy, in seconds and nanoseconds. A file with the same time counts as
    /// changed.
    made: (i64, i64),
}

impl Again {
    fn directory(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        for entry in fs::read_dir(to)? {
            let path = entry?.path();
            let source = path.file_name().map(|name| from.join(name)).unwrap_or_default();
            let is_same_kind = source.symlink_metadata().is_ok_and(|source| {
                path.symlink_metadata().is_ok_and(|target| target.file_type() == source.file_type())
            });
            if !is_same_kind {
                remove(&path)?;
            }
        }
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            let kind = entry.file_type()?;
            if kind.is_dir() && target.is_dir() {
                self.directory(&source, &target)?;
            } else if kind.is_dir() {
                copy::tree(&source, &target, &|_| false)?;
            } else if kind.is_file() {
                self.file(&source, &target)?;
            }
        }
        Ok(())
    }

    fn file(&self, from: &Path, to: &Path) -> io::Result<()> {
        let wanted = fs::metadata(from)?;
        match fs::symlink_metadata(to) {
            Ok(found) if (found.ctime(), found.ctime_nsec()) < self.made => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return copy::file(from, to);
            }
            Err(error) => return Err(error),
        }
        // Writing into the old file is cheaper than making a new inode.
        let mut target = File::options().write(true).truncate(true).open(to)?;
        io::copy(&mut File::open(from)?, &mut target)?;
        fs::set_permissions(to, wanted.permissions())
    }
}

fn remove(path: &PathBuf) -> io::Result<()> {
    match path.symlink_metadata()?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::Duration;

    use super::*;
    use crate::engine::native::NativeEnvironment;

    fn store(root: &Path) -> Store {
        let environment = NativeEnvironment {
            bin_dir: None,
            path: None,
            home: Some(root.to_owned()),
            data_dir: root.join("data"),
            runtime_dir: None,
        };
        // The tests rename files, so the store has to be on the file system of `root`. Root's
        // stores may be on another one.
        let mut store = Store::new(&environment).unwrap();
        store.root = root.join("store");
        store
    }

    fn contents(directory: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
        let mut all = Vec::new();
        for entry in fs::read_dir(directory).unwrap().flatten() {
            let mode = entry.metadata().unwrap().permissions().mode();
            let text = fs::read(entry.path()).unwrap_or_default();
            all.push((entry.file_name().into(), mode, text));
            if entry.file_type().unwrap().is_dir() {
                all.extend(contents(&entry.path()));
            }
        }
        all.sort();
        all
    }

    #[test]
    fn whatever_was_done_to_a_copy_it_is_the_same_again() {
        let root = tempfile::tempdir().unwrap();
        let store = store(root.path());
        let (golden, place) = (root.path().join("3d37bd"), root.path().join("g0"));
        for directory in ["base/1", "pg_wal", "global"] {
            fs::create_dir_all(golden.join(DATA).join(directory)).unwrap();
        }
        for (file, text) in [("base/1/10", "ten"), ("base/1/11", ""), ("global/pg_control", "c")] {
            fs::write(golden.join(DATA).join(file), text).unwrap();
        }
        fs::create_dir(&place).unwrap();
        assert!(!take(&store, &golden, &place));
        copy::tree(&golden.join(DATA), &place.join(DATA), &|_| false).unwrap();
        mark(&golden, &place).unwrap();
        let wanted = contents(&golden.join(DATA));
        for round in 0..3 {
            std::thread::sleep(Duration::from_millis(20));
            let data = place.join(DATA);
            // One change of each sort: same size, longer, shorter, deleted, new, another kind,
            // another mode.
            fs::write(data.join("base/1/10"), "TEN").unwrap();
            fs::write(data.join("base/1/11"), "eleven").unwrap();
            match round {
                0 => fs::remove_dir_all(data.join("base")).unwrap(),
                1 => fs::set_permissions(data.join("base/1/10"), PermissionsExt::from_mode(0o600))
                    .unwrap(),
                _ => {
                    fs::remove_file(data.join("global/pg_control")).unwrap();
                    fs::create_dir(data.join("global/pg_control")).unwrap();
                    fs::remove_dir(data.join("pg_wal")).unwrap();
                    symlink("/nowhere", data.join("pg_wal")).unwrap();
                }
            }
            fs::create_dir(data.join("base2")).unwrap();
            fs::write(data.join("postmaster.pid"), "1").unwrap();
            give_back(&store, &golden, &place).unwrap();
            assert!(!place.join(DATA).exists());
            assert!(take(&store, &golden, &place));
            assert_eq!(contents(&place.join(DATA)), wanted, "{round}");
        }
        // A copy from before a start of the machine is not used.
        give_back(&store, &golden, &place).unwrap();
        let entry = fs::read_dir(store.pool()).unwrap().flatten().next().unwrap().path();
        fs::write(entry.join(MADE), "another boot").unwrap();
        assert!(!take(&store, &golden, &place));
    }

    #[test]
    fn a_clock_that_was_set_back_and_another_bake_make_it_useless() {
        let made = |uptime, clock, label: &str| Made {
            boot: "b".into(),
            uptime,
            clock,
            label: label.into(),
        };
        let then = made(100.0, 5000.0, "x");
        assert!(made(160.0, 5060.0, "x").follows(&then));
        assert!(made(160.0, 5059.95, "x").follows(&then), "it runs slower");
        assert!(made(160.0, 9000.0, "x").follows(&then), "everything counts as changed");
        assert!(!made(160.0, 5059.5, "x").follows(&then), "it was set back");
        assert!(!made(160.0, 1000.0, "x").follows(&then));
        assert!(!made(160.0, 5060.0, "y").follows(&then), "another bake");
    }

    #[test]
    fn no_more_than_a_few_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let store = store(root.path());
        let golden = root.path().join("3d37bd");
        fs::create_dir_all(golden.join(DATA)).unwrap();
        for number in 0..MOST + 2 {
            let place = root.path().join(number.to_string());
            fs::create_dir_all(place.join(DATA)).unwrap();
            mark(&golden, &place).unwrap();
            give_back(&store, &golden, &place).unwrap();
        }
        assert_eq!(fs::read_dir(store.pool()).unwrap().count(), MOST);
        clear(&store, &golden).unwrap();
        assert_eq!(fs::read_dir(store.pool()).unwrap().count(), 0);
    }
}
