//! Replaces an instance's data. Reset makes a generation beside the running one, and undo chooses a
//! former one. When it is complete, a server on it replaces the old server, on the same port.

use std::time::Duration;

use super::discard::REMOVAL_START_DEADLINE;
use super::prepare::Prepared;
use super::swap::SwapTo;
use super::{Instance, lineage};
use crate::engine::{Engine, Server};
use crate::error::{Error, Result};
use crate::golden::Golden;
use crate::outcome::{Cached, Fate};
use crate::plan::Plan;
use crate::state::{UnderWay, Why};

/// What a reset does with the generation that it replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldGeneration {
    /// Keeps it for `undo`, as long as the project's settings say.
    Keep,
    /// Removes it at once, to free its disk space.
    Wipe,
}

/// The result of a swap.
pub struct Replaced {
    /// The running server.
    pub server: Server,
    /// The golden state that the current generation started from.
    pub golden: Option<Golden>,
    /// The number of the former generation.
    pub former: u32,
    /// What happened to the former generation.
    pub fate: Fate,
    /// The number of the current generation.
    pub current: u32,
}

impl Instance<'_> {
    /// Makes a new generation, migrated and seeded, and swaps to it. When anything fails before the
    /// swap is recorded, the old generation serves again. None when there is no instance.
    ///
    /// # Errors
    /// The errors of baking, migrating, seeding and launching.
    pub async fn reset(&mut self, plan: &Plan, old: OldGeneration) -> Result<Option<Replaced>> {
        self.tidy().await?;
        if self.record.is_none() {
            return Ok(None);
        }
        let context = self.context;
        let engine = self.settle().await?;
        engine.keeps_instances().await?;
        lineage::check_engine(engine.kind(), context.spec.engine)?;
        context.interrupt.guard(engine.prepare(&context.spec.server, &context.events)).await?;
        self.begin(UnderWay::Reset)?;
        let former = self.recorded()?.current.unwrap_or_default();
        let prepared = match self.prepare(&engine, plan, Why::Reset).await {
            Ok(prepared) => prepared,
            Err(error) => {
                let error = self.rolled_back(&engine, &[], error).await;
                return Err(error.note("nothing was replaced; the database is as it was before"));
            }
        };
        context.events.step("switching to the new database");
        let Prepared { generation, verifier, golden, next } = prepared;
        let (id, current) = (generation.id, generation.number);
        let record = self.recorded()?;
        let owner = record.owner.clone();
        // With --wipe the person wants disk space, so no spare is made. After a bake the person has
        // already waited, and the files are likely to change again.
        let makes_spare = old == OldGeneration::Keep && golden.cached == Cached::Hit;
        let making_spare = async {
            let spec = &context.spec.server;
            match makes_spare {
                true => Some(engine.clone_golden(&golden.state, &owner, next, spec).await),
                false => None,
            }
        };
        let swap = async {
            let swapped =
                self.swap(&engine, record, generation, SwapTo::GoldenCopy(&verifier)).await?;
            if old == OldGeneration::Wipe {
                self.wipe(former)?;
            }
            self.measure_unknown(&engine).await;
            self.make_room();
            // A spare that is left is a copy of another state.
            match (old, makes_spare) {
                (OldGeneration::Wipe, _) => {
                    self.remove_expired_and_spare(&engine, Duration::MAX).await
                }
                (OldGeneration::Keep, true) => {
                    self.remove_expired_and_spare(&engine, REMOVAL_START_DEADLINE).await
                }
                (OldGeneration::Keep, false) => self.remove_expired(&engine).await,
            }
            Ok(swapped.server)
        };
        let (swapped, spare) = tokio::join!(swap, making_spare);
        let server = match swapped {
            Ok(server) => server,
            Err(error) => return Err(self.rolled_back(&engine, &[id, next], error).await),
        };
        if let Some(spare) = spare {
            self.keep_spare(spare, &golden.state.label);
        }
        self.done()?;
        self.announce();
        self.hold(&engine).await;
        let fate = self.fate_of(former, old);
        let golden = Some(golden);
        Ok(Some(Replaced { server, golden, former, fate, current }))
    }

    /// The settings to change back before `undo` can return to a former generation, in words.
    pub fn changes_since(&self, former: u32) -> Vec<String> {
        let Some(record) = &self.record else { return Vec::new() };
        let former = record.generations.iter().find(|generation| generation.number == former);
        match (former, record.current_generation()) {
            (Some(former), Some(current)) => {
                lineage::differences(&former.made_with, &current.made_with)
            }
            _ => Vec::new(),
        }
    }

    /// Removes the generations with these ids, which were made for a swap that failed with `error`,
    /// and returns that error. When the removal fails too, the note stays and the next command tidies up.
    pub(super) async fn rolled_back(
        &mut self,
        engine: &Engine,
        made: &[u32],
        error: Error,
    ) -> Error {
        let discard = async {
            for id in made {
                self.discard(engine, *id).await?;
            }
            Ok(())
        };
        let discarded: Result<()> = discard.await;
        // They are gone, and a devdb with another home directory may use their ids from now on.
        // An interrupted command leaves its note, which must not name them any more.
        let forgotten = discarded.and_then(|()| match made.is_empty() {
            true => Ok(()),
            false => self.begin(UnderWay::Reset),
        });
        let cleanup = forgotten.and_then(|()| self.done_after(&error));
        if cleanup.is_ok() {
            self.hold(engine).await;
        }
        error.with_cleanup(cleanup)
    }
}
