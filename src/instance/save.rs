//! Saves a snapshot: a consistent copy of the current generation's data, made while clients use it.

use std::pin::Pin;
use std::time::{Duration, Instant};

use chrono::Utc;

use super::revive::ReplacedServer;
use super::snapshot::with_failure;
use super::{Instance, Target, address, endpoint_of, hold};
use crate::context::Context;
use crate::db::backup::{self, Backup, BackupEnd, Contents};
use crate::db::connect::Address;
use crate::engine::{Engine, Generation, Manifest, Server, SnapshotName};
use crate::error::{Error, Kind, Result};
use crate::spec::{EngineKind, Owner};
use crate::state::{GenerationRecord, Record, UnderWay};

/// A saved snapshot.
pub struct Saved {
    /// Its manifest.
    pub manifest: Manifest,
    /// How long the database was unavailable. It was so twice, and this is the longer time. None
    /// when clients could stay connected.
    pub interrupted: Option<Duration>,
}

/// The data that is copied.
pub(super) struct Original {
    /// The current generation.
    pub generation: Generation,
    /// What a running server says about its database.
    pub contents: Option<Contents>,
    /// The end of a running server's backup. The copy awaits it after it has read the files.
    pub end: Option<Pin<Box<dyn Future<Output = Result<BackupEnd>>>>>,
}

impl Original {
    fn ending(self, backup: Backup) -> Original {
        Original { end: Some(Box::pin(backup.end())), ..self }
    }
}

impl Instance<'_> {
    /// Saves a generation's data under a name: the current one's, or that of the former generation
    /// `from`. Clients stay connected. When the server's
    /// settings do not allow a copy, a temporary server replaces it meanwhile. A failure leaves
    /// nothing.
    ///
    /// # Errors
    /// `NoInstance`, `Snapshot` when the name is taken or the copy fails.
    pub async fn save_snapshot(
        &mut self,
        name: &SnapshotName,
        message: Option<String>,
        from: Option<u32>,
    ) -> Result<Saved> {
        self.tidy().await?;
        self.generation_to_save(from)?;
        let context = self.context;
        let engine = self.settle().await?;
        context.interrupt.guard(engine.prepare(&context.spec.server, &context.events)).await?;
        let record = self.recorded()?;
        self.free_name(&engine, name).await?;
        let generation = self.generation_to_save(from)?;
        let draft = draft(&record.owner, record.engine, &generation, name, message);
        self.begin(UnderWay::Snapshot(name.to_string()))?;
        context.events.step("copying the database");
        match self.copy(&engine, &record, generation.id, draft).await {
            Ok(saved) => {
                self.done()?;
                self.hold(&engine).await;
                Ok(saved)
            }
            Err(error) => {
                let error = with_failure(error, format!("cannot save the snapshot \"{name}\""));
                Err(self.rolled_back_copy(&engine, name.as_str(), error).await)
            }
        }
    }

    /// The generation with this number; None means the current one.
    fn generation_to_save(&self, from: Option<u32>) -> Result<GenerationRecord> {
        let record = self.recorded()?;
        match from {
            Some(number) if record.current != Some(number) => Target::Number(number)
                .find(&record)
                .cloned()
                .ok_or_else(|| Target::Number(number).missing(&record)),
            _ => record
                .current_generation()
                .cloned()
                .ok_or_else(|| Error::new(Kind::NoInstance, "there is no database to save")),
        }
    }

    async fn copy(
        &self,
        engine: &Engine,
        record: &Record,
        id: u32,
        draft: Manifest,
    ) -> Result<Saved> {
        let context = self.context;
        let server = self.current_server(engine, record).await?;
        let served = server.as_ref().map(|server| server.generation);
        let is_running = server.as_ref().is_some_and(Server::is_running);
        let holding = hold::holding(context, record, served, is_running);
        let save = async |original: Original| {
            let Original { generation, contents, end } = original;
            let draft = match contents {
                None => draft,
                Some(contents) => Manifest {
                    server_version: contents.server_version,
                    database_bytes: Some(contents.database_bytes),
                    migrations: Some(contents.migrations),
                    ..draft
                },
            };
            engine.save_snapshot(&generation, draft, &holding, end).await
        };
        let (manifest, interrupted) =
            self.copy_generation(engine, record, id, "the snapshot", save).await?;
        Ok(Saved { manifest, interrupted })
    }

    /// Copies the generation with this id with `copy`. `what` names the copy. Clients stay connected,
    /// unless the server's settings do not allow a copy; the result has the time for which the
    /// database was unavailable then.
    ///
    /// # Errors
    /// `Snapshot`, `Interrupted`, and the errors of `copy`.
    pub(super) async fn copy_generation<T>(
        &self,
        engine: &Engine,
        record: &Record,
        id: u32,
        what: &str,
        copy: impl AsyncFnOnce(Original) -> Result<T>,
    ) -> Result<(T, Option<Duration>)> {
        let context = self.context;
        let generation = self.generation_of(engine, id).await?;
        // A former generation has no server.
        let server = self
            .current_server(engine, record)
            .await?
            .filter(|server| server.is_running() && server.generation == id);
        let Some(server) = server else {
            let original = Original { generation, contents: None, end: None };
            return Ok((context.interrupt.guard(copy(original)).await?, None));
        };
        let address = address(record, endpoint_of(&server)?);
        let contents = context.interrupt.guard(backup::contents(&address)).await?;
        if !contents.unlogged.is_empty() {
            context.events.warn(format!(
                "{what} will have no rows of unlogged tables ({}); a copy of a stopped database has \
                 them",
                contents.unlogged.join(", ")
            ));
        }
        let original = Original { generation, contents: Some(contents), end: None };
        match self.begin_backup(&address).await? {
            Some(backup) => {
                let copied = copy(original.ending(backup));
                Ok((context.interrupt.guard(copied).await?, None))
            }
            None => self.copy_interrupted(engine, record.clone(), &server, original, copy).await,
        }
    }

    async fn begin_backup(&self, address: &Address) -> Result<Option<Backup>> {
        self.context.interrupt.guard(Backup::begin(address, "devdb")).await
    }

    /// Copies while a temporary server with suitable settings replaces the instance's own. The
    /// instance's own server is put back afterwards, even when the copy failed.
    async fn copy_interrupted<T>(
        &self,
        engine: &Engine,
        mut record: Record,
        server: &Server,
        original: Original,
        copy: impl AsyncFnOnce(Original) -> Result<T>,
    ) -> Result<(T, Option<Duration>)> {
        let context = self.context;
        context.events.note(
            "the server's settings do not allow a copy while it runs (wal_level=minimal, or no \
             replication slots). devdb starts it with other settings for the copy and then again \
             with its own; each time clients are disconnected",
        );
        let copyable = copyable(context);
        let begun = Instant::now();
        let ReplacedServer { new: temporary, old: own } =
            self.replace_server(&copyable, engine, &mut record, server).await?;
        let first = begun.elapsed();
        let copying = async {
            let address = address(&record, endpoint_of(&temporary)?);
            match self.begin_backup(&address).await? {
                Some(backup) => context.interrupt.guard(copy(original.ending(backup))).await,
                None => {
                    Err(Error::new(Kind::Snapshot, "the server cannot be copied while it runs")
                        .hint("devdb stop   stops it; a stopped database can be copied"))
                }
            }
        };
        let copied = copying.await;
        let begun = Instant::now();
        // Not interruptible: the instance ran before and has to run again. The stop is short,
        // because the copy began with a checkpoint.
        let back = self.try_put_back(engine, &own, true).await;
        let interrupted = Some(first.max(begun.elapsed()));
        match (copied, back) {
            (Ok(copied), Ok(())) => Ok((copied, interrupted)),
            (Err(error), Ok(())) => Err(error),
            (Ok(_), Err(error)) => Err(error),
            (Err(error), Err(worse)) => {
                Err(error.because(format!("and the server could not be started again: {worse}")))
            }
        }
    }

    async fn generation_of(&self, engine: &Engine, id: u32) -> Result<Generation> {
        let generations = engine.generations(Some(&self.key)).await?;
        generations
            .into_iter()
            .find(|generation| generation.id == id)
            .ok_or_else(|| Error::new(Kind::Drift, "the data of this instance is gone"))
    }
}

/// The manifest of a snapshot before it is saved.
fn draft(
    owner: &Owner,
    engine: EngineKind,
    generation: &GenerationRecord,
    name: &SnapshotName,
    message: Option<String>,
) -> Manifest {
    Manifest {
        schema: Manifest::SCHEMA,
        name: name.to_string(),
        message,
        created: Utc::now(),
        saved_from: owner.clone(),
        engine,
        platform: String::new(),
        server_version: None,
        made_with: generation.made_with.clone(),
        migrations: None,
        database_bytes: None,
        disk_bytes: 0,
    }
}

/// The context with settings that allow a copy of the running server. They are high, because a
/// server does not start with a lower `wal_level` or fewer slots than its existing slots need.
fn copyable(context: &Context) -> Context {
    let mut context = context.clone();
    let settings = &mut context.spec.server.settings;
    settings.insert("wal_level".into(), "logical".into());
    settings.insert("max_replication_slots".into(), "1000".into());
    context
}
