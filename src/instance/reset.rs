//! Replacing an instance's data: another generation is made (reset) or chosen (undo) beside the
//! running one, and only when it is complete the old server makes room for it, on the same port.

use std::time::Duration;

use serde::Serialize;

use super::collect::BRIEFLY;
use super::data::Plan;
use super::prepare::Prepared;
use super::revive::stop_cleanly;
use super::{Instance, address, endpoint_of, launch, lineage};
use crate::db::inspect;
use crate::engine::{Engine, Generation, MadeWith, Server};
use crate::error::{Error, Kind, Result};
use crate::golden::{Cached, Golden};
use crate::state::{GenerationRecord, Record, Why};

/// What a swap did.
pub struct Replaced {
    /// The running server.
    pub server: Server,
    /// What the generation that is current now started from.
    pub golden: Option<Golden>,
    /// The generation that was current before.
    pub former: u32,
    /// What became of that one.
    pub fate: Fate,
    /// The one that is now.
    pub current: u32,
}

/// What becomes of a generation that is current no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is kept for `undo`.
    Kept,
    /// It was to be removed.
    Wiped,
    /// It is removed: nobody had written to it.
    Unwritten,
    /// It is removed: the project keeps none.
    NotWanted,
}

/// Where a generation that is to become current comes from.
#[derive(Clone, Copy)]
pub(super) enum Incoming<'v> {
    /// A copy of a golden state, which has no password yet; this is the verifier of the instance's.
    Fresh(&'v str),
    /// A copy of a snapshot. Its password may be another's.
    Snapshot,
    /// It was current before.
    Former,
}

impl Instance<'_> {
    /// Makes a new generation, migrated and seeded, and swaps. Whatever fails before the record is
    /// written, the old generation serves again, as before. With `wipe` the old one is removed.
    ///
    /// # Errors
    /// Those of building, migrating, seeding and launching.
    pub async fn reset(&mut self, plan: &Plan, wipe: bool) -> Result<Option<Replaced>> {
        self.tidy().await?;
        if self.record.is_none() {
            return Ok(None);
        }
        let context = self.context;
        let engine = self.settle().await?;
        engine.keeps_instances().await?;
        lineage::check_engine(engine.kind(), context.spec.engine)?;
        context.interrupt.guard(engine.prepare(&context.spec.server, &context.events)).await?;
        self.begin("reset")?;
        let former = self.recorded()?.current.unwrap_or_default();
        let prepared = match self.prepare(&engine, plan, Why::Reset).await {
            Ok(prepared) => prepared,
            Err(error) => {
                let error = self.given_up(&engine, &[], error).await;
                return Err(error.hint("nothing was replaced: the database is as it was before"));
            }
        };
        context.events.step("swapping");
        let Prepared { number, generation, verifier, golden, next } = prepared;
        let record = self.recorded()?;
        let owner = record.owner.clone();
        // Not where the disk is wanted back, nor where there was something to bake: whoever writes a
        // migration has waited for that already, and the copy from before stays until another is made.
        let is_worth_it = !wipe && golden.cached == Cached::Hit;
        let ahead = async {
            let spec = &context.spec.server;
            match is_worth_it {
                true => Some(engine.clone_golden(&golden.state, &owner, next, spec).await),
                false => None,
            }
        };
        let swap = async {
            let server = self.swap(&engine, record, generation, Incoming::Fresh(&verifier)).await?;
            if wipe {
                self.forget(former)?;
            }
            // The copy that is still there is of another state.
            match (wipe, is_worth_it) {
                (true, _) => self.collect_with_spare(&engine, Duration::MAX).await,
                (false, true) => self.collect_with_spare(&engine, BRIEFLY).await,
                (false, false) => self.collect(&engine).await,
            }
            Ok(server)
        };
        let (swapped, ahead) = tokio::join!(swap, ahead);
        let server = match swapped {
            Ok(server) => server,
            Err(error) => return Err(self.given_up(&engine, &[number, next], error).await),
        };
        if let Some(spare) = ahead {
            self.keep_spare(spare, &golden.state.label);
        }
        self.done()?;
        let fate = self.fate_of(former, wipe);
        let golden = Some(golden);
        Ok(Some(Replaced { server, golden, former, fate, current: number }))
    }

    /// Points the instance at the generation that was current before this one. Done twice, it is as
    /// it was. None when there is no instance.
    ///
    /// # Errors
    /// `NoInstance` when no former generation is kept, `Config` when it was made with what the
    /// settings no longer say, and those of launching; the present generation serves again then.
    pub async fn undo(&mut self) -> Result<Option<Replaced>> {
        self.tidy().await?;
        if self.record.is_none() {
            return Ok(None);
        }
        let context = self.context;
        // Not `settle`: this is also the way out when the current data is gone.
        let engine = self.engine(&self.recorded()?).await?;
        engine.keeps_instances().await?;
        let Some(target) = self.recorded()?.latest_former().cloned() else {
            return Err(Error::new(Kind::NoInstance, "no former generation is kept")
                .because(
                    "only reset and snapshot restore make one, and it is kept for a time \
                     (generations in devdb.yaml)",
                )
                .hint("devdb generations   shows what is kept"));
        };
        let wanted = MadeWith::of(&context.spec.server, engine.kind());
        lineage::check_copy(&target.made_with, &wanted, || {
            format!("cannot go back to generation {}", target.number)
        })?;
        context.interrupt.guard(engine.prepare(&context.spec.server, &context.events)).await?;
        self.begin("undo")?;
        let record = self.recorded()?;
        let former = record.current.unwrap_or_default();
        context.events.step("swapping");
        let current = target.number;
        let chosen = GenerationRecord { replaced: None, ..target };
        let server = self.swap(&engine, record, chosen, Incoming::Former).await?;
        self.done()?;
        self.collect(&engine).await;
        let fate = self.fate_of(former, false);
        Ok(Some(Replaced { server, golden: None, former, fate, current }))
    }

    /// Stops the old server, launches one on another generation in its place, and records that.
    /// When it fails the old server runs again if it ran; the other generation's data is untouched.
    pub(super) async fn swap(
        &mut self,
        engine: &Engine,
        mut record: Record,
        new: GenerationRecord,
        from: Incoming<'_>,
    ) -> Result<Server> {
        let context = self.context;
        let number = new.number;
        let verifier = match from {
            Incoming::Fresh(verifier) => Some(verifier),
            Incoming::Snapshot | Incoming::Former => None,
        };
        let is_restored = matches!(from, Incoming::Snapshot);
        let mut old = self.current_server(engine, &record).await?;
        let was_running = old.as_ref().is_some_and(Server::is_running);
        let attempt = async {
            if let Some(old) = &mut old {
                stop_cleanly(context, engine, &record, old).await?;
                *old = engine.set_aside(old).await?;
            }
            let next_transaction = async {
                match &old {
                    // Whoever cannot tell keeps it.
                    Some(old) => engine.next_transaction(old).await.ok().flatten(),
                    None => None,
                }
            };
            // Asked of a server that has stopped, because a client may write to the last moment; but
            // not waited for.
            let (server, next_transaction) = tokio::join!(
                launch::instance(context, engine, &mut record, number, verifier),
                next_transaction
            );
            let server = server?;
            note_whether_untouched(&mut record, next_transaction);
            record.retention = context.spec.retention;
            record.point_at(new, server.handle.clone());
            self.log_in(engine, &record, &server, is_restored).await?;
            if is_restored {
                note_baseline(&mut record, &server).await;
            }
            context.store.save(&record)?;
            Ok::<Server, Error>(server)
        };
        match attempt.await {
            Ok(server) => {
                self.record = Some(record);
                // From here on the other generation is the instance's, and nothing is an error: a
                // leftover server is removed by the next command, as the note stays there.
                if let Some(old) = &old
                    && let Err(error) = engine.remove_server(old).await
                {
                    self.left_behind = true;
                    context.events.warn(format!("the old server is still there: {error}"));
                }
                Ok(server)
            }
            Err(error) => Err(match &old {
                Some(old) => self.put_back(engine, old, was_running, error).await,
                None => match self.discard_server(engine, number).await {
                    Ok(()) => error,
                    Err(worse) => error.because(format!("and cleaning up failed: {worse}")),
                },
            }),
        }
    }

    /// What has to be set back before `undo` can go to a former generation, in words.
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

    /// What became of the generation that was current before a swap.
    pub(super) fn fate_of(&self, former: u32, wiped: bool) -> Fate {
        let retention = self.context.spec.retention;
        let record = self.record.as_ref();
        match record.is_some_and(|record| record.former_generations().contains(&former)) {
            true => Fate::Kept,
            false if wiped => Fate::Wiped,
            false if retention.keep == 0 || retention.days == 0 => Fate::NotWanted,
            false => Fate::Unwritten,
        }
    }

    /// Removes what was made for a swap that is not to be. What goes wrong with that is the lesser
    /// evil: the note of what is under way stays, and the next command tidies up.
    pub(super) async fn given_up(&mut self, engine: &Engine, made: &[u32], error: Error) -> Error {
        let discard = async {
            for number in made {
                self.discard(engine, *number).await?;
            }
            Ok(())
        };
        match discard.await.and_then(|()| self.settled_after(&error)) {
            Ok(()) => error,
            Err(worse) => error.because(format!("and cleaning up failed: {worse}")),
        }
    }

    /// Takes a generation out of the record; [`Instance::collect`] then removes its data.
    fn forget(&mut self, number: u32) -> Result<()> {
        if let Some(record) = &mut self.record {
            for generation in &mut record.generations {
                if generation.number == number {
                    generation.untouched = true;
                }
            }
            self.context.store.save(record)?;
        }
        Ok(())
    }

    async fn discard_server(&self, engine: &Engine, number: u32) -> Result<()> {
        for server in engine.servers(Some(&self.key)).await? {
            if server.generation == number {
                self.withdraw(engine, &server).await?;
            }
        }
        Ok(())
    }

    /// Removes a generation with its servers. Not interruptible.
    pub(super) async fn discard(&self, engine: &Engine, number: u32) -> Result<()> {
        self.discard_within(engine, number, Duration::MAX).await.map(drop)
    }

    /// The same, for an engine that goes on with it by itself. False when it was not gone by then.
    pub(super) async fn discard_within(
        &self,
        engine: &Engine,
        number: u32,
        patience: Duration,
    ) -> Result<bool> {
        self.discard_server(engine, number).await?;
        let generations: Vec<Generation> = engine.generations(Some(&self.key)).await?;
        let mut is_gone = true;
        for generation in generations.iter().filter(|generation| generation.number == number) {
            is_gone &= engine.send_away_generation(generation, patience).await?;
        }
        Ok(is_gone)
    }
}

/// Notes from where on somebody has written to a generation that was restored. Where that cannot be
/// told, everything counts.
async fn note_baseline(record: &mut Record, server: &Server) {
    let Ok(endpoint) = endpoint_of(server) else { return };
    let next = inspect::next_transaction(&address(record, endpoint)).await;
    let current = record.current;
    for generation in &mut record.generations {
        if Some(generation.number) == current {
            generation.baseline = next.as_ref().ok().cloned();
        }
    }
}

/// Notes whether anybody has written to the current generation since it was made: only then it need
/// be kept.
fn note_whether_untouched(record: &mut Record, next_transaction: Option<u64>) {
    let next = next_transaction.map(|next| next.to_string());
    let current = record.current;
    for generation in &mut record.generations {
        if Some(generation.number) == current {
            generation.untouched = next.is_some() && generation.baseline == next;
        }
    }
}
