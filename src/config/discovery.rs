//! Finds the project that a directory belongs to.

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};

/// The file that makes a directory a project.
pub const FILE: &str = "devdb.yaml";

/// The file with one person's own changes. git ignores it.
pub const LOCAL_FILE: &str = "devdb.local.yaml";

/// Wrong names that people give the files, with the right names.
const MISTAKES: &[(&str, &str)] = &[
    ("devdb.yml", FILE),
    (".devdb.yaml", FILE),
    (".devdb.yml", FILE),
    ("devdb.local.yml", LOCAL_FILE),
];

/// The nearest directory at or above `start` (absolute) that has a devdb.yaml.
///
/// # Errors
/// `Config` when a file on the way has nearly the right name. Otherwise devdb would ignore the file
/// and not say so.
pub fn find(start: &Path) -> Result<Option<PathBuf>> {
    for directory in start.ancestors() {
        for (wrong, right) in MISTAKES {
            let path = directory.join(wrong);
            if exists(&path) {
                return Err(Error::new(
                    Kind::Config,
                    format!("devdb does not read a file with the name {}", path.display()),
                )
                .hint(format!("mv {wrong} {right}")));
            }
        }
        // A link to a missing file counts too; reading it fails and says what is wrong.
        if exists(&directory.join(FILE)) {
            return Ok(Some(directory.to_owned()));
        }
    }
    Ok(None)
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_nearest_project_above_counts() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("a/b/c");
        fs::create_dir_all(&inner).unwrap();
        assert_eq!(find(&inner).unwrap(), None);
        fs::write(root.path().join(FILE), "").unwrap();
        assert_eq!(find(&inner).unwrap().as_deref(), Some(root.path()));
        fs::write(root.path().join("a/devdb.yaml"), "").unwrap();
        assert_eq!(find(&inner).unwrap(), Some(root.path().join("a")));
        assert_eq!(find(root.path()).unwrap().as_deref(), Some(root.path()));
    }

    #[test]
    fn a_wrong_name_is_named() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("devdb.yml"), "").unwrap();
        let error = find(root.path()).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.message().contains("devdb.yml"), "{error}");
        assert_eq!(error.hints(), ["mv devdb.yml devdb.yaml"]);
    }
}
