//! Private servers: containers that end with devdb's connection. The data directory lies in the
//! container's own file system, so a commit captures it.
//!
//! The container's first process is a small shell script (`scripts/private.sh`), which ends when
//! its standard input is closed. When devdb is killed, the daemon closes that input, and the
//! container is removed half a second later. A container that was created and never started is
//! removed by the user's next command.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bollard::container::AttachContainerResults;
use bollard::models::{ContainerCreateBody, HealthConfig, HostConfig};
use bollard::query_parameters::{AttachContainerOptionsBuilder, ListContainersOptionsBuilder};
use chrono::Utc;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::attached::{Input, Watched, beat, send};
use super::container::{self, Evict, gone};
use super::daemon::Standpoint;
use super::files;
use super::image::{Image, missing_image};
use super::label::{self, Mark, Reading};
use super::{CONTAINER_PORT, Docker};
use crate::archive::Writer;
use crate::engine::{
    Endpoint, Exit, GoldenLabel, GoldenState, Lease, PRIVATE_STOP_DEADLINE, PrivateLaunch, Role,
    Server, Stop,
};
use crate::error::{Error, Kind, Result};
use crate::spec::{EngineKind, Owner};

const SCRIPT: &str = include_str!("scripts/private.sh");

/// A tmpfs for the script. Its files must not get into an image.
const SCRATCH: &str = "/run/devdb";

/// After this time, a container that was not started counts as abandoned: an hour. It matters for a
/// devdb in another container, because nobody can tell from here whether that devdb still runs.
const ABANDONED_SECONDS: i64 = 3600;

/// How long a container on another machine goes on when it hears nothing from devdb: 180 seconds. A
/// connection can be lost without a sign.
const SILENCE: Duration = Duration::from_secs(180);

/// A container that ends with devdb.
pub struct PrivateServer {
    docker: Docker,
    server: Server,
    endpoint: Endpoint,
    /// The container ends when this is closed.
    input: Input,
    /// Tells the container that devdb is still there, when the daemon is on another machine.
    beating: Option<JoinHandle<()>>,
    watched: Watched,
    /// The image that the container was made from. Images of the container get its configuration.
    pub(super) image: Image,
}

impl std::fmt::Debug for PrivateServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrivateServer").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Docker {
    /// Starts a private server. When that fails, no container is left behind.
    ///
    /// # Errors
    /// `Image` when the image or the golden state is missing, and the errors of the daemon.
    pub async fn start_private(&self, launch: &PrivateLaunch<'_>) -> Result<PrivateServer> {
        let reference = launch.from.map_or(launch.spec.image.as_str(), |state| &state.handle);
        let image = self.inspect_image(reference).await?.ok_or_else(|| missing_image(reference))?;
        let name = name_of(launch.role, launch.owner);
        let standpoint = self.standpoint().await?;
        let body = body(launch, &name, reference, &image, &standpoint);
        let id = self.create(&name, body, Evict::Any).await?.id;
        match self.bring_up_private(&id, &name, launch, image, &standpoint).await {
            Ok(server) => Ok(server),
            Err(error) => {
                // Show the first failure. The next command finds the container by its labels.
                let _ = self.remove_container(&id, &name).await;
                Err(error)
            }
        }
    }

    /// See [`crate::engine::Engine::remove_private`].
    ///
    /// # Errors
    /// `NotOurs` when something else has the name, and when the daemon refuses.
    pub async fn remove_private(&self, owner: &Owner, role: Role) -> Result<()> {
        match self.owned(&name_of(role, owner)).await? {
            Some(owned) => self.remove_container(&owned.id, &owned.name).await,
            None => Ok(()),
        }
    }

    /// See [`crate::engine::Engine::reap`]. Containers that run end by themselves.
    ///
    /// # Errors
    /// `NoEngine` when the daemon does not answer.
    pub async fn reap(&self) -> Result<()> {
        let mut filter = label::filter(None);
        filter.insert("status".into(), ["created", "exited", "dead"].map(str::to_owned).into());
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filter).build();
        // At the same time, because every command does both.
        let (listed, locks) =
            tokio::join!(self.client.list_containers(Some(options)), self.reap_locks());
        let listed = listed.map_err(|refusal| self.failed(&refusal, "cannot list containers"))?;
        for container in listed {
            let (id, labels) = (container.id.unwrap_or_default(), container.labels);
            let names = container.names.unwrap_or_default();
            let Some(name) = names.first().map(|name| name.trim_start_matches('/')) else {
                continue;
            };
            let mark = match label::read_container(name, &labels.unwrap_or_default()) {
                Reading::Ours(mark) => mark,
                Reading::Newer | Reading::Foreign => continue,
            };
            let age = container.created.map(|at| Utc::now().timestamp() - at);
            let is_abandoned = age.is_some_and(|seconds| seconds > ABANDONED_SECONDS);
            let is_for_nobody = |lease: Lease| {
                lease.is_over()
                    || (is_abandoned && lease.is_of_this_user() && lease.is_from_elsewhere())
            };
            if mark.lease.is_some_and(is_for_nobody) {
                self.remove_container(&id, name).await?;
            }
        }
        locks
    }

    async fn bring_up_private(
        &self,
        id: &str,
        name: &str,
        launch: &PrivateLaunch<'_>,
        image: Image,
        standpoint: &Standpoint,
    ) -> Result<PrivateServer> {
        if launch.from.is_none() && !image.starts_as_root {
            self.upload(id, name, files::writable_mount_point()?).await?;
        }
        if let Some(archive) = launch.unpack {
            self.unpack_golden(id, name, archive).await?;
        }
        let options = AttachContainerOptionsBuilder::new()
            .stream(true)
            .stdin(true)
            .stdout(true)
            .stderr(true)
            .build();
        let attached = self.client.attach_container(id, Some(options)).await;
        let AttachContainerResults { output, input } = attached.map_err(|refusal| {
            self.failed(&refusal, format!("cannot attach to the container \"{name}\""))
        })?;
        let (watched, input) = (Watched::new(output), Arc::new(Mutex::new(input)));
        self.start_created(id, name, None).await?;
        send(&input, launch.verifier, name).await?;
        let started = self.owned(id).await?.ok_or_else(|| gone(name))?;
        let server = started.server();
        let endpoint = standpoint.endpoint(&started.inspected).ok_or_else(|| {
            // The container ended before devdb asked for its port.
            Error::new(Kind::NotReady, format!("the container \"{name}\" ended at once"))
                .excerpt(watched.tail())
        })?;
        let beating = standpoint.is_remote().then(|| tokio::spawn(beat(Arc::clone(&input))));
        Ok(PrivateServer { docker: self.clone(), server, endpoint, input, beating, watched, image })
    }
}

impl PrivateServer {
    /// The server as the daemon described it at its start.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Lets the server outlive devdb for `time`.
    ///
    /// # Errors
    /// `Unexpected` when the connection is broken.
    pub async fn keep(&mut self, time: Duration) -> Result<()> {
        send(&self.input, &format!("keep {}", time.as_secs()), &self.server.name).await
    }

    /// The address of the server.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Waits until its server ends.
    pub async fn exited(&self) -> Exit {
        let code = self.watched.ended().await;
        Exit { code, log_tail: self.watched.tail() }
    }

    /// The last lines of the server's output.
    pub fn log_tail(&self) -> String {
        self.watched.tail()
    }

    /// Publishes the data of the running server. The container is paused during the commit.
    ///
    /// # Errors
    /// When the daemon refuses.
    pub async fn publish_live(&mut self, label: &GoldenLabel) -> Result<()> {
        self.docker.commit(&self.server, &self.image, label, true).await.map(drop)
    }

    /// Stops the server and publishes its data.
    ///
    /// # Errors
    /// `Unexpected` when the server does not stop cleanly, and when the daemon refuses.
    pub async fn publish(&mut self, label: &GoldenLabel) -> Result<GoldenState> {
        self.stop().await?;
        self.docker.commit(&self.server, &self.image, label, false).await
    }

    /// Stops the server and writes its data into a file.
    ///
    /// # Errors
    /// `Unexpected` when the server does not stop cleanly, `Snapshot` when the file cannot be
    /// written.
    pub async fn export(&mut self, writer: Writer) -> Result<()> {
        self.stop().await?;
        self.docker.download(&self.server.handle, writer, &Stop::default()).await
    }

    async fn stop(&mut self) -> Result<()> {
        let name = &self.server.name;
        send(&self.input, "stop", name).await?;
        match tokio::time::timeout(PRIVATE_STOP_DEADLINE, self.watched.ended()).await {
            Ok(Some(0)) => Ok(()),
            _ => Err(Error::new(Kind::Unexpected, format!("cannot stop \"{name}\""))
                .excerpt(self.watched.tail())),
        }
    }

    /// Removes the container.
    ///
    /// # Errors
    /// When the daemon refuses.
    pub async fn discard(self) -> Result<()> {
        self.docker.remove_container(&self.server.handle, &self.server.name).await
    }
}

/// The container's name. The owner of an ephemeral server has no other container.
fn name_of(role: Role, owner: &Owner) -> String {
    match role {
        Role::Ephemeral => owner.base_name(),
        Role::Builder | Role::Instance => format!("{}-builder", owner.base_name()),
    }
}

fn body(
    launch: &PrivateLaunch<'_>,
    name: &str,
    reference: &str,
    image: &Image,
    standpoint: &Standpoint,
) -> ContainerCreateBody {
    let mark = Mark {
        owner: launch.owner.clone(),
        generation: 0,
        role: launch.role,
        launch_digest: launch.spec.launch_digest(EngineKind::Docker, None),
        port: None,
        lease: Some(launch.lease.clone()),
    };
    let is_filled = launch.from.is_some() || launch.unpack.is_some();
    let origin = if is_filled { "golden" } else { "new" };
    let patience = if standpoint.is_remote() { SILENCE.as_secs() } else { 0 };
    let shell = ["sh", "-c", SCRIPT, "devdb", origin, &patience.to_string()].map(str::to_owned);
    let mut tmpfs = container::tmpfs(image);
    tmpfs.insert(SCRATCH.to_owned(), String::new());
    ContainerCreateBody {
        image: Some(reference.to_owned()),
        entrypoint: Some(shell.into_iter().chain(image.entrypoint.iter().cloned()).collect()),
        cmd: Some(container::command(launch.spec)),
        env: Some(container::environment(launch.spec, &["--no-sync"])),
        labels: Some(label::of_container(name, &mark)),
        exposed_ports: Some(vec![CONTAINER_PORT.to_owned()]),
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..Default::default()
        }),
        open_stdin: Some(true),
        stdin_once: Some(true),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(HostConfig {
            auto_remove: Some(true),
            network_mode: standpoint.network(),
            port_bindings: standpoint
                .binding()
                .map(|binding| HashMap::from([(CONTAINER_PORT.to_owned(), Some(vec![binding]))])),
            shm_size: Some(container::SHARED_MEMORY_BYTES),
            init: Some(false),
            tmpfs: Some(tmpfs),
            ..Default::default()
        }),
        ..Default::default()
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        // The task would keep the connection open.
        if let Some(beating) = &self.beating {
            beating.abort();
        }
    }
}
