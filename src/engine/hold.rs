//! Data that no server uses: former generations and snapshots. An engine protects it from clean-up
//! commands of its own as far as it can.

use super::Engine;
use crate::error::Result;
use crate::spec::{Owner, ServerSpec};

/// What an engine is to protect of an instance, beside all its snapshots.
#[derive(Debug, Clone)]
pub struct Holding<'a> {
    /// The owner of the instance.
    pub owner: &'a Owner,
    /// The ids of generations. Those that do not exist do not matter.
    pub generations: Vec<u32>,
    /// The id of the current generation, which the next swap makes a former one. A container that
    /// is made anew mounts it, too, and can stay then.
    pub next: Option<u32>,
    /// The ids of generations that are about to be removed. Nothing may hold them.
    pub going: Vec<u32>,
    /// The image that docker uses.
    pub spec: &'a ServerSpec,
    /// Whether the instance's server runs.
    pub is_running: bool,
}

/// How many volumes of an instance a clean-up command of the engine removes.
#[derive(Debug, Clone, Copy)]
pub struct Exposed {
    /// The volumes that no container mounts.
    pub unmounted: usize,
    /// The volumes that no running container mounts. It includes the unmounted ones.
    pub unused: usize,
    /// The command that removes the unmounted volumes.
    pub volume_prune: &'static str,
    /// The command that removes the unused volumes.
    pub system_prune: &'static str,
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

    /// What clean-up commands can remove of the generations with these numbers and of the snapshots.
    /// None on native, where there are no such commands.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn exposed(&self, owner: &Owner, generations: &[u32]) -> Result<Option<Exposed>> {
        match self {
            Engine::Docker(docker) => docker.exposed(owner, generations).await.map(Some),
            Engine::Native(_) => Ok(None),
        }
    }
}
