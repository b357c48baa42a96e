//! Copies of golden states that ephemeral servers have used, kept for the next one. A new copy means
//! that more than a thousand files are made and later deleted. Restoring a used copy only rewrites the
//! files that were changed.
//!
//! ```text
//! <root>/pool/<name of the golden state>-<uuid>/
//!     pgdata/                     the same as the golden state's
//!     made                        when it became that, under which boot of the machine, of which bake
//! ```
//!
//! A file has changed when its inode has (`ctime`). No program can set that time, but it comes from
//! the machine's clock, so a copy is of no use after the clock was set back. Nothing is synced, so a
//! copy is of no use after the machine was started again.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::copy;
use super::directory::names;
use super::golden::LABEL;
use super::store::Store;

/// How many copies are kept, of all golden states together.
const MOST: usize = 4;

const MADE: &str = "made";

const DATA: &str = "pgdata";

/// What a copy is called on its way into the pool and out of it.
const WAY: &str = "pooled";

/// Takes a copy of the golden state `golden` out of the pool into `place`. False when there is
/// none.
pub(super) fn take(store: &Store, golden: &Path, place: &Path) -> bool {
    let Some(prefix) = prefix(golden) else { return false };
    let pool = store.pool();
    let entries = names(&pool).unwrap_or_default();
    entries.iter().filter(|name| name.starts_with(&prefix)).any(|name| {
        // Whoever renames it has it.
        let mine = place.join(WAY);
        let taken = fs::rename(pool.join(name), &mine).is_ok()
            && Made::is_good(&mine, golden)
            && fs::rename(mine.join(DATA), place.join(DATA)).is_ok()
            && fs::rename(mine.join(MADE), place.join(MADE)).is_ok();
        // Empty, or not to be used.
        let _ = fs::remove_dir_all(&mine);
        taken
    })
}

/// Notes that the data in `place` is the same as its golden state's from now on.
///
/// # Errors
/// The file system's own.
pub(super) fn mark(golden: &Path, place: &Path) -> io::Result<()> {
    fs::write(place.join(MADE), serde_json::to_vec(&Made::now(golden)?)?)
}

/// Makes the data in `place` the same as in `golden` again and puts it into the pool. The server
/// has ended.
///
/// # Errors
/// The file system's own; what is in `place` is then of no use. Also when it was never marked.
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
        // Baked again while it was copied from.
        return Err(io::ErrorKind::Unsupported.into());
    }
    mark(golden, place)?;
    store.make_directory(&pool).map_err(io::Error::other)?;
    let whole = place.join(WAY);
    fs::create_dir(&whole)?;
    fs::rename(place.join(MADE), whole.join(MADE))?;
    fs::rename(place.join(DATA), whole.join(DATA))?;
    // It is there as a whole or not at all.
    fs::rename(whole, pool.join(format!("{prefix}{}", uuid::Uuid::new_v4().simple())))
}

/// Removes what is of a golden state that goes, or of all.
///
/// # Errors
/// The file system's own.
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

/// Removes the copy that has waited longest.
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

/// What has to be so for the time of a copy to mean anything.
#[derive(Serialize, Deserialize)]
struct Made {
    /// Which start of the machine it was; nothing but Linux tells, and nothing is pooled elsewhere.
    boot: String,
    /// Seconds since then, which no clock changes.
    uptime: f64,
    /// Seconds of the clock.
    clock: f64,
    /// The label of the golden state: another bake of the same state has other files.
    label: String,
}

impl Made {
    /// How much a clock that is only made to run slower loses of a second: the kernel's limit is half
    /// of it.
    const SLOWER: f64 = 0.001;
    /// As exact as `/proc/uptime` is, in seconds, twice. A server takes longer to start.
    const INEXACT: f64 = 0.02;

    fn now(golden: &Path) -> io::Result<Made> {
        let uptime = fs::read_to_string("/proc/uptime")?;
        let seconds = uptime.split_whitespace().next().and_then(|first| first.parse().ok());
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        Ok(Made {
            boot: fs::read_to_string("/proc/sys/kernel/random/boot_id")?,
            uptime: seconds.ok_or(io::ErrorKind::InvalidData)?,
            clock: clock.as_secs_f64(),
            label: fs::read_to_string(golden.join(LABEL)).unwrap_or_default(),
        })
    }

    /// Whether what was changed in `place` since it was made can be told.
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
    /// Seconds and nanoseconds. What was changed in the same moment counts as changed later.
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
        // In place: its inode is what is dear.
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
        // Not where root's stores are: that can be another file system, and files are renamed.
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
            // Same size, more, less, gone, new, another kind, another mode.
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
        // After another start of the machine it counts for nothing.
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
