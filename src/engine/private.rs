//! Private servers listen on any free port, need not save their data, and end with devdb's process.
//! One kind bakes a golden state; the other serves a person's command.

use std::sync::Arc;
use std::time::Duration;

use super::{
    Endpoint, Engine, Exit, GoldenLabel, GoldenState, Lease, Role, Server, docker, native,
};
use crate::archive::{Verified, Writer};
use crate::error::Result;
use crate::spec::{Owner, ServerSpec};

/// How long a private server may take to stop: 120 seconds. It syncs nothing while it runs, so it
/// may have much to write when its data is published.
pub(super) const PRIVATE_STOP_DEADLINE: Duration = Duration::from_secs(120);

/// How to start a private server.
#[derive(Debug, Clone)]
pub struct PrivateLaunch<'a> {
    /// Its owner. A builder belongs to an instance; an ephemeral server has an owner of its own.
    pub owner: &'a Owner,
    /// [`Role::Builder`] or [`Role::Ephemeral`].
    pub role: Role,
    /// Its lease. devdb learns from it when nobody needs the server any more.
    pub lease: &'a Lease,
    /// Its image or programs, its settings, the database and the user. The data need not survive a
    /// crash.
    pub spec: &'a ServerSpec,
    /// The golden state to start from. None: the server starts from an empty data directory.
    pub from: Option<&'a GoldenState>,
    /// A file with a data directory to start from, in place of a golden state. Its checksum is
    /// good, but its contents are not known.
    pub unpack: Option<&'a Arc<Verified<GoldenLabel>>>,
    /// The SCRAM verifier of the password that the user gets on this server.
    pub verifier: &'a str,
}

/// A private server that runs. It ends with devdb's own process, or soon after.
#[derive(Debug)]
pub enum PrivateServer {
    /// A container without a volume.
    Docker(Box<docker::PrivateServer>),
    /// A process on a directory of its own.
    Native(Box<native::PrivateServer>),
}

impl Engine {
    /// Removes the private server of an owner, with its data. Any process may have started the
    /// server. Does nothing when it is gone.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn remove_private(&self, owner: &Owner, role: Role) -> Result<()> {
        match self {
            Engine::Docker(docker) => docker.remove_private(owner, role).await,
            Engine::Native(native) => native.remove_private(owner, role).await,
        }
    }

    /// Removes the private servers of this user that nobody needs any more: their devdb was killed,
    /// or their time is over.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn reap(&self) -> Result<()> {
        match self {
            Engine::Docker(docker) => docker.reap().await,
            Engine::Native(native) => native.reap().await,
        }
    }

    /// Lists the owners of builders that a killed devdb left behind. When an instance has no
    /// record, its own commands do not remove its builder.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn abandoned_builders(&self) -> Result<Vec<Owner>> {
        match self {
            // A container ends with devdb's connection.
            Engine::Docker(_) => Ok(Vec::new()),
            Engine::Native(native) => native.abandoned_builders(),
        }
    }

    /// Starts a private server. A start that fails leaves nothing behind.
    ///
    /// # Errors
    /// The errors of [`Engine::launch`].
    pub async fn start_private(&self, launch: &PrivateLaunch<'_>) -> Result<PrivateServer> {
        match self {
            Engine::Docker(docker) => {
                docker.start_private(launch).await.map(|one| PrivateServer::Docker(Box::new(one)))
            }
            Engine::Native(native) => {
                native.start_private(launch).await.map(|one| PrivateServer::Native(Box::new(one)))
            }
        }
    }
}

impl PrivateServer {
    /// The server as the engine reported it at the start.
    pub fn server(&self) -> &Server {
        match self {
            PrivateServer::Docker(server) => server.server(),
            PrivateServer::Native(server) => server.server(),
        }
    }

    /// Lets the server go on for `time` from now on, also without devdb. Then a container ends by
    /// itself; [`Engine::remove_private`] or [`Engine::reap`] has to end a process.
    ///
    /// # Errors
    /// When the engine cannot be told.
    pub async fn keep(&mut self, time: Duration) -> Result<()> {
        match self {
            PrivateServer::Docker(server) => server.keep(time).await,
            PrivateServer::Native(server) => server.keep(time),
        }
    }

    /// The address of the server.
    pub fn endpoint(&self) -> &Endpoint {
        match self {
            PrivateServer::Docker(server) => server.endpoint(),
            PrivateServer::Native(server) => server.endpoint(),
        }
    }

    /// Waits until it ends by itself.
    pub async fn exited(&self) -> Exit {
        match self {
            PrivateServer::Docker(server) => server.exited().await,
            PrivateServer::Native(server) => server.exited().await,
        }
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        match self {
            PrivateServer::Docker(server) => server.log_tail(),
            PrivateServer::Native(server) => server.log_tail(),
        }
    }

    /// Publishes the present data as a golden state for builders, which is not
    /// [`GoldenLabel::clean`]. The server goes on. It must have written a checkpoint just before.
    ///
    /// # Errors
    /// When the engine refuses, for instance because the disk is full. Nothing incomplete is left
    /// behind.
    pub async fn publish_live(&mut self, label: &GoldenLabel) -> Result<()> {
        match self {
            PrivateServer::Docker(server) => server.publish_live(label).await,
            PrivateServer::Native(server) => server.publish_live(label).await,
        }
    }

    /// Stops the server cleanly, and publishes its data as a golden state.
    ///
    /// # Errors
    /// When the server does not stop, and the errors of [`PrivateServer::publish_live`].
    pub async fn publish(&mut self, label: &GoldenLabel) -> Result<GoldenState> {
        match self {
            PrivateServer::Docker(server) => server.publish(label).await,
            PrivateServer::Native(server) => server.publish(label).await,
        }
    }

    /// Stops the server cleanly, and writes its data directory into a file. This completes the
    /// file.
    ///
    /// # Errors
    /// When the server does not stop. `Snapshot` when the file cannot be written. No file is left
    /// behind.
    pub async fn export(&mut self, writer: Writer) -> Result<()> {
        match self {
            PrivateServer::Docker(server) => server.export(writer).await,
            PrivateServer::Native(server) => server.export(writer).await,
        }
    }

    /// Removes the server, whether it runs or not.
    ///
    /// # Errors
    /// When the engine refuses. The next command of the instance then removes the server.
    pub async fn discard(self) -> Result<()> {
        match self {
            PrivateServer::Docker(server) => server.discard().await,
            PrivateServer::Native(server) => server.discard().await,
        }
    }
}
