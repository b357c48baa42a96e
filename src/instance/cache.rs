//! Working on golden states under an instance's lock: builders are of the instance, there or not.

use super::{Instance, lineage};
use crate::engine::{Engine, Role};
use crate::error::Result;

/// What the record says is under way meanwhile, so that a builder of a killed command is tidied up.
const UNDER_WAY: &str = "cache";

impl Instance<'_> {
    /// The engine that the next `up` uses, ready for it: the instance's own, or the one that is
    /// chosen for a new one. Until [`Instance::leave_cache`] the record says what is going on.
    ///
    /// # Errors
    /// `NoEngine`, and `Image` when the image cannot be had.
    pub async fn enter_cache(&mut self) -> Result<Engine> {
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
        self.begin(UNDER_WAY)?;
        Ok(engine)
    }

    /// Notes that nothing is going on any more.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn leave_cache(&mut self) -> Result<()> {
        self.done()
    }
}
