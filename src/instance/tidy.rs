//! Recovery: what a command that was cut short left behind is brought back to what the record says.
//!
//! The protocol is the same for every command. Before its first step the command notes in the record
//! what is under way, and after its last step it clears the note. Whoever takes the instance's lock
//! and finds a note comes here before anything else. The record is right about which generation is
//! current; everything that an engine has beside that is sorted here.

use super::Instance;
use crate::archive;
use crate::engine::{Engine, Generation, Role, Server};
use crate::error::Result;
use crate::golden;
use crate::state::{Record, UnderWay};

impl Instance<'_> {
    /// Brings the engine back to what the record says, if a command before was cut short. Nothing
    /// happens when none was.
    ///
    /// # Errors
    /// When the engine refuses or does not answer; the note stays then.
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
        self.bring_back_server(&engine, &record).await?;
        self.sort_generations(&engine, &record, under_way).await?;
        match under_way {
            UnderWay::Snapshot(name) => engine.remove_snapshot(&record.owner, name).await?,
            UnderWay::Export(file) => archive::remove_drafts(file),
            // What these leave is servers, generations and builders, which are put right above; what
            // was read or removed need not be read or removed again.
            UnderWay::Up
            | UnderWay::Down
            | UnderWay::Reset
            | UnderWay::Undo
            | UnderWay::Rebuild
            | UnderWay::Generation(_)
            | UnderWay::ReadingSnapshots
            | UnderWay::Cache
            | UnderWay::Prune
            | UnderWay::Purge => {}
        }
        if let Some(record) = &mut self.record {
            // They are in no list of generations, so they are gone by now.
            record.spare = None;
            record.leaving.clear();
        }
        engine.sweep(&self.key).await?;
        self.left_behind = false;
        self.done()
    }

    /// Goes on with the removal of everything.
    async fn finish_purge(&mut self, engine: &Engine) -> Result<()> {
        self.discard_snapshots(engine).await?;
        self.discard_everything(engine).await?;
        self.record = None;
        Ok(())
    }

    /// Removes every server but the one of the current generation. That one is put back when it was
    /// set aside, and started again when a server of the instance ran.
    async fn bring_back_server(&self, engine: &Engine, record: &Record) -> Result<()> {
        let servers = engine.servers(Some(&self.key)).await?;
        let keep = keeper(record, &servers);
        self.withdraw_others(engine, keep).await?;
        let Some(keep) = keep else { return Ok(()) };
        let server = engine.reinstate(keep).await?;
        let serves = |one: &Server| one.role == Role::Instance && one.is_running();
        if servers.iter().any(serves)
            && !server.is_running()
            && let Err(error) = self.start_again(engine, &server).await
        {
            self.context.events.warn(format!("the database is stopped: {error}"));
        }
        Ok(())
    }

    /// Removes generations that no record has, unless one is complete and not of the command that
    /// was cut short: another record of this instance has it, on another machine or in another home
    /// directory. Such a one is kept for its time like any other.
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
            let is_unfinished = *under_way == UnderWay::Generation(generation.number)
                || record.leaving.contains(&generation.number);
            if !is_unfinished && self.is_complete(engine, &generation).await? {
                self.adopt(&generation);
            } else {
                engine.remove_generation(&generation).await?;
            }
        }
        Ok(())
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
}

/// The server to keep: the recorded one when it is of the current generation, else any that is.
pub(super) fn keeper<'s>(record: &Record, servers: &'s [Server]) -> Option<&'s Server> {
    let current = |server: &&Server| {
        server.role == Role::Instance && Some(server.generation) == record.current
    };
    servers
        .iter()
        .filter(current)
        .find(|server| Some(&server.handle) == record.server.as_ref())
        .or_else(|| servers.iter().find(current))
}

/// Whether a generation counts; a copy made ahead does not yet.
pub(super) fn is_recorded(record: &Record, generation: &Generation) -> bool {
    record.generations.iter().any(|recorded| recorded.number == generation.number)
}
