//! Private files and directories, written atomically.
//!
//! Every file is first written in full under another name in the same directory, then synced, then
//! renamed. The directory is synced last, because a crash may otherwise undo the rename. If that
//! last sync fails, devdb only warns: the new text already stands, and a caller who was told of a
//! failure would act as if the old text still did.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Kind, Result, ResultExt};

/// The end of a draft's name. A sweep may remove every file that ends so while it holds the lock
/// of the file's writers.
pub const DRAFT: &str = ".draft";

/// Makes a directory with mode 0700, and those above it that are missing. A directory that exists
/// keeps its mode.
///
/// # Errors
/// `Config` when it cannot be made.
pub fn private_directory(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .or_fail(Kind::Config, || format!("cannot create devdb's directory {}", path.display()))
        .map_err(|error| error.hint("DEVDB_DATA_DIR=/another/directory devdb …"))
}

/// Writes a file with mode 0600 in place of the old one. All writers of the file hold the same
/// lock, so they can share one name for the draft: what a killed writer left is overwritten by the
/// next one. Use [`Draft`] where there is no such lock.
///
/// # Errors
/// The file system's own. The old file is then unchanged.
pub fn replace(file: &Path, text: &[u8]) -> io::Result<()> {
    let draft = draft_of(file);
    let write = || {
        let mut opened =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        opened.write_all(text)?;
        opened.sync_all()?;
        std::fs::rename(&draft, file)
    };
    // The draft is useless now; the next writer overwrites it if it cannot be removed.
    write().inspect_err(|_| drop(std::fs::remove_file(&draft)))?;
    settle(file);
    Ok(())
}

/// The draft that [`replace`] writes first.
pub fn draft_of(file: &Path) -> PathBuf {
    let mut draft = file.as_os_str().to_owned();
    draft.push(DRAFT);
    draft.into()
}

/// The complete text of a file under a name of its own, in the directory of the file. Writers need
/// no lock. A draft that is dropped is removed.
#[derive(Debug)]
pub struct Draft<'a> {
    target: &'a Path,
    file: NamedTempFile,
}

impl<'a> Draft<'a> {
    /// Writes `text` beside `target`, with mode 0600.
    ///
    /// # Errors
    /// The file system's own.
    pub fn new(target: &'a Path, text: &[u8]) -> io::Result<Self> {
        let mut file = NamedTempFile::new_in(parent(target))?;
        file.write_all(text)?;
        Ok(Draft { target, file })
    }

    /// Gives the file another mode than 0600.
    ///
    /// # Errors
    /// The file system's own.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.file.as_file().set_permissions(Permissions::from_mode(mode))
    }

    /// Gives the file to another user and group, where the file system and the user's rights allow
    /// it: only root may give a file away.
    pub fn try_set_owner(&self, user: u32, group: u32) {
        drop(std::os::unix::fs::chown(self.file.path(), Some(user), Some(group)));
    }

    /// Puts the draft in the place of the target.
    ///
    /// # Errors
    /// The file system's own. The old file is then unchanged.
    pub fn replace(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        self.file.persist(self.target).map_err(|error| error.error)?;
        settle(self.target);
        Ok(())
    }

    /// Puts the draft where the target will be, unless a file is there.
    ///
    /// # Errors
    /// `AlreadyExists` when a file is there; it is unchanged. Otherwise the file system's own.
    pub fn create(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        self.file.persist_noclobber(self.target).map_err(|error| error.error)?;
        settle(self.target);
        Ok(())
    }
}

/// Syncs the directory that holds `file`, so that the file's name outlives a crash.
///
/// # Errors
/// The file system's own.
pub fn sync_parent(file: &Path) -> io::Result<()> {
    File::open(parent(file))?.sync_all()
}

/// The directory that a path is in: `.` for a bare name.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

fn settle(file: &Path) {
    if let Err(error) = sync_parent(file) {
        tracing::warn!("{} may not outlive a crash: {error}", file.display());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_is_private() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("a b/c");
        private_directory(&directory).unwrap();
        assert_eq!((mode(&directory), mode(directory.parent().unwrap())), (0o700, 0o700));
        let file = directory.join("record.json");
        fs::write(draft_of(&file), "a longer text that a killed writer left").unwrap();
        replace(&file, b"old").unwrap();
        replace(&file, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "a draft is left");
        let other = directory.join("other.json");
        replace(&other, b"x").unwrap();
        assert_eq!(mode(&other), 0o600);
    }

    #[test]
    fn a_failure_leaves_the_old_file_and_no_draft() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("record.json");
        fs::create_dir(&directory).unwrap();
        assert!(replace(&directory, b"new").is_err());
        assert!(Draft::new(&directory, b"new").unwrap().replace().is_err());
        assert!(directory.is_dir());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "a draft is left");
    }

    #[test]
    fn of_two_writers_without_a_lock_the_first_wins() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("id.json");
        let (first, second) = (Draft::new(&file, b"1").unwrap(), Draft::new(&file, b"2").unwrap());
        first.set_mode(0o644).unwrap();
        first.create().unwrap();
        assert_eq!(second.create().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((fs::read(&file).unwrap().as_slice(), mode(&file)), (b"1".as_slice(), 0o644));
        Draft::new(&file, b"3").unwrap().replace().unwrap();
        assert_eq!((fs::read(&file).unwrap().as_slice(), mode(&file)), (b"3".as_slice(), 0o600));
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "a draft is left");
    }
}
