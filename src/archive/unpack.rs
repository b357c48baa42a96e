//! Unpacks a data directory. The user that runs devdb owns the files.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::entry::{Entry, EntryKind};

/// The new directories with their final permissions. They get them last, because devdb must be able
/// to write to a directory while it unpacks its files.
#[derive(Default)]
pub(super) struct Directories(Vec<(PathBuf, u32)>);

impl Directories {
    /// Sets the final permissions. Inner directories come first.
    pub(super) fn restrict(self) -> io::Result<()> {
        self.0
            .into_iter()
            .rev()
            .try_for_each(|(path, mode)| fs::set_permissions(path, Permissions::from_mode(mode)))
    }
}

/// Makes one entry below `root`. It never replaces a file.
pub(super) fn entry(
    entry: &Entry,
    content: &mut dyn Read,
    root: &Path,
    directories: &mut Directories,
) -> io::Result<()> {
    // Joining an empty path would add a slash.
    let is_root = entry.path.as_os_str().is_empty();
    let at = if is_root { root.to_path_buf() } else { root.join(&entry.path) };
    match &entry.kind {
        EntryKind::Directory => {
            DirBuilder::new().mode(0o700).create(&at)?;
            directories.0.push((at, entry.mode));
        }
        EntryKind::Link(target) => symlink(target, &at)?,
        EntryKind::File(_) => {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&at)?;
            io::copy(content, &mut file)?;
            file.set_permissions(Permissions::from_mode(entry.mode))?;
        }
    }
    Ok(())
}
