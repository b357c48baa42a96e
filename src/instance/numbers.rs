//! The ids and the numbers of new generations.
//!
//! The engine names a generation by its id, which devdb chooses before anything of the generation
//! exists. People call a generation by its number, which it gets when it is recorded: when it
//! becomes current, or as a copy of the data of before. So a copy that devdb makes ahead, and one
//! whose making fails, take no number.

use chrono::Utc;

use super::Instance;
use crate::engine::{Engine, Generation, Numbered};
use crate::error::Result;
use crate::state::Record;

impl Instance<'_> {
    /// A free id and the next number.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub(super) async fn next_generation(&self, engine: &Engine) -> Result<Numbered> {
        let on_engine = engine.generations(Some(&self.key)).await?;
        let id = self.next_id(&on_engine);
        Ok(Numbered { id, number: self.next_number(engine, &on_engine).await? })
    }

    /// A free id: the present second, or a later one when somebody has used that.
    pub(super) fn next_id(&self, on_engine: &[Generation]) -> u32 {
        let now = u32::try_from(Utc::now().timestamp()).unwrap_or(0);
        let there = on_engine.iter().map(|generation| generation.id);
        let recorded = self.record.iter().flat_map(ids);
        there.chain(recorded).max().map_or(now, |greatest| now.max(greatest + 1))
    }

    /// The number after all that were given. A devdb with another home directory may have given
    /// some that are only in the marks of its generations.
    pub(super) async fn next_number(
        &self,
        engine: &Engine,
        on_engine: &[Generation],
    ) -> Result<u32> {
        let mut greatest = self.record.as_ref().map_or(0, |record| record.greatest);
        let known: Vec<u32> = self.record.iter().flat_map(ids).collect();
        for unknown in on_engine.iter().filter(|generation| !known.contains(&generation.id)) {
            greatest = greatest.max(self.number_of(engine, unknown).await?.unwrap_or(0));
        }
        Ok(greatest + 1)
    }

    /// The number in the mark of a complete generation. None when the generation is not complete.
    /// Docker needs the image to look.
    ///
    /// # Errors
    /// When the engine cannot tell.
    pub(super) async fn number_of(
        &self,
        engine: &Engine,
        generation: &Generation,
    ) -> Result<Option<u32>> {
        let context = self.context;
        let spec = &context.spec.server;
        context.interrupt.guard(engine.prepare(spec, &context.events)).await?;
        engine.number_of(generation, spec).await
    }
}

/// The ids that a record knows. The spare keeps its id even when somebody has removed its volume.
fn ids(record: &Record) -> impl Iterator<Item = u32> {
    let recorded = record.generations.iter().map(|generation| generation.id);
    let spare = record.spare.iter().map(|spare| spare.id);
    recorded.chain(spare).chain(record.leaving.iter().copied())
}
