//! Recovery: after a command was cut short, the engine is brought back to what the record says.
//!
//! Every command follows the same protocol. Before its first step it notes in the record what is
//! under way, and after its last step it clears the note. A command that takes the instance's lock
//! and finds a note runs this recovery first. The record decides which generation is current, and
//! the recovery keeps or removes everything else that the engine has.

use chrono::TimeDelta;

use super::Instance;
use super::rebuild::found_generation;
use crate::archive;
use crate::engine::{Engine, Generation, Role, Server};
use crate::error::Result;
use crate::golden;
use crate::state::{Record, UnderWay};

/// How long after its note a command may begin to make a generation.
const SLACK: TimeDelta = TimeDelta::seconds(10);

impl Instance<'_> {
    /// Brings the engine back to what the record says, if an earlier command was cut short.
    ///
    /// # Errors
    /// When the engine refuses or does not answer. The note stays then.
    pub(super) async fn tidy(&mut self) -> Result<()> {
        let Some(record) = self.record.clone() else { return Ok(()) };
        let Some(under_way) = &record.under_way else { return Ok(()) };
        let engine = self.engine(&record).await?;
        golden::sweep(&self.context.store, &engine).await?;
        match under_way {
            UnderWay::Purge => return self.finish_purge(&engine).await,
            _ if record.current.is_none() => return self.tidy_unfinished(&engine).await,
            _ => {}
        }
        if self.another_went_on(&engine, &record, under_way).await?
            && self.follow(&engine, &record).await?
        {
            return Box::pin(self.tidy()).await;
        }
        self.bring_back_server(&engine, &record).await?;
        self.sort_generations(&engine, &record, under_way).await?;
        match under_way {
            UnderWay::Snapshot(name) => {
                engine.remove_snapshot(&record.owner, name).await?;
                if let Some(record) = &mut self.record {
                    record.snapshots.retain(|known| known != name);
                }
            }
            UnderWay::Export(file) => archive::remove_drafts(file),
            UnderWay::Rebuild => self.give_password(&engine, &record).await?,
            // These leave only servers, generations and builders, which the steps above handle.
            UnderWay::Up
            | UnderWay::Down
            | UnderWay::Reset
            | UnderWay::Undo
            | UnderWay::Generation(_)
            | UnderWay::ReadingSnapshots
            | UnderWay::Cache
            | UnderWay::Prune
            | UnderWay::Purge => {}
        }
        if let Some(record) = &mut self.record {
            // `sort_generations` has removed them.
            record.spare = None;
            record.leaving.clear();
        }
        engine.sweep(&self.key).await?;
        self.left_behind = false;
        self.done()?;
        self.hold(&engine).await;
        Ok(())
    }

    /// Whether a server runs on a generation that the interrupted command did not make and the record
    /// does not have. Then a devdb with another home directory has gone on meanwhile, and what it
    /// uses is current.
    async fn another_went_on(
        &self,
        engine: &Engine,
        record: &Record,
        under_way: &UnderWay,
    ) -> Result<bool> {
        if *under_way == UnderWay::Rebuild {
            return Ok(false);
        }
        let servers = engine.servers(Some(&self.key)).await?;
        let serves = |generation: &Generation| {
            let is_it = |one: &Server| {
                one.role == Role::Instance && one.is_running() && one.generation == generation.id
            };
            servers.iter().any(is_it)
        };
        let generations = engine.generations(Some(&self.key)).await?;
        Ok(generations.iter().any(|one| {
            !is_recorded(record, one) && !self.is_of_note(one, under_way) && serves(one)
        }))
    }

    /// Whether the interrupted command made this generation. Another devdb may have used the id
    /// later.
    fn is_of_note(&self, generation: &Generation, under_way: &UnderWay) -> bool {
        let noted = self.context.store.saved_at(&self.key);
        let is_later =
            generation.created.zip(noted).is_some_and(|(created, noted)| created > noted + SLACK);
        *under_way == UnderWay::Generation(generation.id) && !is_later
    }

    /// Finishes the removal of the whole instance.
    async fn finish_purge(&mut self, engine: &Engine) -> Result<()> {
        self.discard_snapshots(engine).await?;
        self.discard_everything(engine).await?;
        self.record = None;
        self.context.events.note(
            "the deletion of this database (devdb down --purge) was interrupted before; devdb has finished it",
        );
        Ok(())
    }

    /// Removes every server except the current generation's. That server is put back when it was
    /// set aside, and started when a server of the instance ran.
    async fn bring_back_server(&self, engine: &Engine, record: &Record) -> Result<()> {
        let servers = engine.servers(Some(&self.key)).await?;
        let keep = server_to_keep(record, &servers);
        self.retire_other_servers(engine, keep).await?;
        let Some(keep) = keep else { return Ok(()) };
        let server = engine.reinstate(keep).await?;
        let serves = |one: &Server| one.role == Role::Instance && one.is_running();
        if servers.iter().any(serves)
            && !server.is_running()
            && let Err(error) = self.start_again(engine, &server).await
        {
            self.context.events.warn(format!("the database could not be started again: {error}"));
        }
        Ok(())
    }

    /// Sorts the generations that the record does not have. Removes the ones that the interrupted
    /// command made, and incomplete ones. Records the others, because another record of this
    /// instance may have them, on another machine or in another home directory.
    async fn sort_generations(
        &mut self,
        engine: &Engine,
        record: &Record,
        under_way: &UnderWay,
    ) -> Result<()> {
        for generation in engine.generations(Some(&self.key)).await? {
            if is_recorded(record, &generation) {
                continue;
            }
            let is_unfinished =
                self.is_of_note(&generation, under_way) || record.leaving.contains(&generation.id);
            let number = match is_unfinished {
                true => None,
                false => self.number_of(engine, &generation).await?,
            };
            match number {
                Some(number) => self.record_found(&generation, number),
                None => engine.remove_generation(&generation).await?,
            }
        }
        Ok(())
    }

    /// Recovers from a first `up` that was cut short. Uses a complete generation if there is one,
    /// and otherwise removes everything.
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

    fn record_found(&mut self, generation: &Generation, number: u32) {
        if let Some(record) = &mut self.record {
            record.put(found_generation(record.free_number(number), generation));
        }
    }
}

/// The server to keep: the recorded one if it serves the current generation, else any that does.
pub(super) fn server_to_keep<'s>(record: &Record, servers: &'s [Server]) -> Option<&'s Server> {
    let current = |server: &&Server| {
        server.role == Role::Instance && Some(server.generation) == record.current_id()
    };
    servers
        .iter()
        .filter(current)
        .find(|server| Some(&server.handle) == record.server.as_ref())
        .or_else(|| servers.iter().find(current))
}

/// Whether the record has a generation. A spare is not one yet.
pub(super) fn is_recorded(record: &Record, generation: &Generation) -> bool {
    record.by_id(generation.id).is_some()
}
