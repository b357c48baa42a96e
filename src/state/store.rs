//! The directory that holds the records.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::home::{Home, Presence};
use super::lock::{BAKING, Guards, Held, LOCK_DEADLINE, Lock, Request, Sharing};
use super::record::{Record, SCHEMA};
use crate::disk::sealed::{self, Broken};
use crate::disk::{self, private_directory};
use crate::error::{Error, Kind, Result, ResultExt, nearest};
use crate::event::Events;
use crate::spec::Owner;

/// One user's data directory of devdb.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    held: Held,
}

impl Store {
    /// Opens the store in `root`, and makes it (mode 0700) when it does not exist.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn open(root: &Path) -> Result<Self> {
        for directory in [root.to_path_buf(), root.join("instances"), root.join("locks")] {
            private_directory(&directory)?;
        }
        Ok(Store { root: root.to_path_buf(), held: Held::default() })
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn lock_file(&self, guards: Guards<'_>) -> PathBuf {
        self.locks().join(format!("{}.lock", guards.file_name()))
    }

    fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }

    /// Takes a lock alone. Waits while another devdb holds it.
    ///
    /// # Errors
    /// `Locked` after five minutes, `Config` when the lock's file cannot be opened.
    pub async fn lock(&self, guards: Guards<'_>, events: &Events) -> Result<Lock> {
        let file = self.lock_file(guards);
        let request = Request { file: &file, guards, company: Sharing::Alone, held: &self.held };
        request.wait(LOCK_DEADLINE, events).await
    }

    /// Takes a shared lock. Waits while another devdb holds it alone.
    ///
    /// # Errors
    /// As [`Store::lock`].
    pub async fn share(&self, guards: Guards<'_>, events: &Events) -> Result<Lock> {
        let file = self.lock_file(guards);
        let request = Request { file: &file, guards, company: Sharing::Shared, held: &self.held };
        request.wait(LOCK_DEADLINE, events).await
    }

    /// Takes a lock alone, without waiting. None when another devdb holds it.
    ///
    /// # Errors
    /// `Config` when the lock's file cannot be opened.
    pub fn try_lock(&self, guards: Guards<'_>) -> Result<Option<Lock>> {
        let file = self.lock_file(guards);
        Request { file: &file, guards, company: Sharing::Alone, held: &self.held }.try_now()
    }

    /// Removes the lock files of [`Guards::Baking`]. The caller holds [`Guards::Cache`] alone, so
    /// nobody bakes.
    pub fn remove_baking_locks(&self) {
        for entry in fs::read_dir(self.locks()).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(BAKING) {
                // A file that stays is removed next time.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn file(&self, key: &str) -> PathBuf {
        self.root.join("instances").join(format!("{key}.json"))
    }

    /// Reads the record of an instance. None when it has no record.
    ///
    /// # Errors
    /// `Drift` when the file is damaged, `Config` when a newer devdb wrote it. The file stays as it
    /// is.
    pub fn load(&self, key: &str) -> Result<Option<Record>> {
        read(&self.file(key))
    }

    /// When the record of an instance was written last.
    pub fn saved_at(&self, key: &str) -> Option<DateTime<Utc>> {
        let written = fs::metadata(self.file(key)).ok()?.modified().ok()?;
        Some(written.into())
    }

    /// Reads all records, with an error for each unreadable one.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn load_all(&self) -> Result<Vec<Result<Record>>> {
        let directory = self.root.join("instances");
        let entries = fs::read_dir(&directory)
            .or_fail(Kind::Unexpected, || format!("cannot read {}", directory.display()))?;
        let mut files: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .collect();
        files.sort();
        Ok(files.iter().filter_map(|file| read(file).transpose()).collect())
    }

    /// Writes a record as a whole or not at all. The caller holds the instance's lock, so an
    /// existing draft is left from a killed process.
    ///
    /// # Errors
    /// When it cannot be written, for example on a full disk. The old record stays then.
    pub fn save(&self, record: &Record) -> Result<()> {
        let file = self.file(&record.owner.key());
        let text = sealed::to_text(record)
            .or_fail(Kind::Unexpected, || "cannot write the instance's record".into())?;
        disk::replace(&file, &text)
            .or_fail(Kind::Unexpected, || format!("cannot write {}", file.display()))
    }

    /// Removes the drafts of records that killed commands left. Skips an instance that another
    /// command has locked, because the draft may be that command's.
    ///
    /// # Errors
    /// When the directory cannot be read or a lock's file cannot be opened.
    pub fn remove_drafts(&self) -> Result<()> {
        let directory = self.root.join("instances");
        let entries = fs::read_dir(&directory)
            .or_fail(Kind::Unexpected, || format!("cannot read {}", directory.display()))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let record = name.strip_suffix(disk::DRAFT);
            let Some(key) = record.and_then(|record| record.strip_suffix(".json")) else {
                continue;
            };
            if let Some(_lock) = self.try_lock(Guards::Instance(key))? {
                // A draft that stays is overwritten by the next writer.
                drop(fs::remove_file(entry.path()));
            }
        }
        Ok(())
    }

    /// The instance of the same project and developer whose name is nearest to `owner`'s, for a
    /// hint.
    pub fn nearest_instance(&self, owner: &Owner) -> Option<String> {
        let records = self.load_all().ok()?.into_iter().flatten();
        let names: Vec<String> = records
            .filter(|record| record.owner.is_beside(owner))
            .map(|record| record.owner.instance)
            .collect();
        nearest(&owner.instance, names.iter().map(String::as_str)).map(str::to_owned)
    }

    /// Records the new place of a moved project in the records of its instances, for `gc`. Skips an
    /// instance that another command has locked, because that command records it.
    ///
    /// # Errors
    /// When the records cannot be read or written.
    pub fn note_move(&self, project_id: &str, to: &Home) -> Result<()> {
        for record in self.load_all()?.into_iter().flatten() {
            let key = record.owner.key();
            let was_moved = record
                .home
                .as_ref()
                .is_some_and(|home| home != to && home.presence() != Presence::There);
            if record.owner.project_id != project_id || !was_moved {
                continue;
            }
            let Some(_lock) = self.try_lock(Guards::Instance(&key))? else { continue };
            if let Some(record) = self.load(&key)? {
                self.save(&Record { home: Some(to.clone()), ..record })?;
            }
        }
        Ok(())
    }

    /// Renames a damaged record and returns its new path.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub fn quarantine(&self, key: &str) -> Result<PathBuf> {
        let aside = self
            .root
            .join("instances")
            .join(format!("{key}.damaged-{}", chrono::Utc::now().format("%Y%m%dT%H%M%S")));
        fs::rename(self.file(key), &aside)
            .or_fail(Kind::Unexpected, || format!("cannot rename {}", self.file(key).display()))?;
        Ok(aside)
    }

    /// Removes the record of an instance, with its damaged copies.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn remove(&self, key: &str) -> Result<()> {
        // A draft exists only when a process was killed.
        drop(fs::remove_file(disk::draft_of(&self.file(key))));
        let damaged = format!("{key}.damaged-");
        for entry in fs::read_dir(self.root.join("instances")).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&damaged) {
                // A copy that stays does no harm.
                drop(fs::remove_file(entry.path()));
            }
        }
        match fs::remove_file(self.file(key)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error)
                .or_fail(Kind::Unexpected, || {
                    format!("cannot remove {}", self.file(key).display())
                }),
            _ => Ok(()),
        }
    }
}

fn read(file: &Path) -> Result<Option<Record>> {
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(file, error)),
    };
    sealed::open(&text, SCHEMA).map(|record: Record| Some(record.completed())).map_err(|broken| {
        match broken {
            Broken::Newer(schema) => Error::new(
                Kind::Config,
                format!("{} was written by a newer devdb (layout {schema})", file.display()),
            )
            .hint("install that version of devdb or a newer one"),
            Broken::Damaged(why) => {
                Error::new(Kind::Drift, format!("the record {} is damaged", file.display()))
                    .because(why)
            }
        }
    })
}

/// The error when a record cannot be read. One of another user was made by devdb with sudo.
fn unreadable(file: &Path, error: std::io::Error) -> Error {
    let is_denied = error.kind() == ErrorKind::PermissionDenied;
    let failure = Error::new(Kind::Config, format!("cannot read the record {}", file.display()))
        .because(error);
    if !is_denied {
        return failure;
    }
    let directory = file.parent().and_then(Path::parent).unwrap_or(file).display();
    failure.hint(format!(
        "sudo chown -R \"$(id -u)\" '{directory}'   gives it back, if devdb ran with sudo"
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::record::tests::sample;
    use super::*;

    #[test]
    fn a_record_comes_back_and_is_private() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(&home.path().join("a b/devdb")).unwrap();
        let record = sample("anna", 20_000);
        store.save(&record).unwrap();
        let key = record.owner.key();
        assert_eq!(store.load(&key).unwrap().unwrap().port, 20_000);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&store.file(&key)), 0o600);
        assert_eq!(mode(store.root()), 0o700);
        store.remove(&key).unwrap();
        assert!(store.load(&key).unwrap().is_none());
        store.remove(&key).unwrap();
    }

    #[test]
    fn a_draft_goes_unless_somebody_works_on_its_instance() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path()).unwrap();
        let record = sample("anna", 20_000);
        let key = record.owner.key();
        store.save(&record).unwrap();
        let draft = disk::draft_of(&store.file(&key));
        fs::write(&draft, "{").unwrap();
        let working = store.try_lock(Guards::Instance(&key)).unwrap();
        Store::open(home.path()).unwrap().remove_drafts().unwrap();
        assert!(working.is_some() && draft.exists());
        drop(working);
        store.remove_drafts().unwrap();
        assert!(!draft.exists() && store.load(&key).unwrap().is_some());
    }

    #[test]
    fn a_damaged_record_is_an_error_and_stays() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path()).unwrap();
        fs::write(store.file("k"), "{\"schema\": 1, \"own").unwrap();
        assert_eq!(store.load("k").unwrap_err().kind(), Kind::Drift);
        let aside = store.quarantine("k").unwrap();
        assert!(aside.exists() && store.load("k").unwrap().is_none());
    }

    #[test]
    fn a_record_of_another_user_is_to_be_given_back() {
        let hints = |kind: ErrorKind| {
            unreadable(Path::new("/home/anna/devdb/instances/k.json"), kind.into()).hints().to_vec()
        };
        let denied = hints(ErrorKind::PermissionDenied);
        assert!(
            denied[0].starts_with("sudo chown -R \"$(id -u)\" '/home/anna/devdb'   "),
            "{denied:?}"
        );
        assert!(hints(ErrorKind::InvalidData).is_empty());
    }

    #[test]
    fn a_newer_layout_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path()).unwrap();
        fs::write(store.file("k"), "{\"schema\": 99}").unwrap();
        assert!(store.load("k").unwrap_err().message().contains("newer devdb"));
    }
}
