//! Tidying up: what a command that was cut short left behind, and generations past their time.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Instance, PATIENCE};
use crate::archive;
use crate::engine::{Engine, Generation, Role, Server};
use crate::error::Result;
use crate::golden::{self, Cached, Golden};
use crate::outcome::Applied;
use crate::state::{GenerationRecord, Record, Why};

/// What the record says is under way while everything is removed.
pub(super) const PURGE: &str = "purge";

/// What the record says is under way while this generation is being made, or removed: while it is
/// not recorded it is nobody's, complete or not.
pub(super) fn making(number: u32) -> String {
    format!("making generation {number}")
}

/// What the record says is under way while a snapshot is being made or removed: until that is over
/// it is nobody's.
pub(super) fn saving(name: &str) -> String {
    format!("{SAVING}{name}")
}

/// What the record says is under way while a file is being written.
pub(super) fn exporting(file: &Path) -> String {
    format!("{EXPORTING}{}", file.display())
}

/// How long a removal is waited for that an engine goes on with by itself: as long as it takes
/// Docker to begin with it, if others leave it the time.
pub(super) const BRIEFLY: Duration = Duration::from_millis(150);

const EXPORTING: &str = "exporting to ";

const SAVING: &str = "making snapshot ";

impl Instance<'_> {
    /// Brings the engine back to what the record says, if a command before was cut short: removes
    /// servers that are not the current one and generations that never became complete, and puts
    /// a server back that was set aside.
    ///
    /// # Errors
    /// When the engine refuses.
    pub(super) async fn tidy(&mut self) -> Result<()> {
        let Some(record) = self.record.clone() else { return Ok(()) };
        if record.under_way.is_none() {
            return Ok(());
        }
        let engine = self.engine(&record).await?;
        golden::sweep(&self.context.store, &engine).await?;
        if record.under_way.as_deref() == Some(PURGE) {
            self.discard_snapshots(&engine).await?;
            self.discard_everything(&engine).await?;
            self.record = None;
            return Ok(());
        }
        if record.current.is_none() {
            return self.tidy_unfinished(&engine).await;
        }
        let servers = engine.servers(Some(&self.key)).await?;
        let keep = self.keeper(&record, &servers);
        self.withdraw_others(&engine, keep).await?;
        if let Some(keep) = keep {
            let server = engine.reinstate(keep).await?;
            let serves = |one: &Server| one.role == Role::Instance && one.is_running();
            // Whatever the command is, the database was there and is to be.
            if servers.iter().any(serves)
                && !server.is_running()
                && let Err(error) = self.start_again(&engine, &server).await
            {
                self.context.events.warn(format!("the database is stopped: {error}"));
            }
        }
        for generation in engine.generations(Some(&self.key)).await? {
            if is_recorded(&record, &generation) {
                continue;
            }
            let unfinished = record.under_way.as_deref() == Some(&making(generation.number))
                || record.leaving.contains(&generation.number);
            if !unfinished && self.is_complete(&engine, &generation).await? {
                // Complete, and not of the command that was cut short: somebody else's, with another
                // record of this instance. Kept for its time like any other.
                self.adopt(&generation);
            } else {
                engine.remove_generation(&generation).await?;
            }
        }
        let note = record.under_way.as_deref();
        if let Some(name) = note.and_then(|what| what.strip_prefix(SAVING)) {
            engine.remove_snapshot(&record.owner, name).await?;
        }
        if let Some(file) = note.and_then(|what| what.strip_prefix(EXPORTING)) {
            archive::remove_drafts(Path::new(file));
        }
        if let Some(record) = &mut self.record {
            // It was not complete, so it is gone, and so are these.
            record.spare = None;
            record.leaving.clear();
        }
        engine.sweep(&self.key).await?;
        self.left_behind = false;
        self.done()
    }

    /// Tells that a golden state has been copied, and makes room in the cache for what was baked.
    /// Returns what is in it, and what `found` says is still to do.
    pub async fn release(&mut self, golden: Golden, found: Applied) -> Applied {
        if golden.cached == Cached::Hit {
            return golden.release(self.context, found).await;
        }
        // So that the next command goes on with it when it is cut short.
        let noted = self.begin("prune");
        let applied = golden.release(self.context, found).await;
        if let Err(error) = noted.and_then(|()| self.done()) {
            self.context.events.warn(format!("what was pruned could not be noted: {error}"));
        }
        applied
    }

    /// After a first `up` that was cut short: goes on with a generation that had become complete,
    /// and otherwise removes what there is.
    async fn tidy_unfinished(&mut self, engine: &Engine) -> Result<()> {
        match self.rebuild_from(engine).await? {
            Some(rebuilt) if rebuilt.current.is_some() => {
                self.record = Some(rebuilt);
                Box::pin(self.tidy()).await
            }
            _ => {
                self.discard_everything(engine).await?;
                self.record = None;
                Ok(())
            }
        }
    }

    /// Removes a server that is in the way. One that serves a generation which is kept is stopped
    /// before: clients may have been told of commits that it has not written yet, where `durability`
    /// lets it.
    ///
    /// # Errors
    /// When it does not stop; it is never killed then.
    pub(super) async fn withdraw(&self, engine: &Engine, server: &Server) -> Result<()> {
        let mut generations = self.record.iter().flat_map(|record| &record.generations);
        let is_kept = generations.any(|kept| kept.number == server.generation);
        if server.role == Role::Instance && is_kept {
            engine.stop(server, PATIENCE).await?;
        }
        engine.remove_server(server).await
    }

    /// Removes every server of the instance but one.
    ///
    /// # Errors
    /// As [`Instance::withdraw`].
    pub(super) async fn withdraw_others(
        &self,
        engine: &Engine,
        keep: Option<&Server>,
    ) -> Result<()> {
        for server in engine.servers(Some(&self.key)).await? {
            if keep.is_none_or(|keep| keep.handle != server.handle) {
                self.withdraw(engine, &server).await?;
            }
        }
        Ok(())
    }

    /// Whether a generation carries the mark; docker needs the image to look.
    ///
    /// # Errors
    /// When it cannot be told.
    pub(super) async fn is_complete(
        &self,
        engine: &Engine,
        generation: &Generation,
    ) -> Result<bool> {
        let context = self.context;
        let spec = &context.spec.server;
        context.interrupt.guard(engine.prepare(spec, &context.events)).await?;
        engine.is_complete(generation, spec).await
    }

    fn adopt(&mut self, generation: &Generation) {
        if let Some(record) = &mut self.record {
            record.generations.push(super::rebuild::found(generation));
        }
    }

    /// The server to keep: the recorded one when it is of the current generation, else any that is.
    pub(super) fn keeper<'s>(&self, record: &Record, servers: &'s [Server]) -> Option<&'s Server> {
        let current = |server: &&Server| {
            server.role == Role::Instance && Some(server.generation) == record.current
        };
        servers
            .iter()
            .filter(current)
            .find(|server| Some(&server.handle) == record.server.as_ref())
            .or_else(|| servers.iter().find(current))
    }

    /// Removes every snapshot of this instance.
    ///
    /// # Errors
    /// When the engine refuses.
    pub(super) async fn discard_snapshots(&self, engine: &Engine) -> Result<()> {
        let owner = &self.context.spec.owner;
        for name in engine.snapshot_names(owner).await? {
            engine.remove_snapshot(owner, &name).await?;
        }
        Ok(())
    }

    /// Removes every server and generation the engine has of this instance, and its record.
    ///
    /// # Errors
    /// When the engine refuses; the record then stays.
    pub(super) async fn discard_everything(&self, engine: &Engine) -> Result<()> {
        for server in engine.servers(Some(&self.key)).await? {
            engine.remove_server(&server).await?;
        }
        for generation in engine.generations(Some(&self.key)).await? {
            engine.remove_generation(&generation).await?;
        }
        engine.sweep(&self.key).await?;
        self.context.store.remove(&self.key)
    }

    /// Removes former generations that need not be kept any longer. What goes wrong is said and
    /// fails nothing: the next command tries again.
    pub(super) async fn collect(&mut self, engine: &Engine) {
        let over = self.over();
        self.send_away(engine, &over, BRIEFLY).await;
    }

    /// The same, and the copy that was made ahead; each is waited for so long.
    pub(super) async fn collect_with_spare(&mut self, engine: &Engine, patience: Duration) {
        let mut over = self.over();
        let spare = self.record.as_mut().and_then(|record| record.spare.take());
        over.extend(spare.map(|spare| spare.number));
        self.send_away(engine, &over, patience).await;
    }

    /// The former generations whose time is over. Of those that somebody wrote to, that is said.
    fn over(&self) -> Vec<u32> {
        let Some(record) = &self.record else { return Vec::new() };
        let over = expired(record);
        let written_to = record
            .generations
            .iter()
            .filter(|generation| over.contains(&generation.number) && !generation.untouched);
        let retention = record.retention;
        for generation in written_to {
            let (replaced, number) = generation.age();
            let why = match replaced + TimeDelta::days(retention.days.into()) <= Utc::now() {
                true => "its time was over".to_owned(),
                false => format!("{} that were written to later are kept", retention.keep),
            };
            self.context
                .events
                .note(format!("generation {number} is removed: {why} (generations in devdb.yaml)"));
        }
        over
    }

    /// Removes these generations and those that were on their way already. When `patience` is over,
    /// an engine that can goes on by itself; the next command makes sure, and waits.
    pub(super) async fn send_away(&mut self, engine: &Engine, over: &[u32], patience: Duration) {
        if let Err(error) = self.try_send_away(engine, over, patience).await {
            self.context.events.warn(format!("what was removed could not be noted: {error}"));
        }
    }

    async fn try_send_away(
        &mut self,
        engine: &Engine,
        over: &[u32],
        patience: Duration,
    ) -> Result<()> {
        let Some(record) = &mut self.record else { return Ok(()) };
        let overdue = record.leaving.clone();
        // Whatever a record says, what serves is never removed.
        record.leaving.extend(over.iter().filter(|number| Some(**number) != record.current));
        if record.leaving.is_empty() {
            return Ok(());
        }
        record.generations.retain(|generation| !record.leaving.contains(&generation.number));
        // From here on they are nobody's: a record must not name what may be gone.
        self.context.store.save(record)?;
        let mut left = Vec::new();
        // One after the other: Docker removes one volume at a time, and gives up a removal that has
        // not begun when its client does not wait.
        for number in record.leaving.clone() {
            let patience = if overdue.contains(&number) { Duration::MAX } else { patience };
            match self.discard_within(engine, number, patience).await {
                Ok(true) => {}
                Ok(false) => left.push(number),
                Err(error) => {
                    left.push(number);
                    let events = &self.context.events;
                    events.warn(format!("generation {number} is still there: {error}"));
                }
            }
        }
        if !overdue.is_empty() {
            // The command that began with it was cut short, perhaps.
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

/// Whether a generation counts; a copy made ahead does not yet.
pub(super) fn is_recorded(record: &Record, generation: &Generation) -> bool {
    record.generations.iter().any(|recorded| recorded.number == generation.number)
}

/// The former generations whose time is over.
pub(super) fn expired(record: &Record) -> Vec<u32> {
    let now = Utc::now();
    let over = lifetimes(record, now).into_iter().filter(|(_, end)| *end <= now);
    over.map(|(number, _)| number).collect()
}

/// Until when each former generation is kept, the newest first: as many as the project keeps of
/// those that somebody wrote to, for its days after they were replaced, and the others no longer
/// than they were current. A clock that was ahead may have replaced one later than `now`.
pub(super) fn lifetimes(record: &Record, now: DateTime<Utc>) -> Vec<(u32, DateTime<Utc>)> {
    let days = TimeDelta::days(record.retention.days.into());
    let mut former: Vec<&GenerationRecord> = record
        .generations
        .iter()
        .filter(|generation| Some(generation.number) != record.current)
        .collect();
    former.sort_by_key(|generation| std::cmp::Reverse(generation.age()));
    // Not by number: a copy made ahead has had its own for a while.
    let current = record.current_generation().map(|current| current.created);
    let mut kept = 0;
    let lifetime = |generation: &GenerationRecord| {
        let (replaced, number) = generation.age();
        let keep = match generation.untouched {
            // One as good as this has come after it, unless `undo` went back from this one: then it
            // stays for another `undo`, and takes no other's place.
            true => current.is_some_and(|current| current < generation.created),
            // Perhaps nobody did: it must not cost one that somebody wrote to its place.
            false if generation.why == Why::Found => true,
            false => {
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

    /// A record whose generations before the last were replaced so many days ago.
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
        (latest.untouched, latest.created) = (true, Utc::now() - TimeDelta::days(1));
        assert_eq!(expired(&record), [1], "nobody wrote to it");
    }

    #[test]
    fn what_nobody_wrote_to_is_kept_for_an_undo_of_the_undo_only() {
        let mut record = record(2, &[(1, 1), (3, 0)], Retention { keep: 1, days: 7 });
        for generation in &mut record.generations {
            generation.untouched = generation.number == 3;
            generation.created += TimeDelta::hours(generation.number.into());
        }
        assert_eq!(expired(&record), Vec::<u32>::new(), "3 takes no place of 1");
        record.generations[0].created += TimeDelta::hours(2);
        assert_eq!(expired(&record), [3]);
    }
}
