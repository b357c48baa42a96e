//! Containers that carry devdb's labels, as the daemon reports them.

use bollard::models::{ContainerInspectResponse, ContainerState, ContainerStateStatusEnum};
use chrono::{DateTime, Utc};

use super::container::HOST;
use super::label::{self, Mark, Object, Reading};
use super::{CONTAINER_PORT, Docker, failure};
use crate::engine::{Endpoint, Server, Status};
use crate::error::Result;

/// A container that carries devdb's labels.
pub(super) struct Owned {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) mark: Mark,
    pub(super) inspected: ContainerInspectResponse,
}

impl Docker {
    /// Finds a container by its id or name. None when there is no such container.
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

    pub(super) async fn read(
        &self,
        id_or_name: &str,
    ) -> Result<Option<(String, Reading<Box<Owned>>)>> {
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
    /// The container's state, as the daemon reports it.
    pub(super) fn state(&self) -> Option<ContainerStateStatusEnum> {
        self.inspected.state.as_ref().and_then(|state| state.status)
    }

    /// The time of the last start.
    pub(super) fn started_at(&self) -> Option<DateTime<Utc>> {
        self.inspected.state.as_ref().and_then(started_at)
    }

    /// The exit code of the last run.
    pub(super) fn exit_code(&self) -> Option<i64> {
        self.inspected.state.as_ref().and_then(|state| state.exit_code)
    }

    /// Describes the container as a server.
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

    /// The port that the daemon publishes. None while the container does not run.
    fn published_port(&self) -> Option<u16> {
        let ports = self.inspected.network_settings.as_ref()?.ports.as_ref()?;
        let bindings = ports.get(CONTAINER_PORT)?.as_ref()?;
        bindings.iter().find_map(|binding| binding.host_port.as_ref()?.parse().ok())
    }
}

/// Between two automatic restarts a container does not run, although the daemon's `Running` is
/// true.
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

/// The time of the last start. Docker reports year 1 for a container that was never started.
fn started_at(state: &ContainerState) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(state.started_at.as_deref()?).ok()?;
    (time.timestamp() > 0).then(|| time.with_timezone(&Utc))
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
}
