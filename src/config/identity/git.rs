//! Finds the git directory of a checkout as git does (gitrepository-layout(5)), without running
//! git.

use std::fs;
use std::path::{Path, PathBuf};

/// A checkout.
#[derive(Debug, PartialEq, Eq)]
pub struct Checkout {
    /// Its top directory.
    pub work_tree: PathBuf,
    /// Its git directory. That of a worktree is below `worktrees/`.
    pub git_dir: PathBuf,
}

/// The checkout that `directory` (canonical) is in.
pub fn find(directory: &Path) -> Option<Checkout> {
    directory.ancestors().find_map(|above| {
        let git_dir = git_dir(&above.join(".git"))?;
        Some(Checkout { work_tree: above.to_owned(), git_dir })
    })
}

/// `.git` is the git directory itself, or a file that names it: `gitdir: <path>`.
fn git_dir(dot_git: &Path) -> Option<PathBuf> {
    let named = if dot_git.metadata().ok()?.is_dir() {
        dot_git.to_owned()
    } else {
        let text = fs::read_to_string(dot_git).ok()?;
        let path = text.strip_prefix("gitdir:")?.trim_start().trim_end_matches(['\n', '\r']);
        dot_git.parent()?.join(path)
    };
    // Every git directory has a HEAD; another directory may be called `.git` too.
    if named.join("HEAD").symlink_metadata().is_err() {
        return None;
    }
    named.canonicalize().ok()
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
        assert_eq!(find(&root.join("a/sub")), None, "no HEAD");
        fs::write(root.join("a/.git/HEAD"), "ref: refs/heads/main\n").unwrap();
        let checkout = Checkout { work_tree: root.join("a"), git_dir: root.join("a/.git") };
        assert_eq!(find(&root.join("a/sub/deep")), Some(checkout));
        fs::create_dir(root.join("w")).unwrap();
        fs::write(root.join("w/.git"), "gitdir: ../a/.git\r\n").unwrap();
        let checkout = Checkout { work_tree: root.join("w"), git_dir: root.join("a/.git") };
        assert_eq!(find(&root.join("w")), Some(checkout));
        fs::write(root.join("w/.git"), "gitdir: ../gone\n").unwrap();
        assert_eq!(find(&root.join("w")), None);
    }
}
