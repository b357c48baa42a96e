//! Notes what devdb found out about seed files, so that a command that needs only their checksums
//! does not read and parse them again. `devdb up` and `devdb status` run a hundred times a day, and
//! a seed file may have megabytes.
//!
//! A note holds for a file whose size, times and inode are as they were. As in git's index, a file
//! that changed just before devdb read it is not noted: within the resolution of the clock a later
//! change would not show.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::SeedFile;
use crate::disk::{self, Draft, sealed};

/// The version of the notes' layout. Change it, too, when devdb checks seeds in another way.
const SCHEMA: u32 = 1;

/// How long a file must have been unchanged when devdb reads it. The times of some file systems
/// have a resolution of 2 seconds.
const SETTLED: Duration = Duration::from_secs(2);

/// What devdb noted about the seed files of one directory and profile.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Known {
    schema: u32,
    /// By the path of the file.
    files: BTreeMap<PathBuf, Note>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    stat: Stat,
    file: SeedFile,
}

/// What the file system says about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stat {
    device: u64,
    inode: u64,
    size: u64,
    /// In nanoseconds since 1970.
    modified: i128,
    /// When the inode changed, in nanoseconds since 1970. No program can set it.
    changed: i128,
}

impl Stat {
    /// Asks the file system. None when the file cannot be found.
    pub fn of(path: &Path) -> Option<Stat> {
        let metadata = std::fs::metadata(path).ok()?;
        let nanoseconds =
            |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Some(Stat {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// Whether a change after `now` would show.
    fn is_settled(self, now: SystemTime) -> bool {
        let Ok(now) = now.duration_since(SystemTime::UNIX_EPOCH) else { return false };
        let limit = now.saturating_sub(SETTLED).as_nanos();
        i128::try_from(limit).is_ok_and(|limit| self.modified.max(self.changed) < limit)
    }
}

/// What the file system says about files before devdb reads them.
pub(super) struct Stats(Vec<(PathBuf, Option<Stat>)>);

impl Stats {
    /// Asks the file system about these files, which devdb begins to read at `now`.
    pub fn of(paths: Vec<PathBuf>, now: SystemTime) -> Stats {
        let stat = |path: &PathBuf| Stat::of(path).filter(|stat| stat.is_settled(now));
        Stats(
            paths
                .into_iter()
                .map(|path| (stat(&path), path))
                .map(|(stat, path)| (path, stat))
                .collect(),
        )
    }
}

impl Known {
    /// Reads the notes. None when there are none that this devdb can use.
    pub fn read(notes: &Path) -> Option<Known> {
        let text = std::fs::read(notes).ok()?;
        sealed::open::<Known>(&text, SCHEMA).ok().filter(|known| known.schema == SCHEMA)
    }

    /// What is known about files that are all unchanged. None when one of them is not known.
    pub fn all(&self, paths: &[PathBuf]) -> Option<Vec<SeedFile>> {
        let known = |path: &PathBuf| {
            let note = self.files.get(path)?;
            (Stat::of(path)? == note.stat).then(|| note.file.clone())
        };
        paths.iter().map(known).collect()
    }

    /// Notes what devdb found out about all files of a directory, in the order of `stats`. Without
    /// the notes devdb checks the files again, so a failure is no error.
    pub fn note(notes: &Path, stats: Stats, files: &[SeedFile]) {
        let note = |((path, stat), file): ((PathBuf, Option<Stat>), &SeedFile)| {
            Some((path, Note { stat: stat?, file: file.clone() }))
        };
        // One file that is not known makes devdb read all of them.
        let Some(files) = stats.0.into_iter().zip(files).map(note).collect() else { return };
        let write = || {
            disk::private_directory(disk::parent(notes)).ok()?;
            let text = sealed::to_text(&Known { schema: SCHEMA, files }).ok()?;
            Draft::new(notes, &text).ok()?.replace().ok()
        };
        if write().is_none() {
            tracing::debug!("the notes about seed files could not be written");
        }
    }
}
