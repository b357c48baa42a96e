//! An instance's life: found, made, started, changed, replaced, removed, on either engine.
//!
//! Every change is made under the instance's lock, notes in the record what is under way before
//! its first step, and clears the note after its last. Whoever takes the lock next and finds the
//! note tidies up first, so a killed command costs nothing but a little of the next one's time.

mod branch_off;
mod cache;
mod collect;
mod commands;
mod create;
pub mod data;
mod garbage;
mod history;
mod known;
mod launch;
mod lineage;
mod observe;
mod prepare;
pub mod ready;
mod rebuild;
mod remove;
mod reset;
mod revive;
mod save;
mod snapshot;
mod transfer;

use std::time::Duration;

use chrono::Utc;
use rand::distr::{Alphanumeric, SampleString};
use secrecy::SecretString;

use crate::config::environment::Environment;
use crate::db::connect::Address;
use crate::engine::{Endpoint, Engine, Engines, Server};
use crate::error::{Error, Kind, Result};
use crate::event::Events;
use crate::interrupt::Interrupt;
use crate::key::KeySource;
use crate::spec::{InstanceSpec, MadeWith};
use crate::state::{GenerationRecord, Home, Lock, Record, Store, Why};

pub use data::{Plan, Source};
pub use garbage::{Garbage, Reason};
pub use history::generations;
pub use known::has_expired;
pub use observe::{Observed, record};
pub use reset::{Fate, Replaced};
pub use revive::{How, Running};
pub use save::Saved;
pub use transfer::Exported;

/// How long a server whose data matters gets to end cleanly.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long to wait for another devdb's work on the same instance.
pub const LOCK_PATIENCE: Duration = Duration::from_secs(300);

/// What every command needs of the world.
#[derive(Clone)]
pub struct Context {
    /// What the instance should be.
    pub spec: InstanceSpec,
    /// Where records are.
    pub store: Store,
    /// How to reach engines.
    pub engines: Engines,
    /// Where progress goes.
    pub events: Events,
    /// Whether to stop.
    pub interrupt: Interrupt,
    /// What programs that devdb runs inherit.
    pub environment: Environment,
    /// Where the project is; none for the sample.
    pub home: Option<Home>,
    /// Where the key of `!encrypt` comes from.
    pub key: KeySource,
}

/// An instance under its lock.
pub struct Instance<'a> {
    context: &'a Context,
    key: String,
    record: Option<Record>,
    /// Whether there is something that the next command has to remove.
    left_behind: bool,
    _lock: Lock,
}

impl<'a> Instance<'a> {
    /// Takes the instance's lock, reads its record, or rebuilds a lost one from what the engines
    /// still have, and tidies up after a command that was cut short.
    ///
    /// # Errors
    /// `Locked`, `Config` for a record of a newer devdb, `NoEngine` when the instance's engine does
    /// not answer.
    pub async fn open(context: &'a Context) -> Result<Instance<'a>> {
        let key = context.spec.owner.key();
        let file = context.store.lock_file(&key);
        let waiting = Lock::take(&file, LOCK_PATIENCE, &context.events);
        let lock = context.interrupt.guard(waiting).await?;
        let mut instance = Instance { context, _lock: lock, key, record: None, left_behind: false };
        instance.record = instance.load_or_rebuild().await?;
        instance.note_use()?;
        Ok(instance)
    }

    /// The record, none while there is no instance.
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// The record of an instance that is there.
    ///
    /// # Errors
    /// `NoInstance`.
    pub fn recorded(&self) -> Result<Record> {
        self.record.clone().ok_or_else(|| Error::new(Kind::NoInstance, "there is no instance here"))
    }

    /// The engine that the instance lives on, and no other.
    ///
    /// # Errors
    /// `NoEngine` when it does not answer, or another one does in its place.
    async fn engine(&self, record: &Record) -> Result<Engine> {
        let engine = self.context.engines.open(record.engine, &self.context.spec.server).await?;
        observe::same_engine(&engine, record).await?;
        Ok(engine)
    }

    fn begin(&mut self, what: &str) -> Result<()> {
        self.note(Some(what.to_owned()))
    }

    /// Takes the note of what is under way back, unless the next command has to tidy up.
    fn done(&mut self) -> Result<()> {
        match self.left_behind {
            true => Ok(()),
            false => self.note(None),
        }
    }

    fn note(&mut self, what: Option<String>) -> Result<()> {
        match &mut self.record {
            Some(record) => {
                record.under_way = what;
                self.context.store.save(record)
            }
            None => Ok(()),
        }
    }
}

/// How to log in to a server of this record.
pub fn address(record: &Record, endpoint: &Endpoint) -> Address {
    let made_with = record.current_generation().map(|generation| &generation.made_with);
    Address {
        host: endpoint.host.clone(),
        port: endpoint.port,
        database: made_with.map(|made| made.database.clone()).unwrap_or_default(),
        user: made_with.map(|made| made.user.clone()).unwrap_or_default(),
        password: record.password.clone(),
    }
}

/// How to log in to the instance of this record, without asking its engine: servers are published
/// on 127.0.0.1 only.
pub fn recorded_address(record: &Record) -> Address {
    address(record, &Endpoint { host: "127.0.0.1".into(), port: record.port })
}

/// 32 letters and digits: 190 bits, and nothing that a URL, a shell or SASLprep would change.
pub fn new_password() -> SecretString {
    SecretString::from(Alphanumeric.sample_string(&mut rand::rng(), 32))
}

fn generation_record(number: u32, made_with: MadeWith, why: Why) -> GenerationRecord {
    GenerationRecord {
        number,
        made_with,
        created: Utc::now(),
        why,
        replaced: None,
        baseline: None,
        untouched: false,
    }
}

/// Where a server is reached.
///
/// # Errors
/// `Unexpected` when its engine does not say.
pub fn endpoint_of(server: &Server) -> Result<&Endpoint> {
    server.endpoint.as_ref().ok_or_else(|| {
        Error::new(Kind::Unexpected, format!("the engine reports no port for {}", server.name))
    })
}
