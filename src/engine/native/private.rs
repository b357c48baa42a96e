//! Private servers as processes, each on a directory of its own in the store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;

use super::blocking::blocking;
use super::golden::{Capture, clone_data, publish};
use super::record::GenerationRecord;
use super::server::{DirectoryLaunch, log};
use super::{LOG_TAIL, Native, pool};
use crate::archive::Writer;
use crate::engine::{
    Endpoint, Exit, GoldenLabel, GoldenState, Lease, PRIVATE_STOP_DEADLINE, PrivateLaunch, Role,
    Server,
};
use crate::error::{Error, Kind, Result};
use crate::spec::Owner;

/// The number of the directory that it works in: no generation of an instance has it.
const NUMBER: u32 = 0;

/// A process on a directory of its own.
#[derive(Debug)]
pub struct PrivateServer {
    native: Native,
    server: Server,
    endpoint: Endpoint,
    /// What an ephemeral one is a copy of.
    golden: Option<PathBuf>,
}

impl Native {
    /// Starts one.
    ///
    /// # Errors
    /// Those of launching; nothing is left behind.
    pub async fn start_private(&self, launch: &PrivateLaunch<'_>) -> Result<PrivateServer> {
        let PrivateLaunch { owner, role, lease, spec, from, unpack, verifier } = launch;
        self.remove_private(owner, *role).await?;
        let record = GenerationRecord {
            initialised: from.is_some() || unpack.is_some(),
            // Nobody knows yet what a file holds that is being unpacked.
            origin: from
                .map(|state| state.label.fingerprint.clone())
                .or_else(|| unpack.map(|_| "unpacked".to_owned())),
            lease: Some((*lease).clone()),
            ..GenerationRecord::new(owner, NUMBER, spec)
        };
        let started = async {
            let place = self.store.create(&record)?;
            if let Some(state) = from {
                self.copy_golden(Path::new(&state.handle), place.directory()).await?;
            }
            if let Some(archive) = unpack {
                self.unpack(archive, place.directory()).await?;
            }
            let launch = DirectoryLaunch {
                owner,
                number: NUMBER,
                role: *role,
                spec,
                port: None,
                verifier: Some(verifier),
            };
            self.launch_on_directory(&launch).await
        };
        match started.await {
            Ok(server) => {
                let endpoint = server.endpoint.clone().ok_or_else(|| {
                    Error::new(Kind::Unexpected, format!("{} has no port", server.name))
                })?;
                let golden = from
                    .filter(|_| *role == Role::Ephemeral)
                    .map(|state| PathBuf::from(&state.handle));
                Ok(PrivateServer { native: self.clone(), server, endpoint, golden })
            }
            Err(error) => {
                // The first failure is the one to tell; the directory has the instance's mark.
                let _ = self.remove_private(owner, *role).await;
                Err(error)
            }
        }
    }

    /// A copy of a golden state: one that has been used, or a new one.
    async fn copy_golden(&self, golden: &Path, to: &Path) -> Result<()> {
        let (store, from, place) = (Arc::clone(&self.store), golden.to_owned(), to.to_owned());
        if blocking("take a copy", move || Ok(pool::take(&store, &from, &place))).await? {
            return Ok(());
        }
        clone_data(golden, to, false).await?;
        // Without the mark it is not used again.
        drop(pool::mark(golden, to));
        Ok(())
    }

    /// See [`crate::engine::Engine::reap`].
    ///
    /// # Errors
    /// `Unexpected` when something does not go away.
    pub async fn reap(&self) -> Result<()> {
        for (_, record) in self.store.list(None)? {
            // What shares its directory with an instance is for whoever holds the instance's lock.
            if record.owner.is_ephemeral() && record.lease.is_some_and(|lease| lease.is_over()) {
                self.remove_private(&record.owner, Role::Ephemeral).await?;
            }
        }
        // What somebody's time was too short for.
        let store = Arc::clone(&self.store);
        blocking("remove what is left", move || {
            store.sweep_root();
            Ok(())
        })
        .await
    }

    /// See [`crate::engine::Engine::abandoned_builders`].
    ///
    /// # Errors
    /// `Unexpected` when the store cannot be read.
    pub fn abandoned_builders(&self) -> Result<Vec<Owner>> {
        let builders = self.store.list(None)?.into_iter().filter(|(_, record)| {
            record.number == NUMBER
                && !record.owner.is_ephemeral()
                && record.lease.as_ref().is_some_and(Lease::is_over)
        });
        Ok(builders.map(|(_, record)| record.owner).collect())
    }

    /// See [`crate::engine::Engine::remove_private`].
    ///
    /// # Errors
    /// `Unexpected` when its process does not end or its files cannot be removed.
    pub async fn remove_private(&self, owner: &Owner, role: Role) -> Result<()> {
        let place = self.store.place(owner, NUMBER);
        let is_there = place.require()?.is_some();
        if is_there {
            self.clear_away(&place).await?;
        }
        let store = Arc::clone(&self.store);
        blocking("remove a private server", move || match role {
            // Its owner has nothing else; it may have been killed before its mark was there.
            Role::Ephemeral => store.discard_owner(&place.key()),
            _ if is_there => store.remove(&place),
            _ => Ok(()),
        })
        .await
    }
}

impl PrivateServer {
    /// As it was when it was started.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Notes that it outlives devdb for so long.
    ///
    /// # Errors
    /// `Unexpected` when that cannot be written.
    pub fn keep(&self, time: Duration) -> Result<()> {
        let place = self.native.store.place(&self.server.owner, NUMBER);
        let Some(record) = place.record()? else { return Ok(()) };
        let lease = Lease::of_this_process(None).kept_until(Utc::now() + time);
        place.write_record(&GenerationRecord { lease: Some(lease), ..record })
    }

    /// Where it is reached.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Waits until it ends.
    pub async fn exited(&self) -> Exit {
        self.native.exited(&self.server).await
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        let place = self.native.store.place(&self.server.owner, NUMBER);
        log::tail(&place.log(), 0, LOG_TAIL)
    }

    /// Publishes a copy of its data. A running server's files change while they are copied, so it
    /// is stopped for that and started again.
    ///
    /// # Errors
    /// `Unexpected` with what the file system, or the server, says.
    pub async fn publish_live(&mut self, label: &GoldenLabel) -> Result<()> {
        self.native.stop(&self.server, PRIVATE_STOP_DEADLINE).await?;
        self.capture(label, Capture::Copy).await?;
        self.server = self.native.start(&self.server).await?;
        Ok(())
    }

    /// Stops the server and publishes its data directory, which it has no more after that.
    ///
    /// # Errors
    /// `Unexpected` when it does not stop, and with what the file system says.
    pub async fn publish(&mut self, label: &GoldenLabel) -> Result<GoldenState> {
        self.native.stop(&self.server, PRIVATE_STOP_DEADLINE).await?;
        self.capture(label, Capture::Move).await
    }

    /// Stops the server and writes the data into a file.
    ///
    /// # Errors
    /// `Unexpected` when it does not stop, `Snapshot` when the file cannot be written.
    pub async fn export(&mut self, mut writer: Writer) -> Result<()> {
        self.native.stop(&self.server, PRIVATE_STOP_DEADLINE).await?;
        let data = self.native.store.place(&self.server.owner, NUMBER).pgdata();
        blocking("write the file", move || {
            writer.append_directory(&data, &|_| false)?;
            writer.finish().map(drop)
        })
        .await
    }

    /// Removes it.
    ///
    /// # Errors
    /// `Unexpected` when its process does not end or its files cannot be removed.
    pub async fn discard(self) -> Result<()> {
        if let Some(golden) = self.golden {
            let place = self.native.store.place(&self.server.owner, NUMBER);
            self.native.clear_away(&place).await?;
            let store = Arc::clone(&self.native.store);
            let given = blocking("keep a copy", move || {
                Ok(pool::give_back(&store, &golden, place.directory()))
            });
            if let Err(error) = given.await? {
                tracing::debug!("the copy is not used again: {error}");
            }
        }
        self.native.remove_private(&self.server.owner, self.server.role).await
    }

    async fn capture(&self, label: &GoldenLabel, how: Capture) -> Result<GoldenState> {
        let from = self.native.store.place(&self.server.owner, NUMBER).directory().to_owned();
        let store = Arc::clone(&self.native.store);
        let label = label.clone();
        blocking("publish a golden state", move || publish(&store, &from, label, how)).await
    }
}
