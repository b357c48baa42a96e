//! Generations: named volumes.

use std::time::{Duration, Instant};

use bollard::models::{ContainerCreateBody, Volume, VolumeCreateRequest};
use bollard::query_parameters::{ListVolumesOptionsBuilder, RemoveVolumeOptions};
use chrono::Utc;

use super::container::Evict;
use super::label::{self, Mark, Object, Reading};
use super::launch::{Created, missing_image, mounts};
use super::{Docker, failure};
use crate::engine::{Generation, Role};
use crate::error::{Error, Kind, Result};
use crate::spec::{EngineKind, MadeWith, Owner, ServerSpec};

/// How long a container that holds a volume may take to appear.
const HELPER_PATIENCE: Duration = Duration::from_secs(10);

/// A container that mounts a volume and is not started.
pub(super) struct Mounted {
    pub(super) id: String,
    pub(super) name: String,
    /// Another was there before, and may have filled the volume.
    pub(super) displaced: bool,
}

impl Docker {
    /// Every generation devdb made here, of one instance or of all. Those of a newer devdb are
    /// left out, unless they belong to the instance asked for.
    ///
    /// # Errors
    /// `NoEngine` when the daemon does not answer.
    pub async fn generations(&self, key: Option<&str>) -> Result<Vec<Generation>> {
        let options = ListVolumesOptionsBuilder::new().filters(&label::filter(key)).build();
        let answer = self
            .client
            .list_volumes(Some(options))
            .await
            .map_err(|refusal| self.failed(&refusal, "cannot list volumes"))?;
        let mut generations = Vec::new();
        for volume in answer.volumes.unwrap_or_default() {
            match read(&volume) {
                Reading::Ours(generation) => generations.push(generation),
                Reading::Newer if key.is_some() => {
                    return Err(label::too_new(Object::Volume, &volume.name));
                }
                Reading::Newer | Reading::Foreign => {}
            }
        }
        generations.sort_by(|a, b| (&a.owner, a.number).cmp(&(&b.owner, b.number)));
        Ok(generations)
    }

    /// Makes an empty, labelled volume.
    ///
    /// # Errors
    /// `NotOurs` when another volume has its name; `Unexpected` when it exists already.
    pub async fn create_generation(
        &self,
        owner: &Owner,
        number: u32,
        spec: &ServerSpec,
    ) -> Result<Generation> {
        self.make_volume(owner, number, spec, None).await
    }

    /// The same, to be filled with the golden state of that fingerprint.
    pub(super) async fn make_volume(
        &self,
        owner: &Owner,
        number: u32,
        spec: &ServerSpec,
        origin: Option<&str>,
    ) -> Result<Generation> {
        let name = owner.generation_name(number);
        if self.generation(&name).await?.is_some() {
            return Err(Error::new(
                Kind::Unexpected,
                format!("the volume \"{name}\" exists already"),
            ));
        }
        let made_with = MadeWith::of(spec, EngineKind::Docker);
        let labels = label::of_volume(owner, number, &made_with, Utc::now(), origin);
        let request = VolumeCreateRequest {
            name: Some(name.clone()),
            labels: Some(labels.clone()),
            ..Default::default()
        };
        let volume = self.client.create_volume(request).await.map_err(|refusal| {
            self.failed(&refusal, format!("cannot create the volume \"{name}\""))
        })?;
        // Asked to create a volume that exists, Docker returns that one with its own labels. Ours
        // carry the time of creation, so a volume that somebody made meanwhile is recognised.
        match read(&volume) {
            Reading::Ours(generation) if volume.labels == labels => Ok(generation),
            Reading::Ours(_) => Err(Error::new(
                Kind::Unexpected,
                format!("another devdb created the volume \"{name}\" at the same time"),
            )),
            Reading::Newer => Err(label::too_new(Object::Volume, &name)),
            Reading::Foreign => Err(label::not_ours(Object::Volume, &name)),
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

    /// Removes a generation's data for good. Nothing happens if it is gone already.
    ///
    /// # Errors
    /// `NotOurs` without the labels; `Unexpected` while a container uses it.
    pub async fn remove_generation(&self, generation: &Generation) -> Result<()> {
        self.send_away_generation(generation, Duration::MAX).await.map(drop)
    }

    /// See [`crate::engine::Engine::send_away_generation`]: the daemon carries out a removal that it
    /// has begun.
    ///
    /// # Errors
    /// As [`Docker::remove_generation`].
    pub async fn send_away_generation(
        &self,
        generation: &Generation,
        patience: Duration,
    ) -> Result<bool> {
        let name = &generation.handle;
        if self.generation(name).await?.is_none() {
            return Ok(true);
        }
        let deadline = Instant::now() + HELPER_PATIENCE;
        loop {
            let removing = self.client.remove_volume(name, None::<RemoveVolumeOptions>);
            let Ok(removed) = tokio::time::timeout(patience, removing).await else {
                return Ok(false);
            };
            match removed {
                Ok(()) => return Ok(true),
                Err(refusal) if failure::is_missing(&refusal) => return Ok(true),
                // A daemon whose client was killed while it filled the volume makes the container
                // for that all the same, late.
                Err(refusal)
                    if failure::status(&refusal) == Some(409)
                        && Instant::now() < deadline
                        && self.remove_helpers(generation).await? =>
                {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(refusal) => {
                    let what = format!("cannot remove the volume \"{name}\"");
                    return Err(self.failed(&refusal, what));
                }
            }
        }
    }

    /// Removes containers that were made to look into a generation's volume, or to fill it, and
    /// never started. False when something else uses it.
    async fn remove_helpers(&self, generation: &Generation) -> Result<bool> {
        let servers = self.servers(Some(&generation.owner.key())).await?;
        let of_it = servers.iter().filter(|server| server.generation == generation.number);
        if of_it.clone().any(|server| server.role == Role::Instance || server.is_running()) {
            return Ok(false);
        }
        for helper in of_it {
            self.remove_server(helper).await?;
        }
        Ok(true)
    }

    /// The generation of that name, none if there is no such volume.
    pub(super) async fn generation(&self, name: &str) -> Result<Option<Generation>> {
        let volume = match self.client.inspect_volume(name).await {
            Ok(volume) => volume,
            Err(refusal) if failure::is_missing(&refusal) => return Ok(None),
            Err(refusal) => {
                return Err(self.failed(&refusal, format!("cannot inspect the volume \"{name}\"")));
            }
        };
        match read(&volume) {
            Reading::Ours(generation) => Ok(Some(generation)),
            Reading::Newer => Err(label::too_new(Object::Volume, name)),
            Reading::Foreign => Err(label::not_ours(Object::Volume, name)),
        }
    }
}

fn read(volume: &Volume) -> Reading<Generation> {
    label::read_volume(&volume.name, &volume.labels)
}
