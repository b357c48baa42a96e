//! Locks of the store: files. The system gives a lock back when its process ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;

use super::Native;
use super::directory::make;
use crate::error::{Kind, Result, ResultExt};

/// A lock of a store, held until it is dropped.
#[derive(Debug)]
pub struct FileLock(#[expect(dead_code, reason = "the system ties the lock to the file")] File);

impl Native {
    /// Takes a lock. None when another devdb holds it.
    ///
    /// # Errors
    /// `Unexpected` when the file of the lock cannot be opened or locked.
    pub fn try_lock(&self, name: &str) -> Result<Option<FileLock>> {
        let directory = self.store.root().join("locks");
        self.store.make_directory(self.store.root())?;
        make(&directory, 0o700)?;
        let path = directory.join(format!("{name}.lock"));
        let cannot = || format!("cannot lock {}", path.display());
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .or_fail(Kind::Unexpected, cannot)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(FileLock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).or_fail(Kind::Unexpected, cannot),
        }
    }
}
