//! Generations: named volumes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bollard::errors::Error as Refusal;
use bollard::models::{Volume, VolumeCreateRequest};
use bollard::query_parameters::{
    ListVolumesOptions, ListVolumesOptionsBuilder, RemoveVolumeOptions,
};
use chrono::{SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::container::Mounted;
use super::files::Archive;
use super::label::{self, Object, Reading};
use super::{Docker, failure};
use crate::engine::{Generation, Role, Server};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::spec::{EngineKind, MadeWith, Owner, ServerSpec};

/// How long devdb waits for a container that holds the volume and appears late: 10 seconds. A busy
/// daemon makes it for a command that was killed.
const LATE_HELPER_DEADLINE: Duration = Duration::from_secs(10);

/// How often the daemon is asked to measure. It gives up on a volume when a file disappears
/// meanwhile, as the temporary files of a running server do.
const MEASURING_TRIES: usize = 5;

/// How long devdb waits while the daemon measures for another client: 60 seconds.
const MEASURING_DEADLINE: Duration = Duration::from_secs(60);

/// The mark's path inside a container.
const COMPLETE: &str = "/devdb/complete";

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

    /// Makes a generation's volume, empty and labelled. `origin` is the fingerprint of the golden
    /// state that it is going to be filled with.
    ///
    /// # Errors
    /// `NotOurs` when another volume has its name; `Unexpected` when it exists already.
    pub(super) async fn create_generation(
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

    /// Removes a generation's data for good. Nothing happens if it is gone already.
    ///
    /// # Errors
    /// `NotOurs` without the labels; `Unexpected` while a container uses it.
    pub async fn remove_generation(&self, generation: &Generation) -> Result<()> {
        self.remove_generation_within(generation, Duration::MAX).await.map(drop)
    }

    /// See [`crate::engine::Engine::remove_generation_within`]: the daemon carries out a removal that it
    /// has begun.
    ///
    /// # Errors
    /// As [`Docker::remove_generation`].
    pub async fn remove_generation_within(
        &self,
        generation: &Generation,
        patience: Duration,
    ) -> Result<bool> {
        let name = &generation.handle;
        if self.generation(name).await?.is_none() {
            return Ok(true);
        }
        let deadline = Instant::now() + LATE_HELPER_DEADLINE;
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

    /// Whether a generation carries the mark: read through a throw-away container, which is
    /// created, never started, and removed.
    ///
    /// # Errors
    /// `Image` when the image is not there to make the container from.
    pub async fn is_complete(&self, generation: &Generation, spec: &ServerSpec) -> Result<bool> {
        if self.generation(&generation.handle).await?.is_none() {
            return Ok(false);
        }
        let Mounted { id, name, .. } = self.mount(generation, &spec.image, true).await?;
        let read = self.read_file(&id, COMPLETE).await;
        self.remove_container(&id, &name).await?;
        // What cannot be read is no mark.
        let mark: Option<Completion> = read?.and_then(|text| serde_json::from_slice(&text).ok());
        Ok(mark.is_some_and(|mark| {
            mark.owner == generation.owner && mark.generation == generation.number
        }))
    }

    /// Marks the generation of a server as complete.
    pub(super) async fn mark_complete(&self, server: &Server) -> Result<()> {
        let text = mark_of(&server.owner, server.generation)?;
        let mut archive = Archive::new();
        archive.file(COMPLETE, text.as_bytes(), 0o644)?;
        self.upload(&server.handle, &server.name, archive.finish()?).await
    }

    /// Bytes of every generation, of one instance or of all, by handle; without those that the
    /// daemon does not know the size of. The daemon walks through the files: slow.
    ///
    /// # Errors
    /// `NoEngine` when the daemon does not answer.
    pub async fn sizes(&self, key: Option<&str>) -> Result<BTreeMap<String, u64>> {
        let mut known = BTreeMap::new();
        for _ in 0..MEASURING_TRIES {
            let mut is_all = true;
            for volume in self.measured_volumes().await? {
                let Reading::Ours(generation) = label::read_volume(&volume.name, &volume.labels)
                else {
                    continue;
                };
                if key.is_some_and(|key| generation.owner.key() != key) {
                    continue;
                }
                match volume.usage_data.and_then(|usage| u64::try_from(usage.size).ok()) {
                    Some(bytes) => drop(known.insert(generation.handle, bytes)),
                    None => is_all &= known.contains_key(&generation.handle),
                }
            }
            if is_all {
                break;
            }
        }
        Ok(known)
    }

    async fn measured_volumes(&self) -> Result<Vec<Volume>> {
        let what = "cannot ask the engine for the sizes of volumes";
        // bollard cannot write `type=volume`, without which images are measured too.
        let client = self.client.clone().with_request_modifier(|mut request| {
            let uri = request.uri().to_string();
            let end = uri.rfind("/system/df").or_else(|| uri.rfind("/volumes"));
            let daemon = end.map_or(uri.as_str(), |end| &uri[..end]);
            if let Ok(uri) = format!("{daemon}/system/df?type=volume&verbose=1").parse() {
                *request.uri_mut() = uri;
            }
            request
        });
        let deadline = Instant::now() + MEASURING_DEADLINE;
        loop {
            match measure(&client).await {
                Ok(volumes) => return Ok(volumes),
                // Daemons before API 1.42 measure for one client at a time and send others away.
                Err(refusal)
                    if failure::text(&refusal).contains("already running")
                        && Instant::now() < deadline =>
                {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(refusal) => return Err(self.failed(&refusal, what)),
            }
        }
    }
}

fn read(volume: &Volume) -> Reading<Generation> {
    label::read_volume(&volume.name, &volume.labels)
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

/// Daemons before API 1.52 answer in a shape that bollard no longer knows. It is that of the list of
/// volumes, so it is read as one. They are asked first: with them it takes longest.
async fn measure(client: &bollard::Docker) -> Result<Vec<Volume>, Refusal> {
    let list = client.list_volumes(None::<ListVolumesOptions>).await?;
    if let Some(volumes) = list.volumes {
        return Ok(volumes);
    }
    let items = client.df(None).await?.volume_usage.and_then(|usage| usage.items);
    let items = items.unwrap_or_default().into_iter();
    Ok(items.filter_map(|item| serde_json::from_value(item).ok()).collect())
}
