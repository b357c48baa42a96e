//! Private servers: on any free port, without durability, gone with devdb's own process. One bakes a
//! golden state; one lives for a command of a person's.

use std::sync::Arc;
use std::time::Duration;

use super::{
    Endpoint, Engine, Exit, GoldenLabel, GoldenState, Lease, Role, Server, docker, native,
};
use crate::archive::{Verified, Writer};
use crate::error::Result;
use crate::spec::{Owner, ServerSpec};

/// How long a private server may take to stop: 120 seconds. It has written nothing to the disk for
/// certain before, so it may have much to write when its data is published.
pub(super) const PRIVATE_STOP_DEADLINE: Duration = Duration::from_secs(120);

/// How to start a server.
#[derive(Debug, Clone)]
pub struct PrivateLaunch<'a> {
    /// Whose it is. A builder is its instance's; an ephemeral one has an owner of its own.
    pub owner: &'a Owner,
    /// [`Role::Builder`] or [`Role::Ephemeral`].
    pub role: Role,
    /// How to tell when nobody needs it any more.
    pub lease: &'a Lease,
    /// The server. Nothing of it needs to survive a crash.
    pub spec: &'a ServerSpec,
    /// The state to start from; none: an empty data directory, initialised.
    pub from: Option<&'a GoldenState>,
    /// A data directory in a file to start from, in place of that: whole, but nobody's word for what
    /// is in it.
    pub unpack: Option<&'a Arc<Verified<GoldenLabel>>>,
    /// The SCRAM verifier of the password that the builder alone has.
    pub verifier: &'a str,
}

/// A private server: on any free port, without durability, gone with devdb's own process or soon
/// after.
#[derive(Debug)]
pub enum PrivateServer {
    /// A container without a volume.
    Docker(Box<docker::PrivateServer>),
    /// A process on a directory of its own.
    Native(Box<native::PrivateServer>),
}

impl Engine {
    /// Removes a private server of this owner with its data, whoever started it. Nothing happens if
    /// it is gone already.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn remove_private(&self, owner: &Owner, role: Role) -> Result<()> {
        match self {
            Engine::Docker(docker) => docker.remove_private(owner, role).await,
            Engine::Native(native) => native.remove_private(owner, role).await,
        }
    }

    /// Removes private servers that certainly nobody needs any more: their devdb was killed, or
    /// their time has come. What is not this user's is left alone.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn reap(&self) -> Result<()> {
        match self {
            Engine::Docker(docker) => docker.reap().await,
            Engine::Native(native) => native.reap().await,
        }
    }

    /// Whose builders were left by a devdb that was killed. Where the instance has no record, no
    /// command of it comes to remove them.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn abandoned_builders(&self) -> Result<Vec<Owner>> {
        match self {
            // They end with devdb's connection.
            Engine::Docker(_) => Ok(Vec::new()),
            Engine::Native(native) => native.abandoned_builders(),
        }
    }

    /// Starts a server. When it fails, none is left behind.
    ///
    /// # Errors
    /// Those of [`Engine::launch`].
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
    /// As the engine described it when it was started.
    pub fn server(&self) -> &Server {
        match self {
            PrivateServer::Docker(server) => server.server(),
            PrivateServer::Native(server) => server.server(),
        }
    }

    /// Makes it outlive devdb, for so long from now on. On docker it then ends by itself; a
    /// process needs somebody who ends it ([`Engine::remove_private`]).
    ///
    /// # Errors
    /// When the engine does not hear.
    pub async fn keep(&mut self, time: Duration) -> Result<()> {
        match self {
            PrivateServer::Docker(server) => server.keep(time).await,
            PrivateServer::Native(server) => server.keep(time),
        }
    }

    /// Where it is reached.
    pub fn endpoint(&self) -> &Endpoint {
        match self {
            PrivateServer::Docker(server) => server.endpoint(),
            PrivateServer::Native(server) => server.endpoint(),
        }
    }

    /// Waits until it ends by itself. Never returns while it runs.
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

    /// Publishes its data as it is now, under a label that is not [`GoldenLabel::clean`]; it goes
    /// on. The server must have written a checkpoint just before.
    ///
    /// # Errors
    /// When the engine refuses (a full disk); nothing half-made is left.
    pub async fn publish_live(&mut self, label: &GoldenLabel) -> Result<()> {
        match self {
            PrivateServer::Docker(server) => server.publish_live(label).await,
            PrivateServer::Native(server) => server.publish_live(label).await,
        }
    }

    /// Stops its server cleanly and publishes the data.
    ///
    /// # Errors
    /// When it does not stop, and as [`PrivateServer::publish_live`].
    pub async fn publish(&mut self, label: &GoldenLabel) -> Result<GoldenState> {
        match self {
            PrivateServer::Docker(server) => server.publish(label).await,
            PrivateServer::Native(server) => server.publish(label).await,
        }
    }

    /// Stops its server cleanly and writes its data directory into a file, which is then whole.
    ///
    /// # Errors
    /// When it does not stop, and `Snapshot` when the file cannot be written. No file is left.
    pub async fn export(&mut self, writer: Writer) -> Result<()> {
        match self {
            PrivateServer::Docker(server) => server.export(writer).await,
            PrivateServer::Native(server) => server.export(writer).await,
        }
    }

    /// Ends and removes it, in whatever state it is.
    ///
    /// # Errors
    /// When the engine refuses; the instance's next command removes it then.
    pub async fn discard(self) -> Result<()> {
        match self {
            PrivateServer::Docker(server) => server.discard().await,
            PrivateServer::Native(server) => server.discard().await,
        }
    }
}
