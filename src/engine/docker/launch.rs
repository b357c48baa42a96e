//! Launching a server: a container on a generation's volume.

use std::collections::HashMap;
use std::time::Instant;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, Mount, MountType, MountVolumeOptions,
    PortBinding, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{CreateContainerOptionsBuilder, UploadToContainerOptionsBuilder};
use chrono::Utc;

use super::container::{CONTAINER_PORT, Evict, HOST, LATE, gone};
use super::exec::PROGRAMS_FIRST;
use super::image::Image;
use super::label::{self, Labels, Mark};
use super::{Docker, MOUNT, PGDATA, failure};
use crate::engine::{Generation, Launch, Role, Server};
use crate::error::{Error, Kind, Result};
use crate::spec::{EngineKind, INITDB_OPTIONS, ServerSpec};

/// Where the password's verifier lies for the image's entrypoint to read at the first start. In
/// the container's own layer, so it goes with the container; `/run` may be a tmpfs, `/etc` is not.
const VERIFIER: &str = "/etc/devdb-password";

/// Shared memory for parallel queries; Docker's own 64 MB is soon used up.
pub(super) const SHARED_MEMORY_BYTES: i64 = 256 << 20;

/// Seconds that `docker stop` and a stopping daemon wait before they kill. PostgreSQL writes a
/// checkpoint in that time.
const STOP_SECONDS: i64 = 60;

const SECOND: i64 = 1_000_000_000;

/// A container that was created.
pub(super) struct Created {
    pub(super) id: String,
    /// Another had the name before.
    pub(super) displaced: bool,
}

impl Docker {
    /// Launches a server on an existing generation. When it fails, no container is left behind;
    /// when the future is dropped, one may be, labelled, which [`Docker::servers`] lists.
    ///
    /// # Errors
    /// `PortBusy` when another program holds the port, `NotOurs` when something else has the name
    /// or the volume's, `Image` when the image is not there.
    pub async fn launch(&self, launch: &Launch<'_>) -> Result<Server> {
        self.keeps_instances().await?;
        let name = container_name(launch);
        let volume = launch.owner.generation_name(launch.generation);
        let (generation, image) = tokio::join!(
            // Docker would create a volume that is missing, without labels.
            self.generation(&volume),
            self.inspect_image(&launch.spec.image)
        );
        let generation = generation?.ok_or_else(|| {
            Error::new(Kind::Unexpected, format!("there is no volume \"{volume}\""))
        })?;
        let image = image?.ok_or_else(|| missing_image(&launch.spec.image))?;
        let body = body(launch, &name, &generation, &image);
        let id = self.create(&name, body, Evict::NeverStarted).await?.id;
        match self.bring_up(&id, &name, launch, &generation, &image).await {
            Ok(server) => Ok(server),
            Err(error) => {
                // The first failure is the one to tell; a container that stays is labelled and
                // collected by the next command.
                let _ = self.remove_container(&id, &name).await;
                Err(error)
            }
        }
    }

    async fn bring_up(
        &self,
        id: &str,
        name: &str,
        launch: &Launch<'_>,
        generation: &Generation,
        image: &Image,
    ) -> Result<Server> {
        let is_copy = generation.origin.is_some();
        if let Some(verifier) = launch.verifier.filter(|_| !is_copy) {
            self.upload(id, name, first_start_files(verifier, image)?).await?;
        }
        self.start_created(id, name, launch.port).await?;
        let server = self.server(id).await?.ok_or_else(|| gone(name))?;
        let Some(verifier) = launch.verifier else { return Ok(server) };
        // Side by side: each of them costs the daemon 40 ms and more.
        let password = async {
            match is_copy {
                true => self.give_password(&server, launch.spec, verifier).await,
                false => Ok(()),
            }
        };
        let mark = async {
            match launch.role {
                Role::Instance => self.mark_complete(&server).await,
                Role::Builder | Role::Ephemeral => Ok(()),
            }
        };
        tokio::try_join!(password, mark)?;
        self.server(id).await?.ok_or_else(|| gone(name))
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
        let deadline = Instant::now() + LATE;
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

    /// Unpacks a tar archive over the container's root directory.
    pub(super) async fn upload(&self, id: &str, name: &str, archive: Vec<u8>) -> Result<()> {
        let options = UploadToContainerOptionsBuilder::new().path("/").build();
        // As a stream: bollard writes other bodies to its trace log.
        let body = bollard::body_stream(futures_util::stream::iter([archive.into()]));
        self.client.upload_to_container(id, Some(options), body).await.map_err(|refusal| {
            self.failed(&refusal, format!("cannot write into the container \"{name}\""))
        })
    }
}

fn container_name(launch: &Launch<'_>) -> String {
    match launch.role {
        Role::Instance => launch.owner.base_name(),
        Role::Builder | Role::Ephemeral => {
            format!("{}-builder", launch.owner.generation_name(launch.generation))
        }
    }
}

pub(super) fn missing_image(reference: &str) -> Error {
    Error::new(Kind::Image, format!("the image \"{reference}\" is not there"))
        .because("somebody removed it meanwhile")
        .hint("devdb up    pulls it again")
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
        role: launch.role,
        launch_digest: spec.launch_digest(EngineKind::Docker, launch.port),
        port: launch.port,
        lease: None,
    };
    let labels = label::of_existing(generation, Utc::now());
    let mut environment = environment(spec, &[]);
    if launch.verifier.is_some() && generation.origin.is_none() {
        environment.push(format!("POSTGRES_PASSWORD_FILE={VERIFIER}"));
    }
    let restart = match launch.role {
        Role::Instance => RestartPolicyNameEnum::UNLESS_STOPPED,
        Role::Builder | Role::Ephemeral => RestartPolicyNameEnum::NO,
    };
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        cmd: Some(command(spec)),
        env: Some(environment),
        labels: Some(label::of_container(name, &mark)),
        exposed_ports: Some(vec![CONTAINER_PORT.to_owned()]),
        healthcheck: Some(healthcheck()),
        stop_timeout: Some(STOP_SECONDS),
        host_config: Some(HostConfig {
            port_bindings: Some(port_bindings(launch.port)),
            restart_policy: Some(RestartPolicy { name: Some(restart), ..Default::default() }),
            shm_size: Some(SHARED_MEMORY_BYTES),
            init: Some(false),
            ..mounts(&generation.handle, labels, image, false)
        }),
        ..Default::default()
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

/// PostgreSQL's port, published on 127.0.0.1: at `port`, or at a free one that the daemon draws.
pub(super) fn port_bindings(port: Option<u16>) -> HashMap<String, Option<Vec<PortBinding>>> {
    let binding = PortBinding {
        host_ip: Some(HOST.to_owned()),
        host_port: Some(port.unwrap_or(0).to_string()),
    };
    HashMap::from([(CONTAINER_PORT.to_owned(), Some(vec![binding]))])
}

pub(super) fn command(spec: &ServerSpec) -> Vec<String> {
    let settings = spec.launch_settings();
    let settings =
        settings.iter().flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]);
    std::iter::once("postgres".to_owned()).chain(settings).collect()
}

/// What the image's entrypoint goes by; `initdb` are further options of initdb's.
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

/// Over TCP, because while the image initialises its server listens on the socket only. One
/// check a second would cost 8 % of a core; engines before 25 ignore the quicker start and look
/// for the first time after the whole interval, hence not longer.
fn healthcheck() -> HealthConfig {
    let probe = r#"pg_isready -q -h 127.0.0.1 -U "$POSTGRES_USER" -d "$POSTGRES_DB""#;
    let test = format!("{PROGRAMS_FIRST}; {probe}");
    HealthConfig {
        test: Some(vec!["CMD-SHELL".to_owned(), test]),
        interval: Some(4 * SECOND),
        timeout: Some(3 * SECOND),
        retries: Some(3),
        start_period: Some(60 * SECOND),
        start_interval: Some(SECOND),
    }
}

/// A mount point that an image whose processes are not root may write to.
pub(super) fn writable_mount_point() -> Result<Vec<u8>> {
    mount_point(0o1777)
}

/// The mount point, with these permissions.
pub(super) fn mount_point(mode: u32) -> Result<Vec<u8>> {
    let mut archive = Archive::new();
    archive.directory(MOUNT, mode)?;
    archive.finish()
}

/// What must be there before the first start: the verifier, readable for whoever the entrypoint
/// starts as; and where that is not root, a mount point it may write to.
fn first_start_files(verifier: &str, image: &Image) -> Result<Vec<u8>> {
    let mut archive = Archive::new();
    if !image.starts_as_root {
        archive.directory(MOUNT, 0o1777)?;
    }
    archive.file(
        VERIFIER,
        verifier.as_bytes(),
        if image.starts_as_root { 0o400 } else { 0o444 },
    )?;
    archive.finish()
}

/// A tar archive of root's files.
pub(super) struct Archive(tar::Builder<Vec<u8>>);

impl Archive {
    pub(super) fn new() -> Self {
        Archive(tar::Builder::new(Vec::new()))
    }

    fn directory(&mut self, path: &str, mode: u32) -> Result<()> {
        self.entry(path, tar::EntryType::Directory, &[], mode)
    }

    pub(super) fn file(&mut self, path: &str, content: &[u8], mode: u32) -> Result<()> {
        self.entry(path, tar::EntryType::Regular, content, mode)
    }

    fn entry(&mut self, path: &str, kind: tar::EntryType, content: &[u8], mode: u32) -> Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        self.0
            .append_data(&mut header, path.trim_start_matches('/'), content)
            .map_err(|error| packing_failed(&error))
    }

    pub(super) fn finish(self) -> Result<Vec<u8>> {
        self.0.into_inner().map_err(|error| packing_failed(&error))
    }
}

fn packing_failed(error: &std::io::Error) -> Error {
    Error::new(Kind::Unexpected, "cannot pack files for the container").because(error)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::spec::{Durability, MadeWith, Owner};

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
            role: Role::Instance,
            spec: &spec,
            port: Some(15_432),
            verifier: Some("SCRAM-SHA-256$secret"),
        };
        let generation = Generation {
            handle: "volume".into(),
            owner: owner.clone(),
            number: 1,
            created: None,
            made_with: MadeWith::of(&spec, EngineKind::Docker),
            origin: None,
        };
        let body = body(&launch, &container_name(&launch), &generation, &image());
        let text = serde_json::to_string(&body).unwrap();
        assert!(!text.contains("SCRAM"), "{text}");
        assert!(text.contains("POSTGRES_PASSWORD_FILE=/etc/devdb-password"), "{text}");
        assert!(text.contains(r#""HostIp":"127.0.0.1","HostPort":"15432""#), "{text}");
        let host = body.host_config.unwrap();
        assert!(host.tmpfs.unwrap().contains_key("/var/lib/postgresql/data"));
        assert_eq!(host.mounts.unwrap().len(), 1);
        assert_eq!(host.restart_policy.unwrap().name, Some(RestartPolicyNameEnum::UNLESS_STOPPED));
    }

    #[test]
    fn settings_become_arguments_of_postgres() {
        let command = command(&spec());
        assert_eq!(command[0], "postgres");
        assert!(command.windows(2).any(|pair| pair == ["-c", "log_statement=ddl"]), "{command:?}");
    }

    #[test]
    fn the_verifier_is_for_root_alone_where_the_image_starts_as_root() {
        let archive = first_start_files("v", &image()).unwrap();
        let mut archive = tar::Archive::new(archive.as_slice());
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.header().mode().unwrap(), 0o400);
        assert_eq!(entry.path().unwrap().to_str(), Some("etc/devdb-password"));
    }
}
