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

/// The id of the directory of a private server. No generation of an instance has it.
const ID: u32 = 0;

/// A process on a directory of its own.
#[derive(Debug)]
pub struct PrivateServer {
    native: Native,
    server: Server,
    endpoint: Endpoint,
    /// The golden state that the data of an ephemeral server was copied from.
    golden: Option<PathBuf>,
}

impl Native {
    /// Starts a private server.
    ///
    /// # Errors
    /// The errors of [`Native::launch`], and `Unexpected` when the data cannot be copied. Nothing
    /// is left behind.
    pub async fn start_private(&self, launch: &PrivateLaunch<'_>) -> Result<PrivateServer> {
        let PrivateLaunch { owner, role, lease, spec, from, unpack, verifier } = launch;
        self.remove_private(owner, *role).await?;
        let record = GenerationRecord {
            initialised: from.is_some() || unpack.is_some(),
            // The contents of an unpacked file are not known yet.
            origin: from
                .map(|state| state.label.fingerprint.clone())
                .or_else(|| unpack.map(|_| "unpacked".to_owned())),
            lease: Some((*lease).clone()),
            ..GenerationRecord::new(owner, ID, spec)
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
                id: ID,
                role: *role,
                spec,
                port: None,
                verifier: Some(verifier),
                number: 0,
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
                // A failure of the removal would hide the first error. A later command finds the
                // directory by its mark.
                let _ = self.remove_private(owner, *role).await;
                Err(error)
            }
        }
    }

    /// Copies a golden state: takes a used copy from the pool, or makes a new one.
    async fn copy_golden(&self, golden: &Path, to: &Path) -> Result<()> {
        let (store, from, place) = (Arc::clone(&self.store), golden.to_owned(), to.to_owned());
        if blocking("take a copy", move || Ok(pool::take(&store, &from, &place))).await? {
            return Ok(());
        }
        clone_data(golden, to, false).await?;
        // Without the mark, the pool does not take the copy back.
        drop(pool::mark(golden, to));
        Ok(())
    }

    /// See [`Engine::reap`](crate::engine::Engine::reap).
    ///
    /// # Errors
    /// `Unexpected` when a process does not end or files cannot be removed.
    pub async fn reap(&self) -> Result<()> {
        for (_, record) in self.store.list(None)? {
            // Only the holder of an instance's lock may remove a builder of this instance.
            if record.owner.is_ephemeral() && record.lease.is_some_and(|lease| lease.is_over()) {
                self.remove_private(&record.owner, Role::Ephemeral).await?;
            }
        }
        // A removal that was cut short leaves files in the root.
        let store = Arc::clone(&self.store);
        blocking("remove what is left", move || {
            store.sweep_root();
            Ok(())
        })
        .await
    }

    /// See [`Engine::abandoned_builders`](crate::engine::Engine::abandoned_builders).
    ///
    /// # Errors
    /// `Unexpected` when the store cannot be read.
    pub fn abandoned_builders(&self) -> Result<Vec<Owner>> {
        let builders = self.store.list(None)?.into_iter().filter(|(_, record)| {
            record.id == ID
                && !record.owner.is_ephemeral()
                && record.lease.as_ref().is_some_and(Lease::is_over)
        });
        Ok(builders.map(|(_, record)| record.owner).collect())
    }

    /// See [`Engine::remove_private`](crate::engine::Engine::remove_private).
    ///
    /// # Errors
    /// `Unexpected` when the process does not end or the files cannot be removed.
    pub async fn remove_private(&self, owner: &Owner, role: Role) -> Result<()> {
        let place = self.store.place(owner, ID);
        let is_there = place.require()?.is_some();
        if is_there {
            self.clear_away(&place).await?;
        }
        let store = Arc::clone(&self.store);
        blocking("remove a private server", move || match role {
            // The owner of an ephemeral server owns nothing else. A devdb that was killed early
            // leaves a directory without a mark.
            Role::Ephemeral => store.discard_owner(&place.key()),
            _ if is_there => store.remove(&place),
            _ => Ok(()),
        })
        .await
    }
}

impl PrivateServer {
    /// The server as it was when it started.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Records that the server goes on for `time` without devdb.
    ///
    /// # Errors
    /// `Unexpected` when the record cannot be written.
    pub fn keep(&self, time: Duration) -> Result<()> {
        let place = self.native.store.place(&self.server.owner, ID);
        let Some(record) = place.record()? else { return Ok(()) };
        let lease = Lease::of_this_process(None).kept_until(Utc::now() + time);
        place.write_record(&GenerationRecord { lease: Some(lease), ..record })
    }

    /// The address of the server.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Waits until the server ends.
    pub async fn exited(&self) -> Exit {
        self.native.exited(&self.server).await
    }

    /// The last lines of the server's log.
    pub fn log_tail(&self) -> String {
        let place = self.native.store.place(&self.server.owner, ID);
        log::tail(&place.log(), 0, LOG_TAIL)
    }

    /// Publishes a copy of the data. The server is stopped for the copy and started again, because
    /// a running server changes its files.
    ///
    /// # Errors
    /// `Unexpected` when the server does not stop or start, or when the copy fails.
    pub async fn publish_live(&mut self, label: &GoldenLabel) -> Result<()> {
        self.native.stop(&self.server, PRIVATE_STOP_DEADLINE).await?;
        self.capture(label, Capture::Copy).await?;
        self.server = self.native.start(&self.server).await?;
        Ok(())
    }

    /// Stops the server and publishes its data directory. The directory moves, so the server cannot
    /// start again.
    ///
    /// # Errors
    /// `Unexpected` when the server does not stop, or when the directory cannot be moved.
    pub async fn publish(&mut self, label: &GoldenLabel) -> Result<GoldenState> {
        self.native.stop(&self.server, PRIVATE_STOP_DEADLINE).await?;
        self.capture(label, Capture::Move).await
    }

    /// Stops the server and writes its data into a file.
    ///
    /// # Errors
    /// `Unexpected` when the server does not stop. `Snapshot` when the file cannot be written.
    pub async fn export(&mut self, mut writer: Writer) -> Result<()> {
        self.native.stop(&self.server, PRIVATE_STOP_DEADLINE).await?;
        let data = self.native.store.place(&self.server.owner, ID).pgdata();
        blocking("write the file", move || {
            writer.append_directory(&data, &|_| false)?;
            writer.finish().map(drop)
        })
        .await
    }

    /// Removes the server and its data.
    ///
    /// # Errors
    /// `Unexpected` when the process does not end or the files cannot be removed.
    pub async fn discard(self) -> Result<()> {
        if let Some(golden) = self.golden {
            let place = self.native.store.place(&self.server.owner, ID);
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
        let from = self.native.store.place(&self.server.owner, ID).directory().to_owned();
        let store = Arc::clone(&self.native.store);
        let label = label.clone();
        blocking("publish a golden state", move || publish(&store, &from, label, how)).await
    }
}
