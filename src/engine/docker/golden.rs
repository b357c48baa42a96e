//! Golden states as images: `devdb/golden:<fingerprint>`. Each is built on another golden state or
//! on the server's image. devdb only copies from these images; instances run the server's image.

use std::collections::HashMap;

use bollard::models::{ContainerConfig, ImageSummary};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder,
};
use chrono::Utc;

use super::container::Mounted;
use super::image::{Image, missing_image};
use super::label::{self, GOLDEN};
use super::{Docker, failure};
use crate::engine::golden::{LABEL_SCHEMA, unreadable};
use crate::engine::{DamagedGolden, Generation, GoldenLabel, GoldenState, Platform, Server};
use crate::error::{Kind, Result, ResultExt};
use crate::spec::{EngineKind, MadeWith, Owner, ServerSpec};

/// The repository of golden states.
pub(super) const REPOSITORY: &str = "devdb/golden";

/// How many seconds the daemon may take to name a new image. It does that right after the commit.
const NAMELESS_SECONDS: i64 = 10;

impl Docker {
    /// The reference, the machine and the id of the server's image.
    ///
    /// # Errors
    /// `Image` when the image is missing.
    pub async fn platform(&self, spec: &ServerSpec) -> Result<Platform> {
        let image = self.inspect_image(&spec.image).await?;
        let image = image.ok_or_else(|| missing_image(&spec.image))?;
        let name = format!("{} {}", spec.image, image.machine);
        Ok(Platform { name, exact: image.id, machine: image.machine })
    }

    /// Lists the golden states.
    ///
    /// # Errors
    /// `NoEngine` when the daemon does not answer.
    pub async fn golden_states(&self) -> Result<Vec<GoldenState>> {
        Ok(states_among(&self.images().await?))
    }

    /// Lists the images, including those that other images are built on. The size of a golden state
    /// is the size of its image without that of the image below.
    async fn images(&self) -> Result<Vec<ImageSummary>> {
        let options = ListImagesOptionsBuilder::new().all(true).build();
        let listed = self.client.list_images(Some(options)).await;
        listed.map_err(|refusal| self.failed(&refusal, "cannot list images"))
    }

    /// Lists images in the repository of golden states whose label cannot be read.
    ///
    /// # Errors
    /// `NoEngine` when the daemon does not answer.
    pub async fn damaged_golden(&self) -> Result<Vec<DamagedGolden>> {
        Ok(self.images().await?.iter().flat_map(damaged).collect())
    }

    /// Removes an image that [`Docker::damaged_golden`] found.
    ///
    /// # Errors
    /// `Unexpected` while a container uses the image.
    pub async fn remove_damaged(&self, damaged: &DamagedGolden) -> Result<()> {
        self.remove_image(&damaged.handle).await
    }

    /// Removes golden states without a name. Two commands that bake the same state at the same time
    /// leave one, and so does a command that is killed between the two steps of a commit. Young
    /// images stay, because a commit may be about to name them.
    ///
    /// # Errors
    /// `NoEngine` when the daemon does not answer.
    pub async fn sweep_golden(&self) -> Result<()> {
        let young = Utc::now().timestamp() - NAMELESS_SECONDS;
        let images = self.images().await?;
        let is_built_on = |id: &str| images.iter().any(|image| image.parent_id == id);
        let nameless = images.iter().filter(|image| {
            let has_name = image.repo_tags.iter().any(|tag| tag != "<none>:<none>");
            image.labels.contains_key(GOLDEN)
                && !has_name
                && image.created < young
                && !is_built_on(&image.id)
        });
        for image in nameless {
            if let Err(error) = self.remove_image(&image.id).await {
                tracing::debug!("{} stays: {error}", image.id);
            }
        }
        Ok(())
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
        // The image inherits every setting that is missing here from the container.
        let config = ContainerConfig {
            entrypoint: Some(image.entrypoint.clone()),
            cmd: Some(vec!["postgres".to_owned()]),
            labels: Some(label::of_image(text)),
            ..Default::default()
        };
        let images = self.images().await?;
        if let Some(taken) = images.iter().flat_map(damaged).find(|one| one.handle == reference) {
            // The new image would take the name, and nobody would find the damaged image any more.
            self.remove_damaged(&taken).await?;
        }
        let is_it = |state: &GoldenState| {
            state.handle == reference
                && state.label.platform == label.platform
                // An image that is built on more golden states is replaced.
                && state.label.depth <= label.depth
        };
        if let Some(there) = states_among(&images).into_iter().find(is_it) {
            // Another devdb was first, or the commit of a killed devdb has finished. A new image
            // would take the name of that image.
            return Ok(there);
        }
        let before = image.bytes.unwrap_or_default();
        let committed =
            self.long(|client| async move { client.commit_container(options, config).await }).await;
        let id = committed.map_err(|refusal| self.failed(&refusal, what()))?.id;
        let after = self.inspect_image(&id).await?.and_then(|image| image.bytes);
        let bytes = after.unwrap_or_default().saturating_sub(before);
        Ok(GoldenState { handle: reference, label: label.clone(), bytes })
    }

    /// Makes a volume that is a copy of a golden state.
    ///
    /// Docker fills an empty volume when it creates a container that mounts the volume over a
    /// directory of the image. devdb never starts that container, and removes it.
    ///
    /// # Errors
    /// See [`crate::engine::Engine::clone_golden`].
    pub async fn clone_golden(
        &self,
        state: &GoldenState,
        owner: &Owner,
        id: u32,
        spec: &ServerSpec,
    ) -> Result<Generation> {
        let origin = Some(state.label.fingerprint.as_str());
        loop {
            let generation = self
                .create_generation(owner, id, &MadeWith::of(spec, EngineKind::Docker), origin)
                .await?;
            match self.fill(&generation, state).await {
                Ok(true) => return Ok(generation),
                // A late container of another command may have filled the volume with something
                // else.
                Ok(false) => self.remove_generation(&generation).await?,
                Err(error) => {
                    // Docker does not fill a volume that has files already, so remove it. Show the
                    // first failure.
                    let _ = self.remove_generation(&generation).await;
                    return Err(error);
                }
            }
        }
    }

    /// Fills the volume. Returns false when another command may have filled it.
    async fn fill(&self, generation: &Generation, state: &GoldenState) -> Result<bool> {
        let Mounted { id, name, displaced } = self.mount(generation, &state.handle, false).await?;
        self.remove_container(&id, &name).await?;
        Ok(!displaced)
    }

    /// Removes the image's name, and the layers that no other image is built on.
    ///
    /// # Errors
    /// `Unexpected` while a container uses the image.
    pub async fn remove_golden(&self, state: &GoldenState) -> Result<()> {
        self.remove_image(&state.handle).await
    }

    /// Removes a name of an image. Removes the image too when it has no other name and nothing
    /// needs it.
    pub(super) async fn remove_image(&self, reference: &str) -> Result<()> {
        let options = RemoveImageOptionsBuilder::new().build();
        match self.client.remove_image(reference, Some(options), None).await {
            Ok(_) => Ok(()),
            Err(refusal) if failure::is_missing(&refusal) => Ok(()),
            Err(refusal) => {
                Err(self.failed(&refusal, format!("cannot remove the image \"{reference}\"")))
            }
        }
    }
}

fn states_among(images: &[ImageSummary]) -> Vec<GoldenState> {
    let sizes = images.iter().map(|image| (image.id.as_str(), image.size)).collect();
    images.iter().filter_map(|image| golden_state(image, &sizes)).collect()
}

/// Lists the names of an image that are in the repository of golden states, when its label cannot
/// be read. An image without the label belongs to a person.
fn damaged(image: &ImageSummary) -> Vec<DamagedGolden> {
    let Some(text) = image.labels.get(GOLDEN) else { return Vec::new() };
    let Some(why) = unreadable(text) else { return Vec::new() };
    let names = image.repo_tags.iter().filter(|name| name.starts_with(REPOSITORY));
    let named = |name: &String| DamagedGolden { handle: name.clone(), why: why.clone() };
    names.map(named).collect()
}

/// Reads a golden state from an image that carries its label and its name. A layer that lost its
/// name is no golden state.
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
