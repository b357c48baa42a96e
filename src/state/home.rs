//! The place of a project, and whether its directory is gone or only not mounted.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The place of a project, and the id of its checkout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// Its directory.
    pub directory: PathBuf,
    /// Where the file system with that directory is mounted. When it is not mounted, the project
    /// may still exist although devdb cannot see it.
    pub mount: PathBuf,
    /// The checkout's own id. Another checkout may take its place in the directory.
    pub checkout: String,
}

/// What devdb sees of a project's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It exists, or devdb may not look.
    There,
    /// The file system that it was on is not mounted.
    NotMounted,
    /// It does not exist.
    Gone,
}

impl Home {
    /// The home of a project in this directory, whose checkout has this id.
    pub fn of(directory: &Path, checkout: &str) -> Home {
        let mount = directory.ancestors().find(|path| is_mounted(path)).unwrap_or(directory);
        Home {
            directory: directory.to_owned(),
            mount: mount.to_owned(),
            checkout: checkout.to_owned(),
        }
    }

    /// Looks for the directory.
    pub fn presence(&self) -> Presence {
        match self.directory.symlink_metadata() {
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                if is_mounted(&self.mount) {
                    Presence::Gone
                } else {
                    Presence::NotMounted
                }
            }
            _ => Presence::There,
        }
    }
}

/// Whether a file system is mounted here. Its device then differs from the parent directory's.
fn is_mounted(path: &Path) -> bool {
    let Some(above) = path.parent() else { return true };
    match (path.metadata(), above.metadata()) {
        (Ok(here), Ok(above)) => here.dev() != above.dev(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_directory_is_gone_and_one_on_a_missing_disk_is_not() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("a b/shop");
        std::fs::create_dir_all(&directory).unwrap();
        let home = Home::of(&directory, "id");
        assert!(directory.starts_with(&home.mount));
        assert_eq!(home.presence(), Presence::There);
        std::fs::remove_dir(&directory).unwrap();
        assert_eq!(home.presence(), Presence::Gone);

        // The file system is not mounted any more, and its mount point may be gone too.
        let disk = root.path().join("disk");
        let home = Home { directory: disk.join("shop"), mount: disk.clone(), ..home };
        assert_eq!(home.presence(), Presence::NotMounted);
        std::fs::create_dir(&disk).unwrap();
        assert_eq!(home.presence(), Presence::NotMounted);
    }
}
