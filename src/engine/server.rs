//! Servers: their purposes, their launch, their status and their end.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Engine, Generation};
use crate::error::Result;
use crate::spec::{Owner, ServerSpec};

/// How long a server may take to stop when its data is kept: 60 seconds. Before it ends, it writes
/// its memory to the disk. `docker stop` waits as long before it kills the server.
pub const STOP_DEADLINE: Duration = Duration::from_secs(60);

/// The purpose of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It belongs to an instance. Its port is fixed, and docker starts it again with the daemon.
    Instance,
    /// It bakes a golden state, on any free port. It ends with devdb's process.
    Builder,
    /// It serves one command, or lasts for a time that a person has set.
    Ephemeral,
}

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// A host name or address.
    pub host: String,
    /// A TCP port.
    pub port: u16,
}

/// Whether the process of a server runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Status {
    /// It runs. It may not accept logins yet.
    Running {
        /// When it started.
        since: Option<DateTime<Utc>>,
        /// The health that the engine reports, if any: `starting`, `healthy`, `unhealthy`.
        health: Option<String>,
    },
    /// It does not run.
    Stopped {
        /// The exit code of the process, if it is known.
        exit_code: Option<i64>,
    },
}

/// A server that devdb made, as the engine reports it now.
#[derive(Debug, Clone, Serialize)]
pub struct Server {
    /// The engine's handle: the id of a container, or the directory of a generation.
    pub handle: String,
    /// Its name, for people.
    pub name: String,
    /// The owner of its instance.
    pub owner: Owner,
    /// The number of the generation that it runs on.
    pub generation: u32,
    /// Its purpose.
    pub role: Role,
    /// Whether it runs.
    pub status: Status,
    /// Its address, also while it does not run. None while the port of a builder is not known.
    pub endpoint: Option<Endpoint>,
    /// The [`ServerSpec::launch_digest`] of its launch.
    pub launch_digest: String,
    /// The image that it runs. On the native engine: `PostgreSQL 15.18`.
    pub image: String,
}

impl Server {
    /// Whether the process runs and can answer. A paused process runs and cannot answer.
    pub fn is_running(&self) -> bool {
        match &self.status {
            Status::Running { health, .. } => health.as_deref() != Some("paused"),
            Status::Stopped { .. } => false,
        }
    }
}

/// How to launch the server of an instance.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// The owner of the instance.
    pub owner: &'a Owner,
    /// The id of the generation that it runs on. The generation must exist.
    pub generation: u32,
    /// The number of the generation. A launch with a verifier writes it into the mark.
    pub number: u32,
    /// Its image or programs, its settings, the database and the user.
    pub spec: &'a ServerSpec,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// The SCRAM-SHA-256 verifier of the user's new password (`SCRAM-SHA-256$4096:…`, see
    /// `db::scram`). The first launch on a copy of a golden state needs it. PostgreSQL stores a
    /// verifier unchanged, so the password itself never enters the container. None when the user
    /// already has a password.
    pub verifier: Option<&'a str>,
}

/// The end of a server.
#[derive(Debug, Clone)]
pub struct Exit {
    /// The exit code, if it is known.
    pub code: Option<i64>,
    /// The last lines of its log (at most 20).
    pub log_tail: String,
}

impl Engine {
    /// Lists the servers that devdb made on this engine. `key` is the [`Owner::key`] of an
    /// instance; None lists the servers of all instances.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn servers(&self, key: Option<&str>) -> Result<Vec<Server>> {
        each!(self.servers(key))
    }

    /// Finds a server by its handle. None when the server is gone, or when devdb did not make it.
    /// This takes a single request, because `up` has to be fast when nothing has changed.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn server(&self, handle: &str) -> Result<Option<Server>> {
        each!(self.server(handle))
    }

    /// Launches the server of an instance on a generation that exists. A launch with a verifier
    /// marks the generation as complete. A launch that fails leaves no server behind.
    ///
    /// # Errors
    /// `PortBusy` when another program holds the port, `NotOurs` when something else has the name.
    pub async fn launch(&self, launch: &Launch<'_>) -> Result<Server> {
        each!(self.launch(launch))
    }

    /// Starts a stopped server with the settings of its launch. Does nothing when it runs.
    ///
    /// # Errors
    /// `PortBusy` when another program holds the port. The server then stays stopped.
    pub async fn start(&self, server: &Server) -> Result<Server> {
        each!(self.start(server))
    }

    /// Waits until the process of a server ends. Returns at once when it does not run. Callers wait
    /// for this and for a login at the same time, so that a crash is reported at once.
    pub async fn exited(&self, server: &Server) -> Exit {
        each!(self.exited(server))
    }

    /// Stops a server cleanly: it disconnects its clients and writes all data to the disk. Fails
    /// when the server still runs after `patience`, usually [`STOP_DEADLINE`]. It is not killed,
    /// because its data is kept.
    ///
    /// # Errors
    /// `Unexpected` when the server still runs after `patience`.
    pub async fn stop(&self, server: &Server, patience: Duration) -> Result<()> {
        each!(self.stop(server, patience))
    }

    /// Reads the next transaction id of a server that was stopped cleanly. As long as the id stays
    /// the same, nobody has written to the server. None when the id cannot be read.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn next_transaction(&self, server: &Server) -> Result<Option<u64>> {
        each!(self.next_transaction(server))
    }

    /// As [`Engine::next_transaction`], for a generation without a server. This may be slow.
    ///
    /// # Errors
    /// When the engine does not answer, or lacks the image.
    pub async fn next_transaction_of(
        &self,
        generation: &Generation,
        spec: &ServerSpec,
    ) -> Result<Option<u64>> {
        each!(self.next_transaction_of(generation, spec))
    }

    /// Gives a stopped server another name, so that another server can be launched in its place,
    /// also on the same generation. The handle may change. Until [`Engine::reinstate`] restores the
    /// name, the server can only be removed.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn set_aside(&self, server: &Server) -> Result<Server> {
        each!(self.set_aside(server))
    }

    /// Undoes [`Engine::set_aside`], which returned `server`. Does nothing when the server was not
    /// set aside.
    ///
    /// # Errors
    /// When the engine refuses, or when another server has the name.
    pub async fn reinstate(&self, server: &Server) -> Result<Server> {
        each!(self.reinstate(server))
    }

    /// Removes a server, but not its generation. A server that runs is killed: call
    /// [`Engine::stop`] first when its data matters. Does nothing when the server is gone.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn remove_server(&self, server: &Server) -> Result<()> {
        each!(self.remove_server(server))
    }

    /// Gives `sink` the log of a server: its last `tail` lines, or all lines. With `follow`, `sink`
    /// also gets each later line until the server ends.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn logs(
        &self,
        server: &Server,
        tail: Option<usize>,
        follow: bool,
        sink: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<()> {
        each!(self.logs(server, tail, follow, sink))
    }

    /// Gives `user` the password of `verifier`. The old password is not needed. The verifier
    /// appears in no argument list.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn set_password(&self, server: &Server, user: &str, verifier: &str) -> Result<()> {
        each!(self.set_password(server, user, verifier))
    }

    /// Runs the psql of the server's image, on devdb's terminal if there is one, and returns its
    /// exit code. None when the engine has no psql of its own.
    ///
    /// # Errors
    /// When psql cannot be run.
    pub async fn psql(
        &self,
        server: &Server,
        user: &str,
        database: &str,
        arguments: &[String],
    ) -> Result<Option<i32>> {
        each!(self.psql(server, user, database, arguments))
    }
}
