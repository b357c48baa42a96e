//! The docker engine: any daemon that speaks the Docker API, 1.41 or newer, on this machine.
//!
//! A generation is a named volume, a server a container; both carry the labels of [`label`].
//! PGDATA lies in a volume of devdb's own at `/devdb`, outside every VOLUME of the image, and
//! over each of those lies a tmpfs, so that no anonymous volume ever appears.
//!
//! bollard is known here and nowhere else. It sends requests without a version, so the daemon
//! answers each in its own newest; nothing here needs more than 1.41.

mod attached;
mod container;
mod daemon;
mod exec;
mod failure;
mod files;
mod generation;
mod golden;
mod helper;
mod image;
mod label;
mod owned;
mod private;
mod server;
mod snapshot;
mod transfer;

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::OnceCell;

pub use daemon::{Candidate, Discovery, DockerEnvironment, discover, discover_all};
pub use image::{Image, PrepareError, PullFailure};
pub use private::PrivateServer;

use self::daemon::Standpoint;
use crate::error::{Error, Kind, Result};
use crate::spec::digest;

/// The oldest API that has all devdb asks for: Docker 20.10's.
const OLDEST_API: (u32, u32) = (1, 41);

/// Where a generation's volume is mounted.
const MOUNT: &str = "/devdb";
/// The data directory in it. A directory below the mount point, because initdb refuses one that
/// is not empty, and a fresh file system may hold a `lost+found`.
const PGDATA: &str = "/devdb/pgdata";

/// A daemon that answered. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Docker {
    client: bollard::Docker,
    /// As a person would write it into `DOCKER_HOST`.
    address: String,
    /// Where the Docker command line keeps its configuration, with the registry logins.
    config_dir: Option<PathBuf>,
    /// What the daemon said about itself, asked once.
    version: Arc<OnceCell<Version>>,
    /// The daemon's machine, when it is another one.
    remote: Option<String>,
    standpoint: Arc<OnceCell<Standpoint>>,
}

/// What a daemon says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The engine's own version: `20.10.24`.
    pub engine: String,
    /// The newest API it speaks: `1.41`.
    pub api: String,
    /// Whether it is Podman.
    pub is_podman: bool,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = if self.is_podman { "Podman" } else { "Docker" };
        write!(f, "{name} {}, API {}", self.engine, self.api)
    }
}

impl Version {
    /// # Errors
    /// `NoEngine` when the daemon is too old for devdb.
    fn check(&self) -> Result<()> {
        let mut parts = self.api.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let api = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        if api >= OLDEST_API {
            return Ok(());
        }
        let (major, minor) = OLDEST_API;
        Err(Error::new(Kind::NoEngine, format!("{self} is too old for devdb"))
            .because(format!("devdb needs API {major}.{minor} (Docker 20.10) or newer"))
            .hint("update the Docker engine"))
    }
}

impl Docker {
    /// Where it listens, as a person would write it into `DOCKER_HOST`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What the daemon says about itself. Slow (10–20 ms: it runs programs to find out), so no
    /// part of the fast path.
    ///
    /// # Errors
    /// `NoEngine` when it does not answer.
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
    /// `NoEngine` when it does not answer, `Unexpected` when it does not say.
    pub async fn clock(&self) -> Result<DateTime<Utc>> {
        let info = self.client.info().await;
        let info =
            info.map_err(|refusal| self.failed(&refusal, "cannot ask the engine for its time"))?;
        info.system_time
            .and_then(|text| text.to_string().parse().ok())
            .ok_or_else(|| Error::new(Kind::Unexpected, "the engine does not tell its time"))
    }

    /// The daemon's own stable id: of its own id and its storage directory, because two daemons of
    /// one machine share the first. Podman makes up a new id for each answer; for it the host's
    /// name takes its place.
    ///
    /// # Errors
    /// `NoEngine` when it does not answer.
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
    }
}
