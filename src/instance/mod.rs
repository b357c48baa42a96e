//! The life of an instance on either engine: created, started, changed, reset, removed.
//!
//! A command changes an instance under the instance's lock. Before the first step it notes in the
//! record what is under way ([`UnderWay`]), and after the last step it clears the note. The next
//! command that takes the lock and finds a note tidies up first ([`tidy`]), so a killed command
//! costs only a little of the next command's time.

mod address;
mod beside;
mod branch_off;
mod cache;
mod create;
mod discard;
pub mod env_file;
mod generations;
mod hold;
mod idle;
mod keep_before;
mod launch;
mod lineage;
mod login;
mod numbers;
mod observe;
mod prepare;
mod profile;
mod promise;
mod rebuild;
mod remains;
mod reset;
mod retention;
mod revive;
mod rubbish;
mod save;
mod settle;
mod snapshot;
mod stop;
mod swap;
mod tidy;
mod transfer;
mod undo;
mod up;
mod written;

use tokio::sync::OnceCell;

use crate::context::Context;
use crate::engine::{self, Engine, EngineLock, Shared};
use crate::error::{Error, Kind, Result};
use crate::state::{Guards, Lock, Record, UnderWay};

pub use address::{address, endpoint_of, recorded_address};
pub use beside::beside_others;
pub use generations::generations;
pub use hold::exposed;
pub use idle::stop_when_idle;
pub use keep_before::Keeper;
pub use observe::{Observed, found_without_record, record, unrecorded};
pub use profile::{note_profile, profile_to_name};
pub use remains::{Remains, check_data, with_remains};
pub use reset::{OldGeneration, Replaced};
pub use retention::has_expired;
pub use revive::Running;
pub use rubbish::{Homes, Rubbish, Usefulness};
pub use undo::Target;
pub use up::{bring_up, bring_up_from, bring_up_open};

/// An instance under its lock.
pub struct Instance<'a> {
    context: &'a Context,
    key: String,
    record: Option<Record>,
    /// Whether this command left something for the next one to remove.
    left_behind: bool,
    /// The lock on the engine, against a devdb with another home directory. It is taken when the
    /// engine is known, and released before the lock of this home directory.
    alone: OnceCell<EngineLock>,
    /// Whether to wait for that lock.
    patience: Patience,
    _lock: Lock,
}

/// Whether a command waits for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    Wait,
    Refuse,
}

impl<'a> Instance<'a> {
    /// Takes the instance's lock and reads its record. A lost record is rebuilt from what the
    /// engines have.
    ///
    /// # Errors
    /// `Locked`, `Config` for a record of a newer devdb, `NoEngine` when the instance's engine does
    /// not answer.
    pub async fn open(context: &'a Context) -> Result<Instance<'a>> {
        let key = context.spec.owner.key();
        Instance::open_guarded(context, Guards::Instance(&key)).await
    }

    /// Opens the instance whose data another instance begins with, while the command holds the
    /// other instance's lock.
    async fn open_origin(context: &'a Context) -> Result<Instance<'a>> {
        let key = context.spec.owner.key();
        Instance::open_guarded(context, Guards::Origin(&key)).await
    }

    async fn open_guarded(context: &'a Context, guards: Guards<'_>) -> Result<Instance<'a>> {
        let waiting = context.store.lock(guards, &context.events);
        let lock = context.interrupt.guard(waiting).await?;
        let key = context.spec.owner.key();
        let mut instance = Instance::new(context, key, lock, Patience::Wait);
        instance.record = instance.load_or_rebuild().await?;
        instance.note_project()?;
        Ok(instance)
    }

    /// Opens the recorded instance of `context`. None when another devdb has the lock. A lost
    /// record is not rebuilt. When a devdb with another home directory works on the instance, a
    /// later call fails with `Locked`.
    ///
    /// # Errors
    /// `Config` when the lock or the record cannot be read.
    pub fn try_open(context: &'a Context) -> Result<Option<Instance<'a>>> {
        let key = context.spec.owner.key();
        let Some(lock) = context.store.try_lock(Guards::Instance(&key))? else { return Ok(None) };
        let record = context.store.load(&key)?.map(|record| context.with_settings(record));
        Ok(Some(Instance { record, ..Instance::new(context, key, lock, Patience::Refuse) }))
    }

    fn new(context: &'a Context, key: String, lock: Lock, patience: Patience) -> Instance<'a> {
        let alone = OnceCell::new();
        Instance { context, key, record: None, left_behind: false, alone, patience, _lock: lock }
    }

    /// The record; none when there is no instance.
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// The record of an instance that must exist.
    ///
    /// # Errors
    /// `NoInstance`.
    pub fn recorded(&self) -> Result<Record> {
        self.record.clone().ok_or_else(|| Error::new(Kind::NoInstance, "there is no instance here"))
    }

    /// The engine that the instance lives on. From now on no other devdb works on the instance.
    ///
    /// # Errors
    /// `NoEngine` when it does not answer, or another engine answers in its place. `Locked` when a
    /// devdb with another home directory works on the instance.
    async fn engine(&self, record: &Record) -> Result<Engine> {
        let Context { engines, spec, events, interrupt, .. } = self.context;
        let opening = engines.open(record.engine, &spec.server, events);
        let engine = interrupt.guard(opening).await?;
        observe::same_engine(&engine, record).await?;
        self.lock_on(&engine).await?;
        Ok(engine)
    }

    /// Takes the instance's lock on an engine, unless this command has it.
    ///
    /// # Errors
    /// `Locked`, and when the engine refuses.
    async fn lock_on(&self, engine: &Engine) -> Result<()> {
        let context = self.context;
        let (what, image) = (Shared::Instance(&self.key), context.spec.server.image.as_str());
        let taking = async || match self.patience {
            Patience::Wait => {
                context.interrupt.guard(engine.lock(what, image, &context.events)).await
            }
            Patience::Refuse => {
                let lock = engine.try_lock(what, image).await?;
                let lock = lock.ok_or_else(|| engine::busy(what))?;
                lock.tell_if_absent(&context.events);
                Ok(lock)
            }
        };
        self.alone.get_or_try_init(taking).await.map(drop)
    }

    /// Notes in the record what is under way from now on.
    fn begin(&mut self, what: UnderWay) -> Result<()> {
        self.note(Some(what))
    }

    /// Clears the note, unless the next command has to tidy up.
    fn done(&mut self) -> Result<()> {
        match self.left_behind {
            true => Ok(()),
            false => self.note(None),
        }
    }

    /// Clears the note after a failure. After an interruption, or when the engine stopped
    /// answering, the note stays: the engine may still carry out a request, and the next command
    /// tidies up.
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

    /// Notes where the project is now and how much it keeps, for commands that run elsewhere, such as
    /// `gc`.
    fn note_project(&mut self) -> Result<()> {
        let context = self.context;
        let Some(record) = &mut self.record else { return Ok(()) };
        if record.home == context.home && record.retention == context.spec.retention {
            return Ok(());
        }
        record.home.clone_from(&context.home);
        record.retention = context.spec.retention;
        context.store.save(record)
    }
}
