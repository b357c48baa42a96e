//! Finds the project that a directory belongs to.

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result, shell_word};

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
/// `Config` when a file on the way has nearly the right name, because devdb would ignore the file and
/// not say so. `Config`, too, when the nearest devdb.yaml is above the git worktree that `start` is in:
/// it belongs to another checkout, with a database of its own.
pub fn find(start: &Path) -> Result<Option<PathBuf>> {
    let mut worktree = None;
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
            return match worktree {
                None => Ok(Some(directory.to_owned())),
                Some(worktree) => Err(outside(worktree, directory)),
            };
        }
        if worktree.is_none() && is_worktree(directory) {
            worktree = Some(directory);
        }
    }
    Ok(None)
}

/// Whether this is the top directory of a worktree that `git worktree add` made: its `.git` is a file
/// that names a directory below `worktrees/` (gitrepository-layout(5)). That of a submodule does not.
fn is_worktree(directory: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(directory.join(".git")) else { return false };
    let Some(git_dir) = text.strip_prefix("gitdir:") else { return false };
    Path::new(git_dir.trim()).parent().is_some_and(|above| above.ends_with("worktrees"))
}

fn outside(worktree: &Path, project: &Path) -> Error {
    Error::new(Kind::Config, format!("the worktree {} has no {FILE}", worktree.display()))
        .because(format!(
            "the {FILE} of {} belongs to another checkout, which has a database of its own",
            project.display()
        ))
        .hint(format!(
            "devdb -C {} status   is about that database",
            shell_word(&project.to_string_lossy())
        ))
        .hint("devdb init   makes a project of this directory")
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
    fn a_worktree_within_a_project_is_no_part_of_it() {
        let root = tempfile::tempdir().unwrap();
        let worktree = root.path().join("trees/old");
        let module = root.path().join("module");
        for directory in [&worktree.join("deep"), &module] {
            fs::create_dir_all(directory).unwrap();
        }
        fs::write(root.path().join(FILE), "").unwrap();
        fs::write(worktree.join(".git"), "gitdir: /x/.git/worktrees/old\n").unwrap();
        fs::write(module.join(".git"), "gitdir: ../.git/modules/module\n").unwrap();
        for start in [worktree.clone(), worktree.join("deep")] {
            let error = find(&start).unwrap_err();
            assert_eq!(error.kind(), Kind::Config);
            assert!(error.message().ends_with("trees/old has no devdb.yaml"), "{error}");
        }
        assert_eq!(find(&module).unwrap().as_deref(), Some(root.path()));
        fs::write(worktree.join(FILE), "").unwrap();
        assert_eq!(find(&worktree.join("deep")).unwrap(), Some(worktree));
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
