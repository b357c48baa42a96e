//! Copying a data directory: the files share their blocks where the file system can do that
//! (btrfs, XFS), and are read and written elsewhere.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;

/// Most files of a database are smaller.
const BUFFER: usize = 256 << 10;

/// Copies the directory `from` to `to`, which must not exist: modes and owners too, and symbolic
/// links as links. `skip` is asked for each path relative to `from`; what it skips is not copied,
/// nor what is below it. A file that disappears meanwhile is passed over: a running server's
/// temporary files do. Nothing is synced; see [`sync`].
///
/// # Errors
/// The file system's own. What was copied by then stays.
pub(super) fn tree(from: &Path, to: &Path, skip: &dyn Fn(&Path) -> bool) -> io::Result<()> {
    let mut copy = Copy {
        skip,
        shares_blocks: true,
        gives_owners: rustix::process::geteuid().is_root(),
        buffer: vec![0; BUFFER],
    };
    copy.directory(from, to, Path::new(""))
}

/// Copies one file, which must not exist there: mode and owner too.
///
/// # Errors
/// The file system's own.
pub(super) fn file(from: &Path, to: &Path) -> io::Result<()> {
    Copy {
        skip: &|_| false,
        shares_blocks: true,
        gives_owners: rustix::process::geteuid().is_root(),
        buffer: vec![0; BUFFER],
    }
    .file(from, to)
}

struct Copy<'a> {
    skip: &'a dyn Fn(&Path) -> bool,
    /// Until the file system refuses the first time.
    shares_blocks: bool,
    /// Only root can; for others both are their own.
    gives_owners: bool,
    buffer: Vec<u8>,
}

impl Copy<'_> {
    fn directory(&mut self, from: &Path, to: &Path, relative: &Path) -> io::Result<()> {
        fs::create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let relative = relative.join(entry.file_name());
            if (self.skip)(&relative) {
                continue;
            }
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            let kind = entry.file_type()?;
            let copied = if kind.is_dir() {
                self.directory(&source, &target, &relative)
            } else if kind.is_symlink() {
                self.link(&source, &target)
            } else if kind.is_file() {
                self.file(&source, &target)
            } else {
                continue;
            };
            match copied {
                Err(error) if error.kind() == io::ErrorKind::NotFound && !source.exists() => {}
                copied => copied?,
            }
        }
        let metadata = fs::metadata(from)?;
        fs::set_permissions(to, metadata.permissions())?;
        self.give(to, &metadata)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        symlink(fs::read_link(from)?, to)?;
        self.give(to, &fs::symlink_metadata(from)?)
    }

    /// Not `fs::copy`: on ext4, the kernel's copy_file_range takes five times as long for a
    /// thousand small files as reading and writing them.
    fn file(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let mut source = File::open(from)?;
        let metadata = source.metadata()?;
        let mode = metadata.permissions().mode() & 0o7777;
        let mut target = OpenOptions::new().write(true).create_new(true).mode(mode).open(to)?;
        self.shares_blocks = self.shares_blocks && share_blocks(&source, &target)?;
        if !self.shares_blocks {
            loop {
                match source.read(&mut self.buffer)? {
                    0 => break,
                    length => target.write_all(&self.buffer[..length])?,
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

/// Makes `target` share the blocks of `source`. False where the file system has no such thing.
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

/// Elsewhere the files are read and written.
#[cfg(not(target_os = "linux"))]
fn share_blocks(_source: &File, _target: &File) -> io::Result<bool> {
    Ok(false)
}

/// Bytes of the files in a directory and below it.
///
/// # Errors
/// The file system's own.
pub(super) fn size(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { size(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

/// Waits until everything that was written to the file system of `path` is on disk. One call for a
/// thousand files takes a fraction of syncing each.
///
/// # Errors
/// The file system's own.
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
}
