//! Containers that are not devdb's and use a volume of devdb's. Two servers on one data directory
//! destroy it, and PostgreSQL's own lock does not see a server in another container.

use std::collections::HashMap;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum as State};
use bollard::query_parameters::ListContainersOptionsBuilder;

use super::Docker;
use super::label::{self, Reading};
use crate::error::{Error, Kind, Result, shell_word};

/// A container that is not devdb's and mounts a volume of devdb's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stranger {
    /// Its name.
    pub name: String,
    /// Whether its processes exist and may write to the volume.
    pub writes: bool,
}

impl Docker {
    /// Fails when a container that is not devdb's may write to this volume now, such as a server of
    /// devdb's that a person has renamed.
    ///
    /// # Errors
    /// `NotOurs` with the container's name; `NoEngine` when the daemon does not answer.
    pub(super) async fn check_only_ours_write(&self, volume: &str) -> Result<()> {
        match self.strangers(volume).await?.into_iter().find(|stranger| stranger.writes) {
            None => Ok(()),
            Some(Stranger { name, .. }) => Err(Error::new(
                Kind::NotOurs,
                format!("the container \"{name}\" uses the data of this database"),
            )
            .because(
                "devdb did not make it, or somebody has renamed it; a second server on the same data \
                 would destroy the data",
            )
            .hint(format!("docker stop {}   ends it", shell_word(&name)))),
        }
    }

    /// The containers that are not devdb's and mount this volume.
    pub(super) async fn strangers(&self, volume: &str) -> Result<Vec<Stranger>> {
        let filter = HashMap::from([("volume", vec![volume.to_owned()])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filter).build();
        let listed = self.client.list_containers(Some(options)).await;
        let listed = listed.map_err(|refusal| self.failed(&refusal, "cannot list containers"))?;
        Ok(listed.into_iter().filter_map(|container| stranger(container, volume)).collect())
    }
}

fn stranger(container: ContainerSummary, volume: &str) -> Option<Stranger> {
    let names = container.names.unwrap_or_default();
    let names: Vec<&str> = names.iter().map(|name| name.trim_start_matches('/')).collect();
    let labels = container.labels.unwrap_or_default();
    let is_ours = names.iter().any(|name| {
        !matches!(label::read_container(name, &labels), Reading::Foreign)
            || !matches!(label::read_holder(name, &labels), Reading::Foreign)
    });
    let mounts = container.mounts.unwrap_or_default();
    // The daemon's filter finds parts of names, too.
    let mount = mounts.iter().find(|mount| mount.name.as_deref() == Some(volume))?;
    let lives = matches!(container.state, Some(State::RUNNING | State::PAUSED | State::RESTARTING));
    let name = (*names.first()?).to_owned();
    (!is_ours).then_some(Stranger { name, writes: lives && mount.rw != Some(false) })
}

#[cfg(test)]
mod tests {
    use bollard::models::MountPoint;

    use super::*;

    #[test]
    fn what_lives_and_may_write_to_the_volume_is_in_the_way() {
        let found = |volume: &str, rw: bool, state: State| {
            let mount =
                MountPoint { name: Some(volume.to_owned()), rw: Some(rw), ..Default::default() };
            let container = ContainerSummary {
                names: Some(vec!["/mine".to_owned()]),
                mounts: Some(vec![mount]),
                state: Some(state),
                ..Default::default()
            };
            stranger(container, "v").map(|stranger| stranger.writes)
        };
        assert_eq!(found("v", true, State::RUNNING), Some(true));
        assert_eq!(found("v", true, State::PAUSED), Some(true));
        assert_eq!(found("v", true, State::EXITED), Some(false));
        assert_eq!(found("v", false, State::RUNNING), Some(false), "a backup");
        assert_eq!(found("v1", true, State::RUNNING), None);
    }
}
