//! Which branch is checked out, and which branches exist. devdb runs git to find out, because only
//! git knows every way in which it stores references.

use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::values::Problem;
use crate::spec::DETACHED;

/// Where git keeps branches.
const BRANCHES: &str = "refs/heads/";

/// The beginning of a line in git's reflog that records the renaming of a branch.
const RENAMED: &str = "Branch: renamed ";

/// The name of the instance for what is checked out in `directory`: the branch's name (even if the
/// branch has no commit yet), or [`DETACHED`] for every commit without a branch. `git bisect` and
/// `git rebase` walk over many commits, so one instance for each would be a heap of databases.
///
/// # Errors
/// When there is no repository or no git.
pub(super) fn current(directory: &Path) -> Result<String, Problem> {
    let unusable = |why: &str| Problem {
        what: format!("\"branch\" cannot be used here: {why}"),
        hint: format!(
            "{}set isolation: developer, or name the instance (--instance NAME)",
            way_out(why, directory)
        ),
    };
    // --short would print a longer name when a tag has the same name.
    let head = git(directory, &["symbolic-ref", "--quiet", "HEAD"])
        .map_err(|error| unusable(&format!("git cannot be run: {error}")))?;
    match head.status.code() {
        Some(0) => {
            let name = String::from_utf8(head.stdout)
                .map_err(|_| unusable("the branch's name is not UTF-8"))?;
            let name = name.trim_end_matches('\n');
            Ok(name.strip_prefix(BRANCHES).unwrap_or(name).to_owned())
        }
        // HEAD names a commit, not a branch.
        Some(1) => Ok(DETACHED.to_owned()),
        _ => {
            let said = String::from_utf8_lossy(&head.stderr);
            let said = said.lines().next().unwrap_or("this is not a git repository");
            Err(unusable(said.trim_start_matches("fatal: ")))
        }
    }
}

/// What makes git answer, before the other ways out.
fn way_out(why: &str, directory: &Path) -> String {
    if why.starts_with("git cannot be run") {
        "install git, or ".to_owned()
    } else if why.contains("not a git repository: ") {
        // `.git` names a git directory that is not there: git init would not help.
        "run git worktree repair in the main checkout, or ".to_owned()
    } else if why.contains("not a git repository") {
        "git init, or ".to_owned()
    } else if why.contains("dubious ownership") {
        format!("git config --global --add safe.directory '{}', or ", directory.display())
    } else {
        String::new()
    }
}

/// Whether the repository of `directory` no longer has the branch that an instance was named after,
/// or has a branch checked out when `name` is [`DETACHED`]. False when git cannot tell.
pub fn is_gone(directory: &Path, name: &str) -> bool {
    // A branch that has no commit yet exists only in HEAD.
    if current(directory).map_or(true, |current| current == name) {
        return false;
    }
    let branch = format!("{BRANCHES}{name}");
    let asked = git(directory, &["show-ref", "--verify", "--quiet", &branch]);
    name == DETACHED || asked.is_ok_and(|output| output.status.code() == Some(1))
}

/// The present name of a branch that was renamed, as far as git remembers.
pub fn later_name(directory: &Path, name: &str) -> Option<String> {
    let renamed = format!("{RENAMED}{BRANCHES}{name} to ");
    let pattern = format!("--grep-reflog={renamed}");
    let arguments =
        ["log", "--walk-reflogs", "--branches", "--fixed-strings", &pattern, "--format=%gD%x09%gs"];
    let said = git(directory, &arguments).ok()?;
    String::from_utf8_lossy(&said.stdout).lines().find_map(|line| {
        let (place, said) = line.split_once('\t')?;
        // git finds the pattern anywhere in a message; it counts only at the beginning.
        let (branch, _) = place.rsplit_once("@{")?;
        let branch = branch.strip_prefix(BRANCHES).unwrap_or(branch);
        said.starts_with(&renamed).then(|| branch.to_owned())
    })
}

/// The former names of a branch, the latest first, as far as git remembers.
pub fn former_names(directory: &Path, name: &str) -> Vec<String> {
    let branch = format!("{BRANCHES}{name}");
    let arguments = ["reflog", "show", "--format=%gs", &branch, "--"];
    let Ok(said) = git(directory, &arguments) else { return Vec::new() };
    let renamed = |line: &str| {
        let from = line.strip_prefix(RENAMED)?.split(" to ").next()?;
        Some(from.strip_prefix(BRANCHES)?.to_owned())
    };
    String::from_utf8_lossy(&said.stdout).lines().filter_map(renamed).collect()
}

/// A branch that has the file, although its directory is not there now: the directory is on another
/// branch, or left out of a sparse checkout. None when git knows no such branch.
pub fn with_file(file: &Path) -> Option<String> {
    let there = file.ancestors().skip(1).find(|above| above.is_dir())?;
    let below = file.strip_prefix(there).ok()?.to_str()?;
    let asked = git(there, &["for-each-ref", "--format=%(refname)", BRANCHES]).ok()?;
    let branches = String::from_utf8(asked.stdout).ok()?;
    let has = |branch: &&str| {
        git(there, &["ls-tree", "--name-only", branch, "--", below])
            .is_ok_and(|listed| listed.status.success() && !listed.stdout.is_empty())
    };
    let found = branches.lines().find(has)?;
    Some(found.strip_prefix(BRANCHES).unwrap_or(found).to_owned())
}

fn git(directory: &Path, arguments: &[&str]) -> io::Result<Output> {
    Command::new("git")
        // In a container the checkout often belongs to another user, and git would refuse to read
        // it. These commands only read, and without the file system monitor they run no hook.
        .args(["-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-C"])
        .arg(directory)
        .args(arguments)
        // If a git hook runs devdb, these variables point to the hook's repository.
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_COMMON_DIR")
        .env_remove("GIT_INDEX_FILE")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_fits_the_reason_why_there_is_no_branch() {
        let directory = tempfile::tempdir().unwrap();
        // A file in place of the repository, so that no repository above is found.
        std::fs::write(directory.path().join(".git"), "gitdir: /nowhere\n").unwrap();
        let hint = current(directory.path()).unwrap_err().hint;
        assert!(
            hint.starts_with("run git worktree repair in the main checkout, or set "),
            "{hint}"
        );
        for (why, begins) in [
            ("git cannot be run: No such file", "install git, or "),
            ("detected dubious ownership in repository at '/x'", "git config --global --add "),
            ("the branch's name is not UTF-8", ""),
        ] {
            assert!(way_out(why, Path::new("/x")).starts_with(begins), "{why}");
        }
        assert_eq!(way_out("the branch's name is not UTF-8", Path::new("/x")), "");
    }
}
