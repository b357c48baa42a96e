//! Golden states on an engine: complete data directories, cached under a fingerprint of everything
//! that went into them, and the private builders that bake them.
//!
//! A golden state is nobody's: every instance on the engine may start from it. Its label says what
//! is in it; nobody has a password for it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Endpoint, Engine, Exit, Generation, MadeWith, docker, native};
use crate::error::Result;
use crate::spec::{Owner, ServerSpec};

/// The version of [`GoldenLabel`] that this devdb writes, and the newest it understands.
pub const LABEL_SCHEMA: u32 = 1;

/// What a data directory depends on besides its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// Part of the fingerprint: the same on every machine that can share states.
    pub name: String,
    /// Which very server it is: an image's id, a server's full version. States of another are left
    /// alone: its C library may sort text differently.
    pub exact: String,
    /// Operating system and processor: `linux/amd64`.
    pub machine: String,
}

/// What a golden state's label says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoldenLabel {
    /// The label's version.
    pub schema: u32,
    /// Of everything that went into it: 64 hexadecimal digits.
    pub fingerprint: String,
    /// Whether its server was stopped cleanly, so that instances may start from it. Another was
    /// taken from a running one; it serves builders, which do not mind the recovery.
    pub clean: bool,
    /// How many golden states it is built on.
    pub depth: u32,
    /// [`Platform::exact`] of the server that made it.
    pub platform: String,
    /// Version, database and user.
    pub made_with: MadeWith,
    /// The project it was first made for, for people.
    pub project: String,
    /// How many migrations are in it.
    pub migrations: usize,
    /// How many seed files are in it.
    pub seeds: usize,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// The server's next transaction id: while an instance that started from it is there, plus the
    /// one that gave it its password, nobody has written to it.
    pub next_transaction: u64,
    /// Whether it holds values that only one project on this machine can read: it is never sent
    /// anywhere.
    pub local: bool,
}

impl GoldenLabel {
    /// The name it is stored under. A state for builders only never takes the name of a clean one.
    pub fn name(&self) -> String {
        let short = &self.fingerprint[..24.min(self.fingerprint.len())];
        if self.clean { short.to_owned() } else { format!("{short}-live") }
    }
}

/// A golden state that an engine has.
#[derive(Debug, Clone, Serialize)]
pub struct GoldenState {
    /// The engine's handle: an image's reference; native: a directory.
    pub handle: String,
    /// What is in it.
    pub label: GoldenLabel,
    /// What it takes on the disk beyond the state it is built on, in bytes.
    pub bytes: u64,
}

/// How to start a builder.
#[derive(Debug, Clone)]
pub struct BuilderLaunch<'a> {
    /// Who bakes: whose rubbish it is if devdb is killed.
    pub owner: &'a Owner,
    /// The server. Nothing of it needs to survive a crash.
    pub spec: &'a ServerSpec,
    /// The state to start from; none: an empty data directory, initialised.
    pub from: Option<&'a GoldenState>,
    /// The SCRAM verifier of the password that the builder alone has.
    pub verifier: &'a str,
}

/// A private server that bakes a golden state: on any free port, without durability, gone with
/// devdb's own process or soon after.
#[derive(Debug)]
pub enum Builder {
    /// A container without a volume.
    Docker(Box<docker::Builder>),
    /// A process on a directory of its own.
    Native(Box<native::Builder>),
}

/// Calls the same method of whichever engine it is.
macro_rules! each {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match $self {
            Engine::Docker(engine) => engine.$method($($argument),*).await,
            Engine::Native(engine) => engine.$method($($argument),*).await,
        }
    };
}

impl Engine {
    /// What data directories made here depend on.
    ///
    /// # Errors
    /// When the image or the programs are not there: [`Engine::prepare`] first.
    pub async fn platform(&self, spec: &ServerSpec) -> Result<Platform> {
        each!(self.platform(spec))
    }

    /// Every golden state that is complete.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn golden_states(&self) -> Result<Vec<GoldenState>> {
        each!(self.golden_states())
    }

    /// Starts a builder. When it fails, none is left behind.
    ///
    /// # Errors
    /// Those of [`Engine::launch`].
    pub async fn start_builder(&self, launch: &BuilderLaunch<'_>) -> Result<Builder> {
        match self {
            Engine::Docker(docker) => {
                docker.start_builder(launch).await.map(|one| Builder::Docker(Box::new(one)))
            }
            Engine::Native(native) => {
                native.start_builder(launch).await.map(|one| Builder::Native(Box::new(one)))
            }
        }
    }

    /// Makes a generation that is a copy of a clean golden state. Its first launch gives the user a
    /// password.
    ///
    /// # Errors
    /// As [`Engine::create_generation`]; nothing is left behind.
    pub async fn clone_golden(
        &self,
        state: &GoldenState,
        owner: &Owner,
        number: u32,
        spec: &ServerSpec,
    ) -> Result<Generation> {
        each!(self.clone_golden(state, owner, number, spec))
    }

    /// Whether copying a golden state takes so long that the next copy is better made beside
    /// something else.
    pub fn copies_slowly(&self) -> bool {
        matches!(self, Engine::Docker(_))
    }

    /// Removes what a publishing or a removal that was cut short left behind. Nobody else of this
    /// user may be publishing.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub async fn sweep_golden(&self) -> Result<()> {
        match self {
            // An image appears whole or not at all.
            Engine::Docker(_) => Ok(()),
            Engine::Native(native) => native.sweep_golden().await,
        }
    }

    /// Removes a golden state. Generations that were made from it are not touched. Nothing happens
    /// if it is gone already.
    ///
    /// # Errors
    /// When the engine refuses: somebody else is using it.
    pub async fn remove_golden(&self, state: &GoldenState) -> Result<()> {
        each!(self.remove_golden(state))
    }
}

impl Builder {
    /// Where it is reached.
    pub fn endpoint(&self) -> &Endpoint {
        match self {
            Builder::Docker(builder) => builder.endpoint(),
            Builder::Native(builder) => builder.endpoint(),
        }
    }

    /// Waits until it ends by itself. Never returns while it runs.
    pub async fn exited(&self) -> Exit {
        match self {
            Builder::Docker(builder) => builder.exited().await,
            Builder::Native(builder) => builder.exited().await,
        }
    }

    /// Publishes its data as it is now, under a label that is not [`GoldenLabel::clean`]; it goes
    /// on. The server must have written a checkpoint just before.
    ///
    /// # Errors
    /// When the engine refuses (a full disk); nothing half-made is left.
    pub async fn publish_live(&mut self, label: &GoldenLabel) -> Result<()> {
        match self {
            Builder::Docker(builder) => builder.publish_live(label).await,
            Builder::Native(builder) => builder.publish_live(label).await,
        }
    }

    /// Stops its server cleanly and publishes the data.
    ///
    /// # Errors
    /// When it does not stop, and as [`Builder::publish_live`].
    pub async fn publish(&mut self, label: &GoldenLabel) -> Result<GoldenState> {
        match self {
            Builder::Docker(builder) => builder.publish(label).await,
            Builder::Native(builder) => builder.publish(label).await,
        }
    }

    /// Ends and removes it, in whatever state it is.
    ///
    /// # Errors
    /// When the engine refuses; the instance's next command removes it then.
    pub async fn discard(self) -> Result<()> {
        match self {
            Builder::Docker(builder) => builder.discard().await,
            Builder::Native(builder) => builder.discard().await,
        }
    }
}
