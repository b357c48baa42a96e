//! The engine contract: what devdb asks of whatever runs PostgreSQL servers, in domain verbs.
//!
//! A closed set, so an enum. Both engines pass the same conformance suite
//! (`tests/conformance.rs`). Nothing outside `engine/docker` knows bollard.
//!
//! Three things exist on an engine, each labelled with its [`Owner`]:
//! - a *generation*: one data directory (docker: a named volume; native: a directory);
//! - a *server* on a generation (docker: a container; native: a process and the note of how it
//!   was launched). A server is cattle: removing it never removes data;
//! - a *snapshot*: a copy of a generation's data directory that a person asked for, with
//!   its manifest written last. No server ever runs on it.
//!
//! An engine touches only what carries devdb's own mark. A name of devdb's without the mark is
//! an error of kind [`Kind::NotOurs`](crate::error::Kind::NotOurs) that names the object.

/// Calls the same method of whichever engine it is.
macro_rules! each {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match $self {
            Engine::Docker(engine) => engine.$method($($argument),*).await,
            Engine::Native(engine) => engine.$method($($argument),*).await,
        }
    };
}

pub mod docker;
mod engines;
mod generation;
pub mod golden;
mod lease;
pub mod native;
mod pg_control;
mod private;
mod server;
mod snapshot;
mod transfer;

pub use engines::Engines;
pub use generation::Generation;
pub use golden::{DamagedGolden, GoldenLabel, GoldenState, Platform};
pub use lease::Lease;
pub use private::{PrivateLaunch, PrivateServer};
pub use server::{Endpoint, Exit, Launch, Role, STOP_DEADLINE, Server, Status};
pub use snapshot::{Manifest, Snapshot, SnapshotName, State, Stop};
pub use transfer::ReservedTag;

use private::PRIVATE_STOP_DEADLINE;

use crate::error::Result;
use crate::event::Events;
use crate::spec::{EngineKind, ServerSpec};

/// One of the engines.
#[derive(Debug, Clone)]
pub enum Engine {
    /// A Docker-compatible daemon.
    Docker(docker::Docker),
    /// Local PostgreSQL programs.
    Native(native::Native),
}

impl Engine {
    /// Which one it is.
    pub fn kind(&self) -> EngineKind {
        match self {
            Engine::Docker(_) => EngineKind::Docker,
            Engine::Native(_) => EngineKind::Native,
        }
    }

    /// The daemon's own stable id (native: of this machine's store), so that a record never takes
    /// another daemon's empty shelf for a lost instance.
    ///
    /// # Errors
    /// [`Kind::NoEngine`](crate::error::Kind::NoEngine) when it does not answer.
    pub async fn id(&self) -> Result<String> {
        each!(self.id())
    }

    /// Whether an instance's server is reached from here: nothing is published elsewhere than on
    /// 127.0.0.1 of the engine's machine.
    ///
    /// # Errors
    /// `NoEngine`, with what can be done from here.
    pub async fn keeps_instances(&self) -> Result<()> {
        match self {
            Engine::Docker(docker) => docker.keeps_instances().await,
            Engine::Native(_) => Ok(()),
        }
    }

    /// Makes sure that a server as `spec` says can be launched: docker: the image is there, or is
    /// pulled with progress and a deadline; native: programs of the right major version are there.
    ///
    /// # Errors
    /// `Image` or `NoEngine`, with what to do. Nothing is left behind.
    pub async fn prepare(&self, spec: &ServerSpec, events: &Events) -> Result<()> {
        each!(self.prepare(spec, events))
    }
}
