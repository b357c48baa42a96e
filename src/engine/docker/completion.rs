//! The mark of a complete generation: a small file in its volume, beside the data directory.

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use chrono::{SecondsFormat, Utc};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};

use super::label::{self, Mark};
use super::launch::{Archive, mounts};
use super::{Docker, failure};
use crate::engine::{Generation, Role, Server};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::spec::{Owner, ServerSpec};

/// The mark's path inside a container.
const PATH: &str = "/devdb/complete";

/// The version of the mark.
const SCHEMA: u32 = 1;

/// What the mark says. A copied volume carries the mark of another generation.
#[derive(Serialize, Deserialize)]
struct Completion {
    schema: u32,
    owner: Owner,
    generation: u32,
    /// When, RFC 3339: for the person who looks.
    completed: String,
}

impl Docker {
    /// Marks the generation of a running server as complete.
    ///
    /// # Errors
    /// When the daemon refuses.
    pub async fn mark_complete(&self, server: &Server) -> Result<()> {
        let text = mark_of(&server.owner, server.generation)?;
        let mut archive = Archive::new();
        archive.file(PATH, text.as_bytes(), 0o644)?;
        self.upload(&server.handle, &server.name, archive.finish()?).await
    }

    /// Whether a generation carries the mark: read through a throw-away container, which is
    /// created, never started, and removed.
    ///
    /// # Errors
    /// `Image` when the image is not there to make the container from.
    pub async fn is_complete(&self, generation: &Generation, spec: &ServerSpec) -> Result<bool> {
        if self.generation(&generation.handle).await?.is_none() {
            return Ok(false);
        }
        let image = self.inspect_image(&spec.image).await?.ok_or_else(|| {
            Error::new(Kind::Image, format!("the image \"{}\" is not there", spec.image))
        })?;
        let name = format!("{}-reader", generation.handle);
        if let Some(left) = self.owned(&name).await? {
            self.remove_container(&left.id, &name).await?;
        }
        let mark = Mark {
            owner: generation.owner.clone(),
            generation: generation.number,
            role: Role::Builder,
            launch_digest: String::new(),
            port: None,
        };
        let labels = label::of_existing(generation, Utc::now());
        let body = ContainerCreateBody {
            image: Some(spec.image.clone()),
            labels: Some(label::of_container(&name, &mark)),
            host_config: Some(mounts(&generation.handle, labels, &image, true)),
            ..Default::default()
        };
        let id = self.create(&name, body).await?;
        let read = self.read_completion(&id, &generation.handle).await;
        self.remove_container(&id, &name).await?;
        Ok(read?.is_some_and(|completion| {
            completion.owner == generation.owner && completion.generation == generation.number
        }))
    }

    async fn read_completion(&self, id: &str, volume: &str) -> Result<Option<Completion>> {
        let options = DownloadFromContainerOptionsBuilder::new().path(PATH).build();
        let stream = self.client.download_from_container(id, Some(options));
        let archive: Vec<u8> = match stream.map_ok(|part| part.to_vec()).try_concat().await {
            Ok(archive) => archive,
            Err(refusal) if failure::is_missing(&refusal) => return Ok(None),
            Err(refusal) => {
                return Err(self.failed(&refusal, format!("cannot read the volume \"{volume}\"")));
            }
        };
        Ok(unpack(&archive))
    }
}

/// The text of a generation's mark, one line.
pub(super) fn mark_of(owner: &Owner, generation: u32) -> Result<String> {
    let completion = Completion {
        schema: SCHEMA,
        owner: owner.clone(),
        generation,
        completed: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
    };
    serde_json::to_string(&completion)
        .or_fail(Kind::Unexpected, || "cannot write the mark of completion".into())
}

/// What cannot be read is no mark.
fn unpack(archive: &[u8]) -> Option<Completion> {
    let mut archive = tar::Archive::new(archive);
    let entry = archive.entries().ok()?.next()?.ok()?;
    serde_json::from_reader(entry).ok()
}
