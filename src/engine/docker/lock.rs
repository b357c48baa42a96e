//! Locks of the daemon. A lock is a container that is created and never started: of all objects of
//! a daemon only a container has a name that two clients cannot both get.
//!
//! | label | value |
//! | --- | --- |
//! | `devdb.lock` | the name of the lock |
//! | `devdb.lock.lease` | [`Lease`] of the holder, JSON |
//!
//! A holder that was killed leaves the container behind. On the same machine its process shows that
//! it has ended. From elsewhere nobody can see the process, so the holder counts a number up as long
//! as it lives: the maximum of restarts, which means nothing for such a container.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerUpdateBody, HostConfig, RestartPolicy,
    RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptions,
};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinHandle;

use super::image::Image;
use super::{Docker, container, failure, label};
use crate::engine::Lease;
use crate::error::{Result, is_disk_full};

/// How often a holder shows that it lives.
const BEAT_INTERVAL: Duration = Duration::from_secs(4);

/// How long a holder that nobody can see may be silent before its lock is broken.
const SILENCE: Duration = Duration::from_secs(20);

/// How long devdb waits for the daemon to remove a lock that is given back.
const REMOVAL_DEADLINE: Duration = Duration::from_secs(3);

const LOCK: &str = "devdb.lock";
const LEASE: &str = "devdb.lock.lease";

/// A lock of a daemon, held until it is dropped. There is no container when the daemon has no image,
/// so that there is nothing to guard, or when its disk is full.
#[derive(Debug)]
pub struct ContainerLock {
    docker: Docker,
    /// The id and the name of the container.
    container: Result<(String, String), Absence>,
    beating: Option<JoinHandle<()>>,
}

/// Why a lock has no container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absence {
    NothingToGuard,
    DiskFull,
}

impl ContainerLock {
    /// Whether the lock is not held, because the daemon's disk is full.
    pub fn lacks_room(&self) -> bool {
        self.container == Err(Absence::DiskFull)
    }
}

/// The last number that each holder has shown, and when it changed.
static HEARD: Mutex<Option<HashMap<String, (i64, Instant)>>> = Mutex::new(None);

/// The ids of the containers of locks that this process has given back. The daemon may not have
/// removed one yet when the process takes the lock again.
static GIVEN_BACK: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl Docker {
    /// Takes a lock, or breaks one whose holder has ended. None when another devdb holds it.
    ///
    /// # Errors
    /// `NotOurs` when something else has the name, and when the daemon refuses.
    pub async fn try_lock(&self, name: &str, image: &str) -> Result<Option<ContainerLock>> {
        let container = format!("devdb-lock-{name}");
        let Some(image) = self.image_for_lock(image).await? else {
            return Ok(Some(self.no_lock(Absence::NothingToGuard)));
        };
        let options = CreateContainerOptionsBuilder::new().name(&container).build();
        match self.client.create_container(Some(options), body(name, &image)).await {
            Ok(created) => Ok(Some(self.locked(created.id, container))),
            Err(refusal) if failure::is_name_taken(&refusal) => {
                self.break_abandoned(&container).await?;
                Ok(None)
            }
            // The image was removed meanwhile, so another one will do.
            Err(refusal) if failure::is_missing(&refusal) => Ok(None),
            // Commands that make room have to work on a full disk. The lock of this home directory
            // still holds.
            Err(refusal) if is_disk_full(&refusal.to_string()) => {
                Ok(Some(self.no_lock(Absence::DiskFull)))
            }
            Err(refusal) => {
                Err(self.failed(&refusal, format!("cannot create the container \"{container}\"")))
            }
        }
    }

    fn no_lock(&self, why: Absence) -> ContainerLock {
        ContainerLock { docker: self.clone(), container: Err(why), beating: None }
    }

    fn locked(&self, id: String, name: String) -> ContainerLock {
        let (docker, beating) = (self.clone(), id.clone());
        let beating = tokio::spawn(async move {
            for beat in 1.. {
                tokio::time::sleep(BEAT_INTERVAL).await;
                let restart_policy = Some(RestartPolicy {
                    name: Some(RestartPolicyNameEnum::ON_FAILURE),
                    maximum_retry_count: Some(beat),
                });
                let update = ContainerUpdateBody { restart_policy, ..Default::default() };
                // A beat that is lost does no harm; the next one follows.
                let _ = docker.client.update_container(&beating, update).await;
            }
        });
        let container = Ok((id, name));
        ContainerLock { docker: self.clone(), container, beating: Some(beating) }
    }

    /// Removes the container of a lock whose holder has ended.
    async fn break_abandoned(&self, name: &str) -> Result<()> {
        let found = match self.client.inspect_container(name, None).await {
            Ok(found) => found,
            // It was given back meanwhile, or the daemon is still making it.
            Err(refusal) if failure::is_missing(&refusal) => return Ok(()),
            Err(refusal) => {
                return Err(
                    self.failed(&refusal, format!("cannot inspect the container \"{name}\""))
                );
            }
        };
        let labels = found.config.as_ref().and_then(|config| config.labels.clone());
        let labels = labels.unwrap_or_default();
        if !labels.contains_key(LOCK) {
            return Err(label::not_ours(label::Object::Container, name));
        }
        let lease = labels.get(LEASE).and_then(|text| serde_json::from_str::<Lease>(text).ok());
        // Who cannot see the process of the holder has to go by its beats.
        let can_see = |lease: &Lease| lease.is_of_this_user() && !lease.is_from_elsewhere();
        let has_ended = match &lease {
            Some(lease) if can_see(lease) => lease.is_over(),
            _ => is_silent(&found),
        };
        if has_ended || found.id.as_deref().is_some_and(is_given_back) {
            self.remove_container(found.id.as_deref().unwrap_or(name), name).await?;
        }
        Ok(())
    }

    /// Removes the locks whose holders ran on this machine and have ended.
    ///
    /// # Errors
    /// When the daemon refuses.
    pub(super) async fn reap_locks(&self) -> Result<()> {
        let filter = HashMap::from([("label".to_owned(), vec![LOCK.to_owned()])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filter).build();
        let listed = self.client.list_containers(Some(options)).await;
        let listed = listed.map_err(|refusal| self.failed(&refusal, "cannot list containers"))?;
        for container in listed {
            let labels = container.labels.unwrap_or_default();
            let lease = labels.get(LEASE).and_then(|text| serde_json::from_str::<Lease>(text).ok());
            if lease.is_some_and(|lease| lease.is_over()) {
                let name = labels.get(LOCK).map_or("", String::as_str);
                self.remove_container(&container.id.unwrap_or_default(), name).await?;
            }
        }
        Ok(())
    }

    /// The image that the container of a lock is made from: `wanted`, or any other.
    async fn image_for_lock(&self, wanted: &str) -> Result<Option<(String, Image)>> {
        if let Some(image) = self.inspect_image(wanted).await? {
            return Ok(Some((wanted.to_owned(), image)));
        }
        let listed = self.client.list_images(None::<ListImagesOptions>).await;
        let listed = listed.map_err(|refusal| self.failed(&refusal, "cannot list images"))?;
        for found in listed {
            if let Some(image) = self.inspect_image(&found.id).await? {
                return Ok(Some((found.id, image)));
            }
        }
        Ok(None)
    }
}

fn body(name: &str, (reference, image): &(String, Image)) -> ContainerCreateBody {
    // A lease can always be written as JSON.
    let lease = serde_json::to_string(&Lease::of_this_process(None)).unwrap_or_default();
    ContainerCreateBody {
        image: Some(reference.clone()),
        // An image without a command of its own would be refused.
        cmd: Some(vec!["true".to_owned()]),
        labels: Some(HashMap::from([
            (LOCK.to_owned(), name.to_owned()),
            (LEASE.to_owned(), lease),
        ])),
        network_disabled: Some(true),
        host_config: Some(HostConfig {
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::ON_FAILURE),
                maximum_retry_count: Some(0),
            }),
            tmpfs: Some(container::tmpfs(image)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Whether this process has not seen the number of a holder change for a while.
fn is_silent(found: &ContainerInspectResponse) -> bool {
    let policy = found.host_config.as_ref().and_then(|host| host.restart_policy.as_ref());
    let beat = policy.and_then(|policy| policy.maximum_retry_count).unwrap_or_default();
    let id = found.id.clone().unwrap_or_default();
    let mut heard = HEARD.lock().unwrap_or_else(PoisonError::into_inner);
    let last = heard.get_or_insert_default().entry(id).or_insert((beat, Instant::now()));
    if last.0 != beat {
        *last = (beat, Instant::now());
    }
    last.1.elapsed() >= SILENCE
}

fn is_given_back(id: &str) -> bool {
    let given_back = GIVEN_BACK.lock().unwrap_or_else(PoisonError::into_inner);
    given_back.iter().any(|one| one == id)
}

impl Drop for ContainerLock {
    fn drop(&mut self) {
        if let Some(beating) = &self.beating {
            beating.abort();
        }
        let held = std::mem::replace(&mut self.container, Err(Absence::NothingToGuard));
        let Ok((id, name)) = held else { return };
        GIVEN_BACK.lock().unwrap_or_else(PoisonError::into_inner).push(id.clone());
        let docker = self.docker.clone();
        // A lock that stays belongs to a process that has ended. The next command breaks it.
        let removal = async move {
            let removing = docker.remove_container(&id, &name);
            drop(tokio::time::timeout(REMOVAL_DEADLINE, removing).await);
        };
        match Handle::try_current() {
            // The process may end soon, so this waits for the daemon.
            Ok(runtime) if runtime.runtime_flavor() == RuntimeFlavor::MultiThread => {
                tokio::task::block_in_place(|| runtime.block_on(removal));
            }
            Ok(runtime) => drop(runtime.spawn(removal)),
            Err(_) => {}
        }
    }
}
