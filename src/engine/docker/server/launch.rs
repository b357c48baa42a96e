//! Launches a server: a container on a generation's volume.

use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, RestartPolicy, RestartPolicyNameEnum,
};
use chrono::Utc;

use crate::engine::docker::container::{
    Evict, SHARED_MEMORY_BYTES, command, environment, gone, mounts, port_bindings,
};
use crate::engine::docker::exec::PROGRAMS_FIRST;
use crate::engine::docker::image::{Image, missing_image};
use crate::engine::docker::label::{self, Mark};
use crate::engine::docker::{CONTAINER_PORT, Docker};
use crate::engine::{Generation, Launch, Role, STOP_DEADLINE, Server};
use crate::error::{Error, Kind, Result};
use crate::spec::EngineKind;

const IDLE_SCRIPT: &str = include_str!("../scripts/idle.sh");

/// The interval of the HEALTHCHECK that `docker ps` shows: 4 seconds. A check every second would
/// cost 8 % of a core. Docker before version 25 waits for this interval before its first check, so
/// it must be short.
const HEALTHCHECK_INTERVAL: Duration = Duration::from_secs(4);

/// How long one HEALTHCHECK may take: 3 seconds.
const HEALTHCHECK_DEADLINE: Duration = Duration::from_secs(3);

/// How many checks in a row must fail before the container is unhealthy.
const HEALTHCHECK_RETRIES: i64 = 3;

/// How long failed checks do not count after a start: 60 seconds. A recovery may take that long.
const HEALTHCHECK_START_PERIOD: Duration = Duration::from_secs(60);

/// The interval of the HEALTHCHECK during the start period: 1 second. Docker before version 25
/// ignores it.
const HEALTHCHECK_START_INTERVAL: Duration = Duration::from_secs(1);

impl Docker {
    /// Launches a server on an existing generation. When it fails, no container is left behind.
    /// When the future is dropped, a labelled container may stay, and [`Docker::servers`] lists it.
    ///
    /// # Errors
    /// `PortBusy` when another program holds the port, `NotOurs` when something else has the
    /// container's or the volume's name or writes to the volume, `Image` when the image is missing.
    pub async fn launch(&self, launch: &Launch<'_>) -> Result<Server> {
        self.keeps_instances().await?;
        let name = launch.owner.base_name();
        let volume = launch.owner.generation_name(launch.generation);
        let (generation, image, only_ours) = tokio::join!(
            // If the volume were missing, Docker would create it without labels.
            self.generation(&volume),
            self.inspect_image(&launch.spec.image),
            self.check_only_ours_write(&volume)
        );
        only_ours?;
        let generation = generation?.ok_or_else(|| {
            Error::new(Kind::Unexpected, format!("there is no volume \"{volume}\""))
        })?;
        let image = image?.ok_or_else(|| missing_image(&launch.spec.image))?;
        let body = body(launch, &name, &generation, &image);
        let id = self.create(&name, body, Evict::NeverStarted).await?.id;
        match self.bring_up(&id, &name, launch).await {
            Ok(server) => Ok(server),
            Err(error) => {
                // Show the first failure. If the container stays, the next command finds it by its
                // labels.
                let _ = self.remove_container(&id, &name).await;
                Err(error)
            }
        }
    }

    async fn bring_up(&self, id: &str, name: &str, launch: &Launch<'_>) -> Result<Server> {
        self.start_created(id, name, Some(launch.port)).await?;
        let server = self.server(id).await?.ok_or_else(|| gone(name))?;
        let Some(verifier) = launch.verifier else { return Ok(server) };
        // Run both at the same time, because each takes the daemon 40 ms or more.
        tokio::try_join!(
            self.give_password(&server, launch.spec, verifier),
            self.mark_complete(&server, launch.number)
        )?;
        self.server(id).await?.ok_or_else(|| gone(name))
    }
}

fn body(
    launch: &Launch<'_>,
    name: &str,
    generation: &Generation,
    image: &Image,
) -> ContainerCreateBody {
    let spec = launch.spec;
    let mark = Mark {
        owner: launch.owner.clone(),
        generation: launch.generation,
        role: Role::Instance,
        launch_digest: spec.launch_digest(EngineKind::Docker, Some(launch.port)),
        port: Some(launch.port),
        lease: None,
    };
    let labels = label::of_existing(generation, Utc::now());
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        cmd: Some(command(spec)),
        env: Some(environment(spec, &[])),
        labels: Some(label::of_container(name, &mark)),
        exposed_ports: Some(vec![CONTAINER_PORT.to_owned()]),
        healthcheck: Some(healthcheck(spec.idle)),
        stop_timeout: i64::try_from(STOP_DEADLINE.as_secs()).ok(),
        host_config: Some(HostConfig {
            port_bindings: Some(port_bindings(launch.port)),
            restart_policy: Some(RestartPolicy {
                name: Some(restart_policy(spec.idle)),
                ..Default::default()
            }),
            shm_size: Some(SHARED_MEMORY_BYTES),
            init: Some(false),
            ..mounts(&generation.handle, labels, image, false)
        }),
        ..Default::default()
    }
}

/// Docker starts a container again that ends by itself with `unless-stopped`. One that stops when
/// nobody uses it has to stay stopped, so it is only started again after a crash.
fn restart_policy(idle: Option<Duration>) -> RestartPolicyNameEnum {
    match idle {
        None => RestartPolicyNameEnum::UNLESS_STOPPED,
        Some(_) => RestartPolicyNameEnum::ON_FAILURE,
    }
}

/// Checks over TCP. The image's entrypoint may run a server of its own, which listens on the socket
/// only. With `idle` the check also counts how often in a row it has seen no client, and stops the
/// server after that time.
fn healthcheck(idle: Option<Duration>) -> HealthConfig {
    let test = match idle {
        None => {
            let probe =
                r#"PGDATABASE="$POSTGRES_DB" pg_isready -q -h 127.0.0.1 -U "$POSTGRES_USER""#;
            vec!["CMD-SHELL".to_owned(), format!("{PROGRAMS_FIRST}; {probe}")]
        }
        Some(idle) => {
            let checks = idle.as_secs().div_ceil(HEALTHCHECK_INTERVAL.as_secs());
            ["CMD", "sh", "-c", IDLE_SCRIPT, "devdb", &checks.to_string()]
                .map(str::to_owned)
                .to_vec()
        }
    };
    HealthConfig {
        test: Some(test),
        interval: nanoseconds(HEALTHCHECK_INTERVAL),
        timeout: nanoseconds(HEALTHCHECK_DEADLINE),
        retries: Some(HEALTHCHECK_RETRIES),
        start_period: nanoseconds(HEALTHCHECK_START_PERIOD),
        start_interval: nanoseconds(HEALTHCHECK_START_INTERVAL),
    }
}

/// A duration in nanoseconds, as the API takes it.
fn nanoseconds(time: Duration) -> Option<i64> {
    i64::try_from(time.as_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::spec::{Durability, MadeWith, Owner, ServerSpec};

    fn spec() -> ServerSpec {
        ServerSpec {
            major: 15,
            image: "postgres:15".into(),
            image_chosen: false,
            bin_dir: None,
            database: "app".into(),
            user: "anna".into(),
            settings: BTreeMap::from([("log_statement".into(), "ddl".into())]),
            extensions: Vec::new(),
            durability: Durability::Full,
            idle: None,
        }
    }

    fn image() -> Image {
        let config = bollard::models::ImageConfig {
            volumes: Some(vec!["/var/lib/postgresql/data".into()]),
            ..Default::default()
        };
        Image::from(bollard::models::ImageInspect { config: Some(config), ..Default::default() })
    }

    #[test]
    fn the_request_carries_no_verifier_and_no_anonymous_volume() {
        let owner = Owner {
            project_id: "id".into(),
            project: "shop".into(),
            developer: "anna".into(),
            instance: "main".into(),
        };
        let spec = spec();
        let launch = Launch {
            owner: &owner,
            generation: 1,
            number: 1,
            spec: &spec,
            port: 15_432,
            verifier: Some("SCRAM-SHA-256$secret"),
        };
        let generation = Generation {
            handle: "volume".into(),
            owner: owner.clone(),
            id: 1,
            created: None,
            made_with: MadeWith::of(&spec, EngineKind::Docker),
            origin: None,
        };
        let body = body(&launch, "name", &generation, &image());
        let text = serde_json::to_string(&body).unwrap();
        assert!(!text.contains("SCRAM"), "{text}");
        assert!(text.contains(r#""HostIp":"127.0.0.1","HostPort":"15432""#), "{text}");
        let host = body.host_config.unwrap();
        assert!(host.tmpfs.unwrap().contains_key("/var/lib/postgresql/data"));
        assert_eq!(host.mounts.unwrap().len(), 1);
        assert_eq!(host.restart_policy.unwrap().name, Some(RestartPolicyNameEnum::UNLESS_STOPPED));
    }

    #[test]
    fn a_server_that_stops_by_itself_is_not_started_again() {
        let idle = Some(Duration::from_secs(9));
        assert_eq!(restart_policy(idle), RestartPolicyNameEnum::ON_FAILURE);
        let test = healthcheck(idle).test.unwrap();
        assert_eq!(test.last().map(String::as_str), Some("3"));
        assert_eq!(healthcheck(None).test.unwrap()[0], "CMD-SHELL");
    }

    #[test]
    fn settings_become_arguments_of_postgres() {
        let command = command(&spec());
        assert_eq!(command[0], "postgres");
        assert!(command.windows(2).any(|pair| pair == ["-c", "log_statement=ddl"]), "{command:?}");
    }
}
