//! The docker engine: a daemon that speaks the Docker API, version 1.41 or newer. It usually runs
//! on this machine.
//!
//! A generation is a named volume, and a server is a container. Both carry the labels of [`label`].
//! PGDATA lies in a volume of devdb's own at `/devdb`, outside every VOLUME of the image. A tmpfs
//! covers each VOLUME, so that Docker creates no anonymous volume.
//!
//! No other module uses bollard. It sends requests without an API version, so the daemon answers in
//! its newest version. devdb needs nothing newer than 1.41.

mod attached;
mod container;
mod daemon;
mod exec;
mod failure;
mod files;
mod generation;
mod golden;
mod helper;
mod hold;
mod image;
mod label;
mod lock;
mod long;
mod owned;
mod private;
mod server;
mod snapshot;
mod strangers;
mod transfer;

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::OnceCell;

pub use daemon::{
    Candidate, Discovery, DockerEnvironment, discover, discover_all, discover_patiently,
};
pub use image::{Image, PrepareError, PullFailure};
pub use lock::ContainerLock;
pub use private::PrivateServer;

use self::daemon::Standpoint;
use crate::error::{Error, Kind, Result};
use crate::spec::digest;

/// The oldest API version that devdb can use: that of Docker 20.10.
const OLDEST_API: (u32, u32) = (1, 41);

/// Where a generation's volume is mounted.
const MOUNT: &str = "/devdb";
/// The data directory. It lies below the mount point, because initdb needs an empty directory, and
/// a fresh file system may contain a `lost+found`.
const PGDATA: &str = "/devdb/pgdata";

/// PostgreSQL's port inside the container, as the API writes it.
const CONTAINER_PORT: &str = "5432/tcp";

/// A daemon that answered. A clone is cheap.
#[derive(Debug, Clone)]
pub struct Docker {
    client: bollard::Docker,
    /// The address, as in `DOCKER_HOST`.
    address: String,
    /// The directory of the Docker configuration, which contains the registry logins.
    config_dir: Option<PathBuf>,
    /// The daemon's version. devdb asks for it once.
    version: Arc<OnceCell<Version>>,
    /// The host of the daemon, when it is another machine.
    remote: Option<String>,
    standpoint: Arc<OnceCell<Standpoint>>,
}

/// The version of a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The version of the engine: `20.10.24`.
    pub engine: String,
    /// The newest API that the engine speaks: `1.41`.
    pub api: String,
    /// Whether the engine is Podman.
    pub is_podman: bool,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = if self.is_podman { "Podman" } else { "Docker" };
        write!(f, "{name} {}, API {}", self.engine, self.api)
    }
}

impl Version {
    /// Whether `docker volume prune` removes volumes that have a name. From Docker 23 on (API 1.42)
    /// it does so only with `--all`.
    fn prunes_named_volumes(&self) -> bool {
        self.is_podman || self.numbers() < (1, 42)
    }

    fn numbers(&self) -> (u32, u32) {
        let mut parts = self.api.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    }

    /// # Errors
    /// `NoEngine` when the daemon is too old for devdb.
    fn check(&self) -> Result<()> {
        if self.numbers() >= OLDEST_API {
            return Ok(());
        }
        let (major, minor) = OLDEST_API;
        Err(Error::new(Kind::NoEngine, format!("{self} is too old for devdb"))
            .because(format!("devdb needs API {major}.{minor} (Docker 20.10) or newer"))
            .hint("update the Docker engine"))
    }
}

impl Docker {
    /// The daemon's address, as in `DOCKER_HOST`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The daemon's version. It takes 10–20 ms, because the daemon runs programs to find it out. So
    /// the fast path does not ask.
    ///
    /// # Errors
    /// `NoEngine` when the daemon does not answer.
    pub async fn version(&self) -> Result<Version> {
        self.version.get_or_try_init(|| self.ask_version()).await.cloned()
    }

    async fn ask_version(&self) -> Result<Version> {
        let version =
            self.client.version().await.map_err(|refusal| {
                self.failed(&refusal, "cannot ask the engine for its version")
            })?;
        let components = version.components.unwrap_or_default();
        Ok(Version {
            engine: version.version.unwrap_or_default(),
            api: version.api_version.unwrap_or_default(),
            is_podman: components.iter().any(|component| component.name.contains("Podman")),
        })
    }

    /// The time on the daemon's machine.
    ///
    /// # Errors
    /// `NoEngine` when the daemon does not answer, `Unexpected` when its answer contains no time.
    pub async fn clock(&self) -> Result<DateTime<Utc>> {
        let info = self.client.info().await;
        let info =
            info.map_err(|refusal| self.failed(&refusal, "cannot ask the engine for its time"))?;
        info.system_time
            .and_then(|text| text.to_string().parse().ok())
            .ok_or_else(|| Error::new(Kind::Unexpected, "the engine does not tell its time"))
    }

    /// A stable id of the daemon. It is made from the daemon's id and its storage directory,
    /// because two daemons on one machine share the id. Podman reports a new id with each answer,
    /// so the host's name is used for it.
    ///
    /// # Errors
    /// `NoEngine` when the daemon does not answer.
    pub async fn id(&self) -> Result<String> {
        let (info, version) = tokio::join!(self.client.info(), self.version());
        let info =
            info.map_err(|refusal| self.failed(&refusal, "cannot ask the engine for its id"))?;
        let id = if version?.is_podman { info.name } else { info.id };
        let id = id.filter(|id| !id.is_empty()).ok_or_else(|| {
            Error::new(Kind::NoEngine, format!("the engine at {} has no id", self.address))
        })?;
        Ok(digest([&id, &info.docker_root_dir.unwrap_or_default()])[..32].to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(api: &str) -> Version {
        Version { engine: "x".into(), api: api.into(), is_podman: false }
    }

    #[test]
    fn daemons_older_than_20_10_are_refused() {
        assert!(version("1.41").check().is_ok());
        assert!(version("1.53").check().is_ok());
        assert!(version("2.0").check().is_ok());
        let error = version("1.40").check().unwrap_err();
        assert_eq!(error.kind(), Kind::NoEngine);
        assert!(version("").check().is_err());
        assert!(version("1.41").prunes_named_volumes());
        assert!(!version("1.42").prunes_named_volumes());
    }
}
