//! Ephemeral databases: one lives as long as a command, or for a time that was asked for.
//!
//! It is a private server on a golden state, with an owner of its own, so that nothing else ever
//! meets it: not another run, not the project's instance. On docker its container ends with devdb's
//! connection; what else there is to end when devdb is killed, a [`watcher`] ends.

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
use crate::archive::{Content, IfExists, Writer};
use crate::context::Context;
use crate::db::connect::Address;
use crate::db::{backup, scram};
use crate::engine::{Engine, Lease, Manifest, PrivateLaunch, PrivateServer, Role};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::golden::{self, Golden};
use crate::outcome::Applied;
use crate::plan::Plan;
use crate::populate::ready;
use crate::spec::{EPHEMERAL, EngineKind, MadeWith, Owner};

/// The log of the server among what is kept of a command that failed.
const LOG: &str = "server.log";

/// The data among what is kept of a command that failed.
const DATA: &str = "database.tar.zst";

/// What tells one ephemeral database from all others: eight letters and digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Id(String);

impl Id {
    /// One that nobody has.
    pub fn random() -> Id {
        Id(Alphanumeric.sample_string(&mut rand::rng(), 8).to_lowercase())
    }

    /// What a person typed.
    ///
    /// # Errors
    /// `Usage` when it cannot be one.
    pub fn parse(text: &str) -> Result<Id> {
        match text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            true => Ok(Id(text.to_owned())),
            false => {
                Err(Error::new(Kind::Usage, format!("{text:?} is no ephemeral database's id"))
                    .hint("devdb ephemeral list   shows them"))
            }
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whose its database is: the developer's, as an instance of its own.
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
    /// How to log in to it.
    pub address: Address,
}

impl Ephemeral {
    /// Starts one from the golden state of `plan`, which is baked first where it is not there. With
    /// `time` it is to be [kept](Ephemeral::keep) for so long; until then it goes with devdb. When it
    /// fails or is interrupted, nothing is left.
    ///
    /// # Errors
    /// Those of choosing an engine, baking and launching.
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
            // Not interrupted halfway: an engine that has been asked for a container makes it.
            engine.start_private(&launch).await
        };
        let (golden, server) = golden::obtain(&context, &engine, plan, start).await?;
        let address = ready::private_address(&server, &spec, password);
        let ready = ready::private(&context, &server, &address).await;
        golden.release(&context, Applied::default()).await;
        let ephemeral = Ephemeral { context, engine, server, address };
        match ready {
            Ok(()) => Ok(ephemeral),
            Err(error) => Err(ephemeral.rolled_back(error).await),
        }
    }

    /// Ends it because of an error.
    pub async fn rolled_back(self, error: Error) -> Error {
        match self.discard().await {
            Ok(()) => error,
            Err(worse) => error.because(format!("and cleaning up failed: {worse}")),
        }
    }

    fn engine(&self) -> EngineKind {
        self.engine.kind()
    }

    fn owner(&self) -> &Owner {
        &self.context.spec.owner
    }

    /// Makes it outlive devdb, for so long from now on. When that fails it goes with devdb, as before.
    ///
    /// # Errors
    /// When it cannot be noted, or the engine or the watcher does not hear.
    pub async fn keep(&mut self, id: &Id, watcher: &mut Watcher, time: Duration) -> Result<Note> {
        let store = self.context.store.clone();
        let kept = async {
            let until = Utc::now() + time;
            let note = Note::new(id, self.owner(), self.engine(), &self.address, until);
            // First: until there is a note of it, it goes with devdb.
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

    /// Saves what explains a failure in a directory: the server's log, and its data as a snapshot
    /// that can be imported. The server is stopped for that.
    ///
    /// # Errors
    /// `Snapshot` when it cannot be written.
    pub async fn save(&mut self, directory: &Path) -> Result<()> {
        std::fs::create_dir_all(directory)
            .or_fail(Kind::Snapshot, || format!("cannot make {}", directory.display()))?;
        let mut log = Vec::new();
        let mut sink = |bytes: &[u8]| log.extend_from_slice(bytes);
        self.engine.logs(self.server.server(), None, false, &mut sink).await?;
        let file = directory.join(LOG);
        std::fs::write(&file, log)
            .or_fail(Kind::Snapshot, || format!("cannot write {}", file.display()))?;
        let manifest = self.manifest().await?;
        let file = directory.join(DATA);
        let writer = tokio::task::spawn_blocking(move || {
            Writer::create(&file, Content::Snapshot, &manifest, IfExists::Replace)
        });
        let writer = writer.await.or_fail(Kind::Snapshot, || "cannot write the data".into())??;
        self.server.export(writer).await
    }
}

impl Ephemeral {
    async fn manifest(&self) -> Result<Manifest> {
        let spec = &self.context.spec.server;
        let contents = backup::contents(&self.address).await?;
        Ok(Manifest {
            schema: Manifest::SCHEMA,
            name: self.context.spec.owner.instance.replace(EPHEMERAL, "run-"),
            message: Some("what a command that failed left".to_owned()),
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
