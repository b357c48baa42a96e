//! Servers as the daemon reports them, and the verbs that are one call each.

use std::time::{Duration, Instant};

use bollard::models::{ContainerInspectResponse, ContainerState, ContainerStateStatusEnum};
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
    RenameContainerOptionsBuilder, StartContainerOptions,
};
use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;

use super::label::{self, Mark, Object, Reading};
use super::{Docker, failure};
use crate::engine::{Endpoint, Role, Server, Status};
use crate::error::{Error, Kind, Result};

/// PostgreSQL's port inside the container, as the API writes it.
pub(super) const CONTAINER_PORT: &str = "5432/tcp";

/// The only address devdb publishes on, and reaches servers at.
pub(super) const HOST: &str = "127.0.0.1";

/// How late a daemon may make a container for a client that was killed.
pub(super) const LATE: Duration = Duration::from_secs(20);

/// Which container of devdb's makes room for another of its name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Evict {
    /// One that was never started: a busy daemon made it late, for a command that was killed.
    NeverStarted,
    /// Any: what a killed command left.
    Any,
}

/// A container that carries devdb's labels.
pub(super) struct Owned {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) mark: Mark,
    pub(super) inspected: ContainerInspectResponse,
}

impl Docker {
    /// Every server devdb made here, of one instance or of all. Those of a newer devdb are left
    /// out, unless they belong to the instance asked for.
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
        // A list tells neither health nor exit code nor, on a stopped container, the port.
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

    /// One server by its container id, none if it is gone or not ours. One call.
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
    /// `PortBusy` when another program holds the port; the server is left stopped.
    pub async fn start(&self, server: &Server) -> Result<Server> {
        let owned = self.owned(&server.handle).await?.ok_or_else(|| gone(&server.name))?;
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
            // Docker takes one that waits for its next automatic restart for running.
            Some(ContainerStateStatusEnum::RESTARTING) => {
                self.end_restarts(&owned).await?;
                self.start_created(&owned.id, &owned.name, owned.mark.port).await?;
            }
            _ => self.start_created(&owned.id, &owned.name, owned.mark.port).await?,
        }
        self.server(&owned.id).await?.ok_or_else(|| gone(&owned.name))
    }

    /// Starts a container that does not run.
    pub(super) async fn start_created(
        &self,
        id: &str,
        name: &str,
        port: Option<u16>,
    ) -> Result<()> {
        let started = self.client.start_container(id, None::<StartContainerOptions>).await;
        started.map_err(|refusal| match port {
            Some(port) if failure::is_port_busy(&refusal) => Error::new(
                Kind::PortBusy,
                format!("port {port} on {HOST} is held by another program"),
            )
            .because(failure::text(&refusal)),
            _ => self.failed(&refusal, format!("cannot start the container \"{name}\"")),
        })
    }

    /// Renames a stopped server, so that another can be launched in its place.
    ///
    /// # Errors
    /// `NotOurs` when something else has the name it would get.
    pub async fn set_aside(&self, server: &Server) -> Result<Server> {
        let owned = self.owned(&server.handle).await?.ok_or_else(|| gone(&server.name))?;
        let name = label::aside_name(&owned.mark.owner, owned.mark.generation);
        self.rename(&owned, &name).await?;
        Ok(Server { name, ..server.clone() })
    }

    /// Gives a server that was set aside its name back.
    ///
    /// # Errors
    /// `NotOurs` when something else has its name; `Unexpected` when another server has.
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
        let deadline = Instant::now() + LATE;
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

    /// Lets a name be tried again that was refused because something has it. The daemon takes a name
    /// as soon as it begins to make a container, and shows that when it has ended.
    ///
    /// # Errors
    /// `NotOurs` when it is not devdb's; `Unexpected` when it stays, by `deadline` at the latest.
    pub(super) async fn make_room(
        &self,
        name: &str,
        evict: Evict,
        deadline: Instant,
    ) -> Result<()> {
        use ContainerStateStatusEnum::{CREATED, REMOVING};
        let there = self.owned(name).await?;
        if Instant::now() >= deadline {
            let what = format!("the engine does not come to an end with the container \"{name}\"");
            return Err(Error::new(Kind::Unexpected, what)
                .because("it is being made or removed, for a command that was killed perhaps")
                .hint("docker ps -a    shows it; try again, or restart the engine"));
        }
        match there {
            Some(owned) if owned.state() == Some(CREATED) || evict == Evict::Any => {
                self.remove_container(&owned.id, name).await
            }
            Some(owned) if owned.state() != Some(REMOVING) => Err(Error::new(
                Kind::Unexpected,
                format!("another server of devdb's is called \"{name}\" already"),
            )),
            _ => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok(())
            }
        }
    }

    /// Removes a server, running or not, with everything it brought but its generation.
    ///
    /// # Errors
    /// When the daemon refuses.
    pub async fn remove_server(&self, server: &Server) -> Result<()> {
        match self.owned(&server.handle).await? {
            Some(owned) => self.remove_container(&owned.id, &owned.name).await,
            None => Ok(()),
        }
    }

    /// Removes a container that is known to be ours. `v` takes anonymous volumes along, never a
    /// named one.
    pub(super) async fn remove_container(&self, id: &str, name: &str) -> Result<()> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match self.client.remove_container(id, Some(options)).await {
            Ok(()) => Ok(()),
            Err(refusal) if failure::is_missing(&refusal) => Ok(()),
            // Somebody else's removal is under way: it is done when it is gone.
            Err(refusal) if failure::text(&refusal).contains("already in progress") => {
                self.until_removed(id).await;
                Ok(())
            }
            Err(refusal) => {
                Err(self.failed(&refusal, format!("cannot remove the container \"{name}\"")))
            }
        }
    }

    /// Everything that bears a name devdb would give the objects of `base_name`, but not devdb's
    /// labels: `container "…"`, `volume "…"`.
    ///
    /// # Errors
    /// `NoEngine` when the daemon does not answer.
    pub async fn strangers(&self, base_name: &str) -> Result<Vec<String>> {
        let filter =
            std::collections::HashMap::from([("name".to_owned(), vec![base_name.to_owned()])]);
        let containers = ListContainersOptionsBuilder::new().all(true).filters(&filter).build();
        let volumes = ListVolumesOptionsBuilder::new().filters(&filter).build();
        let (containers, volumes) = tokio::join!(
            self.client.list_containers(Some(containers)),
            self.client.list_volumes(Some(volumes))
        );
        let containers =
            containers.map_err(|refusal| self.failed(&refusal, "cannot list containers"))?;
        let volumes = volumes.map_err(|refusal| self.failed(&refusal, "cannot list volumes"))?;
        let mut strangers = Vec::new();
        for container in containers {
            let labels = container.labels.unwrap_or_default();
            for name in container.names.unwrap_or_default() {
                let name = name.trim_start_matches('/');
                let foreign = label::read_container(name, &labels) == Reading::Foreign;
                if foreign && bears(name, base_name) {
                    strangers.push(format!("container \"{name}\""));
                }
            }
        }
        for volume in volumes.volumes.unwrap_or_default() {
            let foreign =
                matches!(label::read_volume(&volume.name, &volume.labels), Reading::Foreign);
            if foreign && bears(&volume.name, base_name) {
                strangers.push(format!("volume \"{}\"", volume.name));
            }
        }
        Ok(strangers)
    }

    /// The container of that id or name, none if there is none.
    ///
    /// # Errors
    /// `NotOurs` when it lacks the labels; `Unexpected` when a newer devdb made it.
    pub(super) async fn owned(&self, id_or_name: &str) -> Result<Option<Owned>> {
        match self.read(id_or_name).await? {
            None => Ok(None),
            Some((_, Reading::Ours(owned))) => Ok(Some(*owned)),
            Some((name, Reading::Newer)) => Err(label::too_new(Object::Container, &name)),
            Some((name, Reading::Foreign)) => Err(label::not_ours(Object::Container, &name)),
        }
    }

    async fn read(&self, id_or_name: &str) -> Result<Option<(String, Reading<Box<Owned>>)>> {
        let inspected = match self.client.inspect_container(id_or_name, None).await {
            Ok(inspected) => inspected,
            Err(refusal) if failure::is_missing(&refusal) => return Ok(None),
            Err(refusal) => {
                return Err(
                    self.failed(&refusal, format!("cannot inspect the container \"{id_or_name}\""))
                );
            }
        };
        let name = inspected.name.as_deref().unwrap_or_default().trim_start_matches('/').to_owned();
        let labels = inspected.config.as_ref().and_then(|config| config.labels.as_ref());
        let reading = match labels.map(|labels| label::read_container(&name, labels)) {
            Some(Reading::Ours(mark)) => Reading::Ours(Box::new(Owned {
                id: inspected.id.clone().unwrap_or_default(),
                name: name.clone(),
                mark,
                inspected,
            })),
            Some(Reading::Newer) => Reading::Newer,
            Some(Reading::Foreign) | None => Reading::Foreign,
        };
        Ok(Some((name, reading)))
    }
}

impl Owned {
    /// The daemon's word for what it is doing.
    pub(super) fn state(&self) -> Option<ContainerStateStatusEnum> {
        self.inspected.state.as_ref().and_then(|state| state.status)
    }

    /// When its process was started last.
    pub(super) fn started_at(&self) -> Option<DateTime<Utc>> {
        self.inspected.state.as_ref().and_then(started_at)
    }

    /// How its process ended last.
    pub(super) fn exit_code(&self) -> Option<i64> {
        self.inspected.state.as_ref().and_then(|state| state.exit_code)
    }

    /// As the contract describes it.
    pub(super) fn server(&self) -> Server {
        Server {
            handle: self.id.clone(),
            name: self.name.clone(),
            owner: self.mark.owner.clone(),
            generation: self.mark.generation,
            role: self.mark.role,
            status: self
                .inspected
                .state
                .as_ref()
                .map_or(Status::Stopped { exit_code: None }, status),
            endpoint: self
                .published_port()
                .or(self.mark.port)
                .map(|port| Endpoint { host: HOST.to_owned(), port }),
            launch_digest: self.mark.launch_digest.clone(),
            image: self
                .inspected
                .config
                .as_ref()
                .and_then(|config| config.image.clone())
                .unwrap_or_default(),
        }
    }

    /// The port the daemon has published it on; none while it does not run.
    fn published_port(&self) -> Option<u16> {
        let ports = self.inspected.network_settings.as_ref()?.ports.as_ref()?;
        let bindings = ports.get(CONTAINER_PORT)?.as_ref()?;
        bindings.iter().find_map(|binding| binding.host_port.as_ref()?.parse().ok())
    }
}

/// A container between two automatic restarts does not run, whatever `Running` says.
fn status(state: &ContainerState) -> Status {
    match state.status {
        Some(ContainerStateStatusEnum::RUNNING) => Status::Running {
            since: started_at(state),
            health: state
                .health
                .as_ref()
                .and_then(|health| health.status)
                .map(|word| word.to_string())
                .filter(|word| !word.is_empty() && word != "none"),
        },
        Some(ContainerStateStatusEnum::PAUSED) => {
            Status::Running { since: started_at(state), health: Some("paused".into()) }
        }
        Some(ContainerStateStatusEnum::CREATED) => Status::Stopped { exit_code: None },
        _ => Status::Stopped { exit_code: state.exit_code },
    }
}

/// Docker says year 1 for a container that was never started.
fn started_at(state: &ContainerState) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(state.started_at.as_deref()?).ok()?;
    (time.timestamp() > 0).then(|| time.with_timezone(&Utc))
}

/// Whether `name` is `base_name` or one of the names derived from it. Docker's filter matches
/// anywhere in a name.
fn bears(name: &str, base_name: &str) -> bool {
    name.strip_prefix(base_name).is_some_and(|rest| rest.is_empty() || rest.starts_with("-g"))
}

/// Whether this may be a container's id. Anything else, put into a request's path, would ask
/// another question.
fn is_id(handle: &str) -> bool {
    !handle.is_empty() && handle.chars().all(|c| c.is_ascii_hexdigit())
}

pub(super) fn gone(name: &str) -> Error {
    Error::new(Kind::Unexpected, format!("the container \"{name}\" is gone"))
        .because("somebody removed it meanwhile")
        .hint("devdb up    makes a new one on the same data")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(status: ContainerStateStatusEnum) -> ContainerState {
        ContainerState {
            status: Some(status),
            running: Some(true),
            exit_code: Some(3),
            started_at: Some("2026-11-22T10:00:00.123456789Z".into()),
            ..Default::default()
        }
    }

    #[test]
    fn a_container_that_waits_for_its_restart_does_not_run() {
        assert_eq!(
            status(&state(ContainerStateStatusEnum::RESTARTING)),
            Status::Stopped { exit_code: Some(3) }
        );
        assert!(matches!(
            status(&state(ContainerStateStatusEnum::RUNNING)),
            Status::Running { since: Some(_), health: None }
        ));
        assert_eq!(
            status(&state(ContainerStateStatusEnum::CREATED)),
            Status::Stopped { exit_code: None }
        );
    }

    #[test]
    fn only_derived_names_count_as_bearing_the_name() {
        assert!(bears("devdb-a-b-123456", "devdb-a-b-123456"));
        assert!(bears("devdb-a-b-123456-g2", "devdb-a-b-123456"));
        assert!(!bears("my-devdb-a-b-123456", "devdb-a-b-123456"));
        assert!(!bears("devdb-a-b-1234567", "devdb-a-b-123456"));
    }
}
