//! Locks between processes: one file each, freed by the system when the process ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result, ResultExt};
use crate::event::Events;

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// How a lock is asked for: alone, or together with others.
type Attempt = fn(&File) -> std::result::Result<(), TryLockError>;

impl Lock {
    /// Takes the lock at `path`, none when somebody holds it.
    ///
    /// # Errors
    /// `Config` when it cannot be opened.
    pub fn at_once(path: &Path) -> Result<Option<Lock>> {
        let file = open(path)?;
        Ok(is_free(&file, path, File::try_lock)?.then_some(Lock { _file: file }))
    }

    /// Takes the lock at `path`, waiting `patience` for whoever holds it, and saying so after a
    /// second.
    ///
    /// # Errors
    /// `Locked` when it is still held after `patience`.
    pub async fn take(path: &Path, patience: Duration, events: &Events) -> Result<Lock> {
        Lock::wait(path, patience, events, File::try_lock).await
    }

    /// The same, together with others who share it and with nobody who takes it.
    ///
    /// # Errors
    /// `Locked` when somebody still holds it alone after `patience`.
    pub async fn share(path: &Path, patience: Duration, events: &Events) -> Result<Lock> {
        Lock::wait(path, patience, events, File::try_lock_shared).await
    }

    async fn wait(
        path: &Path,
        patience: Duration,
        events: &Events,
        attempt: Attempt,
    ) -> Result<Lock> {
        let file = open(path)?;
        let begun = Instant::now();
        let mut said = false;
        loop {
            if is_free(&file, path, attempt)? {
                return Ok(Lock { _file: file });
            }
            if begun.elapsed() >= patience {
                return Err(Error::new(Kind::Locked, "another devdb is working on this instance")
                    .because(format!(
                        "it has held {} for {}",
                        path.display(),
                        humantime::format_duration(patience)
                    ))
                    .hint("wait for it, or end it; the lock goes with the process"));
            }
            if !said && begun.elapsed() >= Duration::from_secs(1) {
                events.note("waiting for another devdb that works on this instance");
                said = true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .or_fail(Kind::Config, || format!("cannot open the lock {}", path.display()))
}

/// Whether the lock was free; it is held then.
fn is_free(file: &File, path: &Path, attempt: Attempt) -> Result<bool> {
    match attempt(file) {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => {
            Err(error).or_fail(Kind::Config, || format!("cannot lock {}", path.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_held_lock_is_waited_for_and_then_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.lock");
        let short = Duration::from_millis(50);
        let first = Lock::take(&path, short, &Events::silent()).await.unwrap();
        assert!(Lock::at_once(&path).unwrap().is_none());
        let refused = Lock::take(&path, short, &Events::silent()).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Locked);
        drop(first);
        Lock::take(&path, short, &Events::silent()).await.unwrap();
    }
}
