//! Keeps the data of before: a copy of the current generation, made before migrations or seeds
//! change data that somebody wrote to. `undo` goes back to the copy.

use std::time::Duration;

use chrono::{TimeDelta, Utc};

use super::save::Original;
use super::{Instance, address, endpoint_of, written};
use crate::context::Context;
use crate::db::backup::{self, BackupEnd};
use crate::db::commits;
use crate::db::connect::Address;
use crate::db::writes::Finding;
use crate::engine::{Engine, Numbered, Server};
use crate::error::{Error, Kind, Result};
use crate::populate::{Due, KeepBefore, Kept};
use crate::state::{Copied, GenerationRecord, Record, UnderWay, Why, Worth};

/// The largest data that devdb copies without being asked: 10 GB.
const BYTES_MAX: u64 = 10_000_000_000;

/// How long such a copy may take: 2 minutes.
const DEADLINE: Duration = Duration::from_secs(120);

/// Keeps the data of before.
pub enum Keeper<'a, 'b> {
    /// Takes the instance's lock for each step.
    Unlocked(&'a Context),
    /// Has the lock.
    Locked(&'a mut Instance<'b>),
}

impl KeepBefore for Keeper<'_, '_> {
    async fn keep(&mut self, due: Due<'_>) -> Result<Option<Kept>> {
        match self {
            Keeper::Unlocked(context) => Instance::open(context).await?.keep_before(due).await,
            Keeper::Locked(instance) => instance.keep_before(due).await,
        }
    }

    async fn succeeded(&mut self, kept: Option<Kept>) {
        let (context, noted) = match self {
            Keeper::Unlocked(context) => (*context, note_success(context, kept).await),
            Keeper::Locked(instance) => (instance.context, instance.note_success(kept)),
        };
        if let Err(error) = noted {
            context.events.warn(format!("cannot record that everything was applied: {error}"));
        }
    }

    fn undo_goes_to(&self, number: u32) -> bool {
        let record = match self {
            Keeper::Unlocked(context) => {
                context.store.load(&context.spec.owner.key()).ok().flatten()
            }
            Keeper::Locked(instance) => instance.record.clone(),
        };
        let latest = record.as_ref().and_then(Record::latest_former);
        latest.is_some_and(|latest| latest.number == number)
    }
}

async fn note_success(context: &Context, kept: Option<Kept>) -> Result<()> {
    Instance::open(context).await?.note_success(kept)
}

impl Instance<'_> {
    /// Copies the current generation, and records the copy as the former generation that `undo`
    /// goes back to. None when nobody has written to the data, when no server runs on it, when
    /// nothing is `due` any more, or when the project does not want the copy.
    ///
    /// # Errors
    /// `Snapshot` when the data is too large, or the copy fails or takes too long. The caller then
    /// changes nothing, because nothing could bring back what is deleted.
    async fn keep_before(&mut self, due: Due<'_>) -> Result<Option<Kept>> {
        let context = self.context;
        self.tidy().await?;
        let engine = self.settle().await?;
        let record = self.recorded()?;
        let server = self.current_server(&engine, &record).await?.filter(Server::is_running);
        let (Some(server), Some(current)) = (server, record.current_generation().cloned()) else {
            return Ok(None);
        };
        if !due.still_holds().await? {
            return Ok(None);
        }
        let address = address(&record, endpoint_of(&server)?);
        let looking = async { Ok(written::look(&record, &address).await) };
        let found = context.interrupt.guard(looking).await?;
        self.note_that_it_is_written(found)?;
        if matches!(found, Finding::Untouched(_)) || !context.spec.migrations.keep_before {
            return Ok(None);
        }
        if let Some(copy) = self.copy_that_is_as_good(&engine, &record, &address).await? {
            return self.record_former(copy).map(Some);
        }
        let first_missing = commits::first_unfinished(&address);
        let first_missing = context.interrupt.guard(first_missing).await.map_err(refused)?;
        let copied = Some(Copied { from: current.number, first_missing });
        let bytes = context.interrupt.guard(backup::all_bytes(&address)).await.map_err(refused)?;
        check_size(bytes).map_err(refused)?;
        context.interrupt.guard(engine.prepare(&context.spec.server, &context.events)).await?;
        let new = self.next_generation(&engine).await?;
        self.begin(UnderWay::Generation(new.id))?;
        context.events.step("copying the database, so that undo can go back to it");
        match self.copy_within(&engine, &record, new).await {
            Ok(()) => {
                let made_with = current.made_with;
                let copy = GenerationRecord::new(new, made_with, Why::BeforeMigrate);
                let profile = current.profile;
                let copy = GenerationRecord { bytes: Some(bytes), profile, copied, ..copy };
                let kept = self.record_former(copy)?;
                self.hold(&engine).await;
                Ok(Some(kept))
            }
            Err(error) => Err(refused(self.rolled_back(&engine, &[new.id], error).await)),
        }
    }

    /// Records that somebody has written to the current generation, if so: what devdb is going to do
    /// may drop the table to which they wrote, and its counters.
    fn note_that_it_is_written(&mut self, found: Finding) -> Result<()> {
        let current = self.record.as_mut().and_then(|record| record.current_generation_mut());
        match current {
            Some(current) if !matches!(found, Finding::Untouched(_)) && !current.is_written => {
                current.is_written = true;
                self.record.as_ref().map_or(Ok(()), |record| self.context.store.save(record))
            }
            _ => Ok(()),
        }
    }

    /// The former generation that `undo` goes back to, when it is a copy of the current one, and
    /// nothing was committed since: a migration that fails again needs no second copy.
    async fn copy_that_is_as_good(
        &self,
        engine: &Engine,
        record: &Record,
        address: &Address,
    ) -> Result<Option<GenerationRecord>> {
        let latest = record.latest_former();
        let Some((copy, copied)) = latest.and_then(|copy| Some((copy, copy.copied?))) else {
            return Ok(None);
        };
        if Some(copied.from) != record.current || copy.worth != Worth::WrittenTo {
            return Ok(None);
        }
        // A server that does not tell gets a copy.
        let asking =
            async { Ok(commits::none_since(copied.first_missing, address).await.unwrap_or(false)) };
        let is_as_good = self.context.interrupt.guard(asking).await?;
        let there = engine.generations(Some(&self.key)).await?;
        let is_there = there.iter().any(|one| one.id == copy.id);
        Ok((is_as_good && is_there).then(|| copy.clone()))
    }

    async fn copy_within(&self, engine: &Engine, record: &Record, new: Numbered) -> Result<()> {
        let spec = &self.context.spec.server;
        let copy = async |original: Original| {
            let Original { generation, end, .. } = original;
            let end = end.map(|end| async { end.await.map(BackupEnd::restartable) });
            let copying = engine.copy_generation(&generation, new, spec, end);
            within(DEADLINE, copying).await.map(drop)
        };
        let current = record.current_id().unwrap_or_default();
        self.copy_generation(engine, record, current, "the copy", copy).await.map(drop)
    }

    /// Records a generation as the one that was current last, also when it is recorded already, and
    /// that an attempt begins. Until it succeeds, later attempts name the copy of the first one.
    fn record_former(&mut self, generation: GenerationRecord) -> Result<Kept> {
        let number = generation.number;
        let mut first = None;
        if let Some(record) = &mut self.record {
            let now = record.after_all(Utc::now());
            // The command says that `undo` goes back to it, whatever the settings keep.
            let promised = Some(now + TimeDelta::days(record.retention.days.max(1).into()));
            let former = GenerationRecord { replaced: Some(now), promised, ..generation };
            record.put(former);
            let kept: Vec<u32> = record.generations.iter().map(|one| one.number).collect();
            if let Some(current) = record.current_generation_mut() {
                let earlier = current.attempted_after.filter(|earlier| kept.contains(earlier));
                current.attempted_after = Some(earlier.unwrap_or(number));
                first = earlier.filter(|earlier| *earlier != number);
            }
        }
        self.done()?;
        Ok(Kept { number, first })
    }

    /// Records that everything was applied: on the current generation, or on the one of which `kept` is
    /// a copy, because another command may have replaced that meanwhile.
    fn note_success(&mut self, kept: Option<Kept>) -> Result<()> {
        let Some(record) = &mut self.record else { return Ok(()) };
        let first = kept.map(|Kept { number, first }| first.unwrap_or(number));
        let current = record.current;
        for generation in &mut record.generations {
            let is_it = match first {
                None => Some(generation.number) == current,
                first => generation.attempted_after == first,
            };
            if is_it {
                generation.attempted_after = None;
            }
        }
        self.context.store.save(record)
    }
}

/// Fails when devdb does not copy so much without being asked.
fn check_size(bytes: u64) -> Result<()> {
    if bytes <= BYTES_MAX {
        return Ok(());
    }
    let gb = |bytes: u64| bytes as f64 / 1e9;
    Err(Error::new(
        Kind::Snapshot,
        format!(
            "the databases have {:.1} GB, and devdb copies up to {:.0} GB before a change",
            gb(bytes),
            gb(BYTES_MAX)
        ),
    ))
}

/// Gives a copy up when it is not finished in time.
async fn within<T>(deadline: Duration, copying: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(deadline, copying).await.unwrap_or_else(|_| {
        Err(Error::new(
            Kind::Snapshot,
            format!("the copy was not finished after {}", humantime::format_duration(deadline)),
        ))
    })
}

/// The error when the data of before cannot be kept.
fn refused(error: Error) -> Error {
    match error.kind() {
        Kind::Interrupted => error,
        _ => error
            .with_kind(Kind::Snapshot)
            .context("cannot keep a copy of the data before changing it")
            .note(
                "nothing was applied, because nothing could bring back what a migration or seed \
                 deletes",
            )
            .hint(
                "devdb snapshot save NAME   keeps the data without these limits; then run the \
                 command again with DEVDB_KEEP_BEFORE=false",
            ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_nobody_asked_for_has_a_largest_size() {
        assert!(check_size(0).is_ok());
        assert!(check_size(10_000_000_000).is_ok());
        let refusal = refused(check_size(10_100_000_000).unwrap_err());
        assert_eq!(refusal.kind(), Kind::Snapshot);
        let why = "the databases have 10.1 GB, and devdb copies up to 10 GB before a change";
        assert!(format!("{refusal}").contains("before changing it"), "{refusal}");
        assert!(refusal.causes().iter().any(|cause| cause.contains(why)), "{refusal:?}");
        assert!(refusal.notes().iter().any(|note| note.contains("nothing was applied")));
        assert!(refusal.hints().iter().any(|hint| hint.contains("DEVDB_KEEP_BEFORE=false")));
    }

    #[tokio::test]
    async fn a_copy_that_nobody_asked_for_has_a_longest_time() {
        assert_eq!(DEADLINE, Duration::from_secs(120));
        let quick = within(DEADLINE, async { Ok(1) }).await;
        assert_eq!(quick.unwrap(), 1);
        let endless = std::future::pending::<Result<()>>();
        let refusal = within(Duration::from_millis(20), endless).await.unwrap_err();
        assert_eq!(refusal.kind(), Kind::Snapshot);
        assert!(refusal.message().contains("not finished after 20ms"), "{refusal:?}");
    }
}
