//! Work on golden states under an instance's lock. Builders carry the instance's name, even when
//! the instance itself does not exist.

use std::path::Path;

use super::{Instance, lineage};
use crate::engine::{Engine, Role};
use crate::error::Result;
use crate::golden::Golden;
use crate::outcome::{Applied, Cached};
use crate::state::UnderWay;

impl Instance<'_> {
    /// Prepares the engine that the next `up` uses: the instance's own, or the one that devdb
    /// chooses for a new instance. Until [`Instance::leave_cache`] the record notes the work, and
    /// `file` when the work writes one.
    ///
    /// # Errors
    /// `NoEngine`, and `Image` when the engine cannot get the image.
    pub async fn enter_cache(&mut self, file: Option<&Path>) -> Result<Engine> {
        let context = self.context;
        self.tidy().await?;
        let Some(record) = self.record.clone() else {
            let choosing = context.engines.choose(&context.spec, Role::Builder, &context.events);
            let engine = context.interrupt.guard(choosing).await?;
            self.lock_on(&engine).await?;
            return Ok(engine);
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

    /// Clears the note of [`Instance::enter_cache`], unless a failure may have left something.
    ///
    /// # Errors
    /// The error of `done`, and when the record cannot be written.
    pub fn leave_cache<T>(&mut self, done: Result<T>) -> Result<T> {
        match done {
            Ok(done) => self.done().map(|()| done),
            Err(error) => match self.done_after(&error) {
                Ok(()) => Err(error),
                Err(worse) => Err(error.because(worse)),
            },
        }
    }

    /// Releases a golden state after its copy, and prunes the cache after a bake. Returns what the
    /// state contains, together with the pending work of `found`.
    pub async fn release(&mut self, golden: Golden, found: Applied) -> Applied {
        if golden.cached == Cached::Hit {
            return golden.release(self.context, found).await;
        }
        // When this is cut short, the next command finishes it.
        let noted = self.begin(UnderWay::Prune);
        let applied = golden.release(self.context, found).await;
        if let Err(error) = noted.and_then(|()| self.done()) {
            self.context
                .events
                .warn(format!("devdb could not record that it pruned the cache: {error}"));
        }
        applied
    }
}
