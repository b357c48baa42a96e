//! Copying a data directory: the files share their blocks where the file system can do that
//! (btrfs, XFS, APFS), and are copied by the kernel elsewhere.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

/// Copies the directory `from` to `to`, which must not exist: modes and owners too, and symbolic
/// links as links. `skip` is asked for each path relative to `from`; what it skips is not copied,
/// nor what is below it. A file that disappears meanwhile is passed over: a running server's
/// temporary files do. Nothing is synced; see [`sync`].
///
/// # Errors
/// The file system's own. What was copied by then stays.
pub(super) fn tree(from: &Path, to: &Path, skip: &dyn Fn(&Path) -> bool) -> io::Result<()> {
    directory(from, to, Path::new(""), skip)
}

fn directory(
    from: &Path,
    to: &Path,
    relative: &Path,
    skip: &dyn Fn(&Path) -> bool,
) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let relative = relative.join(entry.file_name());
        if skip(&relative) {
            continue;
        }
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        let copied = if kind.is_dir() {
            directory(&entry.path(), &target, &relative, skip)
        } else if kind.is_symlink() {
            fs::read_link(entry.path()).and_then(|link| symlink(link, &target))
        } else if kind.is_file() {
            // The kernel's copy_file_range, which clones where it can; `fclonefileat` on macOS.
            fs::copy(entry.path(), &target).map(drop)
        } else {
            continue;
        };
        match copied {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !entry.path().exists() => {}
            copied => {
                copied?;
                take_owner(&entry.path(), &target)?;
            }
        }
    }
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    take_owner(from, to)
}

/// Gives a copy the owner of its original. Only root can; for others both are their own.
fn take_owner(from: &Path, to: &Path) -> io::Result<()> {
    match fs::symlink_metadata(from) {
        Ok(of) if rustix::process::geteuid().is_root() => {
            std::os::unix::fs::lchown(to, Some(of.uid()), Some(of.gid()))
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
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
    use std::os::unix::fs::PermissionsExt;

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
