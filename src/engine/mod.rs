//! Engines run PostgreSQL servers. This module defines the tasks of an engine, and contains the two
//! engines: [`docker`] and [`native`].
//!
//! The set of engines is closed, so [`Engine`] is an enum. Its methods are in eight files, and each
//! engine has the same, except that native data needs no `hold`:
//!
//! | file | subject |
//! | --- | --- |
//! | `server` | The server of an instance: a container, or a process. Removing it keeps its data. |
//! | `generation` | A data directory of an instance: a named volume, or a directory. |
//! | `hold` | Protection of what no server uses from clean-up commands of the engine. |
//! | `golden` | A cached state that generations are copied from: an image, or a directory. |
//! | `snapshot` | A copy of a generation that a person asked for. No server runs on it. |
//! | `private` | A server that ends with devdb: it bakes a golden state or serves one command. |
//! | `transfer` | Golden states and snapshots, to and from files and registries. |
//! | `lock` | Locks against a devdb with another home directory. |
//!
//! Both engines pass the same conformance suite (`tests/conformance.rs`). Only `engine/docker` uses
//! bollard.
//!
//! Servers, generations and snapshots carry a label with their [`Owner`](crate::spec::Owner). An
//! engine touches only objects with devdb's label. When another object has a name that devdb needs,
//! the error is of kind [`Kind::NotOurs`](crate::error::Kind::NotOurs) and names the object.

/// Calls the method of the same name on the engine.
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
mod hold;
mod lease;
mod lock;
pub mod native;
mod pg_control;
mod private;
mod server;
mod snapshot;
mod transfer;

pub use engines::Engines;
pub use generation::{COPY, Generation, Numbered};
pub use golden::{DamagedGolden, GoldenLabel, GoldenState, Platform, ToolInputs};
pub use hold::{Exposed, Holding};
pub use lease::Lease;
pub use lock::{EngineLock, Shared, busy};
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
    /// The kind of the engine.
    pub fn kind(&self) -> EngineKind {
        match self {
            Engine::Docker(_) => EngineKind::Docker,
            Engine::Native(_) => EngineKind::Native,
        }
    }

    /// The id of the daemon, or of the native engine's store. It never changes. A record keeps it,
    /// so that devdb does not take an instance for lost when another daemon answers.
    ///
    /// # Errors
    /// [`Kind::NoEngine`](crate::error::Kind::NoEngine) when the engine does not answer.
    pub async fn id(&self) -> Result<String> {
        each!(self.id())
    }

    /// Checks that this process can reach the server of an instance. The engine publishes the port
    /// only on 127.0.0.1 of its own machine.
    ///
    /// # Errors
    /// `NoEngine` when the server cannot be reached. The error tells what is possible.
    pub async fn keeps_instances(&self) -> Result<()> {
        match self {
            Engine::Docker(docker) => docker.keeps_instances().await,
            Engine::Native(_) => Ok(()),
        }
    }

    /// Prepares the launch of a server with `spec`. Docker pulls a missing image and shows the
    /// progress. The native engine looks for programs of the right major version.
    ///
    /// # Errors
    /// `Image` or `NoEngine`, with a hint. Nothing is left behind.
    pub async fn prepare(&self, spec: &ServerSpec, events: &Events) -> Result<()> {
        each!(self.prepare(spec, events))
    }
}
