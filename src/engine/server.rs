//! Servers: what they are for, how they are launched, how they are and how they end.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Engine;
use crate::error::Result;
use crate::spec::{Owner, ServerSpec};

/// How long a server may take to stop when its data is kept: 60 seconds. Before it ends, it writes
/// everything that is in its memory to the disk. `docker stop` waits as long before it kills.
pub const STOP_DEADLINE: Duration = Duration::from_secs(60);

/// What a server is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A person's: fixed port, restarted with the engine.
    Instance,
    /// Prepares a generation, on any free port; never restarted; rubbish when nobody waits for it.
    Builder,
    /// Lives for one command of a person's, or for a time.
    Ephemeral,
}

/// Where a server is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// A host name or address.
    pub host: String,
    /// A TCP port.
    pub port: u16,
}

/// Whether a server runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Status {
    /// The process runs (it may not accept logins yet).
    Running {
        /// Since when.
        since: Option<DateTime<Utc>>,
        /// The engine's own health word, where it has one: `starting`, `healthy`, `unhealthy`.
        health: Option<String>,
    },
    /// It does not run.
    Stopped {
        /// How the process ended, where that is known.
        exit_code: Option<i64>,
    },
}

/// A server that devdb made, as the engine reports it now.
#[derive(Debug, Clone, Serialize)]
pub struct Server {
    /// The engine's handle: a container id; native: the generation's directory.
    pub handle: String,
    /// Its name, for people.
    pub name: String,
    /// Whose it is.
    pub owner: Owner,
    /// The generation it runs on.
    pub generation: u32,
    /// What it is for.
    pub role: Role,
    /// Whether it runs.
    pub status: Status,
    /// Where it is (or would be) reached; none while a builder's port is not yet known.
    pub endpoint: Option<Endpoint>,
    /// [`ServerSpec::launch_digest`] of what it was launched with.
    pub launch_digest: String,
    /// The image it runs (native: `PostgreSQL 15.18`).
    pub image: String,
}

impl Server {
    /// Whether the process runs and can answer: one that is paused runs and cannot.
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
    /// The number of the generation that it runs on. The generation has to exist.
    pub generation: u32,
    /// Its image or programs, its settings, the database and the user.
    pub spec: &'a ServerSpec,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// The SCRAM-SHA-256 verifier of the password that the user is to get
    /// (`SCRAM-SHA-256$4096:…`, see `db::scram`), for the first launch on a copy of a golden state.
    /// PostgreSQL stores a verifier as it is, so the password itself never enters the container.
    /// None when the user has a password.
    pub verifier: Option<&'a str>,
}

/// How a server ended.
#[derive(Debug, Clone)]
pub struct Exit {
    /// The exit code, where it is known.
    pub code: Option<i64>,
    /// The last lines of its log (at most 20).
    pub log_tail: String,
}

impl Engine {
    /// Every server devdb made here, of one instance (its [`Owner::key`]) or of all.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn servers(&self, key: Option<&str>) -> Result<Vec<Server>> {
        each!(self.servers(key))
    }

    /// One server by its handle, none if it is gone or not ours. One call: the fast path of `up`.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn server(&self, handle: &str) -> Result<Option<Server>> {
        each!(self.server(handle))
    }

    /// Launches a server on an existing generation. When it fails, no server is left behind. With a
    /// verifier, and for an instance, the generation is complete after that.
    ///
    /// # Errors
    /// `PortBusy` when another program holds the port, `NotOurs` when something else has the name.
    pub async fn launch(&self, launch: &Launch<'_>) -> Result<Server> {
        each!(self.launch(launch))
    }

    /// Starts a stopped server as it was launched. Nothing happens if it runs.
    ///
    /// # Errors
    /// `PortBusy` when another program holds the port; the server is left stopped.
    pub async fn start(&self, server: &Server) -> Result<Server> {
        each!(self.start(server))
    }

    /// Waits until a server's process ends; returns at once if it does not run. Never returns
    /// while it runs. To be raced against a probe.
    pub async fn exited(&self, server: &Server) -> Exit {
        each!(self.exited(server))
    }

    /// Ends a server cleanly: clients are disconnected, everything is on disk. Waits `patience`
    /// for that, then fails; it never kills a server whose data is kept.
    ///
    /// # Errors
    /// `Unexpected` when it still runs after `patience`.
    pub async fn stop(&self, server: &Server, patience: Duration) -> Result<()> {
        each!(self.stop(server, patience))
    }

    /// The transaction id that the next writer gets, of a server that was stopped cleanly: while it
    /// is the same as before, nobody has written. None when that cannot be told.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn next_transaction(&self, server: &Server) -> Result<Option<u64>> {
        each!(self.next_transaction(server))
    }

    /// Sets a stopped server aside under another name, and perhaps another handle, so that another
    /// can be launched in its place, also on the same generation. With [`Engine::reinstate`] it is
    /// as it was. Until then it can only be removed.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn set_aside(&self, server: &Server) -> Result<Server> {
        each!(self.set_aside(server))
    }

    /// Undoes [`Engine::set_aside`], which told the handle to give. Nothing happens if it was not
    /// set aside.
    ///
    /// # Errors
    /// When the engine refuses, or the name is taken.
    pub async fn reinstate(&self, server: &Server) -> Result<Server> {
        each!(self.reinstate(server))
    }

    /// Removes a server, running or not (a running one is killed: [`Engine::stop`] it first when
    /// its data matters), with everything it brought but its generation.
    ///
    /// # Errors
    /// When the engine refuses. A server that is gone already is no error.
    pub async fn remove_server(&self, server: &Server) -> Result<()> {
        each!(self.remove_server(server))
    }

    /// The server's log: the last `tail` lines (all when none), and what follows when `follow`,
    /// until the server ends.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn logs(
        &self,
        server: &Server,
        tail: Option<usize>,
        follow: bool,
        sink: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<()> {
        each!(self.logs(server, tail, follow, sink))
    }

    /// Gives `user` a new password by its verifier, without knowing the old one, over a channel
    /// that only the engine's owner has; never in an argument list.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn set_password(&self, server: &Server, user: &str, verifier: &str) -> Result<()> {
        each!(self.set_password(server, user, verifier))
    }

    /// Runs the server's own psql with a real terminal where there is one, and returns its exit
    /// code; none where the engine has no psql of its own.
    ///
    /// # Errors
    /// When it cannot be run.
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
