//! Copying a data directory. Copies share the blocks of the files where the file system can do that
//! (btrfs, XFS). Elsewhere the files are read and written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::num::NonZero;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// The size of the buffer for copying: 256 KiB. Most files of a database are smaller.
const BUFFER: usize = 256 << 10;

/// The cost of making a file, as the number of bytes that could be written in the same time.
const EACH: u64 = 128 << 10;

/// The limit of threads. More threads would only wait for the journal of the file system.
const THREADS_MAX: usize = 4;

/// Tells by its relative path whether an entry is left out. Several threads call this.
pub(super) type Skip<'a> = &'a (dyn Fn(&Path) -> bool + Sync);

/// Copies the directory `from` to `to`, which must not exist. The copy keeps modes, owners and
/// symbolic links. `skip` gets each path relative to `from`; an entry that it skips is left out
/// with everything below it. A file that disappears during the copy is no error, because a running
/// server removes its temporary files. Nothing is synced; see [`sync`].
///
/// # Errors
/// The errors of the file system. An incomplete copy stays.
pub(super) fn tree(from: &Path, to: &Path, skip: Skip<'_>) -> io::Result<()> {
    let copy = Copy::new(skip);
    let mut found = Found::default();
    copy.directory(from, to, PathBuf::new(), &mut found)?;
    copy.all(&found.entries)?;
    // A mode may forbid writing, so each directory gets its mode after its contents have theirs.
    for (from, to) in found.directories.iter().rev() {
        match fs::metadata(from) {
            Err(error) if is_gone(&error, from) => {}
            metadata => {
                let metadata = metadata?;
                fs::set_permissions(to, metadata.permissions())?;
                copy.give(to, &metadata)?;
            }
        }
    }
    Ok(())
}

/// Copies one file with its mode and owner to a path that must not exist.
///
/// # Errors
/// The errors of the file system.
pub(super) fn file(from: &Path, to: &Path) -> io::Result<()> {
    Copy::new(&|_| false).file(from, to, &mut vec![0; BUFFER])
}

struct Copy<'a> {
    skip: Skip<'a>,
    /// True until the file system refuses for the first time.
    shares_blocks: AtomicBool,
    /// Only root can give files to others. Other users own both files.
    gives_owners: bool,
}

/// The directories and files to copy.
#[derive(Default)]
struct Found {
    /// Pairs of source and target. A directory comes before the directories in it.
    directories: Vec<(PathBuf, PathBuf)>,
    entries: Vec<Entry>,
}

/// A file or a symbolic link.
struct Entry {
    from: PathBuf,
    to: PathBuf,
    relative: PathBuf,
    is_link: bool,
    bytes: u64,
}

impl<'a> Copy<'a> {
    fn new(skip: Skip<'a>) -> Self {
        let gives_owners = rustix::process::geteuid().is_root();
        Copy { skip, shares_blocks: AtomicBool::new(true), gives_owners }
    }

    /// Makes the directories and collects the files to copy into them.
    fn directory(
        &self,
        from: &Path,
        to: &Path,
        relative: PathBuf,
        found: &mut Found,
    ) -> io::Result<()> {
        fs::create_dir(to)?;
        found.directories.push((from.to_owned(), to.to_owned()));
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let (from, to) = (entry.path(), to.join(entry.file_name()));
            let relative = relative.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() && !(self.skip)(&relative) {
                match self.directory(&from, &to, relative, found) {
                    Err(error) if is_gone(&error, &from) => {}
                    done => done?,
                }
            } else if kind.is_file() || kind.is_symlink() {
                // The size of a file that is gone does not matter: the copy passes over it later.
                let bytes = entry.metadata().map_or(0, |found| found.len());
                let is_link = kind.is_symlink();
                found.entries.push(Entry { from, to, relative, is_link, bytes });
            }
        }
        Ok(())
    }

    /// Copies on several threads, each with directories of its own if possible. Making a file takes
    /// longer than writing it, and the file system locks the directory meanwhile.
    fn all(&self, entries: &[Entry]) -> io::Result<()> {
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX);
        let failed = AtomicBool::new(false);
        let work = |part: &[Entry]| {
            let mut buffer = vec![0; BUFFER];
            for entry in part {
                if failed.load(Ordering::Relaxed) {
                    break;
                }
                match self.entry(entry, &mut buffer) {
                    Err(error) if is_gone(&error, &entry.from) => {}
                    done => done.inspect_err(|_| failed.store(true, Ordering::Relaxed))?,
                }
            }
            Ok(())
        };
        let work = &work;
        thread::scope(|scope| {
            let parts = parts(entries, threads).into_iter();
            let workers: Vec<_> = parts.map(|part| scope.spawn(move || work(part))).collect();
            let panicked = |_| Err(io::Error::other("a thread that copied ended early"));
            workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(panicked))
        })
    }

    fn entry(&self, entry: &Entry, buffer: &mut [u8]) -> io::Result<()> {
        let Entry { from, to, relative, is_link, .. } = entry;
        if (self.skip)(relative) {
            return Ok(());
        }
        if *is_link {
            symlink(fs::read_link(from)?, to)?;
            return self.give(to, &fs::symlink_metadata(from)?);
        }
        self.file(from, to, buffer)
    }

    /// Copies one file. `fs::copy` is not used: on ext4 the kernel's `copy_file_range` takes five
    /// times as long for a thousand small files as reading and writing them.
    fn file(&self, from: &Path, to: &Path, buffer: &mut [u8]) -> io::Result<()> {
        let mut source = File::open(from)?;
        let metadata = source.metadata()?;
        let mode = metadata.permissions().mode() & 0o7777;
        let mut target = OpenOptions::new().write(true).create_new(true).mode(mode).open(to)?;
        let is_shared =
            self.shares_blocks.load(Ordering::Relaxed) && share_blocks(&source, &target)?;
        if !is_shared {
            self.shares_blocks.store(false, Ordering::Relaxed);
            loop {
                match source.read(buffer)? {
                    0 => break,
                    length => target.write_all(&buffer[..length])?,
                }
            }
        }
        if self.gives_owners {
            std::os::unix::fs::fchown(&target, Some(metadata.uid()), Some(metadata.gid()))?;
        }
        Ok(())
    }

    fn give(&self, to: &Path, of: &fs::Metadata) -> io::Result<()> {
        match self.gives_owners {
            true => std::os::unix::fs::lchown(to, Some(of.uid()), Some(of.gid())),
            false => Ok(()),
        }
    }
}

/// Splits the entries into parts of about equal cost. Each part contains neighbours.
fn parts(entries: &[Entry], number: usize) -> Vec<&[Entry]> {
    let cost = |entries: &[Entry]| entries.iter().map(|entry| entry.bytes + EACH).sum::<u64>();
    let (mut parts, mut rest) = (Vec::new(), entries);
    for left in (1..=number as u64).rev() {
        let share = cost(rest) / left;
        let mut taken = 0;
        let is_within = |entry: &&Entry| {
            taken += entry.bytes + EACH;
            taken <= share
        };
        let end = rest.iter().take_while(is_within).count();
        let (part, others) = rest.split_at(if left == 1 { rest.len() } else { end });
        parts.push(part);
        rest = others;
    }
    parts
}

/// Whether the error means that the file does not exist any more.
fn is_gone(error: &io::Error, from: &Path) -> bool {
    error.kind() == io::ErrorKind::NotFound && from.symlink_metadata().is_err()
}

/// Makes `target` share the blocks of `source`. False when the file system cannot do that.
#[cfg(target_os = "linux")]
fn share_blocks(source: &File, target: &File) -> io::Result<bool> {
    use rustix::io::Errno;
    match rustix::fs::ioctl_ficlone(target, source) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::XDEV | Errno::INVAL | Errno::NOSYS) => {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Without the call of Linux, the files are read and written.
#[cfg(not(target_os = "linux"))]
fn share_blocks(_source: &File, _target: &File) -> io::Result<bool> {
    Ok(false)
}

/// The sum of the file sizes in a directory and below it, in bytes.
///
/// # Errors
/// The errors of the file system.
pub(super) fn size(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { size(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

/// Waits until the disk has everything that was written to the file system of `path`. One call
/// takes a fraction of the time of syncing a thousand files.
///
/// # Errors
/// The errors of the file system.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    let file = fs::File::open(path)?;
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(&file)?;
    #[cfg(not(target_os = "linux"))]
    file.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_everything_but_what_is_skipped() {
        let home = tempfile::tempdir().unwrap();
        let from = home.path().join("from");
        fs::create_dir_all(from.join("base/1")).unwrap();
        fs::write(from.join("base/1/16384"), vec![7; 100_000]).unwrap();
        fs::write(from.join("postmaster.pid"), "1").unwrap();
        symlink("/elsewhere", from.join("link")).unwrap();
        fs::set_permissions(&from, fs::Permissions::from_mode(0o700)).unwrap();
        let to = home.path().join("to");
        tree(&from, &to, &|path| path == Path::new("postmaster.pid")).unwrap();
        assert_eq!(fs::read(to.join("base/1/16384")).unwrap(), vec![7; 100_000]);
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("/elsewhere"));
        assert!(!to.join("postmaster.pid").exists());
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o700);
        sync(&to).unwrap();
        assert!(tree(&from, &to, &|_| false).is_err(), "a copy never goes over another");
    }

    #[test]
    fn parts_are_all_of_it_and_cost_alike() {
        let entry = |bytes| Entry {
            from: PathBuf::new(),
            to: PathBuf::new(),
            relative: PathBuf::new(),
            is_link: false,
            bytes,
        };
        for number in 1..=4 {
            for count in 0..40 {
                let entries: Vec<Entry> = (0..count).map(|n| entry(n * 1000)).collect();
                let parts = parts(&entries, number);
                assert_eq!(parts.len(), number);
                assert_eq!(parts.iter().map(|part| part.len()).sum::<usize>(), entries.len());
            }
        }
        // One big table beside many small files gets a thread of its own.
        let mut entries: Vec<Entry> = (0..800).map(|_| entry(8192)).collect();
        entries.push(entry(110 << 20));
        let lengths: Vec<usize> = parts(&entries, 2).iter().map(|part| part.len()).collect();
        assert!((750..=800).contains(&lengths[0]), "{lengths:?}");
    }
}
