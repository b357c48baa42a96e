//! Finds the project that a directory belongs to.

use std::path::{Path, PathBuf};

use super::identity;
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
            return match identity::worktree_within(start, directory) {
                None => Ok(Some(directory.to_owned())),
                Some(worktree) => Err(outside(&worktree, directory)),
            };
        }
    }
    Ok(None)
}

fn outside(worktree: &Path, project: &Path) -> Error {
    Error::new(Kind::Config, format!("there is no {FILE} for the worktree {}", worktree.display()))
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

    /// A repository in `root`, with its git directory `git`, and a worktree in `trees/old`.
    fn with_worktree(root: &Path, git: &str, config: &str) -> PathBuf {
        let git = root.join(git);
        let worktree = root.join("trees/old");
        let own = git.join("worktrees/old");
        for directory in [&worktree.join("deep"), &own] {
            fs::create_dir_all(directory).unwrap();
        }
        for directory in [&git, &own] {
            fs::write(directory.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        }
        fs::write(git.join("config"), config).unwrap();
        fs::write(root.join(FILE), "").unwrap();
        fs::write(worktree.join(".git"), format!("gitdir: {}\n", own.display())).unwrap();
        worktree
    }

    #[test]
    fn a_worktree_within_a_checkout_is_no_part_of_its_project() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let worktree = with_worktree(&root, ".git", "[core]\n\tbare = false\n");
        for start in [worktree.clone(), worktree.join("deep")] {
            let error = find(&start).unwrap_err();
            assert_eq!(error.kind(), Kind::Config);
            assert!(error.message().ends_with("trees/old"), "{error}");
        }
        // A submodule is part of the project.
        let module = root.join("module");
        fs::create_dir_all(root.join(".git/modules/module")).unwrap();
        fs::write(root.join(".git/modules/module/HEAD"), "ref: refs/heads/main\n").unwrap();
        fs::create_dir(&module).unwrap();
        fs::write(module.join(".git"), "gitdir: ../.git/modules/module\n").unwrap();
        assert_eq!(find(&module).unwrap(), Some(root));
        fs::write(worktree.join(FILE), "").unwrap();
        assert_eq!(find(&worktree.join("deep")).unwrap(), Some(worktree));
    }

    /// Worktrees of a bare repository, with one devdb.yaml above them.
    #[test]
    fn a_project_above_worktrees_that_is_in_no_checkout_counts() {
        for dot_git in [None, Some("gitdir: ./.bare\n")] {
            let root = tempfile::tempdir().unwrap();
            let root = root.path().canonicalize().unwrap();
            let worktree = with_worktree(&root, ".bare", "[core]\n\tbare = true\n");
            if let Some(text) = dot_git {
                fs::write(root.join(".git"), text).unwrap();
            }
            assert_eq!(find(&worktree).unwrap(), Some(root));
        }
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
