//! An instance's life: found, made, started, changed, replaced, removed, on either engine.
//!
//! Every change is made under the instance's lock. Before its first step the record notes what is
//! under way ([`UnderWay`]), and after its last step the note is cleared. Whoever takes the lock
//! next and finds the note tidies up first ([`tidy`]), so a killed command costs nothing but a
//! little of the next one's time.

mod address;
mod branch_off;
mod cache;
mod create;
mod discard;
mod generations;
mod launch;
mod lineage;
mod observe;
mod prepare;
mod rebuild;
mod reset;
mod retention;
mod revive;
mod rubbish;
mod save;
mod snapshot;
mod stop;
mod swap;
mod tidy;
mod transfer;
mod up;

use std::time::Duration;

use chrono::Utc;

use crate::context::Context;
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::spec::MadeWith;
use crate::state::{GenerationRecord, Guards, Lock, Record, UnderWay, Why, Worth};

pub use address::{address, endpoint_of, recorded_address};
pub use generations::generations;
pub use observe::{Observed, record};
pub use reset::{Former, Replaced};
pub use retention::has_expired;
pub use revive::Running;
pub use rubbish::{Homes, Rubbish, Usefulness};
pub use up::{begin_with, bring_up};

/// How long a server whose data matters gets to end cleanly, before the command that stops it gives
/// up. A server is never killed then.
const SERVER_STOP_DEADLINE: Duration = Duration::from_secs(60);

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
    /// Takes the instance's lock, reads its record, and rebuilds a lost one from what the engines
    /// still have.
    ///
    /// # Errors
    /// `Locked`, `Config` for a record of a newer devdb, `NoEngine` when the instance's engine does
    /// not answer.
    pub async fn open(context: &'a Context) -> Result<Instance<'a>> {
        let key = context.spec.owner.key();
        Instance::open_guarded(context, Guards::Instance(&key)).await
    }

    /// The same for the instance whose data another one begins with. The lock of that one is held.
    async fn open_origin(context: &'a Context) -> Result<Instance<'a>> {
        let key = context.spec.owner.key();
        Instance::open_guarded(context, Guards::Origin(&key)).await
    }

    async fn open_guarded(context: &'a Context, guards: Guards<'_>) -> Result<Instance<'a>> {
        let waiting = context.store.lock(guards, &context.events);
        let lock = context.interrupt.guard(waiting).await?;
        let key = context.spec.owner.key();
        let mut instance = Instance { context, _lock: lock, key, record: None, left_behind: false };
        instance.record = instance.load_or_rebuild().await?;
        instance.note_home()?;
        Ok(instance)
    }

    /// The recorded instance of `context` under its lock; none when another devdb has the lock.
    /// Nothing is rebuilt: an instance without a record is not known.
    ///
    /// # Errors
    /// `Config` when the lock or the record cannot be read.
    pub fn try_open(context: &'a Context) -> Result<Option<Instance<'a>>> {
        let key = context.spec.owner.key();
        let Some(lock) = context.store.try_lock(Guards::Instance(&key))? else { return Ok(None) };
        let record = context.store.load(&key)?;
        Ok(Some(Instance { context, key, record, left_behind: false, _lock: lock }))
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

    /// Notes in the record what begins now.
    fn begin(&mut self, what: UnderWay) -> Result<()> {
        self.note(Some(what))
    }

    /// Clears the note of what was under way, unless the next command has to tidy up.
    fn done(&mut self) -> Result<()> {
        match self.left_behind {
            true => Ok(()),
            false => self.note(None),
        }
    }

    /// Clears the note after a failure, unless the engine was interrupted or fell silent: it may
    /// have made what it was asked for, or still make it. The next command looks again then.
    fn done_after(&mut self, error: &Error) -> Result<()> {
        match error.kind() {
            Kind::Interrupted | Kind::NoEngine => Ok(()),
            _ => self.done(),
        }
    }

    fn note(&mut self, what: Option<UnderWay>) -> Result<()> {
        match &mut self.record {
            Some(record) => {
                record.under_way = what;
                self.context.store.save(record)
            }
            None => Ok(()),
        }
    }

    /// Notes where the project is now, for whoever meets the record from elsewhere.
    fn note_home(&mut self) -> Result<()> {
        let context = self.context;
        match &mut self.record {
            Some(record) if record.home != context.home => {
                record.home.clone_from(&context.home);
                context.store.save(record)
            }
            _ => Ok(()),
        }
    }
}

fn generation_record(number: u32, made_with: MadeWith, why: Why) -> GenerationRecord {
    GenerationRecord {
        number,
        made_with,
        created: Utc::now(),
        why,
        replaced: None,
        baseline: None,
        worth: Worth::WrittenTo,
    }
}
