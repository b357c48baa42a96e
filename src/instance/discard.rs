//! Removing servers, generations and snapshots of an instance. Nothing here decides what goes: it
//! carries out what [`tidy`](super::tidy), [`retention`](super::retention) and
//! [`rubbish`](super::rubbish) have decided.

use std::time::Duration;

use super::{Instance, SERVER_STOP_DEADLINE};
use crate::engine::{Engine, Generation, Role, Server};
use crate::error::Result;

/// How long a removal is waited for that an engine goes on with by itself: as long as it takes
/// Docker to begin with it, if others leave it the time.
pub(super) const BRIEFLY: Duration = Duration::from_millis(150);

impl Instance<'_> {
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
            engine.stop(server, SERVER_STOP_DEADLINE).await?;
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

    pub(super) async fn discard_server(&self, engine: &Engine, number: u32) -> Result<()> {
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
            is_gone &= engine.remove_generation_within(generation, patience).await?;
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
}
