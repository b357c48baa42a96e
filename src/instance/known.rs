//! Instances by their records, wherever one stands: what `gc` opens, and what a record has to
//! know for that.

use super::{Context, Instance, collect};
use crate::error::Result;
use crate::state::{Lock, Record};

impl Context {
    /// The same world for the instance of a record, as far as removing needs to know it: what its
    /// project's devdb.yaml says was not read.
    pub fn of_record(&self, record: &Record) -> Context {
        let mut context = self.clone();
        context.spec.owner = record.owner.clone();
        context.spec.of_branch = record.of_branch;
        context.spec.retention = record.retention;
        context.home.clone_from(&record.home);
        if let Some(current) = record.current_generation() {
            let made = &current.made_with;
            context.spec.server.major = made.major;
            context.spec.server.image.clone_from(&made.image);
            context.spec.server.database.clone_from(&made.database);
            context.spec.server.user.clone_from(&made.user);
        }
        context
    }
}

impl<'a> Instance<'a> {
    /// The recorded instance of `context` under its lock; none when another devdb has the lock.
    /// Nothing is rebuilt: what has no record is not known.
    ///
    /// # Errors
    /// `Config` when the lock or the record cannot be read.
    pub fn open_at_once(context: &'a Context) -> Result<Option<Instance<'a>>> {
        let key = context.spec.owner.key();
        let Some(lock) = Lock::at_once(&context.store.lock_file(&key))? else { return Ok(None) };
        let record = context.store.load(&key)?;
        Ok(Some(Instance { context, key, record, left_behind: false, _lock: lock }))
    }

    /// Removes the generations whose time is over, unless somebody else is at work on the instance
    /// or a command was cut short, which is for the next one that changes something.
    ///
    /// # Errors
    /// When the record cannot be read or its engine does not answer.
    pub async fn expire(context: &'a Context) -> Result<()> {
        let Some(mut instance) = Instance::open_at_once(context)? else { return Ok(()) };
        let Some(record) = instance.record.clone() else { return Ok(()) };
        if record.under_way.is_some() || !has_expired(&record) {
            return Ok(());
        }
        let engine = context.interrupt.guard(instance.engine(&record)).await?;
        instance.collect(&engine).await;
        Ok(())
    }

    /// Notes where the project is now, for whoever meets the record elsewhere.
    pub(super) fn note_use(&mut self) -> Result<()> {
        let context = self.context;
        match &mut self.record {
            Some(record) if !is_noted(context, record) => {
                record.home.clone_from(&context.home);
                context.store.save(record)
            }
            _ => Ok(()),
        }
    }
}

/// Whether a record knows where its project is.
fn is_noted(context: &Context, record: &Record) -> bool {
    record.home == context.home
}

/// Whether the time of one of its generations is over.
pub fn has_expired(record: &Record) -> bool {
    !collect::expired(record).is_empty()
}

/// Whether a record needs no hand: nothing in it is to be noted or collected.
pub(super) fn is_settled(context: &Context, record: &Record) -> bool {
    is_noted(context, record) && record.leaving.is_empty() && !has_expired(record)
}
