//! Snapshots: volumes with labels of their own. Each contains a data directory and a manifest
//! beside it.

use std::future::Future;
use std::time::{Duration, Instant};

use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::{ListVolumesOptionsBuilder, RemoveVolumeOptions};
use chrono::{DateTime, Utc};

use super::generation::{LATE_HELPER_DEADLINE, mark_of, source, sync_word};
use super::helper::{Job, Volume};
use super::label::{self, Object, Reading};
use super::{Docker, failure};
use crate::db::backup::BackupEnd;
use crate::disk::sealed;
use crate::engine::{Generation, Holding, Manifest, Numbered, Role, Snapshot, SnapshotName, State};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::spec::{EngineKind, MadeWith, Owner, ServerSpec};

const SAVE: &str = concat!(
    include_str!("scripts/common.sh"),
    include_str!("scripts/copy.sh"),
    include_str!("scripts/save.sh")
);
const RESTORE: &str =
    concat!(include_str!("scripts/common.sh"), include_str!("scripts/restore.sh"));

/// The name of the manifest in the volume.
const MANIFEST: &str = "snapshot.json";

/// See [`crate::engine::Engine`] for the contract of each method.
impl Docker {
    /// Copies a generation's volume in a container, and writes the manifest. The holder is made anew
    /// meanwhile.
    ///
    /// # Errors
    /// See [`crate::engine::Engine::save_snapshot`].
    pub async fn save_snapshot(
        &self,
        generation: &Generation,
        manifest: Manifest,
        holding: &Holding<'_>,
        end: Option<impl Future<Output = Result<BackupEnd>>>,
    ) -> Result<Manifest> {
        let spec = holding.spec;
        let platform = self.platform(spec).await?.machine;
        if end.is_none() {
            self.check_only_ours_write(&generation.handle).await?;
        }
        let target = self.create_snapshot(&generation.owner, &manifest).await?;
        let how = if end.is_some() { "running" } else { "stopped" };
        let job = Job {
            owner: &generation.owner,
            generation: generation.id,
            image: &spec.image,
            volumes: vec![source(generation), target],
            script: SAVE,
            arguments: vec![how.to_owned(), sync_word(spec).to_owned()],
        };
        let saving = self.with_helper(&job, async |helper| {
            let mut talk = self.talk(helper).await?;
            talk.copied(end).await?;
            let disk_bytes = kilobytes(&talk.hear().await?)?;
            let manifest = Manifest { platform, disk_bytes, ..manifest };
            talk.say(&[&one_line(&manifest)?]).await;
            talk.end().await?;
            Ok(manifest)
        });
        let (saved, held) = tokio::join!(saving, self.hold(holding));
        if let Err(error) = held {
            tracing::debug!("the snapshot is not held yet: {error}");
        }
        saved
    }

    /// Reads the manifests through one container, which mounts all snapshots and is never started.
    ///
    /// # Errors
    /// See [`crate::engine::Engine::snapshots`].
    pub async fn snapshots(
        &self,
        owner: &Owner,
        only: Option<&SnapshotName>,
        spec: &ServerSpec,
    ) -> Result<Vec<Snapshot>> {
        let mut volumes = self.snapshot_volumes(owner).await?;
        volumes.retain(|(_, name)| only.is_none_or(|only| only.as_str() == name));
        if volumes.is_empty() {
            return Ok(Vec::new());
        }
        let mounted = |(index, (volume, _)): (usize, &(bollard::models::Volume, String))| Volume {
            name: volume.name.clone(),
            labels: volume.labels.clone(),
            at: place_of(index),
            read_only: true,
        };
        let job = Job {
            owner,
            generation: 0,
            image: &spec.image,
            volumes: volumes.iter().enumerate().map(mounted).collect(),
            script: "",
            arguments: Vec::new(),
        };
        self.with_helper(&job, async |helper| {
            let mut snapshots = Vec::new();
            for (index, (volume, name)) in volumes.iter().enumerate() {
                let file = format!("{}/{MANIFEST}", place_of(index));
                let state = match self.read_file(&helper.id, &file).await? {
                    None => State::Unfinished,
                    Some(text) => match Manifest::parse(&text, name) {
                        Ok(manifest) => State::Complete(Box::new(manifest)),
                        Err(why) => State::Damaged(why),
                    },
                };
                let handle = volume.name.clone();
                snapshots.push(Snapshot {
                    handle,
                    owner: owner.clone(),
                    name: name.clone(),
                    state,
                });
            }
            Ok(snapshots)
        })
        .await
    }

    /// Lists the names of an instance's snapshots.
    ///
    /// # Errors
    /// See [`crate::engine::Engine::snapshot_names`].
    pub async fn snapshot_names(&self, owner: &Owner) -> Result<Vec<String>> {
        Ok(self.snapshot_volumes(owner).await?.into_iter().map(|(_, name)| name).collect())
    }

    /// Reads the dates from the labels of the volumes.
    ///
    /// # Errors
    /// See [`crate::engine::Engine::snapshot_dates`].
    pub async fn snapshot_dates(&self, owner: &Owner) -> Result<Vec<(String, DateTime<Utc>)>> {
        let volumes = self.snapshot_volumes(owner).await?.into_iter();
        Ok(volumes
            .map(|(volume, name)| (name, label::created(&volume.labels).unwrap_or_default()))
            .collect())
    }

    /// Copies a snapshot's volume into the volume of a new generation, and marks the generation as
    /// complete.
    ///
    /// # Errors
    /// See [`crate::engine::Engine::create_generation_from_snapshot`].
    pub async fn create_generation_from_snapshot(
        &self,
        owner: &Owner,
        new: Numbered,
        snapshot: &Snapshot,
        spec: &ServerSpec,
    ) -> Result<Generation> {
        let from = self.snapshot_source(&snapshot.owner, snapshot).await?;
        let generation = self
            .create_generation(owner, new.id, &MadeWith::of(spec, EngineKind::Docker), None)
            .await?;
        let job = Job {
            owner,
            generation: new.id,
            image: &spec.image,
            volumes: vec![
                from,
                Volume { at: "/to".into(), read_only: false, ..source(&generation) },
            ],
            script: RESTORE,
            arguments: vec![sync_word(spec).to_owned(), mark_of(owner, new)?],
        };
        self.with_helper(&job, async |helper| self.talk(helper).await?.end().await).await?;
        Ok(generation)
    }

    /// Removes a snapshot's volume, and the container that may still work on it.
    ///
    /// # Errors
    /// See [`crate::engine::Engine::remove_snapshot`].
    pub async fn remove_snapshot(&self, owner: &Owner, name: &str) -> Result<()> {
        let helper = label::helper_name(owner);
        if let Some(left) = self.owned(&helper).await?
            && left.mark.role == Role::Builder
        {
            self.remove_container(&left.id, &helper).await?;
        }
        for (volume, found) in self.snapshot_volumes(owner).await? {
            if found != name {
                continue;
            }
            self.remove_held_volume(owner, &volume.name).await?;
        }
        Ok(())
    }

    /// Removes a volume that the holder may mount. A holder that an interrupted command asked for may
    /// appear late.
    async fn remove_held_volume(&self, owner: &Owner, name: &str) -> Result<()> {
        let deadline = Instant::now() + LATE_HELPER_DEADLINE;
        loop {
            self.let_go(owner, name).await?;
            match self.client.remove_volume(name, None::<RemoveVolumeOptions>).await {
                Ok(()) => return Ok(()),
                Err(refusal) if failure::is_missing(&refusal) => return Ok(()),
                Err(refusal)
                    if failure::status(&refusal) == Some(409) && Instant::now() < deadline =>
                {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(refusal) => {
                    let what = format!("cannot remove the volume \"{name}\"");
                    return Err(self.failed(&refusal, what));
                }
            }
        }
    }

    /// Lists the volumes of an instance's snapshots with the names of the snapshots, sorted by
    /// name.
    pub(super) async fn snapshot_volumes(
        &self,
        owner: &Owner,
    ) -> Result<Vec<(bollard::models::Volume, String)>> {
        let filters = label::filter(Some(&owner.key()));
        let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
        let listed = self.client.list_volumes(Some(options)).await;
        let listed = listed.map_err(|refusal| self.failed(&refusal, "cannot list volumes"))?;
        let mut found = Vec::new();
        for volume in listed.volumes.unwrap_or_default() {
            match label::read_snapshot(&volume.name, &volume.labels) {
                Reading::Ours(name) => found.push((volume, name)),
                Reading::Newer => return Err(label::too_new(Object::Volume, &volume.name)),
                Reading::Foreign => {}
            }
        }
        found.sort_by(|a, b| a.1.cmp(&b.1));
        Ok(found)
    }

    /// Finds the volume of a snapshot, to mount it at `/from`.
    pub(super) async fn snapshot_source(
        &self,
        owner: &Owner,
        snapshot: &Snapshot,
    ) -> Result<Volume> {
        let volumes = self.snapshot_volumes(owner).await?;
        match volumes.into_iter().find(|(_, name)| *name == snapshot.name) {
            Some((volume, _)) => Ok(Volume {
                name: volume.name,
                labels: volume.labels,
                at: "/from".into(),
                read_only: true,
            }),
            None => Err(Error::new(
                Kind::Snapshot,
                format!("the volume \"{}\" is gone", snapshot.handle),
            )),
        }
    }

    /// Creates a snapshot's volume without a manifest, to fill it at `/to`.
    pub(super) async fn create_snapshot(
        &self,
        owner: &Owner,
        manifest: &Manifest,
    ) -> Result<Volume> {
        let name = label::snapshot_name(owner, &manifest.name);
        // The time distinguishes these labels from those of a volume that another command makes at
        // the same time. See `create_generation`.
        let labels = label::of_snapshot(owner, &manifest.name, &manifest.made_with, Utc::now());
        let request = VolumeCreateRequest {
            name: Some(name.clone()),
            labels: Some(labels.clone()),
            ..Default::default()
        };
        let volume = self.client.create_volume(request).await.map_err(|refusal| {
            self.failed(&refusal, format!("cannot create the volume \"{name}\""))
        })?;
        if volume.labels != labels {
            return Err(match label::read_snapshot(&name, &volume.labels) {
                Reading::Foreign => label::not_ours(Object::Volume, &name),
                Reading::Newer => label::too_new(Object::Volume, &name),
                Reading::Ours(_) => {
                    Error::new(Kind::Snapshot, format!("the volume \"{name}\" exists already"))
                }
            });
        }
        Ok(Volume { name, labels, at: "/to".into(), read_only: false })
    }
}

fn place_of(index: usize) -> String {
    format!("/snapshots/{index}")
}

pub(super) fn kilobytes(line: &str) -> Result<u64> {
    let kilobytes: u64 = line
        .parse()
        .or_fail(Kind::Snapshot, || format!("the copy's size cannot be told: {line:?}"))?;
    Ok(kilobytes << 10)
}

pub(super) fn one_line(manifest: &Manifest) -> Result<String> {
    sealed::seal(manifest)
        .map(|sealed| sealed.to_string())
        .or_fail(Kind::Snapshot, || "cannot write the snapshot's manifest".into())
}
