//! Golden states as images: `devdb/golden:<fingerprint>`, layered on each other and at last on the
//! image of the server. Such an image is only ever copied from: instances run the server's own.

use std::collections::HashMap;

use bollard::models::{ContainerConfig, ContainerCreateBody, ImageSummary};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder,
};
use chrono::Utc;

use super::image::Image;
use super::label::{self, GOLDEN, Mark};
use super::launch::{missing_image, mounts};
use super::{Docker, failure};
use crate::engine::golden::LABEL_SCHEMA;
use crate::engine::{Generation, GoldenLabel, GoldenState, Platform, Role, Server};
use crate::error::{Kind, Result, ResultExt};
use crate::spec::{Owner, ServerSpec};

/// The repository of golden states.
pub(super) const REPOSITORY: &str = "devdb/golden";

impl Docker {
    /// The image's reference and machine, and its id.
    ///
    /// # Errors
    /// `Image` when it is not there.
    pub async fn platform(&self, spec: &ServerSpec) -> Result<Platform> {
        let image = self.inspect_image(&spec.image).await?;
        let image = image.ok_or_else(|| missing_image(&spec.image))?;
        let name = format!("{} {}", spec.image, image.machine);
        Ok(Platform { name, exact: image.id, machine: image.machine })
    }

    /// Every golden state.
    ///
    /// # Errors
    /// `NoEngine` when the daemon does not answer.
    pub async fn golden_states(&self) -> Result<Vec<GoldenState>> {
        let filter = HashMap::from([("label".to_owned(), vec![GOLDEN.to_owned()])]);
        let options = ListImagesOptionsBuilder::new().all(true).filters(&filter).build();
        let listed = self
            .client
            .list_images(Some(options))
            .await
            .map_err(|refusal| self.failed(&refusal, "cannot list images"))?;
        let sizes: HashMap<&str, i64> =
            listed.iter().map(|image| (image.id.as_str(), image.size)).collect();
        Ok(listed.iter().filter_map(|image| golden_state(image, &sizes)).collect())
    }

    /// Makes an image of a builder's file system.
    pub(super) async fn commit(
        &self,
        server: &Server,
        image: &Image,
        label: &GoldenLabel,
        pause: bool,
    ) -> Result<GoldenState> {
        let reference = format!("{REPOSITORY}:{}", label.name());
        let what = || format!("cannot publish the golden state \"{reference}\"");
        let text = serde_json::to_string(label).or_fail(Kind::Unexpected, what)?;
        let options = CommitContainerOptionsBuilder::new()
            .container(&server.handle)
            .repo(REPOSITORY)
            .tag(&label.name())
            .pause(pause)
            .build();
        // What is not said here the image inherits from the container: its labels too, which do
        // not count on an object of another name.
        let config = ContainerConfig {
            entrypoint: Some(image.entrypoint.clone()),
            cmd: Some(vec!["postgres".to_owned()]),
            labels: Some(HashMap::from([(GOLDEN.to_owned(), text)])),
            ..Default::default()
        };
        let before = image.bytes.unwrap_or_default();
        let committed = self.client.commit_container(options, config).await;
        let id = committed.map_err(|refusal| self.failed(&refusal, what()))?.id;
        let after = self.inspect_image(&id).await?.and_then(|image| image.bytes);
        let bytes = after.unwrap_or_default().saturating_sub(before);
        Ok(GoldenState { handle: reference, label: label.clone(), bytes })
    }

    /// Makes a volume that is a copy of a golden state.
    ///
    /// Docker fills an empty volume when a container that mounts it over a directory of its image
    /// is created. That container is never started, and removed.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn clone_golden(
        &self,
        state: &GoldenState,
        owner: &Owner,
        number: u32,
        spec: &ServerSpec,
    ) -> Result<Generation> {
        let origin = Some(state.label.fingerprint.as_str());
        let generation = self.make_volume(owner, number, spec, origin).await?;
        match self.fill(&generation, state).await {
            Ok(()) => Ok(generation),
            Err(error) => {
                // Half filled, it would never be filled again. The first failure is the one to tell.
                let _ = self.remove_generation(&generation).await;
                Err(error)
            }
        }
    }

    async fn fill(&self, generation: &Generation, state: &GoldenState) -> Result<()> {
        let image = self.inspect_image(&state.handle).await?;
        let image = image.ok_or_else(|| missing_image(&state.handle))?;
        let name = format!("{}-filler", generation.handle);
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
            image: Some(state.handle.clone()),
            labels: Some(label::of_container(&name, &mark)),
            host_config: Some(mounts(&generation.handle, labels, &image, false)),
            ..Default::default()
        };
        let id = self.create(&name, body).await?;
        self.remove_container(&id, &name).await
    }

    /// Removes the image's name, and its layers that no other image is built on.
    ///
    /// # Errors
    /// `Unexpected` while a container is made of it.
    pub async fn remove_golden(&self, state: &GoldenState) -> Result<()> {
        let options = RemoveImageOptionsBuilder::new().build();
        match self.client.remove_image(&state.handle, Some(options), None).await {
            Ok(_) => Ok(()),
            Err(refusal) if failure::is_missing(&refusal) => Ok(()),
            Err(refusal) => Err(self
                .failed(&refusal, format!("cannot remove the golden state \"{}\"", state.handle))),
        }
    }
}

/// An image that carries a golden state's label and name; a layer that lost its name is none.
fn golden_state(image: &ImageSummary, sizes: &HashMap<&str, i64>) -> Option<GoldenState> {
    let label: GoldenLabel = serde_json::from_str(image.labels.get(GOLDEN)?).ok()?;
    let handle = format!("{REPOSITORY}:{}", label.name());
    if label.schema > LABEL_SCHEMA || !image.repo_tags.contains(&handle) {
        return None;
    }
    let below = sizes.get(image.parent_id.as_str()).copied().unwrap_or_default();
    Some(GoldenState {
        handle,
        bytes: u64::try_from(image.size - below).unwrap_or_default(),
        label,
    })
}
