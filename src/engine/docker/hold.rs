//! The holder: a container of an instance that mounts the volumes which no server mounts, such as
//! former generations and snapshots. `docker volume prune` removes volumes that no container
//! mounts, and `docker system prune --volumes` first removes containers that do not run.
//!
//! The holder's labels have no generation and no role, so it is no server. It is replaced when it
//! lacks a volume or mounts one that is to go, and runs as long as the instance's server runs.

use std::collections::{BTreeMap, BTreeSet};

use bollard::models::{
    ContainerCreateBody, ContainerSummaryStateEnum, HealthConfig, HostConfig, Mount, MountType,
    MountVolumeOptions, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    ListContainersOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder,
};
use chrono::Utc;

use super::container::{Evict, tmpfs};
use super::image::missing_image;
use super::label::{self, Labels, Object, Reading};
use super::{Docker, failure};
use crate::engine::{Exposed, Holding};
use crate::error::Result;
use crate::spec::Owner;

/// Sleeps for ever. Not every image's `sleep` understands `infinity`.
const SLEEP: [&str; 3] = ["sh", "-c", "while :; do sleep 86400; done"];

/// A holder that exists.
struct Holder {
    id: String,
    /// The names of its volumes.
    volumes: BTreeSet<String>,
    is_running: bool,
}

impl Docker {
    /// See [`crate::engine::Engine::hold`].
    ///
    /// # Errors
    /// `NotOurs` when something else has the holder's name, `Image` when the image is missing.
    pub async fn hold(&self, holding: &Holding<'_>) -> Result<()> {
        let owner = holding.owner;
        let needed = self.volumes_to_hold(owner, &holding.generations).await?;
        let going: Vec<String> =
            holding.going.iter().map(|id| owner.generation_name(*id)).collect();
        let name = label::holder_name(owner);
        let fits = |found: &Holder| {
            !needed.is_empty()
                && needed.keys().all(|volume| found.volumes.contains(volume))
                && !going.iter().any(|volume| found.volumes.contains(volume))
        };
        let id = match self.holder(&name).await? {
            Some(found) if fits(&found) && found.is_running == holding.is_running => {
                return Ok(());
            }
            Some(found) if fits(&found) => found.id,
            found => {
                if let Some(found) = found {
                    self.remove_container(&found.id, &name).await?;
                }
                if needed.is_empty() {
                    return Ok(());
                }
                let mut volumes = self.volumes_to_hold(owner, holding.next.as_slice()).await?;
                volumes.extend(needed);
                let image = self.inspect_image(&holding.spec.image).await?;
                let image = image.ok_or_else(|| missing_image(&holding.spec.image))?;
                let covers = tmpfs(&image);
                let names = volumes.keys().map(String::as_str).collect::<Vec<_>>().join(",");
                let labels = label::of_holder(&name, owner, &names);
                let body = body(&holding.spec.image, labels, volumes, covers);
                self.create(&name, body, Evict::NeverStarted).await?.id
            }
        };
        let cannot = |what: &str| format!("cannot {what} the container \"{name}\"");
        if holding.is_running {
            let started = self.client.start_container(&id, None::<StartContainerOptions>).await;
            started.map_err(|refusal| self.failed(&refusal, cannot("start")))
        } else {
            let options = StopContainerOptionsBuilder::new().t(0).build();
            let stopped = self.client.stop_container(&id, Some(options)).await;
            stopped.map_err(|refusal| self.failed(&refusal, cannot("stop")))
        }
    }

    /// See [`crate::engine::Engine::exposed`].
    ///
    /// # Errors
    /// `NoEngine` when the daemon does not answer.
    pub async fn exposed(&self, owner: &Owner, generations: &[u32]) -> Result<Exposed> {
        let volumes = self.volumes_to_hold(owner, generations).await?;
        let key = owner.key();
        let options =
            ListContainersOptionsBuilder::new().all(true).filters(&label::filter(Some(&key)));
        let listed = self.client.list_containers(Some(options.build())).await;
        let listed = listed.map_err(|refusal| self.failed(&refusal, "cannot list containers"))?;
        let (mut mounted, mut in_use) = (BTreeSet::new(), BTreeSet::new());
        for container in listed {
            let does_run = !matches!(
                container.state,
                None | Some(
                    ContainerSummaryStateEnum::CREATED
                        | ContainerSummaryStateEnum::EXITED
                        | ContainerSummaryStateEnum::DEAD
                )
            );
            let mounts = container.mounts.unwrap_or_default().into_iter();
            for volume in mounts.filter_map(|mount| mount.name) {
                if does_run {
                    in_use.insert(volume.clone());
                }
                mounted.insert(volume);
            }
        }
        let without = |used: &BTreeSet<String>| {
            volumes.keys().filter(|volume| !used.contains(*volume)).count()
        };
        let takes_named = self.version().await?.prunes_named_volumes();
        Ok(Exposed {
            unmounted: without(&mounted),
            unused: without(&in_use),
            volume_prune: match takes_named {
                true => "docker volume prune",
                false => "docker volume prune --all",
            },
            system_prune: match takes_named {
                true => "docker system prune --volumes",
                false => "docker system prune with docker volume prune --all",
            },
        })
    }

    /// Removes the holder when it mounts this volume, so that the volume can be removed. The caller
    /// calls [`Docker::hold`] afterwards.
    pub(super) async fn let_go(&self, owner: &Owner, volume: &str) -> Result<()> {
        let name = label::holder_name(owner);
        match self.holder(&name).await? {
            Some(holder) if holder.volumes.contains(volume) => {
                self.remove_container(&holder.id, &name).await
            }
            _ => Ok(()),
        }
    }

    /// Existing volumes only: to mount a missing one would make it, empty.
    async fn volumes_to_hold(
        &self,
        owner: &Owner,
        generations: &[u32],
    ) -> Result<BTreeMap<String, Labels>> {
        let exist = self.generations(Some(&owner.key())).await?.into_iter();
        let wanted = exist.filter(|one| generations.contains(&one.id));
        let mut volumes: BTreeMap<String, Labels> =
            wanted.map(|one| (one.handle.clone(), label::of_existing(&one, Utc::now()))).collect();
        let snapshots = self.snapshot_volumes(owner).await?.into_iter();
        volumes.extend(snapshots.map(|(volume, _)| (volume.name, volume.labels)));
        Ok(volumes)
    }

    async fn holder(&self, name: &str) -> Result<Option<Holder>> {
        let inspected = match self.client.inspect_container(name, None).await {
            Ok(inspected) => inspected,
            Err(refusal) if failure::is_missing(&refusal) => return Ok(None),
            Err(refusal) => {
                let what = format!("cannot inspect the container \"{name}\"");
                return Err(self.failed(&refusal, what));
            }
        };
        let labels = inspected.config.and_then(|config| config.labels).unwrap_or_default();
        match label::read_holder(name, &labels) {
            Reading::Ours(volumes) => Ok(Some(Holder {
                id: inspected.id.unwrap_or_default(),
                volumes: volumes.split(',').map(str::to_owned).collect(),
                is_running: inspected.state.and_then(|state| state.running).unwrap_or_default(),
            })),
            Reading::Newer => Err(label::too_new(Object::Container, name)),
            Reading::Foreign => Err(label::not_ours(Object::Container, name)),
        }
    }
}

fn body(
    image: &str,
    labels: Labels,
    volumes: BTreeMap<String, Labels>,
    covers: std::collections::HashMap<String, String>,
) -> ContainerCreateBody {
    let mounts = volumes.into_iter().enumerate().map(|(index, (name, labels))| Mount {
        typ: Some(MountType::VOLUME),
        source: Some(name),
        target: Some(format!("/devdb-kept/{index}")),
        read_only: Some(true),
        volume_options: Some(MountVolumeOptions {
            labels: Some(labels),
            no_copy: Some(true),
            ..Default::default()
        }),
        ..Default::default()
    });
    ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: Some(SLEEP.map(str::to_owned).into()),
        cmd: Some(Vec::new()),
        labels: Some(labels),
        // A process with number 1 ignores other signals.
        stop_signal: Some("SIGKILL".to_owned()),
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..Default::default()
        }),
        host_config: Some(HostConfig {
            mounts: Some(mounts.collect()),
            tmpfs: Some(covers),
            network_mode: Some("none".to_owned()),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}
