//! Servers are processes. The note of a server records how it was launched.

mod end;
mod launch;
pub(crate) mod log;
mod password;

pub(crate) use launch::DirectoryLaunch;

use super::Native;
use super::generation_directory::GenerationDirectory;
use super::process::{self, Postmaster};
use super::record::{GenerationRecord, ServerNote};
use crate::engine::{Endpoint, Generation, Role, Server, Status, pg_control};
use crate::error::{Error, Kind, Result};
use crate::spec::ServerSpec;

/// [`Engine`](crate::engine::Engine) documents the methods.
impl Native {
    /// Lists the servers that have a note.
    ///
    /// # Errors
    /// See [`Engine::servers`](crate::engine::Engine::servers).
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

    /// Finds a server by its handle.
    ///
    /// # Errors
    /// See [`Engine::server`](crate::engine::Engine::server).
    pub async fn server(&self, handle: &str) -> Result<Option<Server>> {
        let found = self.look_up(handle)?;
        Ok(found.map(|(place, record, note)| self.describe(&place, record, &note)))
    }

    /// Starts a stopped server with the settings in its note.
    ///
    /// # Errors
    /// See [`Engine::start`](crate::engine::Engine::start).
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

    /// Reads the next transaction id from `pg_control`.
    ///
    /// # Errors
    /// Never. The id is None when it cannot be read.
    pub async fn next_transaction(&self, server: &Server) -> Result<Option<u64>> {
        Ok(self.next_transaction_in(&server.handle))
    }

    /// Reads the next transaction id from `pg_control`.
    ///
    /// # Errors
    /// Never. The id is None when it cannot be read.
    pub async fn next_transaction_of(
        &self,
        generation: &Generation,
        _spec: &ServerSpec,
    ) -> Result<Option<u64>> {
        Ok(self.next_transaction_in(&generation.handle))
    }

    fn next_transaction_in(&self, handle: &str) -> Option<u64> {
        let place = self.store.place_of(handle)?;
        let control = std::fs::read(place.pgdata().join("global/pg_control"));
        pg_control::next_transaction(&control.ok()?)
    }

    /// Renames the note of the server.
    ///
    /// # Errors
    /// See [`Engine::set_aside`](crate::engine::Engine::set_aside).
    pub async fn set_aside(&self, server: &Server) -> Result<Server> {
        let (place, record, note) = self.expect(server)?;
        let aside = place.with_aside(true);
        if !place.is_aside() {
            place.move_note(&aside)?;
        }
        Ok(self.describe(&aside, record, &note))
    }

    /// Gives the note of the server its old name again.
    ///
    /// # Errors
    /// See [`Engine::reinstate`](crate::engine::Engine::reinstate).
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

    /// Ends the process of a server and removes the note.
    ///
    /// # Errors
    /// See [`Engine::remove_server`](crate::engine::Engine::remove_server).
    pub async fn remove_server(&self, server: &Server) -> Result<()> {
        match self.look_up(&server.handle)? {
            // A process on this generation belongs to the server that took the place.
            Some((place, ..)) if place.is_aside() => place.remove_note(),
            Some((place, ..)) => self.clear_away(&place).await,
            None => Ok(()),
        }
    }

    /// Always None: this engine has no psql of its own. The caller looks for one on the PATH.
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

    /// Finds the place, the mark and the note of a server. None when devdb has no such server.
    fn look_up(
        &self,
        handle: &str,
    ) -> Result<Option<(GenerationDirectory, GenerationRecord, ServerNote)>> {
        let Some(place) = self.store.place_of(handle) else {
            return Ok(None);
        };
        let Some(record) = place.record()? else {
            return Ok(None);
        };
        Ok(place.note()?.map(|note| (place, record, note)))
    }

    /// Finds the place, the mark and the note of a server, and fails when the server is gone.
    fn expect(
        &self,
        server: &Server,
    ) -> Result<(GenerationDirectory, GenerationRecord, ServerNote)> {
        self.look_up(&server.handle)?.ok_or_else(|| {
            Error::new(Kind::Unexpected, format!("server {} is gone", server.name))
                .hint("devdb up   makes it again")
        })
    }

    fn describe(
        &self,
        place: &GenerationDirectory,
        record: GenerationRecord,
        note: &ServerNote,
    ) -> Server {
        let name = match note.role {
            Role::Instance if place.is_aside() => format!("{}-aside", record.owner.base_name()),
            Role::Instance => record.owner.base_name(),
            Role::Builder | Role::Ephemeral => record.owner.generation_name(record.id),
        };
        Server {
            handle: place.handle(),
            name,
            generation: record.id,
            owner: record.owner,
            role: note.role,
            status: self.status(place, note),
            endpoint: Some(Endpoint { host: "127.0.0.1".into(), port: note.port }),
            launch_digest: note.launch_digest.clone(),
            image: format!("PostgreSQL {}", note.version),
        }
    }

    fn status(&self, place: &GenerationDirectory, note: &ServerNote) -> Status {
        if place.is_aside() {
            // A process on this generation belongs to the server that took the place.
            return Status::Stopped { exit_code: None };
        }
        match process::postmaster(&place.pgdata(), note.pid) {
            Some(Postmaster { since, state, .. }) => Status::Running {
                since,
                health: state.map(|word| match word.as_str() {
                    "ready" => "healthy".into(),
                    _ => word,
                }),
            },
            None if self.children.is_running(place.directory()) => {
                Status::Running { since: None, health: None }
            }
            None => Status::Stopped { exit_code: self.children.exit_code(place.directory()) },
        }
    }

    /// Finds the generation whose server has the name of the instance.
    fn holder_of_the_name(&self, key: &str) -> Result<Option<GenerationDirectory>> {
        for (place, _) in self.store.list(Some(key))? {
            if place.note()?.is_some_and(|note| note.role == Role::Instance) {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Ends every process on a generation, and removes the note of its server.
    pub(in crate::engine::native) async fn clear_away(
        &self,
        place: &GenerationDirectory,
    ) -> Result<()> {
        let note = place.note()?;
        process::end(&place.pgdata(), note.as_ref().and_then(|note| note.pid)).await?;
        self.children.forget(place.directory());
        place.remove_note()?;
        let key = place.key();
        if let Some(ServerNote { port, .. }) = note {
            self.store.clear_sockets(&key, port);
        }
        Ok(())
    }
}
