//! Tidying up: what a command that was cut short left behind, and generations past their time.

use std::path::Path;

use chrono::{TimeDelta, Utc};

use super::Instance;
use crate::archive;
use crate::engine::{Engine, Generation, Role, Server};
use crate::error::Result;
use crate::state::{GenerationRecord, Record};

/// How many former generations are kept, and for how long.
const KEPT: usize = 2;
const KEPT_DAYS: i64 = 7;

/// What the record says is under way while everything is removed.
pub(super) const PURGE: &str = "purge";

/// What the record says is under way while this generation is being made: until it is recorded it
/// is nobody's, complete or not.
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
        for server in &servers {
            if keep.is_none_or(|keep| keep.handle != server.handle) {
                engine.remove_server(server).await?;
            }
        }
        if let Some(server) = keep {
            engine.reinstate(server).await?;
        }
        for generation in engine.generations(Some(&self.key)).await? {
            if is_recorded(&record, &generation) {
                continue;
            }
            let unfinished = record.under_way.as_deref() == Some(&making(generation.number));
            if !unfinished && self.is_complete(&engine, &generation).await? {
                // Complete, and not of the command that was cut short: somebody else's, with another
                // record of this instance. Kept for its time like any other.
                self.adopt(&generation);
            } else {
                engine.remove_generation(&generation).await?;
            }
        }
        if let Some(name) = record.under_way.as_deref().and_then(|what| what.strip_prefix(SAVING)) {
            engine.remove_snapshot(&record.owner, name).await?;
        }
        if let Some(file) =
            record.under_way.as_deref().and_then(|what| what.strip_prefix(EXPORTING))
        {
            archive::remove_drafts(Path::new(file));
        }
        self.done()
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

    /// The server to keep: the recorded one when it is of the current generation, else any that is.
    fn keeper<'s>(&self, record: &Record, servers: &'s [Server]) -> Option<&'s Server> {
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
        self.context.store.remove(&self.key)
    }

    /// Removes former generations that need not be kept any longer. What goes wrong is said and
    /// fails nothing: the next command tries again.
    pub(super) async fn collect(&mut self, engine: &Engine) {
        let Some(record) = &self.record else { return };
        for number in expired(record) {
            if let Err(error) = self.collect_one(engine, number).await {
                self.context.events.warn(format!("generation {number} is still there: {error}"));
            }
        }
    }

    async fn collect_one(&mut self, engine: &Engine, number: u32) -> Result<()> {
        self.discard(engine, number).await?;
        let Some(record) = &mut self.record else { return Ok(()) };
        record.generations.retain(|generation| generation.number != number);
        self.context.store.save(record)
    }
}

fn is_recorded(record: &Record, generation: &Generation) -> bool {
    record.generations.iter().any(|recorded| recorded.number == generation.number)
}

/// The former generations that nobody wrote to, and of the others those beyond the newest two and
/// those replaced over seven days ago.
fn expired(record: &Record) -> Vec<u32> {
    let oldest_kept = Utc::now() - TimeDelta::days(KEPT_DAYS);
    let mut former: Vec<&GenerationRecord> = record
        .generations
        .iter()
        .filter(|generation| Some(generation.number) != record.current)
        .collect();
    former.sort_by_key(|generation| std::cmp::Reverse(generation.age()));
    let mut kept = 0;
    former.retain(|generation| {
        let keep = !generation.untouched && kept < KEPT && generation.age().0 >= oldest_kept;
        kept += usize::from(keep);
        !keep
    });
    former.iter().map(|generation| generation.number).collect()
}
