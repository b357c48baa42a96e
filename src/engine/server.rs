//! Servers: what they are for, how they are launched, how they are and how they end.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::spec::{Owner, ServerSpec};

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

/// How to launch a server.
#[derive(Debug, Clone)]
pub struct Launch<'a> {
    /// Whose it is.
    pub owner: &'a Owner,
    /// On which generation; it must exist.
    pub generation: u32,
    /// What for.
    pub role: Role,
    /// Image or programs, settings, database and user.
    pub spec: &'a ServerSpec,
    /// The port on 127.0.0.1; none: any free one.
    pub port: Option<u16>,
    /// For the first launch of a generation, empty or a copy of a golden state: the SCRAM-SHA-256
    /// verifier of the user's password (`SCRAM-SHA-256$4096:…`, see `db::scram`). PostgreSQL stores
    /// a verifier as it is, so the password itself never enters the container. None when the user
    /// has a password.
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
