//! Unpacking a data directory, as the account that devdb runs under.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::entry::{Entry, What};

/// The directories that were made, with the permissions that they are to have: one that nobody may
/// write to must be filled before it is so.
#[derive(Default)]
pub(super) struct Directories(Vec<(PathBuf, u32)>);

impl Directories {
    /// Gives them their permissions, the innermost first.
    pub(super) fn restrict(self) -> io::Result<()> {
        self.0
            .into_iter()
            .rev()
            .try_for_each(|(path, mode)| fs::set_permissions(path, Permissions::from_mode(mode)))
    }
}

/// Makes one entry below `root`; nothing that is there already is ever written over.
pub(super) fn entry(
    entry: &Entry,
    content: &mut dyn Read,
    root: &Path,
    directories: &mut Directories,
) -> io::Result<()> {
    // Joining nothing would add a slash.
    let nothing = entry.path.as_os_str().is_empty();
    let at = if nothing { root.to_path_buf() } else { root.join(&entry.path) };
    match &entry.what {
        What::Directory => {
            DirBuilder::new().mode(0o700).create(&at)?;
            directories.0.push((at, entry.mode));
        }
        What::Link(target) => symlink(target, &at)?,
        What::File(_) => {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&at)?;
            io::copy(content, &mut file)?;
            file.set_permissions(Permissions::from_mode(entry.mode))?;
        }
    }
    Ok(())
}
