//! Locks between processes: one file each, freed by the system when the process ends.
//!
//! A command that waits for several locks takes them in the order of [`Guards`], so that no two
//! commands ever wait for each other. Debug builds check the order. A call of
//! [`Store::try_lock`](super::Store::try_lock) never waits, so its order is free.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result, ResultExt};
use crate::event::Events;

/// How long devdb waits for another devdb that holds a lock. The other one may be baking a large
/// database.
pub(super) const LOCK_DEADLINE: Duration = Duration::from_secs(300);

/// How long devdb waits in silence before it says what it waits for.
const SILENT_WAIT: Duration = Duration::from_secs(1);

/// How often devdb looks whether a lock has become free.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How the file names of the locks of [`Guards::Baking`] begin.
pub(super) const BAKING: &str = "golden-";

/// What a lock guards. The variants stand in the order in which one command may wait for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guards<'a> {
    /// An instance, by its key: its record, and everything that its engine has of it.
    Instance(&'a str),
    /// Another instance, by its key, whose data a new instance begins with. It is the same lock as
    /// [`Guards::Instance`].
    Origin(&'a str),
    /// The cache of golden states. Commands that use states share the lock. A command that removes
    /// states holds it alone.
    Cache,
    /// The making of one golden state, by its fingerprint.
    Baking(&'a str),
    /// The choice of a port, which must differ from the ports in all records of this user.
    Ports,
    /// The process that stops an unused instance, by the instance's key. Nobody waits for it.
    Idle(&'a str),
}

impl Guards<'_> {
    /// The name of the lock's file, without its ending.
    pub(super) fn file_name(&self) -> String {
        match self {
            Guards::Instance(key) | Guards::Origin(key) => (*key).to_owned(),
            Guards::Cache => "golden".to_owned(),
            Guards::Baking(fingerprint) => {
                format!("{BAKING}{}", fingerprint.get(..24).unwrap_or(fingerprint))
            }
            Guards::Ports => "ports".to_owned(),
            Guards::Idle(key) => format!("idle-{key}"),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Guards::Instance(_) => 0,
            Guards::Origin(_) => 1,
            Guards::Cache => 2,
            Guards::Baking(_) => 3,
            Guards::Ports => 4,
            Guards::Idle(_) => 5,
        }
    }

    /// What the other devdb that holds the lock does.
    fn held_for(&self) -> &'static str {
        match self {
            Guards::Instance(_) => "works on this instance",
            Guards::Origin(_) => "works on the instance that this one begins with",
            Guards::Cache => "uses or prunes the cache of prepared databases",
            Guards::Baking(_) => "prepares the same database",
            Guards::Ports => "chooses a port",
            Guards::Idle(_) => "waits until nobody uses this instance",
        }
    }
}

/// The ranks of the locks that one command holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Held(Arc<Mutex<Vec<u8>>>);

impl Held {
    fn with<T>(&self, work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn check_order(&self, wanted: Guards<'_>) {
        self.with(|held| {
            debug_assert!(
                held.iter().all(|rank| *rank < wanted.rank()),
                "waiting for the lock of {wanted:?} while holding locks of ranks {held:?}"
            );
        });
    }
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    rank: u8,
    held: Held,
}

impl Lock {
    fn new(file: File, guards: Guards<'_>, held: &Held) -> Lock {
        let rank = guards.rank();
        held.with(|ranks| ranks.push(rank));
        Lock { _file: file, rank, held: held.clone() }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.held.with(|ranks| {
            if let Some(at) = ranks.iter().position(|rank| *rank == self.rank) {
                ranks.swap_remove(at);
            }
        });
    }
}

/// Whether other processes may hold the lock too.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sharing {
    /// No other process.
    Alone,
    /// Other processes that share it.
    Shared,
}

/// A request for a lock.
pub(super) struct Request<'a> {
    pub file: &'a Path,
    pub guards: Guards<'a>,
    pub company: Sharing,
    pub held: &'a Held,
}

impl Request<'_> {
    /// Takes the lock. None when another process holds it.
    pub fn try_now(&self) -> Result<Option<Lock>> {
        let file = self.open()?;
        Ok(self.is_free(&file)?.then(|| Lock::new(file, self.guards, self.held)))
    }

    /// Takes the lock. Waits until `deadline` while another process holds it.
    pub async fn wait(&self, deadline: Duration, events: &Events) -> Result<Lock> {
        self.held.check_order(self.guards);
        let file = self.open()?;
        let held_for = self.guards.held_for();
        let begun = Instant::now();
        let mut is_said = false;
        loop {
            if self.is_free(&file)? {
                return Ok(Lock::new(file, self.guards, self.held));
            }
            if begun.elapsed() >= deadline {
                let patience = humantime::format_duration(deadline);
                return Err(Error::new(Kind::Locked, format!("another devdb {held_for}"))
                    .because(format!("it has held {} for {patience}", self.file.display()))
                    .hint("wait for the other devdb, or end it, which releases the lock"));
            }
            if !is_said && begun.elapsed() >= SILENT_WAIT {
                events.note(format!("devdb waits for another devdb that {held_for}"));
                is_said = true;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    fn open(&self) -> Result<File> {
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.file)
            .or_fail(Kind::Config, || format!("cannot open the lock {}", self.file.display()))
    }

    /// Takes the file's lock if it is free. Returns whether it was.
    fn is_free(&self, file: &File) -> Result<bool> {
        let attempt = match self.company {
            Sharing::Alone => file.try_lock(),
            Sharing::Shared => file.try_lock_shared(),
        };
        match attempt {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => {
                Err(error).or_fail(Kind::Config, || format!("cannot lock {}", self.file.display()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(file: &'a Path, guards: Guards<'a>, held: &'a Held) -> Request<'a> {
        Request { file, guards, company: Sharing::Alone, held }
    }

    #[tokio::test]
    async fn a_held_lock_is_waited_for_and_then_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.lock");
        let (one, other) = (Held::default(), Held::default());
        let (short, events) = (Duration::from_millis(50), Events::silent());
        let first = request(&path, Guards::Cache, &one).wait(short, &events).await.unwrap();
        let asking = request(&path, Guards::Cache, &other);
        assert!(asking.try_now().unwrap().is_none());
        let refused = asking.wait(short, &events).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Locked);
        assert!(refused.message().contains("cache"), "{refused}");
        drop(first);
        asking.wait(short, &events).await.unwrap();
    }

    #[tokio::test]
    #[should_panic(expected = "waiting for the lock of Cache")]
    async fn waiting_against_the_order_is_found() {
        let home = tempfile::tempdir().unwrap();
        let (ports, cache) = (home.path().join("ports.lock"), home.path().join("golden.lock"));
        let (held, events) = (Held::default(), Events::silent());
        let _ports =
            request(&ports, Guards::Ports, &held).wait(LOCK_DEADLINE, &events).await.unwrap();
        let _never = request(&cache, Guards::Cache, &held).wait(LOCK_DEADLINE, &events).await;
    }

    #[tokio::test]
    async fn a_lock_that_is_given_back_does_not_count() {
        let home = tempfile::tempdir().unwrap();
        let (ports, cache) = (home.path().join("ports.lock"), home.path().join("golden.lock"));
        let (held, events) = (Held::default(), Events::silent());
        drop(request(&ports, Guards::Ports, &held).wait(LOCK_DEADLINE, &events).await.unwrap());
        request(&cache, Guards::Cache, &held).wait(LOCK_DEADLINE, &events).await.unwrap();
    }
}
