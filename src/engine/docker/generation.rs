//! Generations: named volumes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bollard::errors::Error as Refusal;
use bollard::models::{Volume as Listed, VolumeCreateRequest};
use bollard::query_parameters::{
    ListVolumesOptions, ListVolumesOptionsBuilder, RemoveVolumeOptions,
};
use chrono::{SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::container::Mounted;
use super::files::Archive;
use super::helper::{Job, Volume};
use super::label::{self, Object, Reading};
use super::strangers::Stranger;
use super::{Docker, failure};
use crate::db::backup::BackupEnd;
use crate::engine::{COPY, Generation, Numbered, Role, Server};
use crate::error::{Error, Kind, Result, ResultExt, shell_word};
use crate::spec::{Durability, MadeWith, Owner, ServerSpec};

/// How long devdb waits for a container that holds the volume and appears late: 10 seconds. A busy
/// daemon creates a container even after the command that asked for it was killed.
pub(super) const LATE_HELPER_DEADLINE: Duration = Duration::from_secs(10);

/// How often devdb asks the daemon to measure. The daemon gives up on a volume when a file
/// disappears meanwhile, and a running server deletes temporary files.
const MEASURING_TRIES: usize = 5;

/// How long devdb waits while the daemon measures for another client: 60 seconds.
const MEASURING_DEADLINE: Duration = Duration::from_secs(60);

const KEEP: &str = concat!(
    include_str!("scripts/common.sh"),
    include_str!("scripts/copy.sh"),
    include_str!("scripts/keep.sh")
);

/// The path of the completion mark inside a container.
const COMPLETE: &str = "/devdb/complete";

/// The schema version of the completion mark.
const SCHEMA: u32 = 1;

/// The content of the completion mark. It names the generation, because a copied volume carries the
/// mark of the original.
#[derive(Serialize, Deserialize)]
struct Completion {
    schema: u32,
    owner: Owner,
    /// The id of the generation.
    generation: u32,
    /// Its number. Marks of older versions of devdb have none, and there it is the id.
    #[serde(default)]
    number: Option<u32>,
    /// The time in RFC 3339, for people who look into the file.
    completed: String,
}

impl Docker {
    /// Lists the generations that devdb made here, of one instance or of all. It leaves out
    /// generations of a newer devdb, unless they belong to the instance `key`.
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
        generations.sort_by(|a, b| (&a.owner, a.id).cmp(&(&b.owner, b.id)));
        Ok(generations)
    }

    /// Creates an empty, labelled volume for a generation. `origin` is the fingerprint of the
    /// golden state that will fill it.
    ///
    /// # Errors
    /// `NotOurs` when another volume has its name; `Unexpected` when the generation exists already.
    pub(super) async fn create_generation(
        &self,
        owner: &Owner,
        id: u32,
        made_with: &MadeWith,
        origin: Option<&str>,
    ) -> Result<Generation> {
        let name = owner.generation_name(id);
        if self.generation(&name).await?.is_some() {
            return Err(Error::new(
                Kind::Unexpected,
                format!("the volume \"{name}\" exists already"),
            ));
        }
        let labels = label::of_volume(owner, id, made_with, Utc::now(), origin);
        let request = VolumeCreateRequest {
            name: Some(name.clone()),
            labels: Some(labels.clone()),
            ..Default::default()
        };
        let volume = self.client.create_volume(request).await.map_err(|refusal| {
            self.failed(&refusal, format!("cannot create the volume \"{name}\""))
        })?;
        // When the volume exists already, Docker returns it with its own labels. Our labels contain
        // the time of creation, so they differ from the labels of a volume that another command
        // made meanwhile.
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

    /// Copies a generation's volume into the volume of a new generation, in a container.
    ///
    /// # Errors
    /// See [`crate::engine::Engine::copy_generation`].
    pub async fn copy_generation(
        &self,
        from: &Generation,
        new: Numbered,
        spec: &ServerSpec,
        end: Option<impl Future<Output = Result<BackupEnd>>>,
    ) -> Result<Generation> {
        let owner = &from.owner;
        if end.is_none() {
            self.check_only_ours_write(&from.handle).await?;
        }
        let copy = self.create_generation(owner, new.id, &from.made_with, Some(COPY)).await?;
        let how = if end.is_some() { "running" } else { "stopped" };
        let job = Job {
            owner,
            generation: new.id,
            image: &spec.image,
            volumes: vec![
                source(from),
                Volume { at: "/to".into(), read_only: false, ..source(&copy) },
            ],
            script: KEEP,
            arguments: vec![how.to_owned(), sync_word(spec).to_owned(), mark_of(owner, new)?],
        };
        self.with_helper(&job, async |helper| {
            let mut talk = self.talk(helper).await?;
            talk.copied(end).await?;
            talk.end().await
        })
        .await?;
        Ok(copy)
    }

    /// Removes a generation's data for good. Does nothing when the volume is gone already.
    ///
    /// # Errors
    /// `NotOurs` without the labels; `Unexpected` while a container uses the volume.
    pub async fn remove_generation(&self, generation: &Generation) -> Result<()> {
        self.remove_generation_within(generation, Duration::MAX).await.map(drop)
    }

    /// See [`crate::engine::Engine::remove_generation_within`]. The daemon completes a removal that
    /// it has begun.
    ///
    /// # Errors
    /// The errors of [`Docker::remove_generation`].
    pub async fn remove_generation_within(
        &self,
        generation: &Generation,
        patience: Duration,
    ) -> Result<bool> {
        let name = &generation.handle;
        if self.generation(name).await?.is_none() {
            return Ok(true);
        }
        self.let_go(&generation.owner, name).await?;
        let deadline = Instant::now() + LATE_HELPER_DEADLINE;
        loop {
            let removing = self.client.remove_volume(name, None::<RemoveVolumeOptions>);
            let Ok(removed) = tokio::time::timeout(patience, removing).await else {
                return Ok(false);
            };
            match removed {
                Ok(()) => return Ok(true),
                Err(refusal) if failure::is_missing(&refusal) => return Ok(true),
                // When a client is killed while it fills the volume, the daemon may still create
                // the container for that later.
                Err(refusal)
                    if failure::status(&refusal) == Some(409)
                        && Instant::now() < deadline
                        && self.remove_helpers(generation).await? =>
                {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(refusal) => {
                    let what = format!("cannot remove the volume \"{name}\"");
                    let error = self.failed(&refusal, what);
                    let users = self.strangers(name).await.unwrap_or_default();
                    let hint = |user: &Stranger| {
                        let user = &user.name;
                        format!(
                            "docker rm -f {}   removes the container that uses it",
                            shell_word(user)
                        )
                    };
                    return Err(users.iter().map(hint).fold(error, Error::hint));
                }
            }
        }
    }

    /// Removes containers that were made to read or fill a generation's volume and were never
    /// started. Returns false when another container uses the volume.
    async fn remove_helpers(&self, generation: &Generation) -> Result<bool> {
        let servers = self.servers(Some(&generation.owner.key())).await?;
        let of_it = servers.iter().filter(|server| server.generation == generation.id);
        if of_it.clone().any(|server| server.role == Role::Instance || server.is_running()) {
            return Ok(false);
        }
        for helper in of_it {
            self.remove_server(helper).await?;
        }
        Ok(true)
    }

    /// Finds a generation by name. None when there is no such volume.
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

    /// The number in the completion mark of a generation. A throw-away container reads the mark;
    /// the container is created, never started, and removed.
    ///
    /// # Errors
    /// `Image` when the image for the container is missing.
    pub async fn number_of(
        &self,
        generation: &Generation,
        spec: &ServerSpec,
    ) -> Result<Option<u32>> {
        if self.generation(&generation.handle).await?.is_none() {
            return Ok(None);
        }
        let Mounted { id, name, .. } = self.mount(generation, &spec.image, true).await?;
        let read = self.read_file(&id, COMPLETE).await;
        self.remove_container(&id, &name).await?;
        // A mark that cannot be read counts as missing.
        let mark: Option<Completion> = read?.and_then(|text| serde_json::from_slice(&text).ok());
        let mark =
            mark.filter(|mark| mark.owner == generation.owner && mark.generation == generation.id);
        Ok(mark.map(|mark| mark.number.unwrap_or(mark.generation)))
    }

    /// Marks the generation of a server as complete.
    pub(super) async fn mark_complete(&self, server: &Server, number: u32) -> Result<()> {
        let text = mark_of(&server.owner, Numbered { id: server.generation, number })?;
        let mut archive = Archive::new();
        archive.file(COMPLETE, text.as_bytes(), 0o644)?;
        self.upload(&server.handle, &server.name, archive.finish()?).await
    }

    /// Measures the generations of one instance or of all: bytes by handle. It leaves out volumes
    /// whose size the daemon does not know. It is slow, because the daemon looks at every file.
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

    async fn measured_volumes(&self) -> Result<Vec<Listed>> {
        let what = "cannot ask the engine for the sizes of volumes";
        // Without `type=volume` the daemon measures images too, and bollard cannot write that
        // parameter.
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
                // Daemons before API 1.42 measure for one client at a time and refuse the others.
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

fn read(volume: &Listed) -> Reading<Generation> {
    label::read_volume(&volume.name, &volume.labels)
}

/// A generation's volume, to mount it at `/from`.
pub(super) fn source(generation: &Generation) -> Volume {
    let Generation { handle, .. } = generation;
    Volume {
        name: handle.clone(),
        labels: label::of_existing(generation, Utc::now()),
        at: "/from".into(),
        read_only: true,
    }
}

/// Tells the script whether to wait for the disk. A copy is as durable as the database.
pub(super) fn sync_word(spec: &ServerSpec) -> &'static str {
    match spec.durability {
        Durability::None => "no-sync",
        Durability::Full | Durability::Relaxed => "sync",
    }
}

/// The text of a generation's completion mark, one line.
pub(super) fn mark_of(owner: &Owner, new: Numbered) -> Result<String> {
    let completion = Completion {
        schema: SCHEMA,
        owner: owner.clone(),
        generation: new.id,
        number: Some(new.number),
        completed: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
    };
    serde_json::to_string(&completion)
        .or_fail(Kind::Unexpected, || "cannot write the mark of completion".into())
}

/// Lists the volumes with their sizes. Daemons before API 1.52 answer in a shape that bollard reads
/// only as a list of volumes. devdb tries this shape first, because these daemons take longest to
/// measure.
async fn measure(client: &bollard::Docker) -> Result<Vec<Listed>, Refusal> {
    let list = client.list_volumes(None::<ListVolumesOptions>).await?;
    if let Some(volumes) = list.volumes {
        return Ok(volumes);
    }
    let items = client.df(None).await?.volume_usage.and_then(|usage| usage.items);
    let items = items.unwrap_or_default().into_iter();
    Ok(items.filter_map(|item| serde_json::from_value(item).ok()).collect())
}
