//! Servers: containers on a generation's volume.

mod end;
mod launch;
mod log;
mod password;
mod psql;
mod terminal;

use std::time::Instant;

use bollard::models::ContainerStateStatusEnum;
use bollard::query_parameters::{ListContainersOptionsBuilder, RenameContainerOptionsBuilder};
use futures_util::future::try_join_all;

use super::container::{Evict, Mounted, NAME_DEADLINE, gone};
use super::label::{self, Object, Reading};
use super::owned::Owned;
use super::{Docker, failure};
use crate::engine::{Generation, Role, Server, pg_control};
use crate::error::Result;
use crate::spec::ServerSpec;

/// The file that has the next transaction id of a server that was stopped cleanly.
const CONTROL: &str = "/devdb/pgdata/global/pg_control";

impl Docker {
    /// Lists the servers that devdb made here, of one instance or of all. It leaves out servers of
    /// a newer devdb, unless they belong to the instance `key`.
    ///
    /// # Errors
    /// `NoEngine` when the daemon does not answer.
    pub async fn servers(&self, key: Option<&str>) -> Result<Vec<Server>> {
        let options =
            ListContainersOptionsBuilder::new().all(true).filters(&label::filter(key)).build();
        let listed = self
            .client
            .list_containers(Some(options))
            .await
            .map_err(|refusal| self.failed(&refusal, "cannot list containers"))?;
        // The list contains no health, no exit code and, for stopped containers, no port.
        let reads = listed.into_iter().filter_map(|summary| summary.id).map(|id| async move {
            match self.read(&id).await? {
                Some((_, Reading::Ours(owned))) => Ok(Some(owned.server())),
                Some((name, Reading::Newer)) if key.is_some() => {
                    Err(label::too_new(Object::Container, &name))
                }
                _ => Ok(None),
            }
        });
        let mut servers: Vec<Server> = try_join_all(reads).await?.into_iter().flatten().collect();
        servers.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(servers)
    }

    /// Finds a server by its container id, with one request. None when it is gone or not devdb's.
    ///
    /// # Errors
    /// `NoEngine` when the daemon does not answer.
    pub async fn server(&self, handle: &str) -> Result<Option<Server>> {
        if !is_id(handle) {
            return Ok(None);
        }
        match self.read(handle).await? {
            Some((_, Reading::Ours(owned))) => Ok(Some(owned.server())),
            Some((name, Reading::Newer)) => Err(label::too_new(Object::Container, &name)),
            Some((_, Reading::Foreign)) | None => Ok(None),
        }
    }

    /// Starts a stopped server as it was launched.
    ///
    /// # Errors
    /// `PortBusy` when another program holds the port, `NotOurs` when a container that is not devdb's
    /// writes to the generation; the server stays stopped.
    pub async fn start(&self, server: &Server) -> Result<Server> {
        let volume = server.owner.generation_name(server.generation);
        let (owned, only_ours) =
            tokio::join!(self.owned(&server.handle), self.check_only_ours_write(&volume));
        let owned = owned?.ok_or_else(|| gone(&server.name))?;
        match owned.state() {
            Some(ContainerStateStatusEnum::RUNNING) => return Ok(owned.server()),
            Some(ContainerStateStatusEnum::PAUSED) => {
                self.client.unpause_container(&owned.id).await.map_err(|refusal| {
                    self.failed(
                        &refusal,
                        format!("cannot unpause the container \"{}\"", owned.name),
                    )
                })?;
            }
            // Docker counts a container that waits for its next automatic restart as running, and
            // would not start it.
            Some(ContainerStateStatusEnum::RESTARTING) => {
                only_ours?;
                self.end_restarts(&owned).await?;
                self.start_created(&owned.id, &owned.name, owned.mark.port).await?;
            }
            _ => {
                only_ours?;
                self.start_created(&owned.id, &owned.name, owned.mark.port).await?;
            }
        }
        self.server(&owned.id).await?.ok_or_else(|| gone(&owned.name))
    }

    /// Renames a stopped server, so that another server can be launched in its place.
    ///
    /// # Errors
    /// `NotOurs` when something else has the new name.
    pub async fn set_aside(&self, server: &Server) -> Result<Server> {
        let owned = self.owned(&server.handle).await?.ok_or_else(|| gone(&server.name))?;
        let name = label::aside_name(&owned.mark.owner, owned.mark.generation);
        self.rename(&owned, &name).await?;
        Ok(Server { name, ..server.clone() })
    }

    /// Gives a server that was set aside its name back.
    ///
    /// # Errors
    /// `NotOurs` when something else has the name; `Unexpected` when another server has it.
    pub async fn reinstate(&self, server: &Server) -> Result<Server> {
        let owned = self.owned(&server.handle).await?.ok_or_else(|| gone(&server.name))?;
        if owned.mark.role != Role::Instance {
            return Ok(server.clone());
        }
        let name = owned.mark.owner.base_name();
        self.rename(&owned, &name).await?;
        Ok(Server { name, ..server.clone() })
    }

    async fn rename(&self, owned: &Owned, name: &str) -> Result<()> {
        if owned.name == name {
            return Ok(());
        }
        let deadline = Instant::now() + NAME_DEADLINE;
        loop {
            let options = RenameContainerOptionsBuilder::new().name(name).build();
            match self.client.rename_container(&owned.id, options).await {
                Ok(()) => return Ok(()),
                Err(refusal) if failure::is_name_taken(&refusal) => {
                    self.make_room(name, Evict::NeverStarted, deadline).await?;
                }
                Err(refusal) => {
                    let what =
                        format!("cannot rename the container \"{}\" to \"{name}\"", owned.name);
                    return Err(self.failed(&refusal, what));
                }
            }
        }
    }

    /// Removes a server and all that belongs to it, except its generation. A running server is
    /// killed.
    ///
    /// # Errors
    /// When the daemon refuses.
    pub async fn remove_server(&self, server: &Server) -> Result<()> {
        match self.owned(&server.handle).await? {
            Some(owned) => self.remove_container(&owned.id, &owned.name).await,
            None => Ok(()),
        }
    }

    /// Reads the next transaction id from `pg_control`.
    ///
    /// # Errors
    /// `NoEngine` when the daemon does not answer.
    pub async fn next_transaction(&self, server: &Server) -> Result<Option<u64>> {
        let control = self.read_file(&server.handle, CONTROL).await?;
        Ok(control.and_then(|control| pg_control::next_transaction(&control)))
    }

    /// Reads the next transaction id in the same way, from a container that is never started.
    ///
    /// # Errors
    /// `Image` when the image is missing, and when the daemon refuses.
    pub async fn next_transaction_of(
        &self,
        generation: &Generation,
        spec: &ServerSpec,
    ) -> Result<Option<u64>> {
        let Mounted { id, name, .. } = self.mount(generation, &spec.image, true).await?;
        let control = self.read_file(&id, CONTROL).await;
        self.remove_container(&id, &name).await?;
        Ok(control?.and_then(|control| pg_control::next_transaction(&control)))
    }
}

/// Whether `handle` may be a container's id. Other text in the path of a request could make another
/// request of it.
fn is_id(handle: &str) -> bool {
    !handle.is_empty() && handle.chars().all(|c| c.is_ascii_hexdigit())
}
