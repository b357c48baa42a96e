//! Locks that belong to an engine. They exclude commands that do not share devdb's own lock files:
//! two home directories, or a host and a container, can use one engine.
//!
//! A command takes the lock file of its home directory first, so only strangers meet here.

use std::time::{Duration, Instant};

use super::{Engine, docker, native};
use crate::error::{Error, Kind, Result};
use crate::event::Events;
use crate::spec::digest;

/// How long devdb waits for a lock of an engine. The holder may be baking a large database.
const DEADLINE: Duration = Duration::from_secs(300);

/// How long devdb waits in silence before it says what it waits for.
const SILENT_WAIT: Duration = Duration::from_secs(1);

/// The interval at which devdb tries again.
const INTERVAL: Duration = Duration::from_millis(100);

/// What a lock of an engine guards.
#[derive(Debug, Clone, Copy)]
pub enum Shared<'a> {
    /// Everything that the engine has of an instance, by the instance's key.
    Instance(&'a str),
    /// A name in a registry: the engine gives its tag to one image after another.
    Tag(&'a str),
}

impl Shared<'_> {
    /// The name of the lock, without characters that a name must not have.
    fn name(&self) -> String {
        match self {
            Shared::Instance(key) => format!("instance-{key}"),
            Shared::Tag(reference) => format!("tag-{}", &digest([*reference])[..12]),
        }
    }

    /// What the holder of the lock does.
    fn held_for(&self) -> String {
        match self {
            Shared::Instance(_) => "works on this instance".to_owned(),
            Shared::Tag(reference) => format!("sends or fetches {reference}"),
        }
    }
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub enum EngineLock {
    /// A container that is never started.
    Docker(Box<docker::ContainerLock>),
    /// A file.
    Native(native::FileLock),
}

impl EngineLock {
    /// Warns when the command works without the lock.
    pub fn tell_if_absent(&self, events: &Events) {
        if matches!(self, EngineLock::Docker(lock) if lock.lacks_room()) {
            events.warn(
                "the disk of the Docker engine is full, so this command works without the lock \
                 that keeps a devdb of another home directory or container away; use no other one meanwhile",
            );
        }
    }
}

impl Engine {
    /// Takes a lock, without waiting. None when a devdb of another home directory holds it. `image`
    /// is an image that the engine probably has.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn try_lock(&self, what: Shared<'_>, image: &str) -> Result<Option<EngineLock>> {
        let name = what.name();
        Ok(match self {
            Engine::Docker(docker) => {
                docker.try_lock(&name, image).await?.map(|lock| EngineLock::Docker(Box::new(lock)))
            }
            Engine::Native(native) => native.try_lock(&name)?.map(EngineLock::Native),
        })
    }

    /// Takes a lock. Waits while a devdb of another home directory holds it.
    ///
    /// # Errors
    /// `Locked` after five minutes, and when the engine refuses.
    pub async fn lock(&self, what: Shared<'_>, image: &str, events: &Events) -> Result<EngineLock> {
        let begun = Instant::now();
        let mut is_said = false;
        loop {
            if let Some(lock) = self.try_lock(what, image).await? {
                lock.tell_if_absent(events);
                return Ok(lock);
            }
            if begun.elapsed() >= DEADLINE {
                return Err(busy(what)
                    .because(format!("it has done so for {}", humantime::format_duration(DEADLINE)))
                    .hint("wait for the other devdb, or end it, which releases the lock"));
            }
            if !is_said && begun.elapsed() >= SILENT_WAIT {
                let held_for = what.held_for();
                events.note(format!(
                    "devdb waits for a devdb of another home directory or container that {held_for}"
                ));
                is_said = true;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

/// The error about a lock that another devdb holds.
pub fn busy(what: Shared<'_>) -> Error {
    let held_for = what.held_for();
    Error::new(Kind::Locked, format!("a devdb of another home directory or container {held_for}"))
}
