//! Protects what an instance keeps from clean-up commands such as `docker volume prune`.

use super::Instance;
use crate::engine::{Engine, Holding, Server};
use crate::error::Result;

impl Instance<'_> {
    /// Makes the engine hold the generations that no server uses, and the snapshots. Every command
    /// that changes the set calls this last. A failure is only a warning, because the command has
    /// done its work.
    pub(super) async fn hold(&self, engine: &Engine) {
        if let Err(error) = self.try_hold(engine).await {
            self.context.events.warn(format!(
                "docker volume prune would remove the former generations and snapshots of this \
                 database: {error}"
            ));
        }
    }

    async fn try_hold(&self, engine: &Engine) -> Result<()> {
        let Some(record) = &self.record else { return Ok(()) };
        let server = self.current_server(engine, record).await?;
        let of_server = server.as_ref().map(|server| server.generation);
        let numbers = record.generations.iter().map(|generation| generation.number);
        let generations: Vec<u32> = numbers.filter(|number| Some(*number) != of_server).collect();
        let holding = Holding {
            owner: &record.owner,
            generations: &generations,
            spec: &self.context.spec.server,
            is_running: server.as_ref().is_some_and(Server::is_running),
        };
        engine.hold(&holding).await
    }
}
