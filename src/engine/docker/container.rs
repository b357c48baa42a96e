//! Creates, starts and removes containers, and configures them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bollard::models::{
    ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions, PortBinding,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
    WaitContainerOptionsBuilder,
};
use chrono::Utc;
use futures_util::StreamExt;

use super::image::{Image, missing_image};
use super::label::{self, Labels, Mark};
use super::{CONTAINER_PORT, Docker, MOUNT, PGDATA, failure};
use crate::engine::Generation;
use crate::error::{Error, Kind, Result};
use crate::spec::{INITDB_OPTIONS, ServerSpec};

/// The address that devdb publishes ports on when the daemon is on this machine.
pub(super) const HOST: &str = "127.0.0.1";

/// How long devdb waits for a name that a container still has: 20 seconds. A busy daemon may create
/// a container late, after its command was killed.
pub(super) const NAME_DEADLINE: Duration = Duration::from_secs(20);

/// Which of devdb's containers may be removed when another container needs the name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Evict {
    /// Only a container that was never started. A busy daemon created it late, after its command
    /// was killed.
    NeverStarted,
    /// Any container. A command that was killed left it.
    Any,
}

/// Shared memory for parallel queries. Docker's default of 64 MB is soon used up.
pub(super) const SHARED_MEMORY_BYTES: i64 = 256 << 20;

/// A container that was created.
pub(super) struct Created {
    pub(super) id: String,
    /// Whether another container had the name before.
    pub(super) displaced: bool,
}

/// A container that mounts a volume and is not started.
pub(super) struct Mounted {
    pub(super) id: String,
    pub(super) name: String,
    /// Whether another container had the name before. That container may have filled the volume.
    pub(super) displaced: bool,
}

impl Docker {
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

    /// Frees a name that another container has, so that the caller can try again. The daemon takes
    /// the name when it begins to create a container, and shows the container only when that is
    /// done.
    ///
    /// # Errors
    /// `NotOurs` when the container is not devdb's; `Unexpected` when `evict` protects it, or when
    /// it is still there at `deadline`.
    pub(super) async fn make_room(
        &self,
        name: &str,
        evict: Evict,
        deadline: Instant,
    ) -> Result<()> {
        use bollard::models::ContainerStateStatusEnum::{CREATED, REMOVING};
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

    /// Removes a container that is known to be devdb's. `v` removes its anonymous volumes; named
    /// volumes stay.
    pub(super) async fn remove_container(&self, id: &str, name: &str) -> Result<()> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match self.client.remove_container(id, Some(options)).await {
            Ok(()) => Ok(()),
            Err(refusal) if failure::is_missing(&refusal) => Ok(()),
            // Another client is removing the container, so wait until it is gone.
            Err(refusal) if failure::text(&refusal).contains("already in progress") => {
                self.until_removed(id).await;
                Ok(())
            }
            Err(refusal) => {
                Err(self.failed(&refusal, format!("cannot remove the container \"{name}\"")))
            }
        }
    }

    /// Creates a container. A container that has the name already is removed if `evict` allows it.
    ///
    /// # Errors
    /// `NotOurs` when something else has the name, `Image` when the image is missing.
    pub(super) async fn create(
        &self,
        name: &str,
        body: ContainerCreateBody,
        evict: Evict,
    ) -> Result<Created> {
        let deadline = Instant::now() + NAME_DEADLINE;
        let mut displaced = false;
        loop {
            let options = CreateContainerOptionsBuilder::new().name(name).build();
            // The daemon fills the volumes meanwhile.
            let body_of_request = body.clone();
            let created = self.long(|client| async move {
                client.create_container(Some(options), body_of_request).await
            });
            match created.await {
                Ok(created) => return Ok(Created { id: created.id, displaced }),
                Err(refusal) if failure::is_name_taken(&refusal) => {
                    displaced = true;
                    self.make_room(name, evict, deadline).await?;
                }
                Err(refusal) if failure::is_missing(&refusal) => {
                    return Err(missing_image(body.image.as_deref().unwrap_or_default()));
                }
                Err(refusal) => {
                    let what = format!("cannot create the container \"{name}\"");
                    return Err(self.failed(&refusal, what));
                }
            }
        }
    }

    /// Creates a container that mounts a generation's volume and need not be started. The caller
    /// removes it soon.
    ///
    /// # Errors
    /// `Image` when the image is missing.
    pub(super) async fn mount(
        &self,
        generation: &Generation,
        reference: &str,
        read_only: bool,
    ) -> Result<Mounted> {
        let image = self.inspect_image(reference).await?;
        let image = image.ok_or_else(|| missing_image(reference))?;
        let name = format!("{}-mounted", generation.handle);
        let mark = Mark::of_step(&generation.owner, generation.id);
        let labels = label::of_existing(generation, Utc::now());
        let body = ContainerCreateBody {
            image: Some(reference.to_owned()),
            labels: Some(label::of_container(&name, &mark)),
            host_config: Some(mounts(&generation.handle, labels, &image, read_only)),
            ..Default::default()
        };
        let Created { id, displaced } = self.create(&name, body, Evict::Any).await?;
        Ok(Mounted { id, name, displaced })
    }

    /// Waits until a container that another client is removing is gone.
    pub(super) async fn until_removed(&self, id: &str) {
        let options = WaitContainerOptionsBuilder::new().condition("removed").build();
        let mut gone = std::pin::pin!(self.client.wait_container(id, Some(options)));
        let _ = tokio::time::timeout(Duration::from_secs(10), gone.next()).await;
    }
}

/// Mounts the generation's volume, and a tmpfs over each VOLUME of the image. Without the tmpfs,
/// Docker would create anonymous volumes.
///
/// The mount carries the labels of the volume, because a client may be killed and its volume
/// removed before the daemon creates the container. The daemon then creates the volume anew, and
/// the labels say whose it is.
pub(super) fn mounts(volume: &str, labels: Labels, image: &Image, read_only: bool) -> HostConfig {
    HostConfig {
        mounts: Some(vec![Mount {
            typ: Some(MountType::VOLUME),
            source: Some(volume.to_owned()),
            target: Some(MOUNT.to_owned()),
            read_only: Some(read_only),
            volume_options: Some(MountVolumeOptions { labels: Some(labels), ..Default::default() }),
            ..Default::default()
        }]),
        tmpfs: Some(tmpfs(image)),
        ..Default::default()
    }
}

/// A tmpfs over each VOLUME of the image.
pub(super) fn tmpfs(image: &Image) -> HashMap<String, String> {
    image.volumes.iter().map(|path| (path.clone(), String::new())).collect()
}

/// Publishes PostgreSQL's port at `port` on 127.0.0.1.
pub(super) fn port_bindings(port: u16) -> HashMap<String, Option<Vec<PortBinding>>> {
    let binding = PortBinding { host_ip: Some(HOST.to_owned()), host_port: Some(port.to_string()) };
    HashMap::from([(CONTAINER_PORT.to_owned(), Some(vec![binding]))])
}

pub(super) fn command(spec: &ServerSpec) -> Vec<String> {
    let settings = spec.launch_settings();
    let settings =
        settings.iter().flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]);
    std::iter::once("postgres".to_owned()).chain(settings).collect()
}

/// The variables that the image's entrypoint reads. `initdb` adds options for initdb.
pub(super) fn environment(spec: &ServerSpec, initdb: &[&str]) -> Vec<String> {
    // By default, initdb trusts every connection from 127.0.0.1 of the container. With rootless
    // Podman, connections through the published port come from that address.
    let options = [INITDB_OPTIONS, &["--auth-host=scram-sha-256"], initdb].concat().join(" ");
    vec![
        format!("POSTGRES_USER={}", spec.user),
        format!("POSTGRES_DB={}", spec.database),
        format!("POSTGRES_INITDB_ARGS={options}"),
        format!("PGDATA={PGDATA}"),
    ]
}

pub(super) fn gone(name: &str) -> Error {
    Error::new(Kind::Unexpected, format!("the container \"{name}\" is gone"))
        .because("somebody removed it meanwhile")
        .hint("devdb up   makes a new one on the same data")
}
