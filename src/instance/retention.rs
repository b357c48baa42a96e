//! Decides how long former generations are kept, and removes expired ones. This is the only place
//! that decides: `gc`, `status` and the promise that `reset` prints all ask here.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::discard::REMOVAL_START_DEADLINE;
use super::{Instance, OldGeneration};
use crate::context::Context;
use crate::engine::Engine;
use crate::error::Result;
use crate::outcome::Fate;
use crate::state::{GenerationRecord, Record, Why, Worth};

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
        Ok(())
    }
}

impl Instance<'_> {
    /// What happened to the generation that was current before a swap.
    pub(super) fn fate_of(&self, number: u32, old: OldGeneration) -> Fate {
        let retention = self.context.spec.retention;
        let record = self.record.as_ref();
        match record.is_some_and(|record| record.former_generations().contains(&number)) {
            true => Fate::Kept,
            false if old == OldGeneration::Wipe => Fate::Wiped,
            false if retention.keep == 0 || retention.days == 0 => Fate::NotWanted,
            false => Fate::Unwritten,
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
        over.extend(spare.map(|spare| spare.number));
        self.remove_generations(engine, &over, deadline).await;
    }

    /// The expired generations. Reports the ones that somebody wrote to.
    fn over(&self) -> Vec<u32> {
        let Some(record) = &self.record else { return Vec::new() };
        let over = expired(record);
        let written_to = record.generations.iter().filter(|generation| {
            over.contains(&generation.number) && generation.worth == Worth::WrittenTo
        });
        let retention = record.retention;
        for generation in written_to {
            let (replaced, number) = generation.recency();
            let why = match replaced + TimeDelta::days(retention.days.into()) <= Utc::now() {
                true => "its time is over".to_owned(),
                false => format!("devdb keeps {} that were written to later", retention.keep),
            };
            self.context.events.note(format!(
                "devdb removes generation {number}: {why} (generations in devdb.yaml)"
            ));
        }
        over
    }

    /// Removes these generations, and the ones whose removal an earlier command began. After
    /// `deadline` the engine goes on by itself where it can, and the next command finishes.
    pub(super) async fn remove_generations(
        &mut self,
        engine: &Engine,
        over: &[u32],
        deadline: Duration,
    ) {
        if let Err(error) = self.try_remove_generations(engine, over, deadline).await {
            self.context
                .events
                .warn(format!("devdb could not record which generations it removed: {error}"));
        }
    }

    async fn try_remove_generations(
        &mut self,
        engine: &Engine,
        over: &[u32],
        deadline: Duration,
    ) -> Result<()> {
        let Some(record) = &mut self.record else { return Ok(()) };
        let overdue = record.leaving.clone();
        // The current generation is never removed, whatever a record says.
        record.leaving.extend(over.iter().filter(|number| Some(**number) != record.current));
        if record.leaving.is_empty() {
            return Ok(());
        }
        record.generations.retain(|generation| !record.leaving.contains(&generation.number));
        // The record must not name generations that may be gone.
        self.context.store.save(record)?;
        let mut left = Vec::new();
        // One after the other: Docker removes one volume at a time, and drops a removal that it has
        // not begun when the client stops waiting.
        for number in record.leaving.clone() {
            let deadline = if overdue.contains(&number) { Duration::MAX } else { deadline };
            match self.discard_within(engine, number, deadline).await {
                Ok(true) => {}
                Ok(false) => left.push(number),
                Err(error) => {
                    left.push(number);
                    let events = &self.context.events;
                    events.warn(format!("generation {number} could not be removed: {error}"));
                }
            }
        }
        if !overdue.is_empty() {
            // The command that began the removal may have been cut short.
            engine.sweep(&self.key).await?;
        }
        match &mut self.record {
            Some(record) => {
                record.leaving = left;
                self.context.store.save(record)
            }
            None => Ok(()),
        }
    }
}

/// Whether a record needs no update and has nothing to remove.
pub(super) fn needs_no_work(context: &Context, record: &Record) -> bool {
    record.home == context.home && record.leaving.is_empty() && !has_expired(record)
}

/// Whether a generation of the record has expired.
pub fn has_expired(record: &Record) -> bool {
    !expired(record).is_empty()
}

/// The numbers of the expired generations.
pub(super) fn expired(record: &Record) -> Vec<u32> {
    let now = Utc::now();
    let over = lifetimes(record, now).into_iter().filter(|(_, end)| *end <= now);
    over.map(|(number, _)| number).collect()
}

/// Until when each former generation is kept, the newest first. The project's settings say how many
/// generations that somebody wrote to are kept, and for how many days after they were replaced.
/// Other generations expire when they are replaced. A date after `now`, from a clock that was
/// ahead, counts as `now`.
pub(super) fn lifetimes(record: &Record, now: DateTime<Utc>) -> Vec<(u32, DateTime<Utc>)> {
    let days = TimeDelta::days(record.retention.days.into());
    let mut former: Vec<&GenerationRecord> = record
        .generations
        .iter()
        .filter(|generation| Some(generation.number) != record.current)
        .collect();
    former.sort_by_key(|generation| std::cmp::Reverse(generation.recency()));
    // The order of numbers would be wrong: a spare has its number long before it becomes current.
    let current = record.current_generation().map(|current| current.created);
    let mut kept = 0;
    let lifetime = |generation: &GenerationRecord| {
        let (replaced, number) = generation.recency();
        let keep = match generation.worth {
            Worth::Wiped => false,
            // A newer generation is as good, unless `undo` went back from this one. Then it is kept
            // for another `undo`, and does not count.
            Worth::Untouched => current.is_some_and(|current| current < generation.created),
            // Perhaps nobody wrote to it, so it must not displace one that somebody wrote to.
            Worth::WrittenTo if generation.why == Why::Found => true,
            Worth::WrittenTo => {
                kept += 1;
                kept <= record.retention.keep
            }
        };
        let replaced = replaced.min(now);
        (number, if keep { replaced + days } else { replaced })
    };
    former.into_iter().map(lifetime).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Retention;
    use crate::state::record::tests::{generation, sample};

    /// A record whose former generations were replaced so many days ago.
    fn record(current: u32, replaced: &[(u32, i64)], retention: Retention) -> Record {
        let mut record = sample("anna", 20_000);
        record.retention = retention;
        record.current = Some(current);
        record.generations.push(generation(current));
        for (number, days) in replaced {
            let mut former = generation(*number);
            former.replaced = Some(Utc::now() - TimeDelta::days(*days));
            record.generations.push(former);
        }
        record
    }

    #[test]
    fn count_and_days_decide() {
        let all = [(1, 9), (2, 3), (3, 1), (4, 0)];
        for (keep, days, gone) in [
            (2, 7, vec![2, 1]),
            (4, 7, vec![1]),
            (4, 30, vec![]),
            (3, 2, vec![2, 1]),
            (0, 30, vec![4, 3, 2, 1]),
            (100, 0, vec![4, 3, 2, 1]),
        ] {
            let record = record(5, &all, Retention { keep, days });
            assert_eq!(expired(&record), gone, "{keep} for {days} days");
        }
    }

    #[test]
    fn what_a_person_gave_up_goes_at_once_and_takes_no_place() {
        let mut record = record(3, &[(1, 2), (2, 1)], Retention { keep: 1, days: 7 });
        // After an `undo` a generation that nobody wrote to would be kept; this one is not.
        record.generations[2].created = Utc::now() + TimeDelta::hours(1);
        record.generations[2].worth = Worth::Wiped;
        assert_eq!(expired(&record), [2]);
    }

    #[test]
    fn what_was_found_takes_no_place_and_goes_in_its_time() {
        let retention = Retention { keep: 1, days: 7 };
        let mut record = record(4, &[(1, 3), (2, 1), (3, 8)], retention);
        for found in &mut record.generations[2..] {
            found.why = Why::Found;
        }
        assert_eq!(expired(&record), [3]);
    }

    #[test]
    fn a_clock_that_was_ahead_keeps_nothing_for_ever() {
        let mut record = record(9, &[(1, 1), (2, 2), (3, 3)], Retention { keep: 2, days: 7 });
        for generation in &mut record.generations {
            generation.replaced =
                Some(Utc::now() + TimeDelta::days(100 - i64::from(generation.number)));
        }
        assert_eq!(expired(&record), [3], "of those that are kept the two that were replaced last");
        let latest = &mut record.generations[1];
        (latest.worth, latest.created) = (Worth::Untouched, Utc::now() - TimeDelta::days(1));
        assert_eq!(expired(&record), [1], "nobody wrote to it");
    }

    #[test]
    fn what_nobody_wrote_to_is_kept_for_an_undo_of_the_undo_only() {
        let mut record = record(2, &[(1, 1), (3, 0)], Retention { keep: 1, days: 7 });
        for generation in &mut record.generations {
            if generation.number == 3 {
                generation.worth = Worth::Untouched;
            }
            generation.created += TimeDelta::hours(generation.number.into());
        }
        assert_eq!(expired(&record), Vec::<u32>::new(), "3 takes no place of 1");
        record.generations[0].created += TimeDelta::hours(2);
        assert_eq!(expired(&record), [3]);
    }
}
