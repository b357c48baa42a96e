//! Saving a snapshot: a consistent copy of the current generation's data, while clients use it.

use std::time::{Duration, Instant};

use chrono::Utc;

use super::revive::stop_cleanly;
use super::snapshot::told;
use super::{Instance, address, collect, endpoint_of};
use crate::db::backup::{self, Backup};
use crate::engine::{BackupEnd, Engine, Generation, Manifest, Server, SnapshotName};
use crate::error::{Error, Kind, Result};
use crate::state::Record;

/// A snapshot that was saved.
pub struct Saved {
    /// What it holds.
    pub manifest: Manifest,
    /// How long the database was not there for its clients; none when it was all the while.
    pub interrupted: Option<Duration>,
}

/// No server changes the files: there is nothing to wait for.
const NO_SERVER: Option<std::future::Ready<Result<BackupEnd>>> = None;

impl Instance<'_> {
    /// Saves the current generation's data under a name. Clients stay connected; where the server's
    /// settings do not allow that, it is stopped for the copy. When it fails nothing of it is left.
    ///
    /// # Errors
    /// `NoInstance`, `Snapshot` when the name is taken or the copy fails.
    pub async fn save_snapshot(
        &mut self,
        name: &SnapshotName,
        message: Option<String>,
    ) -> Result<Saved> {
        self.tidy().await?;
        self.recorded()?;
        let context = self.context;
        let engine = self.settle().await?;
        context.interrupt.guard(engine.prepare(&context.spec.server, &context.events)).await?;
        let record = self.recorded()?;
        self.vacate(&engine, name).await?;
        let draft = draft(&record, name, message)?;
        self.begin(&collect::saving(name.as_str()))?;
        context.events.step("copying the database");
        match self.copy(&engine, &record, draft).await {
            Ok(saved) => {
                self.done()?;
                Ok(saved)
            }
            Err(error) => {
                let error = told(error, format!("cannot save the snapshot \"{name}\""));
                Err(self.unsaved(&engine, name.as_str(), error).await)
            }
        }
    }

    async fn copy(&mut self, engine: &Engine, record: &Record, draft: Manifest) -> Result<Saved> {
        let context = self.context;
        let generation = self.generation_of(engine, record).await?;
        let server = self.current_server(engine, record).await?.filter(Server::is_running);
        let Some(server) = server else {
            let manifest = self.copy_stopped(engine, &generation, draft).await?;
            return Ok(Saved { manifest, interrupted: None });
        };
        let address = address(record, endpoint_of(&server)?);
        let contents = context.interrupt.guard(backup::contents(&address)).await?;
        if !contents.unlogged.is_empty() {
            context.events.warn(format!(
                "the copy will have no rows of unlogged tables ({}); that of an instance which is \
                 stopped has them",
                contents.unlogged.join(", ")
            ));
        }
        let draft = Manifest {
            server_version: contents.server_version,
            database_bytes: Some(contents.database_bytes),
            migrations: Some(contents.migrations),
            ..draft
        };
        let label = format!("devdb snapshot {}", draft.name);
        let begun = context.interrupt.guard(Backup::begin(&address, &label)).await?;
        let spec = &context.spec.server;
        if let Some(backup) = begun {
            let copying = engine.save_snapshot(&generation, draft, spec, Some(backup.end()));
            let manifest = context.interrupt.guard(copying).await?;
            return Ok(Saved { manifest, interrupted: None });
        }
        self.copy_interrupted(engine, record, &server, &generation, draft).await
    }

    /// Stops the server, copies, and starts it again, whatever became of the copy.
    async fn copy_interrupted(
        &mut self,
        engine: &Engine,
        record: &Record,
        server: &Server,
        generation: &Generation,
        draft: Manifest,
    ) -> Result<Saved> {
        let context = self.context;
        context.events.note(
            "the server's settings do not allow a copy while it runs (wal_level=minimal, or no \
             replication slots): it is stopped for the copy and its clients are disconnected",
        );
        let begun = Instant::now();
        stop_cleanly(context, engine, record, server).await?;
        let copied = self.copy_stopped(engine, generation, draft).await;
        let started = self.start_again(engine, server).await;
        let interrupted = Some(begun.elapsed());
        match (copied, started) {
            (Ok(manifest), Ok(())) => Ok(Saved { manifest, interrupted }),
            (Err(error), Ok(())) => Err(error),
            (Ok(_), Err(error)) => Err(error),
            (Err(error), Err(worse)) => {
                Err(error.because(format!("and the server could not be started again: {worse}")))
            }
        }
    }

    async fn copy_stopped(
        &self,
        engine: &Engine,
        generation: &Generation,
        draft: Manifest,
    ) -> Result<Manifest> {
        let spec = &self.context.spec.server;
        let copying = engine.save_snapshot(generation, draft, spec, NO_SERVER);
        self.context.interrupt.guard(copying).await
    }

    /// Not interruptible: the instance ran, and has to again.
    async fn start_again(&self, engine: &Engine, server: &Server) -> Result<()> {
        let server = engine.start(server).await?;
        let record = self.recorded()?;
        let address = address(&record, endpoint_of(&server)?);
        crate::db::connect::wait_for_login(&address, self.context.spec.timeout).await
    }

    async fn generation_of(&self, engine: &Engine, record: &Record) -> Result<Generation> {
        let generations = engine.generations(Some(&self.key)).await?;
        let current = |generation: &Generation| Some(generation.number) == record.current;
        generations
            .into_iter()
            .find(current)
            .ok_or_else(|| Error::new(Kind::Drift, "the data of this instance is gone"))
    }
}

/// What is known of a snapshot before it is saved.
fn draft(record: &Record, name: &SnapshotName, message: Option<String>) -> Result<Manifest> {
    let current = record
        .current_generation()
        .ok_or_else(|| Error::new(Kind::NoInstance, "there is no database to save"))?;
    Ok(Manifest {
        schema: Manifest::SCHEMA,
        name: name.to_string(),
        message,
        created: Utc::now(),
        saved_from: record.owner.clone(),
        engine: record.engine,
        platform: String::new(),
        server_version: None,
        made_with: current.made_with.clone(),
        migrations: None,
        database_bytes: None,
        disk_bytes: 0,
    })
}
