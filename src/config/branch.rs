//! Which branch a checkout is on, and whether git still has one: asked of git itself, which knows
//! every way to store references.

use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::values::Problem;

/// Where git keeps branches.
const BRANCHES: &str = "refs/heads/";

/// How git's log of a branch begins what it says of a renaming.
const RENAMED: &str = "Branch: renamed ";

/// How the instance of a checkout without a branch is called: this, and 12 digits of the commit.
const DETACHED: &str = "detached-";

/// The name of the instance for what is checked out in `directory`: the branch's own (also of one
/// without a commit yet), or `detached-<12 digits of the commit>`.
///
/// # Errors
/// When git cannot tell: no repository, no git.
pub(super) fn current(directory: &Path) -> Result<String, Problem> {
    let unusable = |why: &str| Problem {
        what: format!("\"branch\" cannot be used here: {why}"),
        hint: "git init, or isolation: developer, or name the instance (--instance NAME)".into(),
    };
    // Not --short: a tag of the same name would change what that says.
    let head = git(directory, &["symbolic-ref", "--quiet", "HEAD"])
        .map_err(|error| unusable(&format!("git cannot be run: {error}")))?;
    match head.status.code() {
        Some(0) => {
            let name = String::from_utf8(head.stdout)
                .map_err(|_| unusable("the branch's name is not UTF-8"))?;
            let name = name.trim_end_matches('\n');
            Ok(name.strip_prefix(BRANCHES).unwrap_or(name).to_owned())
        }
        // HEAD is no symbolic reference.
        Some(1) => {
            let commit = git(directory, &["rev-parse", "--verify", "--quiet", "HEAD"])
                .map_err(|error| unusable(&format!("git cannot be run: {error}")))?;
            let commit = String::from_utf8_lossy(&commit.stdout);
            match commit.trim().get(..12) {
                Some(digits) => Ok(format!("{DETACHED}{digits}")),
                None => Err(unusable("HEAD is neither a branch nor a commit")),
            }
        }
        _ => {
            let said = String::from_utf8_lossy(&head.stderr);
            let said = said.lines().next().unwrap_or("this is no git repository");
            Err(unusable(said.trim_start_matches("fatal: ")))
        }
    }
}

/// Whether git has no longer what an instance was named after in the repository of `directory`: a
/// branch, or the commit of a detached head. Whatever git cannot tell is not gone.
pub fn is_gone(directory: &Path, name: &str) -> bool {
    // A branch without a commit yet is nowhere but in HEAD.
    if current(directory).map_or(true, |current| current == name) {
        return false;
    }
    let says_no = |arguments: &[&str]| {
        git(directory, arguments).is_ok_and(|output| output.status.code() == Some(1))
    };
    let branch = format!("{BRANCHES}{name}");
    let lacks_commit = |digits: &str| {
        let commit = format!("{digits}^{{commit}}");
        says_no(&["rev-parse", "--verify", "--quiet", &commit])
    };
    says_no(&["show-ref", "--verify", "--quiet", &branch])
        && name.strip_prefix(DETACHED).is_none_or(lacks_commit)
}

/// What a branch that is gone is called now, if it was renamed, as far as git remembers.
pub fn later_name(directory: &Path, name: &str) -> Option<String> {
    let renamed = format!("{RENAMED}{BRANCHES}{name} to ");
    let pattern = format!("--grep-reflog={renamed}");
    let arguments =
        ["log", "--walk-reflogs", "--branches", "--fixed-strings", &pattern, "--format=%gD%x09%gs"];
    let said = git(directory, &arguments).ok()?;
    String::from_utf8_lossy(&said.stdout).lines().find_map(|line| {
        let (place, said) = line.split_once('\t')?;
        // The pattern may stand anywhere in a message.
        let (branch, _) = place.rsplit_once("@{")?;
        let branch = branch.strip_prefix(BRANCHES).unwrap_or(branch);
        said.starts_with(&renamed).then(|| branch.to_owned())
    })
}

/// What a branch was called before it was renamed, the latest name first, as far as git remembers.
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

fn git(directory: &Path, arguments: &[&str]) -> io::Result<Output> {
    Command::new("git")
        // In a container the checkout often belongs to another user, and git would refuse to look.
        // Looking is all this does: no hook runs without the file system monitor.
        .args(["-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-C"])
        .arg(directory)
        .args(arguments)
        // A git hook's own variables would lead to another repository.
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_COMMON_DIR")
        .env_remove("GIT_INDEX_FILE")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
}
