//! Images: devdb checks that an image is present, and that it follows the conventions of the
//! official `postgres` image.

mod credentials;
mod pull;
mod registry;

use bollard::models::ImageInspect;

pub use pull::PullFailure;

use super::{Docker, failure};
use crate::error::{Error, Kind, Result};
use crate::event::Events;
use crate::spec::ServerSpec;

/// An image that is on the daemon's machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its content-addressed id: `sha256:…`.
    pub id: String,
    /// Its size in bytes, if the daemon reports it.
    pub bytes: Option<u64>,
    /// The major version of PostgreSQL. The official image sets it as `PG_MAJOR` in its
    /// environment.
    pub major: Option<u16>,
    /// Its operating system and processor: `linux/amd64`.
    pub machine: String,
    /// The entrypoint: the program that starts the image's command.
    pub(crate) entrypoint: Vec<String>,
    /// The directories that the image declares as VOLUME.
    pub(crate) volumes: Vec<String>,
    /// Whether its processes start as root, like those of the official image.
    pub(crate) starts_as_root: bool,
    exposes_postgres: bool,
}

/// The reason why no server can be launched from an image. With `auto`, `pull` decides whether
/// another engine may be used instead.
#[derive(Debug)]
pub struct PrepareError {
    /// How the pull failed. None when something else failed.
    pub pull: Option<PullFailure>,
    /// The error to show.
    pub error: Error,
}

impl From<Error> for PrepareError {
    fn from(error: Error) -> Self {
        PrepareError { pull: None, error }
    }
}

impl Docker {
    /// Makes sure that the image is present and fits `spec`. It pulls the image if it is missing.
    ///
    /// # Errors
    /// `Image` when the image cannot be pulled or is no PostgreSQL, `Config` when it contains
    /// another major version, `NoEngine` when the daemon is too old or does not answer.
    pub async fn prepare(&self, spec: &ServerSpec, events: &Events) -> Result<()> {
        self.prepare_detailed(spec, events).await.map_err(|failure| failure.error)
    }

    /// Does the same as [`Docker::prepare`], and also reports how a pull failed. Dropping the
    /// future ends the pull.
    ///
    /// # Errors
    /// The errors of [`Docker::prepare`].
    pub async fn prepare_detailed(
        &self,
        spec: &ServerSpec,
        events: &Events,
    ) -> Result<(), PrepareError> {
        let (version, image) = tokio::join!(self.version(), self.inspect_image(&spec.image));
        version?.check()?;
        let image = match image? {
            Some(image) => image,
            None => self.pull(&spec.image, events).await?,
        };
        Ok(image.check(spec)?)
    }

    /// Finds an image by its reference. None when the image is not on the daemon's machine.
    ///
    /// # Errors
    /// `Config` when the reference is malformed, `NoEngine` when the daemon does not answer.
    pub async fn inspect_image(&self, reference: &str) -> Result<Option<Image>> {
        match self.client.inspect_image(reference).await {
            Ok(inspected) => Ok(Some(Image::from(inspected))),
            Err(refusal) if failure::is_missing(&refusal) => Ok(None),
            Err(refusal) => {
                let error =
                    self.failed(&refusal, format!("cannot inspect the image \"{reference}\""));
                Err(match failure::status(&refusal) {
                    Some(400) => error.with_kind(Kind::Config),
                    _ => error,
                })
            }
        }
    }

    /// Checks that the registry has the image. The daemon asks the registry and pulls nothing.
    ///
    /// # Errors
    /// The answer of the registry, or the reason why the daemon cannot reach it.
    pub async fn registry_has(&self, reference: &str) -> Result<()> {
        match self.client.inspect_registry_image(reference, None).await {
            Ok(_) => Ok(()),
            Err(refusal) => Err(Error::new(Kind::Image, failure::text(&refusal))),
        }
    }
}

impl Image {
    fn check(&self, spec: &ServerSpec) -> Result<()> {
        let reference = &spec.image;
        match self.major {
            Some(major) if major != spec.major => Err(Error::new(
                Kind::Config,
                format!(
                    "the image \"{reference}\" holds PostgreSQL {major}, but postgres.version is {}",
                    spec.major
                ),
            )
            .hint(format!(
                "set postgres.version to {major}, or postgres.image to an image of {} (devdb config \
                 shows where each is set)",
                spec.major
            ))),
            None if !self.exposes_postgres => Err(Error::new(
                Kind::Image,
                format!("the image \"{reference}\" is no PostgreSQL"),
            )
            .because("it neither exposes port 5432 nor sets PG_MAJOR, as the official image does")
            .hint("set postgres.image to an image made from the official one, such as postgres:15")),
            _ => Ok(()),
        }
    }
}

impl From<ImageInspect> for Image {
    fn from(inspected: ImageInspect) -> Self {
        let config = inspected.config.unwrap_or_default();
        let major = config
            .env
            .unwrap_or_default()
            .iter()
            .find_map(|entry| entry.strip_prefix("PG_MAJOR=")?.split('.').next()?.parse().ok());
        Image {
            id: inspected.id.unwrap_or_default(),
            bytes: inspected.size.and_then(|size| u64::try_from(size).ok()),
            machine: format!(
                "{}/{}",
                inspected.os.unwrap_or_default(),
                inspected.architecture.unwrap_or_default()
            ),
            major,
            entrypoint: config.entrypoint.unwrap_or_default(),
            volumes: config.volumes.unwrap_or_default(),
            starts_as_root: matches!(
                config.user.as_deref().unwrap_or_default().split(':').next(),
                Some("" | "root" | "0") | None
            ),
            exposes_postgres: config
                .exposed_ports
                .unwrap_or_default()
                .iter()
                .any(|port| port == super::CONTAINER_PORT),
        }
    }
}

pub(crate) fn missing_image(reference: &str) -> Error {
    Error::new(Kind::Image, format!("the image \"{reference}\" is not there"))
        .because("somebody removed it meanwhile")
        .hint("run the command again, which pulls it")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bollard::models::ImageConfig;

    use super::*;
    use crate::spec::Durability;

    fn image(config: ImageConfig) -> Image {
        Image::from(ImageInspect { config: Some(config), ..Default::default() })
    }

    fn spec(major: u16) -> ServerSpec {
        ServerSpec {
            major,
            image: "db:x".into(),
            image_chosen: true,
            bin_dir: None,
            database: "app".into(),
            user: "postgres".into(),
            settings: BTreeMap::new(),
            extensions: Vec::new(),
            durability: Durability::Full,
            idle: None,
        }
    }

    #[test]
    fn another_major_version_names_both() {
        let image = image(ImageConfig {
            env: Some(vec!["PG_MAJOR=16".into()]),
            user: Some("postgres".into()),
            ..Default::default()
        });
        assert!(!image.starts_as_root);
        let error = image.check(&spec(15)).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.message().contains("16") && error.message().contains("15"));
        assert!(image.check(&spec(16)).is_ok());
    }

    #[test]
    fn a_stranger_is_no_postgresql() {
        let error = image(ImageConfig::default()).check(&spec(15)).unwrap_err();
        assert_eq!(error.kind(), Kind::Image);
        let exposing = image(ImageConfig {
            exposed_ports: Some(vec!["5432/tcp".into()]),
            ..Default::default()
        });
        assert!(exposing.starts_as_root);
        assert!(exposing.check(&spec(15)).is_ok());
    }
}
