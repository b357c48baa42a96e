//! Where the identity of a directory is kept.

use std::path::{Path, PathBuf};

use super::super::FILE;
use super::git::{self, Found};
use super::is_same_directory;
use super::record::{NotWritten, Record, Store};
use crate::error::Result;
use crate::spec::digest;

/// The places where the identity of a directory may be kept.
pub struct Places {
    own: Store,
    git: Option<Store>,
    /// Whether the directory is below the top of its checkout. Then both places have the id: the one
    /// in the directory moves with it, and the other stays when git removes what it ignores.
    is_below: bool,
    /// The git directory that the checkout names and that is not there.
    pub lost: Option<PathBuf>,
}

impl Places {
    /// Those of `root`, a canonical path, which need not exist.
    pub fn of(root: &Path) -> Places {
        let own = Store::own(root);
        match git::find(root) {
            Found::Checkout { work_tree, git_dir } => {
                let below = root.strip_prefix(&work_tree).unwrap_or(root);
                let name = &digest([&*below.to_string_lossy()])[..8];
                let git = Some(Store::in_git_dir(&git_dir, name));
                Places { own, git, is_below: root != work_tree, lost: None }
            }
            Found::Lost { git_dir } => {
                Places { own, git: None, is_below: false, lost: Some(git_dir) }
            }
            Found::Nothing => Places { own, git: None, is_below: false, lost: None },
        }
    }

    /// The record that counts, and its place: the one in the directory itself, because only that
    /// tells a copied worktree from its original (the `.git` files of both lead to the same git
    /// directory), and moves with a directory below the top of a checkout. A makeshift one gives way.
    ///
    /// # Errors
    /// `Config` when a record cannot be read.
    pub fn find(&self) -> Result<Option<(&Store, Record)>> {
        let own = self.own.read()?.map(|record| (&self.own, record));
        if own.as_ref().is_some_and(|(_, record)| !record.is_makeshift) {
            return Ok(own);
        }
        let in_git = match &self.git {
            Some(store) => store.read()?.map(|record| (store, record)),
            None => None,
        };
        Ok(in_git.or(own))
    }

    /// Every readable record.
    pub fn all(&self) -> impl Iterator<Item = Record> {
        let stores = self.git.iter().chain([&self.own]);
        stores.filter_map(|store| store.read().ok().flatten())
    }

    /// Records a new id for `root`. None when no place can be written.
    ///
    /// # Errors
    /// `Config` when a place that can be written fails.
    pub fn create(&self, root: &Path) -> Result<Option<(&Store, Record)>> {
        let mut places: Vec<&Store> = self.git.iter().chain([&self.own]).collect();
        if self.is_below {
            places.reverse();
        }
        let mut new = Record::new(root);
        new.is_makeshift = self.lost.is_some();
        for store in places {
            match store.create(new.clone()) {
                Ok(record) => return Ok(Some((store, record))),
                Err(NotWritten { cannot_write: true, .. }) => {}
                Err(failure) => return Err(failure.error),
            }
        }
        Ok(None)
    }

    /// Gives the git directory a makeshift record, when it is there again and has none. git removes
    /// the one in the directory together with everything else that it ignores.
    pub fn settle(&self, record: Record) -> Record {
        let Some(git) = self.git.as_ref().filter(|_| record.is_makeshift) else { return record };
        let mut settled = record.clone();
        settled.is_makeshift = false;
        git.create(settled).unwrap_or(record)
    }

    /// The place in the directory itself.
    pub fn own(&self) -> &Store {
        &self.own
    }

    /// Makes both places of a directory below the top of a checkout hold its record, as far as they
    /// can be written.
    pub fn keep_both(&self, record: &Record) {
        let Some(git) = self.git.as_ref().filter(|_| self.is_below && !record.is_makeshift) else {
            return;
        };
        for store in [&self.own, git] {
            match store.read() {
                Ok(None) => drop(store.create(record.clone())),
                Ok(Some(there))
                    if !there.is_of(record)
                        && !there.is_makeshift
                        && !self.is_of_another(&there, record) =>
                {
                    let _lock = store.lock();
                    drop(store.replace(record));
                }
                Ok(Some(_)) | Err(_) => {}
            }
        }
    }

    /// Whether the git directory's record belongs to a directory that shares this git directory, as
    /// the original of a copied worktree does.
    fn is_of_another(&self, there: &Record, record: &Record) -> bool {
        let other = (there.path != record.path).then(|| self.original(there)).flatten();
        other.is_some_and(|other| self.shares_git(&other))
    }

    /// The places of the recorded directory, if that has its id still, so that this directory is a
    /// copy of it. A record there that cannot be read is an error only for that project.
    ///
    /// A record in the git directory alone does not prove it: it stays there when a directory below
    /// the top of the checkout is moved. It does when this directory's own git directory has the
    /// record as well, because then the whole checkout was copied.
    pub fn original(&self, record: &Record) -> Option<Places> {
        let there = Places::of(&record.path);
        let (store, found) = there.find().ok().flatten()?;
        let is_copied_whole = || {
            let in_git = self.git.as_ref().and_then(|git| git.read().ok().flatten());
            !self.shares_git(&there) && in_git.is_some_and(|here| here.id == record.id)
        };
        let is_proved = store.path() == there.own.path()
            || is_copied_whole()
            || match there.is_below {
                true => record.path.join(FILE).is_file(),
                false => record.path.is_dir(),
            };
        (found.id == record.id && is_proved).then_some(there)
    }

    fn shares_git(&self, other: &Places) -> bool {
        let file = |places: &Places| places.git.as_ref().map(|git| git.path().to_owned());
        let directory = |places: &Places| file(places)?.parent().map(Path::to_owned);
        directory(self).is_some() && directory(self) == directory(other)
    }

    /// Whether one of these places is this file.
    pub fn holds(&self, file: &Path) -> bool {
        self.git.iter().chain([&self.own]).any(|store| store.path() == file)
    }

    /// Forgets what the git directory has of a directory that was moved from here.
    pub fn forget(&self, moved: &Record) {
        if let Some(git) = self.git.as_ref().filter(|_| self.is_below)
            && let Ok(Some(there)) = git.read()
            && there.id == moved.id
        {
            git.remove();
        }
    }
}

/// Whether a record names this directory.
pub fn names(record: &Record, root: &Path) -> bool {
    record.path == root || is_same_directory(&record.path, root)
}
