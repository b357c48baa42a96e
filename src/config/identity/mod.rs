//! A project's identity: an id that belongs to a directory of this machine, so that two checkouts,
//! worktrees or copies are two projects, and a moved one stays itself.
//!
//! The id is kept in the checkout's git directory, `<git-dir>/devdb/<where in the checkout>.json`
//! (nothing to ignore, and every worktree has a git directory of its own), else in
//! `<root>/.devdb/identity.json`, which ignores itself. Beside the id stands the path that it was
//! given for. Found under another path:
//! - the directory of that path still has the same id and is another directory: this is a copy,
//!   and gets an id of its own;
//! - else the directory was moved, and the new path is recorded.
//!
//! git itself is never run: `.git` is found and read here, which costs microseconds.
//! A directory that was moved *within* its checkout counts as a new project: a git directory
//! cannot tell it from a deleted one and a new one.

mod git;
mod record;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::Environment;
use crate::error::{Kind, Result, ResultExt};
use crate::spec::digest;
use record::{Record, Store};

/// Names devdb's ids apart from everybody else's uuids of version 5.
const NAMESPACE: Uuid = Uuid::from_u128(0x6465_7664_622e_4a1b_9c5e_7072_6f6a_6563);

/// Whose instances the instances of a directory are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// A uuid.
    pub id: String,
    /// The checkout's own id, whatever the job: of what [`checkout_at`] says.
    pub checkout: String,
    /// The project's directory, without links (of the sample: devdb's data directory).
    pub path: PathBuf,
    /// What a person should know; one line each.
    pub notes: Vec<String>,
}

/// The identity of the project in `root`, given to it now if it has none. In CI every job has one
/// of its own. Eight processes at once agree.
///
/// # Errors
/// `Config` when `root` does not exist, when what is recorded cannot be read, or when there is no
/// place to record anything: neither in the checkout nor in `data_dir`.
pub fn project_id(root: &Path, data_dir: &Path, environment: &Environment) -> Result<Identity> {
    let root = root.canonicalize().or_fail(Kind::Config, || {
        format!("cannot find the project's directory {}", root.display())
    })?;
    let mut notes = Vec::new();
    let id = match recorded(&root, &mut notes)? {
        Some(id) => id,
        None => {
            notes.push(format!(
                "{} cannot be written, so the project is known by its path alone: it will be \
                 another project when it is moved",
                root.display()
            ));
            let machine = Store::in_data_dir(data_dir, "machine.json").settle()?;
            Uuid::new_v5(&machine, root.as_os_str().as_encoded_bytes())
        }
    };
    Ok(Identity { id: for_job(id, environment), checkout: id.to_string(), path: root, notes })
}

/// The id of the checkout that is in a directory now; none when none is recorded for that place.
pub fn checkout_at(directory: &Path) -> Option<String> {
    let records = stores(directory).into_iter().find_map(|store| store.read().ok().flatten());
    records.filter(|record| record.path == directory).map(|record| record.id.to_string())
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

/// A job of CI is a project of its own; that is not recorded, since the checkout outlives it.
fn for_job(id: Uuid, environment: &Environment) -> String {
    match environment.ci_job() {
        Some(job) => {
            let project = Uuid::new_v5(&NAMESPACE, id.as_bytes());
            Uuid::new_v5(&project, job.as_bytes()).to_string()
        }
        None => id.to_string(),
    }
}

/// Where the identity of `root` (canonical) may be kept, the one that counts first. A directory of
/// its own comes first because only it can tell a copied worktree from its original: the `.git`
/// files of both lead to one git directory.
fn stores(root: &Path) -> Vec<Store> {
    let own = Store::own(root);
    match git::find(root) {
        Some(found) => {
            let below = root.strip_prefix(&found.work_tree).unwrap_or(root);
            let name = &digest([&*below.to_string_lossy()])[..8];
            vec![own, Store::in_git_dir(&found.git_dir, name)]
        }
        None => vec![own],
    }
}

/// The recorded id; none when there is none and none can be written.
fn recorded(root: &Path, notes: &mut Vec<String>) -> Result<Option<Uuid>> {
    let stores = stores(root);
    for store in &stores {
        if let Some(record) = store.read()? {
            return here(root, store, record, notes).map(Some);
        }
    }
    // The git directory is the better place for a new one.
    for store in stores.iter().rev() {
        match store.create(root) {
            Ok(record) => return here(root, store, record, notes).map(Some),
            Err(failure) if failure.cannot_write => {}
            Err(failure) => return Err(failure.error),
        }
    }
    Ok(None)
}

/// The id of a record that was found at `root`: as it stands, moved or copied.
fn here(root: &Path, store: &Store, record: Record, notes: &mut Vec<String>) -> Result<Uuid> {
    if record.path == root || is_same_directory(&record.path, root) {
        return Ok(record.id);
    }
    let _lock = store.lock();
    // Another process may have settled it meanwhile.
    let record = match store.read()? {
        Some(record) if record.path == root => return Ok(record.id),
        Some(record) => record,
        None => record,
    };
    let recorded = record.path.display();
    let Some(original) = original(&record) else {
        notes.push(format!("the project was moved here from {recorded}: it keeps its databases"));
        return match store.replace(&record.moved_to(root)) {
            // The id is right all the same.
            Err(failure) if !failure.cannot_write => Err(failure.error),
            _ => Ok(record.id),
        };
    };
    notes.push(format!("this is a copy of {recorded}: it gets databases of its own"));
    // A copied worktree shares the git directory of its original, whose record must stay.
    let written = if store.path() == original.path() {
        Store::own(root).create(root)
    } else {
        let new = Record::new(root);
        store.replace(&new).map(|()| new)
    };
    written.map(|record| record.id).map_err(|failure| {
        failure
            .error
            .context(format!("{} is a copy of {recorded} and needs an id", root.display()))
            .hint("make the directory writable")
    })
}

/// Whether two paths lead to one directory, as with a bind mount.
fn is_same_directory(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| path.metadata().map(|found| (found.dev(), found.ino())).ok();
    identity(one).is_some_and(|found| Some(found) == identity(other))
}

/// Where the directory of the recorded path has its identity, if it still has this one.
fn original(record: &Record) -> Option<Store> {
    if !record.path.is_dir() {
        return None;
    }
    for store in stores(&record.path) {
        // Whether the other's record can be read is the other's problem.
        if let Ok(Some(found)) = store.read() {
            return (found.id == record.id).then_some(store);
        }
    }
    None
}

#[cfg(test)]
mod tests;
