//! Containers that are not devdb's and use a volume of devdb's. Two servers on one data directory
//! destroy it, and PostgreSQL's own lock does not see a server in another container.

use std::collections::HashMap;

use bollard::models::ContainerSummary;
use bollard::query_parameters::ListContainersOptionsBuilder;

use super::Docker;
use super::label::{self, Reading};
use crate::error::{Error, Kind, Result, shell_word};

/// The states in which a container's processes exist.
const LIVE: [&str; 3] = ["running", "paused", "restarting"];

impl Docker {
    /// Fails when a container that is not devdb's may write to this volume now, such as a server of
    /// devdb's that a person has renamed.
    ///
    /// # Errors
    /// `NotOurs` with the container's name; `NoEngine` when the daemon does not answer.
    pub(super) async fn check_only_ours_write(&self, volume: &str) -> Result<()> {
        let writers = self.strangers(volume, &LIVE).await?;
        match writers.first() {
            None => Ok(()),
            Some(name) => Err(Error::new(
                Kind::NotOurs,
                format!("the container \"{name}\" uses the data of this database"),
            )
            .because(
                "devdb did not name it so; two servers on the same data would destroy the data",
            )
            .hint(format!("docker stop {}   ends it", shell_word(name)))),
        }
    }

    /// The names of the containers that are not devdb's and mount this volume for writing.
    pub(super) async fn strangers(&self, volume: &str, states: &[&str]) -> Result<Vec<String>> {
        let mut filter = HashMap::from([("volume".to_owned(), vec![volume.to_owned()])]);
        if !states.is_empty() {
            filter.insert("status".into(), states.iter().map(|&state| state.to_owned()).collect());
        }
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filter).build();
        let listed = self.client.list_containers(Some(options)).await;
        let listed = listed.map_err(|refusal| self.failed(&refusal, "cannot list containers"))?;
        Ok(listed.into_iter().filter_map(|container| stranger(container, volume)).collect())
    }
}

/// The name of a container that is not devdb's and mounts the volume for writing.
fn stranger(container: ContainerSummary, volume: &str) -> Option<String> {
    let names = container.names.unwrap_or_default();
    let name = names.first()?.trim_start_matches('/');
    let labels = container.labels.unwrap_or_default();
    let is_ours = !matches!(label::read_container(name, &labels), Reading::Foreign)
        || !matches!(label::read_holder(name, &labels), Reading::Foreign);
    let mounts = container.mounts.unwrap_or_default();
    let writes =
        mounts.iter().any(|mount| mount.name.as_deref() == Some(volume) && mount.rw != Some(false));
    (!is_ours && writes).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use bollard::models::MountPoint;

    use super::*;

    #[test]
    fn only_what_may_write_to_the_volume_counts() {
        let container = |name: &str, volume: &str, rw: bool| ContainerSummary {
            names: Some(vec![format!("/{name}")]),
            mounts: Some(vec![MountPoint {
                name: Some(volume.to_owned()),
                rw: Some(rw),
                ..Default::default()
            }]),
            ..Default::default()
        };
        assert_eq!(stranger(container("mine", "v", true), "v").as_deref(), Some("mine"));
        assert_eq!(stranger(container("backup", "v", false), "v"), None);
        // The daemon's filter finds parts of names, too.
        assert_eq!(stranger(container("other", "v1", true), "v"), None);
    }
}
