//! Keeps the promises of [`retention`](super::retention): removes what has expired, makes room, and
//! says before what will go.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::discard::REMOVAL_START_DEADLINE;
use super::retention::{End, beyond_room, expired, going, has_expired, may_make_room};
use super::swap::Swapped;
use super::{Instance, OldGeneration};
use crate::context::Context;
use crate::engine::Engine;
use crate::error::Result;
use crate::outcome::Fate;
use crate::state::{Announced, GenerationRecord, Record, Worth};

/// How long devdb waits for the engine to measure generations.
const MEASURING_DEADLINE: Duration = Duration::from_secs(3);

impl<'a> Instance<'a> {
    /// Removes expired generations. Does nothing when another command works on the instance, or
    /// when one was cut short: the next command that changes the instance tidies up first.
    ///
    /// # Errors
    /// When the record cannot be read or its engine does not answer.
    pub async fn expire(context: &'a Context) -> Result<()> {
        let Some(mut instance) = Instance::try_open(context)? else { return Ok(()) };
        let Some(record) = instance.record.clone() else { return Ok(()) };
        if record.under_way.is_some() || !has_expired(&record) {
            return Ok(());
        }
        let engine = context.interrupt.guard(instance.engine(&record)).await?;
        instance.remove_expired(&engine).await;
        instance.hold(&engine).await;
        Ok(())
    }
}

impl Instance<'_> {
    /// What happened to the generation that was current before a swap that keeps it.
    pub(super) fn fate_after(&self, swapped: &Swapped, number: u32) -> Fate {
        match swapped.old_is_gone {
            true => Fate::Gone,
            false => self.fate_of(number, OldGeneration::Keep),
        }
    }

    /// What happened to the generation that was current before a swap.
    pub(super) fn fate_of(&self, number: u32, old: OldGeneration) -> Fate {
        let record = self.record.as_ref();
        let kept = record.and_then(|record| {
            record.former().into_iter().find(|generation| generation.number == number)
        });
        match kept {
            Some(generation) if generation.for_good => Fate::ForGood,
            Some(generation) if generation.worth == Worth::Untouched => Fate::UntilSwap,
            Some(_) => Fate::Kept,
            None if old == OldGeneration::Wipe => Fate::Wiped,
            None if self.context.spec.retention.days == 0 => Fate::NotWanted,
            None => Fate::Unwritten,
        }
    }

    /// Records that a person gave up a generation. [`Instance::remove_expired`] then removes it.
    pub(super) fn wipe(&mut self, number: u32) -> Result<()> {
        if let Some(record) = &mut self.record {
            for generation in &mut record.generations {
                if generation.number == number {
                    generation.worth = Worth::Wiped;
                }
            }
            self.context.store.save(record)?;
        }
        Ok(())
    }

    /// Removes expired generations. A failure is only a warning: the next command tries again.
    pub(super) async fn remove_expired(&mut self, engine: &Engine) {
        let over = self.over();
        self.remove_generations(engine, &over, REMOVAL_START_DEADLINE).await;
    }

    /// Removes expired generations and the spare. Waits up to `deadline` for each removal.
    pub(super) async fn remove_expired_and_spare(&mut self, engine: &Engine, deadline: Duration) {
        let mut over = self.over();
        let spare = self.record.as_mut().and_then(|record| record.spare.take());
        over.extend(spare.map(|spare| spare.id));
        self.remove_generations(engine, &over, deadline).await;
    }

    /// What every swap does at its end: makes room, removes what has expired, and says what will go.
    pub(super) async fn settle_promises(&mut self, engine: &Engine) {
        self.measure_unknown(engine).await;
        if let Err(error) = self.note_snapshots(engine).await {
            tracing::debug!("the snapshots could not be listed: {error}");
        }
        self.make_room();
        self.remove_expired(engine).await;
        self.announce();
        self.hold(engine).await;
    }

    /// Asks the engine for the sizes of former generations whose servers did not tell. This is slow,
    /// and rarely needed: a generation was found, or its server had died.
    pub(super) async fn measure_unknown(&mut self, engine: &Engine) {
        let Some(record) = &mut self.record else { return };
        let current = record.current;
        let is_unknown = |generation: &GenerationRecord| {
            Some(generation.number) != current && generation.bytes.is_none()
        };
        if !record.generations.iter().any(is_unknown) {
            return;
        }
        let measuring = async {
            let sizes = engine.sizes(Some(&self.key)).await.ok()?;
            let there = engine.generations(Some(&self.key)).await.ok()?;
            Some((sizes, there))
        };
        let measured = tokio::time::timeout(MEASURING_DEADLINE, measuring).await;
        let Ok(Some((sizes, there))) = measured else { return };
        for generation in record.generations.iter_mut().filter(|one| is_unknown(one)) {
            let on_engine = there.iter().find(|one| one.id == generation.id);
            generation.bytes = on_engine.and_then(|one| sizes.get(&one.handle).copied());
        }
        self.save_promises();
    }

    /// Gives up the generations for which there is no room after a swap, if a command has said so
    /// before. [`Instance::remove_expired`] then removes them.
    pub(super) fn make_room(&mut self) {
        let Some(record) = &mut self.record else { return };
        let now = Utc::now();
        let mut over = beyond_room(record, now, 0);
        over.retain(|(_, from)| *from <= now);
        for generation in &mut record.generations {
            let is_over = over.iter().any(|(number, _)| *number == generation.number);
            if is_over && may_make_room(generation, now) {
                let why = match generation.worth {
                    Worth::Untouched => "nobody wrote to it",
                    Worth::WrittenTo | Worth::Wiped => "as an earlier command said",
                };
                generation.worth = Worth::Wiped;
                self.context.events.note(format!(
                    "devdb removes generation {} to make room, {why} (generations.size in \
                     devdb.yaml)",
                    generation.number
                ));
            }
        }
        self.save_promises();
    }

    /// Says which generations that somebody wrote to will go soon, and records that it was said. A
    /// failure is only a warning: then they stay until a command can record it.
    pub(super) fn announce(&mut self) {
        let Some(record) = &mut self.record else { return };
        let now = Utc::now();
        say_what_goes(self.context, record);
        let going = going(record, now);
        for generation in &mut record.generations {
            let end = going.iter().find(|(number, _)| *number == generation.number);
            let to_say = end.and_then(|(_, end)| end.announced(now));
            generation.announced = to_say.map(|to_say| match generation.announced {
                Some(said) if said.reason == to_say.reason => {
                    Announced { since: said.since, ..to_say }
                }
                _ => to_say,
            });
        }
        self.save_promises();
    }

    fn save_promises(&self) {
        let saved = self.record.as_ref().map_or(Ok(()), |record| self.context.store.save(record));
        if let Err(error) = saved {
            self.context
                .events
                .warn(format!("devdb could not record which generations it will remove: {error}"));
        }
    }

    /// The ids of the expired generations. Reports the ones that somebody wrote to.
    fn over(&self) -> Vec<u32> {
        let Some(record) = &self.record else { return Vec::new() };
        let over = expired(record);
        let written_to = record.generations.iter().filter(|generation| {
            over.contains(&generation.number)
                && generation.worth == Worth::WrittenTo
                && self.context.spec.retention.days > 0
        });
        for generation in written_to {
            self.context.events.note(format!(
                "devdb removes generation {}: its time is over (generations.days in devdb.yaml)",
                generation.number
            ));
        }
        record.ids_of(&over)
    }
}

/// Says which generations that somebody wrote to will go soon, and how to keep them.
pub(super) fn say_what_goes(context: &Context, record: &Record) {
    for (number, end) in going(record, Utc::now()) {
        let (when, why) = match end {
            End::NoRoom(after) => (
                format!("the first reset or restore after {}", moment(after)),
                "to make room (generations.size in devdb.yaml)",
            ),
            End::At(after) => (
                format!("the first command after {}", moment(after)),
                "because its time is over (generations.days in devdb.yaml)",
            ),
            End::Now | End::Never => continue,
        };
        context.events.note(format!(
            "{when} removes generation {number}, {why}\n  \
             devdb generations keep {number}   keeps it for good"
        ));
    }
}

fn moment(time: DateTime<Utc>) -> String {
    time.with_timezone(&chrono::Local).format("%Y-%m-%d %H:%M").to_string()
}
