//! Making, starting and removing containers, and what all of devdb's containers have in common.

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
use super::{Docker, MOUNT, PGDATA, failure};
use crate::engine::Generation;
use crate::error::{Error, Kind, Result};
use crate::spec::{INITDB_OPTIONS, ServerSpec};

/// PostgreSQL's port inside the container, as the API writes it.
pub(super) const CONTAINER_PORT: &str = "5432/tcp";

/// The only address devdb publishes on, and reaches servers at.
pub(super) const HOST: &str = "127.0.0.1";

/// How long devdb waits for a name that a container still has: 20 seconds. A busy daemon may make a
/// container that late, for a command that was killed.
pub(super) const NAME_DEADLINE: Duration = Duration::from_secs(20);

/// Which container of devdb's may be removed, when another one needs its name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Evict {
    /// Only one that was never started. A busy daemon made it late, for a command that was killed.
    NeverStarted,
    /// Any. A command that was killed left it.
    Any,
}

/// Shared memory for parallel queries; Docker's own 64 MB is soon used up.
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
    /// Whether another container was there before, which may have filled the volume.
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

    /// Frees a name that was refused because something has it, so that the caller tries again. The
    /// daemon takes a name when it begins to make a container, and shows the container when that is
    /// done.
    ///
    /// # Errors
    /// `NotOurs` when it is not devdb's; `Unexpected` when it stays, by `deadline` at the latest.
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

    /// Creates a container. One that has its name already makes room, if `evict` says so.
    ///
    /// # Errors
    /// `NotOurs` when something else has the name, `Image` when there is no such image.
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
            match self.client.create_container(Some(options), body.clone()).await {
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

    /// Creates a container that mounts a generation's volume, for what can be done without starting
    /// it. To be removed soon.
    ///
    /// # Errors
    /// `Image` when there is no such image.
    pub(super) async fn mount(
        &self,
        generation: &Generation,
        reference: &str,
        read_only: bool,
    ) -> Result<Mounted> {
        let image = self.inspect_image(reference).await?;
        let image = image.ok_or_else(|| missing_image(reference))?;
        let name = format!("{}-mounted", generation.handle);
        let mark = Mark::of_step(&generation.owner, generation.number);
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

    /// Waits until a container that somebody is removing is gone.
    pub(super) async fn until_removed(&self, id: &str) {
        let options = WaitContainerOptionsBuilder::new().condition("removed").build();
        let mut gone = std::pin::pin!(self.client.wait_container(id, Some(options)));
        let _ = tokio::time::timeout(Duration::from_secs(10), gone.next()).await;
    }
}

/// The generation's volume, and a tmpfs over each VOLUME of the image, where Docker would put an
/// anonymous volume otherwise.
///
/// The labels are those of the volume: where it is gone by the time the daemon gets to it (the
/// client was killed, its rubbish collected), the daemon makes it anew, and nobody would know whose
/// it is.
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

/// PostgreSQL's port, published at `port` on 127.0.0.1.
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

/// The variables that the image's entrypoint reads. `initdb` has further options for initdb.
pub(super) fn environment(spec: &ServerSpec, initdb: &[&str]) -> Vec<String> {
    // initdb trusts every connection from the container's own 127.0.0.1 otherwise, and with
    // rootless Podman those through the published port come from there.
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
        .hint("devdb up    makes a new one on the same data")
}
