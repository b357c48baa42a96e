//! An ephemeral database lives as long as a command, or for a time that a person chose.
//!
//! It is a private server on a copy of a golden state. It has an owner of its own, so no other run
//! and no instance of the project ever uses it. On docker its container ends with devdb's
//! connection. If devdb is killed, a [`watcher`] ends everything else.

pub mod command;
mod marked;
pub mod note;
pub mod watcher;

use std::path::Path;
use std::time::Duration;

use chrono::Utc;
use rand::distr::{Alphanumeric, SampleString};
use secrecy::ExposeSecret;
use serde::Serialize;

use self::note::Note;
use self::watcher::Watcher;
use crate::archive::{ArchiveKind, IfExists, Writer};
use crate::context::Context;
use crate::db::connect::Address;
use crate::db::migrate::LineEndings;
use crate::db::{backup, scram};
use crate::disk;
use crate::engine::{Engine, Lease, Manifest, PrivateLaunch, PrivateServer, Role};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::golden::{self, Golden};
use crate::outcome::Applied;
use crate::plan::Plan;
use crate::populate;
use crate::populate::ready::{self, MadeFrom};
use crate::spec::{EPHEMERAL, EngineKind, MadeWith, Owner};

/// The file with the server's log that [`Ephemeral::save`] writes.
const LOG: &str = "server.log";

/// The file with the data that [`Ephemeral::save`] writes.
const DATA: &str = "database.tar.zst";

/// The id of an ephemeral database: eight letters and digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Id(String);

impl Id {
    /// A new random id.
    pub fn random() -> Id {
        Id(Alphanumeric.sample_string(&mut rand::rng(), 8).to_lowercase())
    }

    /// Reads an id that a person typed.
    ///
    /// # Errors
    /// `Usage` when it cannot be an id.
    pub fn parse(text: &str) -> Result<Id> {
        match text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            true => Ok(Id(text.to_owned())),
            false => Err(Error::new(
                Kind::Usage,
                format!("{text:?} is not the id of an ephemeral database"),
            )
            .hint("devdb ephemeral list   shows the ids")),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The owner of the database: the same developer, with an instance of its own.
    pub fn owner(&self, of: &Owner) -> Owner {
        Owner { instance: format!("{EPHEMERAL}{}", self.0), ..of.clone() }
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A running ephemeral database.
pub struct Ephemeral {
    context: Context,
    engine: Engine,
    server: PrivateServer,
    /// The address to log in with.
    pub address: Address,
}

impl Ephemeral {
    /// Starts a database from the golden state of `plan`. If the state does not exist, devdb bakes
    /// it first. Pass `time` when the caller will [keep](Ephemeral::keep) the database for so long;
    /// until it does, the database ends with devdb. If starting fails or is interrupted, nothing
    /// remains.
    ///
    /// # Errors
    /// The errors of choosing an engine, baking and launching.
    pub async fn start(
        context: &Context,
        plan: &Plan,
        id: &Id,
        time: Option<Duration>,
    ) -> Result<Ephemeral> {
        let mut context = context.clone();
        context.spec.owner = id.owner(&context.spec.owner);
        let guard = &context.interrupt;
        let engine = guard
            .guard(context.engines.choose(&context.spec, Role::Ephemeral, &context.events))
            .await?;
        let spec = context.spec.server.without_durability();
        let password = scram::new_password();
        let verifier = scram::verifier(password.expose_secret());
        let start = async |golden: &Golden| {
            let until = time.map(|time| Utc::now() + time);
            let launch = PrivateLaunch {
                owner: &context.spec.owner,
                role: Role::Ephemeral,
                lease: &Lease::of_this_process(until),
                spec: &spec,
                from: Some(&golden.state),
                unpack: None,
                verifier: &verifier,
            };
            // No guard here: an engine makes a container even if devdb does not wait for it.
            engine.start_private(&launch).await
        };
        let (golden, server) = golden::obtain(&context, &engine, plan, start).await?;
        let address = ready::private_address(&server, &spec, password);
        let ready = async {
            ready::private(&context, &server, &address, MadeFrom::State).await?;
            let recording = populate::record_line_endings(&address, plan, LineEndings::Here);
            context.interrupt.guard(recording).await
        };
        let ready = ready.await;
        golden.release(&context, Applied::default()).await;
        let ephemeral = Ephemeral { context, engine, server, address };
        match ready {
            Ok(()) => Ok(ephemeral),
            Err(error) => Err(ephemeral.rolled_back(error).await),
        }
    }

    /// Ends it because of an error, and returns the error.
    pub async fn rolled_back(self, error: Error) -> Error {
        error.with_cleanup(self.discard().await)
    }

    fn engine(&self) -> EngineKind {
        self.engine.kind()
    }

    fn owner(&self) -> &Owner {
        &self.context.spec.owner
    }

    /// Keeps the database for `time` from now on, even if devdb ends. When this fails, the database
    /// still ends with devdb.
    ///
    /// # Errors
    /// When the note cannot be written, or the engine or the watcher cannot be told.
    pub async fn keep(&mut self, id: &Id, watcher: &mut Watcher, time: Duration) -> Result<Note> {
        let store = self.context.store.clone();
        let kept = async {
            let until = Utc::now() + time;
            let note = Note::new(id, self.owner(), self.engine(), &self.address, until);
            // The note comes first, so that every database that is kept has one.
            note.write(&store)?;
            self.server.keep(time).await?;
            watcher.keep(time)?;
            Ok(note)
        };
        let kept: Result<Note> = kept.await;
        if kept.is_err() {
            note::forget(&store, id);
        }
        kept
    }

    /// Ends it and removes its data.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn discard(self) -> Result<()> {
        self.server.discard().await
    }

    /// Fails when [`Ephemeral::save`] could not write its files into a directory, because something
    /// else than a file has their name.
    ///
    /// # Errors
    /// `Usage`.
    pub fn check_place(directory: &Path) -> Result<()> {
        [DATA, LOG]
            .iter()
            .try_for_each(|name| disk::target(&directory.join(name), Kind::Usage).map(drop))
    }

    /// Saves the server's data and its log in a directory, so that a person can find out why a
    /// command failed. `devdb snapshot import` reads the data. The server is stopped.
    ///
    /// # Errors
    /// `Snapshot` when a file cannot be written.
    pub async fn save(&mut self, directory: &Path) -> Result<()> {
        std::fs::create_dir_all(directory).or_fail(Kind::Snapshot, || {
            format!("cannot make the directory {}", directory.display())
        })?;
        let saved = self.save_data(&directory.join(DATA)).await;
        // A daemon writes the log some moments after the server does, so read it after the stop.
        self.save_log(&directory.join(LOG)).await?;
        saved
    }

    async fn save_data(&mut self, file: &Path) -> Result<()> {
        let manifest = self.manifest().await?;
        let file = file.to_owned();
        let writer = tokio::task::spawn_blocking(move || {
            Writer::create(&file, ArchiveKind::Snapshot, &manifest, IfExists::Replace)
        });
        let writer = writer.await.or_fail(Kind::Snapshot, || "cannot write the data".into())??;
        self.server.export(writer).await
    }

    async fn save_log(&self, file: &Path) -> Result<()> {
        let mut log = Vec::new();
        let mut sink = |bytes: &[u8]| log.extend_from_slice(bytes);
        self.engine.logs(self.server.server(), None, false, &mut sink).await?;
        let file = disk::target(file, Kind::Snapshot)?.path;
        // A statement in the log may hold a secret.
        disk::Draft::new(&file, &log)
            .and_then(disk::Draft::replace)
            .or_fail(Kind::Snapshot, || format!("cannot write {}", file.display()))
    }

    async fn manifest(&self) -> Result<Manifest> {
        let spec = &self.context.spec.server;
        let contents = backup::contents(&self.address).await?;
        Ok(Manifest {
            schema: Manifest::SCHEMA,
            name: self.context.spec.owner.instance.replace(EPHEMERAL, "run-"),
            message: Some("the data after a command failed".to_owned()),
            created: Utc::now(),
            saved_from: self.context.spec.owner.clone(),
            engine: self.engine.kind(),
            platform: self.engine.platform(spec).await?.machine,
            server_version: contents.server_version,
            made_with: MadeWith::of(spec, self.engine.kind()),
            migrations: Some(contents.migrations),
            database_bytes: Some(contents.database_bytes),
            disk_bytes: contents.database_bytes,
        })
    }
}
