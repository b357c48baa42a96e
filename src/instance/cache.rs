//! Working on golden states under an instance's lock: builders are of the instance, there or not.

use std::path::Path;

use super::{Instance, lineage};
use crate::engine::{Engine, Role};
use crate::error::Result;
use crate::golden::Golden;
use crate::outcome::{Applied, Cached};
use crate::state::UnderWay;

impl Instance<'_> {
    /// The engine that the next `up` uses, ready for it: the instance's own, or the one that is
    /// chosen for a new one. Until [`Instance::leave_cache`] the record says what is going on, and which
    /// file is being written.
    ///
    /// # Errors
    /// `NoEngine`, and `Image` when the image cannot be had.
    pub async fn enter_cache(&mut self, file: Option<&Path>) -> Result<Engine> {
        let context = self.context;
        self.tidy().await?;
        let Some(record) = self.record.clone() else {
            let choosing = context.engines.choose(&context.spec, Role::Builder, &context.events);
            return context.interrupt.guard(choosing).await;
        };
        let engine = self.engine(&record).await?;
        lineage::check_engine(record.engine, context.spec.engine)?;
        let preparing = engine.prepare(&context.spec.server, &context.events);
        context.interrupt.guard(preparing).await?;
        match file {
            Some(file) => self.begin(UnderWay::Export(file.to_owned()))?,
            None => self.begin(UnderWay::Cache)?,
        }
        Ok(engine)
    }

    /// Notes that nothing is going on any more, unless what was `done` may have left something.
    ///
    /// # Errors
    /// That of `done`, and when the record cannot be written.
    pub fn leave_cache<T>(&mut self, done: Result<T>) -> Result<T> {
        match done {
            Ok(done) => self.done().map(|()| done),
            Err(error) => match self.done_after(&error) {
                Ok(()) => Err(error),
                Err(worse) => Err(error.because(worse)),
            },
        }
    }

    /// Tells that a golden state has been copied, and makes room in the cache for what was baked.
    /// Returns what is in it, and what `found` says is still to do.
    pub async fn release(&mut self, golden: Golden, found: Applied) -> Applied {
        if golden.cached == Cached::Hit {
            return golden.release(self.context, found).await;
        }
        // So that the next command goes on with it when it is cut short.
        let noted = self.begin(UnderWay::Prune);
        let applied = golden.release(self.context, found).await;
        if let Err(error) = noted.and_then(|()| self.done()) {
            self.context.events.warn(format!("what was pruned could not be noted: {error}"));
        }
        applied
    }
}
