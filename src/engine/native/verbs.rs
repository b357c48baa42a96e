//! The verbs of the contract, except launching.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;

use super::record::{GenerationRecord, SCHEMA};
use super::{LOG_TAIL, Native, account, log, process, standalone};
use crate::engine::{Exit, Generation, Server, Status, control};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::event::Events;
use crate::spec::{EngineKind, MadeWith, Owner, ServerSpec};

/// How often a server that another process started is looked at.
const WATCH: Duration = Duration::from_millis(50);

/// How often a followed log is read.
const FOLLOW: Duration = Duration::from_millis(200);

/// How long a server gets to stop before its password is set.
const PATIENCE: Duration = Duration::from_secs(60);

/// See [`crate::engine::Engine`] for what each verb promises.
impl Native {
    /// The store's id.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn id(&self) -> Result<String> {
        self.store.id()
    }

    /// Finds the programs.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn prepare(&self, spec: &ServerSpec, _events: &Events) -> Result<()> {
        account::for_servers()?;
        self.programs_for(spec.major, spec.bin_dir.as_deref()).map(drop)
    }

    /// The servers with a note.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn servers(&self, key: Option<&str>) -> Result<Vec<Server>> {
        let mut servers = Vec::new();
        for (place, record) in self.store.list(key)? {
            for place in [place.with_aside(false), place.with_aside(true)] {
                match place.note() {
                    Ok(Some(note)) => servers.push(self.describe(&place, record.clone(), &note)),
                    Ok(None) => {}
                    Err(error) if key.is_none() => {
                        tracing::warn!("{} is left out: {error}", place.handle());
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(servers)
    }

    /// One server.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn server(&self, handle: &str) -> Result<Option<Server>> {
        let found = self.look_up(handle)?;
        Ok(found.map(|(place, record, note)| self.describe(&place, record, &note)))
    }

    /// The generations with a mark.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn generations(&self, key: Option<&str>) -> Result<Vec<Generation>> {
        let found = self.store.list(key)?;
        Ok(found.into_iter().map(|(place, record)| place.generation(record)).collect())
    }

    /// Makes a directory with a mark.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn create_generation(
        &self,
        owner: &Owner,
        number: u32,
        spec: &ServerSpec,
    ) -> Result<Generation> {
        let record = GenerationRecord {
            schema: SCHEMA,
            owner: owner.clone(),
            number,
            created: Utc::now(),
            made_with: MadeWith::of(spec, EngineKind::Native),
            initialised: false,
            origin: None,
            lease: None,
        };
        let place = self.store.create(&record)?;
        Ok(place.generation(record))
    }

    /// Looks for the last mark.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn is_complete(&self, generation: &Generation, _spec: &ServerSpec) -> Result<bool> {
        Ok(self.store.place_of(&generation.handle).is_some_and(|place| place.is_complete()))
    }

    /// Removes a directory.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn remove_generation(&self, generation: &Generation) -> Result<()> {
        let place = self.store.place(&generation.owner, generation.number);
        let has_note = place.note()?.is_some() || place.with_aside(true).note()?.is_some();
        if place.require()?.is_some() && has_note {
            return Err(Error::new(
                Kind::Unexpected,
                format!("cannot remove generation {}", place.handle()),
            )
            .because("a server uses it"));
        }
        let store = Arc::clone(&self.store);
        // Thousands of files.
        tokio::task::spawn_blocking(move || store.remove(&place))
            .await
            .or_fail(Kind::Unexpected, || format!("cannot remove {}", generation.handle))?
    }

    /// Starts a process by its note.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn start(&self, server: &Server) -> Result<Server> {
        let (place, record, mut note) = self.expect(server)?;
        if !matches!(self.status(&place, &note), Status::Running { .. }) {
            let programs = self.programs_of(&record, &note)?;
            note.bin.clone_from(&programs.bin);
            note.version.clone_from(&programs.version);
            self.spawn(&place, &record, &mut note, &programs).await?;
        }
        Ok(self.describe(&place, record, &note))
    }

    /// Waits for a process.
    pub async fn exited(&self, server: &Server) -> Exit {
        let Ok(Some((place, _, note))) = self.look_up(&server.handle) else {
            return Exit { code: None, log_tail: String::new() };
        };
        loop {
            self.children.ended(place.directory()).await;
            if process::postmaster(&place.pgdata(), note.pid).is_none() {
                break;
            }
            tokio::time::sleep(WATCH).await;
        }
        Exit {
            code: self.children.exit_code(place.directory()),
            log_tail: log::tail(&place.log(), note.log_start, LOG_TAIL),
        }
    }

    /// Stops a process with SIGINT: PostgreSQL's fast shutdown.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn stop(&self, server: &Server, patience: Duration) -> Result<()> {
        let Some((place, _, note)) = self.look_up(&server.handle)? else {
            return Ok(());
        };
        let Some(postmaster) = process::postmaster(&place.pgdata(), note.pid) else {
            return Ok(());
        };
        if process::stop(&postmaster.process, patience).await? {
            self.children.ended(place.directory()).await;
            return Ok(());
        }
        Err(Error::new(Kind::Unexpected, format!("server {} does not stop", server.name))
            .because(format!(
                "it still runs after {}, as process {}",
                humantime::format_duration(patience),
                postmaster.process.pid
            ))
            .excerpt(log::tail(&place.log(), note.log_start, LOG_TAIL))
            .hint("devdb logs        shows what it is busy with"))
    }

    /// Read from `pg_control`.
    ///
    /// # Errors
    /// Never: what cannot be read tells nothing.
    pub async fn next_transaction(&self, server: &Server) -> Result<Option<u64>> {
        let Some(place) = self.store.place_of(&server.handle) else { return Ok(None) };
        let control = std::fs::read(place.pgdata().join("global/pg_control"));
        Ok(control.ok().and_then(|control| control::next_transaction(&control)))
    }

    /// Gives its note another name.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn set_aside(&self, server: &Server) -> Result<Server> {
        let (place, record, note) = self.expect(server)?;
        let aside = place.with_aside(true);
        if !place.is_aside() {
            place.move_note(&aside)?;
        }
        Ok(self.describe(&aside, record, &note))
    }

    /// Takes that back.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn reinstate(&self, server: &Server) -> Result<Server> {
        let (place, record, note) = self.expect(server)?;
        if !place.is_aside() {
            return Ok(self.describe(&place, record, &note));
        }
        if let Some(holder) = self.holder_of_the_name(&record.owner.key())? {
            return Err(Error::new(
                Kind::Unexpected,
                format!("cannot reinstate server {}", server.name),
            )
            .because(format!("{} has its name", holder.handle())));
        }
        let back = place.with_aside(false);
        place.move_note(&back)?;
        Ok(self.describe(&back, record, &note))
    }

    /// Ends a process and removes its note.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn remove_server(&self, server: &Server) -> Result<()> {
        match self.look_up(&server.handle)? {
            // Whatever runs there is the server in its place.
            Some((place, ..)) if place.is_aside() => place.remove_note(),
            Some((place, ..)) => self.clear_away(&place).await,
            None => Ok(()),
        }
    }

    /// Reads the log file.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn logs(
        &self,
        server: &Server,
        tail: Option<usize>,
        follow: bool,
        sink: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<()> {
        let (place, ..) = self.expect(server)?;
        let cannot = || format!("cannot read {}", place.log().display());
        let Some(mut log) =
            log::Reader::open(&place.log(), tail).or_fail(Kind::Unexpected, cannot)?
        else {
            return Ok(());
        };
        loop {
            // Asked first: what it writes before it ends must not be missed.
            let runs = follow
                && self.server(&server.handle).await?.is_some_and(|server| server.is_running());
            log.drain(sink).or_fail(Kind::Unexpected, cannot)?;
            if !runs {
                return Ok(());
            }
            tokio::time::sleep(FOLLOW).await;
        }
    }

    /// Sets a password in single-user mode. A running server is stopped for it and started again.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn set_password(&self, server: &Server, user: &str, verifier: &str) -> Result<()> {
        let (place, record, mut note) = self.expect(server)?;
        let programs = self.programs_of(&record, &note)?;
        let was_running = matches!(self.status(&place, &note), Status::Running { .. });
        self.stop(server, PATIENCE).await?;
        let set = standalone::set_password(&programs, &place.pgdata(), user, verifier).await;
        if was_running {
            self.spawn(&place, &record, &mut note, &programs).await?;
        }
        set
    }

    /// None: a native psql is on the PATH, or there is none.
    ///
    /// # Errors
    /// Never.
    pub async fn psql(
        &self,
        _server: &Server,
        _user: &str,
        _database: &str,
        _arguments: &[String],
    ) -> Result<Option<i32>> {
        Ok(None)
    }
}
