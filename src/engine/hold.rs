//! Data that no server uses: former generations and snapshots. An engine protects it from clean-up
//! commands of its own as far as it can.

use super::Engine;
use crate::error::Result;
use crate::spec::{Owner, ServerSpec};

/// What an engine is to protect of an instance, beside all its snapshots.
#[derive(Debug, Clone, Copy)]
pub struct Holding<'a> {
    /// The owner of the instance.
    pub owner: &'a Owner,
    /// The ids of generations. Those that do not exist do not matter.
    pub generations: &'a [u32],
    /// The image that docker uses.
    pub spec: &'a ServerSpec,
    /// Whether the instance's server runs.
    pub is_running: bool,
}

impl Engine {
    /// Protects the data that an instance keeps. On docker a container mounts the volumes, so that
    /// `docker volume prune` does not remove them. Nothing but devdb removes native data.
    ///
    /// # Errors
    /// When the engine refuses. The data is not protected then.
    pub async fn hold(&self, holding: &Holding<'_>) -> Result<()> {
        match self {
            Engine::Docker(docker) => docker.hold(holding).await,
            Engine::Native(_) => Ok(()),
        }
    }
}
