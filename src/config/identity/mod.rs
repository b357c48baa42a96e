//! A project's identity: an id that belongs to a directory of this machine. Two checkouts,
//! worktrees or copies are two projects; a directory that is moved stays the same project.
//!
//! The id is kept in the checkout's git directory, in `<git-dir>/devdb/<place in the
//! checkout>.json`. git ignores files there, and every worktree has its own git directory. Without
//! git, or where that cannot be written, the id is kept in `<root>/.devdb/identity.json`, in a
//! directory that tells git to ignore it. The record also holds the path of the directory that got
//! the id. When devdb finds the record at another path:
//! - If the directory at the recorded path still has the same id, the present directory is a copy
//!   and gets a new id.
//! - Otherwise the directory was moved, and devdb records the new path.
//!
//! devdb does not run git for this: it reads `.git` itself, which takes microseconds. A directory
//! that is moved *within* its checkout counts as a new project, because its git directory looks the
//! same as if one directory had been deleted and another one made.

mod git;
mod record;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::Environment;
use crate::error::{Kind, Result, ResultExt};
use crate::spec::digest;
use record::{Record, Store};

/// The namespace of devdb's uuids of version 5.
const NAMESPACE: Uuid = Uuid::from_u128(0x6465_7664_622e_4a1b_9c5e_7072_6f6a_6563);

/// Which project a directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The project's id, a uuid.
    pub id: String,
    /// The checkout's id, which is the same for every CI job; see [`checkout_at`].
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

/// The id of the checkout that is in a directory now, if one is recorded for that path.
pub fn checkout_at(directory: &Path) -> Option<String> {
    let records = stores(directory).into_iter().find_map(|store| store.read().ok().flatten());
    records.filter(|record| record.path == directory).map(|record| record.id.to_string())
}

/// The project's id for a directory whose checkout has one already. Changes nothing.
pub fn known(directory: &Path, environment: &Environment) -> Option<String> {
    let id = Uuid::parse_str(&checkout_at(directory)?).ok()?;
    Some(for_job(id, environment))
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

/// The places where the identity of `root` (a canonical path) may be kept; the first one that holds
/// a record counts. `.devdb` comes first, because only it can tell a copied worktree from its
/// original: the `.git` files of both lead to the same git directory.
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

/// The recorded id. None when there is none and none can be written.
fn recorded(root: &Path, notes: &mut Vec<String>) -> Result<Option<Uuid>> {
    let stores = stores(root);
    for store in &stores {
        if let Some(record) = store.read()? {
            return here(root, store, record, notes).map(Some);
        }
    }
    // The git directory is the better place for a new record.
    for store in stores.iter().rev() {
        match store.create(root) {
            Ok(record) => return here(root, store, record, notes).map(Some),
            Err(failure) if failure.cannot_write => {}
            Err(failure) => return Err(failure.error),
        }
    }
    Ok(None)
}

/// The id of `root`, where `record` was found: the directory is unchanged, was moved, or is a copy.
fn here(root: &Path, store: &Store, record: Record, notes: &mut Vec<String>) -> Result<Uuid> {
    if record.path == root || is_same_directory(&record.path, root) {
        return Ok(record.id);
    }
    let _lock = store.lock();
    // Another process may have written the record in the meantime.
    let record = match store.read()? {
        Some(record) if record.path == root => return Ok(record.id),
        Some(record) => record,
        None => record,
    };
    let recorded = record.path.display();
    let Some(original) = original(&record) else {
        notes.push(format!("the project was moved here from {recorded}: it keeps its databases"));
        return match store.replace(&record.moved_to(root)) {
            // The id is right even if the new path cannot be recorded.
            Err(failure) if !failure.cannot_write => Err(failure.error),
            _ => Ok(record.id),
        };
    };
    notes.push(format!("this is a copy of {recorded}: it gets databases of its own"));
    // A copied worktree shares the git directory with its original. The original's record must
    // stay.
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

/// Whether two paths lead to the same directory, as a bind mount makes possible.
fn is_same_directory(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| path.metadata().map(|found| (found.dev(), found.ino())).ok();
    identity(one).is_some_and(|found| Some(found) == identity(other))
}

/// The place that holds the identity of the recorded directory, if that still has the same id.
fn original(record: &Record) -> Option<Store> {
    if !record.path.is_dir() {
        return None;
    }
    for store in stores(&record.path) {
        // A record there that cannot be read is an error only for that project.
        if let Ok(Some(found)) = store.read() {
            return (found.id == record.id).then_some(store);
        }
    }
    None
}

#[cfg(test)]
mod tests;
