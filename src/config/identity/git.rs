//! Finds the git directory of a checkout as git does (gitrepository-layout(5)), without running
//! git.

use std::fs;
use std::path::{Path, PathBuf};

/// What git knows of a directory.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// It is in a checkout.
    Checkout {
        /// The top directory.
        work_tree: PathBuf,
        /// The git directory. That of a worktree is below `worktrees/`.
        git_dir: PathBuf,
    },
    /// It is in a worktree or a submodule whose git directory is not where `.git` says, because the
    /// main checkout was moved or is not mounted here.
    Lost {
        /// The git directory that `.git` names.
        git_dir: PathBuf,
    },
    /// It is in no checkout.
    Nothing,
}

/// The checkout that `directory` (canonical) is in.
pub fn find(directory: &Path) -> Found {
    let found = directory.ancestors().find_map(|above| match git_dir(&above.join(".git"))? {
        Ok(git_dir) => Some(Found::Checkout { work_tree: above.to_owned(), git_dir }),
        Err(git_dir) => Some(Found::Lost { git_dir }),
    });
    found.unwrap_or(Found::Nothing)
}

/// `.git` is the git directory itself, or a file that names it: `gitdir: <path>`. The path when it
/// names one that is not there.
fn git_dir(dot_git: &Path) -> Option<Result<PathBuf, PathBuf>> {
    // Every git directory has a HEAD; another directory may be called `.git` too.
    let has_head = |directory: &Path| directory.join("HEAD").symlink_metadata().is_ok();
    if dot_git.metadata().ok()?.is_dir() {
        return has_head(dot_git).then(|| dot_git.canonicalize().ok()).flatten().map(Ok);
    }
    let text = fs::read_to_string(dot_git).ok()?;
    let path = text.strip_prefix("gitdir:")?.trim_start().trim_end_matches(['\n', '\r']);
    let named = dot_git.parent()?.join(path);
    match named.canonicalize().ok().filter(|named| has_head(named)) {
        Some(git_dir) => Some(Ok(git_dir)),
        None => Some(Err(named)),
    }
}

/// The git directory that a checkout shares with the other worktrees of its repository.
pub fn repository(git_dir: &Path) -> PathBuf {
    let above = git_dir.parent().filter(|above| above.ends_with("worktrees"));
    above.and_then(Path::parent).unwrap_or(git_dir).to_owned()
}

/// Whether a repository has worktrees only, and no checkout beside its git directory.
pub fn is_bare(repository: &Path) -> bool {
    let config = fs::read_to_string(repository.join("config")).unwrap_or_default();
    config.lines().any(|line| line.split_whitespace().collect::<String>() == "bare=true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_and_files_that_name_them() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a/.git")).unwrap();
        fs::create_dir_all(root.join("a/sub/deep")).unwrap();
        assert_eq!(find(&root.join("a/sub")), Found::Nothing, "no HEAD");
        fs::write(root.join("a/.git/HEAD"), "ref: refs/heads/main\n").unwrap();
        let checkout = Found::Checkout { work_tree: root.join("a"), git_dir: root.join("a/.git") };
        assert_eq!(find(&root.join("a/sub/deep")), checkout);
        fs::create_dir(root.join("w")).unwrap();
        fs::write(root.join("w/.git"), "gitdir: ../a/.git\r\n").unwrap();
        let checkout = Found::Checkout { work_tree: root.join("w"), git_dir: root.join("a/.git") };
        assert_eq!(find(&root.join("w")), checkout);
        fs::write(root.join("w/.git"), "gitdir: ../gone\n").unwrap();
        assert_eq!(find(&root.join("w")), Found::Lost { git_dir: root.join("w/../gone") });
    }
}
