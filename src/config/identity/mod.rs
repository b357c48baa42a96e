//! A project's identity: an id that belongs to a directory of this machine. Two checkouts,
//! worktrees or copies are two projects; a directory that is moved stays the same project.
//!
//! The id is kept in the checkout's git directory, in `<git-dir>/devdb/<place in the
//! checkout>.json`. git ignores files there, and every worktree has its own git directory. Without
//! git, or where that cannot be written, the id is kept in `<root>/.devdb/identity.json`, in a
//! directory that tells git to ignore it. A directory below the top of a checkout has its id in both
//! places: the git directory cannot tell a directory that was moved from one that was deleted and
//! another one that was made, and `git clean -x` removes what git ignores.
//!
//! The record also holds the path of the directory that got the id. When devdb finds the record at
//! another path:
//! - If the directory at the recorded path still has the same id, the present directory is a copy
//!   and gets a new id.
//! - Otherwise the directory was moved, and devdb records the new path.
//!
//! devdb does not run git for this: it reads `.git` itself, which takes microseconds.

mod git;
mod places;
mod record;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::Environment;
use crate::error::{Kind, Result, ResultExt, shell_word};
use git::Found;
use places::{Places, names};
use record::{Record, Store};

/// The directory in a project that holds its id, where git's directory does not.
pub const DIRECTORY: &str = ".devdb";

/// The namespace of devdb's uuids of version 5.
const NAMESPACE: Uuid = Uuid::from_u128(0x6465_7664_622e_4a1b_9c5e_7072_6f6a_6563);

/// Which project a directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The project's id, a uuid.
    pub id: String,
    /// The checkout's id, which is the same for every CI job; see [`may_be_at`].
    pub checkout: String,
    /// The project's directory, without symbolic links. That of the sample project is devdb's data
    /// directory.
    pub path: PathBuf,
    /// What a person should know about the identity; one line each.
    pub notes: Vec<String>,
}

/// The identity of the project in `root`. If the directory has no id, it gets one now; processes
/// that do this at the same time agree on one. In CI every job has its own id.
///
/// # Errors
/// `Config` when `root` does not exist, when the record cannot be read, or when a record can be
/// written neither in the checkout nor in `data_dir`.
pub fn project_id(root: &Path, data_dir: &Path, environment: &Environment) -> Result<Identity> {
    let root = root.canonicalize().or_fail(Kind::Config, || {
        format!("cannot find the project's directory {}", root.display())
    })?;
    let mut notes = Vec::new();
    let id = match recorded(&root, &mut notes)? {
        Some(id) => id,
        None => {
            notes.push(format!(
                "devdb cannot write to {} and knows the project by its path alone: it will be \
                 another project when you move it",
                root.display()
            ));
            let machine = Store::in_data_dir(data_dir, "machine.json").settle()?;
            Uuid::new_v5(&machine, root.as_os_str().as_encoded_bytes())
        }
    };
    Ok(Identity { id: for_job(id, environment), checkout: id.to_string(), path: root, notes })
}

/// Whether the directory still has the checkout with this id, or nobody can tell. A directory may
/// have two ids: one from a time when git's directory was not there.
pub fn may_be_at(directory: &Path, checkout: &str) -> bool {
    let places = Places::of(directory);
    let mut here = places.all().filter(|record| record.path == directory).peekable();
    places.lost.is_some()
        || here.peek().is_none()
        || here.any(|record| record.id.to_string() == checkout)
}

/// The checkout's id that this directory had while its git directory was not there, when git has its
/// id again, and the `.git` that names that directory. Databases from that time may exist.
pub fn interim(directory: &Path) -> Option<(String, PathBuf)> {
    let places = Places::of(directory);
    let (_, record) = places.find().ok().flatten()?;
    let own = places.own().read().ok().flatten()?;
    let Found::Checkout { work_tree, .. } = git::find(directory) else { return None };
    let gave_way = own.is_makeshift && !own.is_of(&record);
    gave_way.then(|| (own.id.to_string(), work_tree.join(".git")))
}

/// The worktree that `start` is in, when `project`, a directory above it, is in another checkout of the
/// same repository.
pub fn worktree_within(start: &Path, project: &Path) -> Option<PathBuf> {
    let (Found::Checkout { work_tree, git_dir }, Found::Checkout { git_dir: other, .. }) =
        (git::find(start), git::find(project))
    else {
        return None;
    };
    let repository = git::repository(&git_dir);
    let is_another = work_tree != project
        && !project.starts_with(&work_tree)
        && repository == git::repository(&other)
        && !git::is_bare(&repository);
    is_another.then_some(work_tree)
}

/// Whether two directories, which need not exist, are in one checkout.
pub fn share_a_checkout(one: &Path, other: &Path) -> bool {
    let top = |directory: &Path| match git::find(directory) {
        Found::Checkout { work_tree, .. } => Some(work_tree),
        Found::Lost { .. } | Found::Nothing => None,
    };
    top(one).is_some_and(|top_of_one| Some(top_of_one) == top(other))
}

/// The commands that give the directory `to` the id of `from`, when `from` has one: git has moved the
/// project's files from there, and left the id behind.
pub fn commands_to_move(from: &Path, to: &Path) -> Option<String> {
    let shown = |path: &Path| shell_word(&path.display().to_string());
    let (left, own) = (from.join(DIRECTORY), to.join(DIRECTORY));
    if left.exists() {
        return Some(format!("rm -rf {} && mv {} {}", shown(&own), shown(&left), shown(to)));
    }
    let places = Places::of(from);
    let (store, _) = places.find().ok().flatten().filter(|(_, record)| record.path == from)?;
    Some(format!("mv {} {}", shown(store.path()), shown(Store::own(to).path())))
}

/// The project's id for a directory whose checkout has one already. Changes nothing.
pub fn known(directory: &Path, environment: &Environment) -> Option<String> {
    let places = Places::of(directory);
    let (_, record) = places.find().ok().flatten()?;
    (record.path == directory).then(|| for_job(record.id, environment))
}

/// The identity of the sample project: one per data directory, so one per person.
///
/// # Errors
/// `Config` when `data_dir` cannot be read or written.
pub fn sample_id(data_dir: &Path, environment: &Environment) -> Result<Identity> {
    let id = Store::in_data_dir(data_dir, "sample.json").settle()?;
    let (path, notes) = (data_dir.to_owned(), Vec::new());
    Ok(Identity { id: for_job(id, environment), checkout: id.to_string(), path, notes })
}

/// The project's id. In CI each job is a project of its own; its id is not recorded, because the
/// checkout outlives the job.
fn for_job(id: Uuid, environment: &Environment) -> String {
    match environment.ci_job() {
        Some(job) => {
            let project = Uuid::new_v5(&NAMESPACE, id.as_bytes());
            Uuid::new_v5(&project, job.as_bytes()).to_string()
        }
        None => id.to_string(),
    }
}

/// The recorded id. None when there is none and none can be written.
fn recorded(root: &Path, notes: &mut Vec<String>) -> Result<Option<Uuid>> {
    let places = Places::of(root);
    let found = match places.find()? {
        Some(found) => Some(found),
        None => {
            let created = places.create(root)?;
            if let (Some(_), Some(lost)) = (&created, &places.lost) {
                notes.push(format!(
                    "{} is not there, so devdb cannot know which checkout this is: it gets \
                     databases of its own until git finds its directory (git worktree repair)",
                    lost.display()
                ));
            }
            created
        }
    };
    let Some((store, record)) = found else { return Ok(None) };
    let record = places.settle(here(root, &places, store, record, notes)?);
    places.keep_both(&record);
    Ok(Some(record.id))
}

/// The record of `root`, where `record` was found: the directory is unchanged, was moved, or is a
/// copy.
fn here(
    root: &Path,
    places: &Places,
    store: &Store,
    record: Record,
    notes: &mut Vec<String>,
) -> Result<Record> {
    if names(&record, root) {
        return Ok(record);
    }
    let _lock = store.lock();
    // Another process may have written the record in the meantime.
    let record = match store.read()? {
        Some(record) if record.path == root => return Ok(record),
        Some(record) => record,
        None => record,
    };
    let recorded = record.path.display();
    let Some(original) = places.original(&record) else {
        notes.push(format!("the project was moved here from {recorded}: it keeps its databases"));
        let moved = record.moved_to(root);
        return match store.replace(&moved) {
            // The id is right even if the new path cannot be recorded.
            Err(failure) if !failure.cannot_write => Err(failure.error),
            _ => {
                Places::of(&record.path).forget(&record);
                Ok(moved)
            }
        };
    };
    notes.push(format!("this is a copy of {recorded}: it gets databases of its own"));
    let new = Record::new(root);
    // A copied worktree shares the git directory with its original. The original's record must
    // stay.
    let written = match original.holds(store.path()) {
        true => places.own().create(new.clone()).and_then(|there| match names(&there, root) {
            true => Ok(there),
            // The copy has brought the original's makeshift record along.
            false => places.own().replace(&new).map(|()| new),
        }),
        false => store.replace(&new).map(|()| new),
    };
    written.map_err(|failure| {
        failure
            .error
            .context(format!("{} is a copy of {recorded} and needs an id", root.display()))
            .hint("make the directory writable")
    })
}

/// Whether two paths lead to the same directory, as a bind mount makes possible.
fn is_same_directory(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| path.metadata().map(|found| (found.dev(), found.ino())).ok();
    identity(one).is_some_and(|found| Some(found) == identity(other))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod walk_tests;
