//! Making and deleting directories in steps that may be interrupted at any point. A directory that
//! is being made or removed has a name that no other code reads.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use super::account;
use crate::error::{Kind, Result, ResultExt};

/// The prefix of a directory that is being removed.
pub(super) const TRASH: &str = ".trash-";

/// The prefix of a directory that is being made.
pub(super) const NEW: &str = ".new-";

/// The sorted names in a directory. Empty when the directory does not exist.
pub(super) fn names(directory: &Path) -> Result<Vec<String>> {
    let mut names: Vec<String> = match fs::read_dir(directory) {
        Ok(entries) => entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect(),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Vec::new()
        }
        Err(error) => {
            return Err(error)
                .or_fail(Kind::Unexpected, || format!("cannot read {}", directory.display()));
        }
    };
    names.sort_unstable();
    Ok(names)
}

/// Makes a directory with exactly this mode. Does nothing when the directory exists.
///
/// # Errors
/// `Unexpected` when it cannot be made.
pub(super) fn make(directory: &Path, mode: u32) -> Result<()> {
    let made = match DirBuilder::new().mode(mode).create(directory) {
        // The umask must not take away a permission that the account of the servers needs.
        Ok(()) => fs::set_permissions(directory, Permissions::from_mode(mode)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
        Err(error) => Err(error),
    };
    made.or_fail(Kind::Unexpected, || format!("cannot make the directory {}", directory.display()))
}

/// Gives a file or directory to the account that servers run under.
///
/// # Errors
/// `Unexpected` when the file system refuses.
pub(super) fn give(path: &Path, account: account::Account) -> Result<()> {
    account.own(path).or_fail(Kind::Unexpected, || {
        format!("cannot give {} to the user that the server runs as", path.display())
    })
}

/// Deletes the leftovers of interrupted removals and creations. The caller holds the lock of the
/// instance or of the golden states, so no other process works on it. A later sweep deletes what
/// this one cannot delete.
pub(super) fn sweep(parent: &Path) {
    for name in names(parent).unwrap_or_default().into_iter().filter(is_left) {
        let _ = delete(&parent.join(name));
    }
}

/// Whether the directory has work for [`sweep`], or another process is making or removing
/// something.
pub(super) fn has_left(parent: &Path) -> bool {
    names(parent).unwrap_or_default().iter().any(is_left)
}

#[expect(clippy::ptr_arg, reason = "for iterators over names")]
pub(super) fn is_left(name: &String) -> bool {
    name.starts_with(TRASH) || name.starts_with(NEW)
}

/// Sweeps a directory that no other process works in.
///
/// # Errors
/// `Unexpected` when the directory cannot be read.
pub(super) fn sweep_in(directory: &Path) -> Result<()> {
    names(directory)?;
    sweep(directory);
    Ok(())
}

/// Deletes a directory. A process that is just ending may still write to it, so this tries again
/// for a second.
pub(super) fn delete(directory: &Path) -> io::Result<()> {
    let mut tries = 0;
    loop {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && tries < 20 => {
                tries += 1;
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            done => return done,
        }
    }
}
