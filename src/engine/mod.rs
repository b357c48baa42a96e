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

mod control;
pub mod docker;
mod engines;
mod generation;
pub mod golden;
mod lease;
pub mod native;
mod private;
mod server;
mod snapshot;

pub use engines::Engines;
pub use generation::Generation;
pub use golden::{DamagedGolden, GoldenLabel, GoldenState, Loan, Platform};
pub use lease::Lease;
pub use private::{PrivateLaunch, PrivateServer};
pub use server::{Endpoint, Exit, Launch, Role, Server, Status};
pub use snapshot::{Manifest, Snapshot, SnapshotName, State, Stop};

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use crate::archive::{Verified, Writer};
use crate::db::backup::BackupEnd;
use crate::error::Result;
use crate::event::Events;
use crate::spec::{EngineKind, Owner, ServerSpec};

/// One of the engines.
#[derive(Debug, Clone)]
pub enum Engine {
    /// A Docker-compatible daemon.
    Docker(docker::Docker),
    /// Local PostgreSQL programs.
    Native(native::Native),
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

    /// Every generation devdb made here, of one instance or of all.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn generations(&self, key: Option<&str>) -> Result<Vec<Generation>> {
        each!(self.generations(key))
    }

    /// Bytes on disk of every generation devdb made here, of one instance or of all, by handle.
    /// What the engine cannot tell is left out. Slow: every file is looked at.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn sizes(&self, key: Option<&str>) -> Result<BTreeMap<String, u64>> {
        each!(self.sizes(key))
    }

    /// Makes an empty generation, labelled. Its first launch initialises it.
    ///
    /// # Errors
    /// `NotOurs` when something else has its name; `Unexpected` when it exists already.
    pub async fn create_generation(
        &self,
        owner: &Owner,
        number: u32,
        spec: &ServerSpec,
    ) -> Result<Generation> {
        each!(self.create_generation(owner, number, spec))
    }

    /// Whether a generation carries the mark of a complete one, which a launch with a verifier leaves
    /// and a copy of a snapshot has. What lacks it and is in no record is rubbish. May be slow; asked only when a record is lost.
    ///
    /// # Errors
    /// When it cannot be told.
    pub async fn is_complete(&self, generation: &Generation, spec: &ServerSpec) -> Result<bool> {
        each!(self.is_complete(generation, spec))
    }

    /// Removes a generation's data for good. Nothing happens if it is gone already.
    ///
    /// # Errors
    /// `NotOurs` without the labels; `Unexpected` while a server uses it.
    pub async fn remove_generation(&self, generation: &Generation) -> Result<()> {
        each!(self.remove_generation(generation))
    }

    /// The same, but an engine that goes on with it by itself is waited for as long as `patience`
    /// only. False when it was not gone by then.
    ///
    /// # Errors
    /// As [`Engine::remove_generation`].
    pub async fn send_away_generation(
        &self,
        generation: &Generation,
        patience: Duration,
    ) -> Result<bool> {
        match self {
            Engine::Docker(docker) => docker.send_away_generation(generation, patience).await,
            Engine::Native(native) => native.remove_generation(generation).await.map(|()| true),
        }
    }

    /// Removes what the making or the removal of one of an instance's generations left behind when
    /// it was cut short. Nobody else may be at work on the instance.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn sweep(&self, key: &str) -> Result<()> {
        match self {
            // A volume is there or is not.
            Engine::Docker(_) => Ok(()),
            Engine::Native(native) => native.sweep(key).await,
        }
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

    /// Copies a generation's data directory into a new snapshot, and writes its manifest last.
    /// `manifest` is complete but for the platform and what the copy takes on disk. A server that
    /// runs on the generation goes on: `end` is awaited when its files are copied, and what it gives
    /// is added; none when nothing changes the files meanwhile.
    ///
    /// # Errors
    /// `Snapshot`, and those of `end`; then, or when the future is dropped, an unfinished snapshot
    /// stays.
    pub async fn save_snapshot(
        &self,
        generation: &Generation,
        manifest: Manifest,
        spec: &ServerSpec,
        end: Option<impl Future<Output = Result<BackupEnd>>>,
    ) -> Result<Manifest> {
        each!(self.save_snapshot(generation, manifest, spec, end))
    }

    /// Every snapshot of an instance, by name, also those that cannot be used; or the one of a name.
    ///
    /// # Errors
    /// When the engine does not answer; docker: `Image` without the image to look with.
    pub async fn snapshots(
        &self,
        owner: &Owner,
        only: Option<&SnapshotName>,
        spec: &ServerSpec,
    ) -> Result<Vec<Snapshot>> {
        each!(self.snapshots(owner, only, spec))
    }

    /// The names of an instance's snapshots, unfinished ones perhaps among them. Cheap.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn snapshot_names(&self, owner: &Owner) -> Result<Vec<String>> {
        each!(self.snapshot_names(owner))
    }

    /// Makes a generation, complete, with a copy of a snapshot's data, of this instance or another.
    /// Its first launch recovers it.
    ///
    /// # Errors
    /// Those of [`Engine::create_generation`], and `Snapshot`; then, or when the future is dropped,
    /// an incomplete generation stays.
    pub async fn create_generation_from_snapshot(
        &self,
        owner: &Owner,
        number: u32,
        snapshot: &Snapshot,
        spec: &ServerSpec,
    ) -> Result<Generation> {
        each!(self.create_generation_from_snapshot(owner, number, snapshot, spec))
    }

    /// Removes a snapshot of an instance, whole or not, with whatever is still at work on it.
    /// Nothing happens if it is gone already.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn remove_snapshot(&self, owner: &Owner, name: &str) -> Result<()> {
        each!(self.remove_snapshot(owner, name))
    }

    /// Copies a snapshot's data directory into a file that was begun, and returns it to be finished.
    /// When asked to stop it fails soon, and so does what was begun.
    ///
    /// # Errors
    /// `Snapshot`.
    pub async fn export_snapshot(
        &self,
        owner: &Owner,
        snapshot: &Snapshot,
        spec: &ServerSpec,
        to: Writer,
        stop: &Stop,
    ) -> Result<Writer> {
        each!(self.export_snapshot(owner, snapshot, spec, to, stop))
    }

    /// Makes a snapshot from a file that was found good, as [`Engine::save_snapshot`] makes one.
    /// `manifest` has the name it is to have here.
    ///
    /// # Errors
    /// `Snapshot`; then, or when the future is dropped, an unfinished snapshot stays.
    pub async fn import_snapshot(
        &self,
        owner: &Owner,
        manifest: Manifest,
        spec: &ServerSpec,
        from: Verified<Manifest>,
    ) -> Result<Manifest> {
        each!(self.import_snapshot(owner, manifest, spec, from))
    }
}
