//! Removes servers, generations and snapshots of an instance. The decisions about what to remove
//! are in [`tidy`](super::tidy), [`retention`](super::retention) and [`rubbish`](super::rubbish).

use std::time::Duration;

use super::Instance;
use crate::context::Context;
use crate::engine::{Engine, Generation, Holding, Role, STOP_DEADLINE, Server};
use crate::error::Result;
use crate::state::Worth;

/// How long devdb waits for the removal of a generation that the engine can finish by itself. It is
/// the time that Docker usually needs to begin the removal.
pub(super) const REMOVAL_START_DEADLINE: Duration = Duration::from_millis(150);

impl Instance<'_> {
    /// Removes a server. When its generation is kept, the server is stopped cleanly first: with a
    /// relaxed `durability` it may not have written every commit yet.
    ///
    /// # Errors
    /// When the server does not stop. devdb does not kill it then.
    pub(super) async fn retire_server(&self, engine: &Engine, server: &Server) -> Result<()> {
        let mut generations = self.record.iter().flat_map(|record| &record.generations);
        let is_kept = generations.any(|kept| kept.id == server.generation);
        if server.role == Role::Instance && is_kept {
            engine.stop(server, STOP_DEADLINE).await?;
        }
        engine.remove_server(server).await
    }

    /// Removes every server of the instance except `keep`.
    ///
    /// # Errors
    /// As [`Instance::retire_server`].
    pub(super) async fn retire_other_servers(
        &self,
        engine: &Engine,
        keep: Option<&Server>,
    ) -> Result<()> {
        for server in engine.servers(Some(&self.key)).await? {
            if keep.is_none_or(|keep| keep.handle != server.handle) {
                self.retire_server(engine, &server).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn discard_server(&self, engine: &Engine, id: u32) -> Result<()> {
        for server in engine.servers(Some(&self.key)).await? {
            if server.generation == id {
                self.retire_server(engine, &server).await?;
            }
        }
        Ok(())
    }

    /// Removes a generation with its servers. Not interruptible.
    pub(super) async fn discard(&self, engine: &Engine, id: u32) -> Result<()> {
        self.discard_within(engine, id, Duration::MAX).await.map(drop)
    }

    /// As [`Instance::discard`], with a deadline after which the engine goes on by itself. False
    /// when something of the generation was left at the deadline.
    pub(super) async fn discard_within(
        &self,
        engine: &Engine,
        id: u32,
        deadline: Duration,
    ) -> Result<bool> {
        self.discard_server(engine, id).await?;
        let generations: Vec<Generation> = engine.generations(Some(&self.key)).await?;
        let mut is_gone = true;
        for generation in generations.iter().filter(|generation| generation.id == id) {
            is_gone &= engine.remove_generation_within(generation, deadline).await?;
        }
        Ok(is_gone)
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
    /// When the engine refuses. The record stays then.
    pub(super) async fn discard_everything(&self, engine: &Engine) -> Result<()> {
        for server in engine.servers(Some(&self.key)).await? {
            engine.remove_server(&server).await?;
        }
        for generation in engine.generations(Some(&self.key)).await? {
            engine.remove_generation(&generation).await?;
        }
        let Context { spec, .. } = self.context;
        let nothing = Holding {
            owner: &spec.owner,
            generations: Vec::new(),
            next: None,
            going: Vec::new(),
            spec: &spec.server,
            is_running: false,
        };
        engine.hold(&nothing).await?;
        engine.sweep(&self.key).await?;
        self.context.store.remove(&self.key)
    }

    /// Removes the generations with these ids, and the ones whose removal an earlier command began. After
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
        let current = record.current_id();
        record.leaving.extend(over.iter().filter(|id| Some(**id) != current));
        if record.leaving.is_empty() {
            return Ok(());
        }
        // A devdb with another home directory may have gone back to one of them.
        let servers = engine.servers(Some(&self.key)).await?;
        let serves = |id: &u32| {
            servers.iter().any(|server| server.role == Role::Instance && server.generation == *id)
        };
        record.leaving.retain(|id| !serves(id));
        for generation in record.generations.iter_mut().filter(|one| serves(&one.id)) {
            if generation.worth == Worth::Wiped {
                generation.worth = Worth::WrittenTo;
            }
        }
        record.generations.retain(|generation| !record.leaving.contains(&generation.id));
        // The record must not name generations that may be gone.
        self.context.store.save(record)?;
        let mut left = Vec::new();
        // One after the other: Docker removes one volume at a time, and drops a removal that it has
        // not begun when the client stops waiting.
        for id in record.leaving.clone() {
            let deadline = if overdue.contains(&id) { Duration::MAX } else { deadline };
            match self.discard_within(engine, id, deadline).await {
                Ok(true) => {}
                Ok(false) => left.push(id),
                Err(error) => {
                    left.push(id);
                    let events = &self.context.events;
                    events.warn(format!("a generation could not be removed: {error}"));
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
