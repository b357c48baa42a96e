//! Where devdb runs, as seen from the daemon: on the daemon's machine, in a container of the same
//! daemon (a CI job with the daemon's socket), or on another machine. This decides how devdb
//! reaches a port.

use bollard::models::{ContainerInspectResponse, PortBinding};

use crate::engine::Endpoint;
use crate::engine::docker::CONTAINER_PORT;
use crate::engine::docker::container::HOST;
use crate::engine::docker::{Docker, failure};
use crate::error::{Error, Kind, Result};

/// PostgreSQL's port inside a container.
const PORT: u16 = 5432;

/// Docker's default network.
const USUAL_NETWORK: &str = "bridge";

/// Where devdb runs, as seen from the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standpoint {
    /// devdb runs on the daemon's machine. Ports are published on its 127.0.0.1.
    Host,
    /// devdb runs in a container of the same daemon, on this network. No port is published.
    Beside(String),
    /// devdb runs on another machine, and reaches the daemon's machine by this name. Ports are
    /// published there on all addresses, because a person asked for it.
    Remote(String),
}

impl Standpoint {
    /// The network for a container. None means the daemon's default network.
    pub(crate) fn network(&self) -> Option<String> {
        match self {
            Standpoint::Beside(network) => Some(network.clone()),
            Standpoint::Host | Standpoint::Remote(_) => None,
        }
    }

    /// Whether the daemon is on another machine.
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self, Standpoint::Remote(_))
    }

    /// How a container publishes its port. The daemon chooses the host port.
    pub(crate) fn binding(&self) -> Option<PortBinding> {
        let host_ip = match self {
            Standpoint::Host => HOST,
            Standpoint::Remote(_) => "0.0.0.0",
            Standpoint::Beside(_) => return None,
        };
        Some(PortBinding { host_ip: Some(host_ip.to_owned()), host_port: Some("0".to_owned()) })
    }

    /// The address of a running container. None when the container does not run any more.
    pub(crate) fn endpoint(&self, inspected: &ContainerInspectResponse) -> Option<Endpoint> {
        let settings = inspected.network_settings.as_ref()?;
        let published = || {
            let bindings = settings.ports.as_ref()?.get(CONTAINER_PORT)?.as_ref()?;
            bindings.iter().find_map(|binding| binding.host_port.as_ref()?.parse().ok())
        };
        match self {
            Standpoint::Host => Some(Endpoint { host: HOST.to_owned(), port: published()? }),
            Standpoint::Remote(host) => Some(Endpoint { host: host.clone(), port: published()? }),
            Standpoint::Beside(network) => {
                let address = settings.networks.as_ref()?.get(network)?.ip_address.clone()?;
                (!address.is_empty()).then_some(Endpoint { host: address, port: PORT })
            }
        }
    }
}

impl Docker {
    /// Where devdb runs. The answer is found once and kept.
    ///
    /// # Errors
    /// `NoEngine` when this machine or container cannot reach the daemon's containers.
    pub(crate) async fn standpoint(&self) -> Result<Standpoint> {
        self.standpoint.get_or_try_init(|| self.find_standpoint()).await.cloned()
    }

    /// See [`crate::engine::Engine::keeps_instances`].
    ///
    /// # Errors
    /// `NoEngine` when devdb runs on another machine than the daemon, or in a container.
    pub async fn keeps_instances(&self) -> Result<()> {
        let what = match self.standpoint().await? {
            Standpoint::Host => return Ok(()),
            Standpoint::Remote(host) => {
                format!("the Docker engine is on another machine ({host})")
            }
            Standpoint::Beside(_) => {
                "devdb is in a container, and the Docker engine outside of it".to_owned()
            }
        };
        Err(Error::new(Kind::NoEngine, what)
            .because("a database that stays is published on 127.0.0.1 of the engine's machine only")
            .hint("devdb run -- CMD        has a database for as long as a command lasts")
            .hint("devdb ephemeral start   has one for a time"))
    }

    async fn find_standpoint(&self) -> Result<Standpoint> {
        if let Some(host) = &self.remote {
            return Ok(Standpoint::Remote(host.clone()));
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let Some(id) = own_container(&mounts) else { return Ok(Standpoint::Host) };
        match self.container_network(&id).await? {
            // devdb runs in a container of another daemon, or in a container that shares the
            // machine's network.
            None => Ok(Standpoint::Host),
            Some(network) if network == "none" => {
                Err(Error::new(Kind::NoEngine, "this container has no network")
                    .because("so no database in another one can be reached from it")
                    .hint("start this container with a network"))
            }
            Some(network) => Ok(Standpoint::Beside(network)),
        }
    }

    /// The network of a container. A network that a person made comes before the default one. None
    /// when there is no such container, or when it shares the machine's network.
    async fn container_network(&self, id: &str) -> Result<Option<String>> {
        let mut id = id.to_owned();
        loop {
            let inspected = match self.client.inspect_container(&id, None).await {
                Ok(inspected) => inspected,
                Err(refusal) if failure::is_missing(&refusal) => return Ok(None),
                Err(refusal) => {
                    return Err(self.failed(&refusal, "cannot look at devdb's own container"));
                }
            };
            let mode = inspected.host_config.and_then(|host| host.network_mode).unwrap_or_default();
            match mode.strip_prefix("container:") {
                // The container shares the network of this other container.
                Some(other) => other.clone_into(&mut id),
                None if mode == "host" => return Ok(None),
                None => {
                    let networks =
                        inspected.network_settings.and_then(|settings| settings.networks);
                    let mut names: Vec<String> = networks.unwrap_or_default().into_keys().collect();
                    names.sort_by_key(|name| (name == USUAL_NETWORK, name.clone()));
                    return Ok(names.into_iter().next());
                }
            }
        }
    }
}

/// The id of the container that this process runs in. Engines mount files over `/etc` from a
/// directory with that id in its name.
fn own_container(mounts: &str) -> Option<String> {
    let of_etc = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (root, target) = (fields.nth(3)?, fields.next()?);
        ["/etc/hostname", "/etc/resolv.conf"].contains(&target).then_some(root)
    });
    let is_id = |part: &&str| part.len() == 64 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    of_etc.filter_map(|root| root.split('/').find(is_id)).next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_knows_its_id_by_what_is_mounted_over_etc() {
        let id = "0123456789abcdef".repeat(4);
        let docker = format!(
            "1 2 0:1 / / rw - overlay o rw\n\
             3 1 8:1 /var/lib/docker/containers/{id}/resolv.conf /etc/resolv.conf rw - ext4 d rw\n"
        );
        assert_eq!(own_container(&docker), Some(id.clone()));
        let podman = format!(
            "3 1 0:2 /containers/overlay-containers/{id}/userdata/hostname /etc/hostname rw - x x rw\n"
        );
        assert_eq!(own_container(&podman), Some(id.clone()));
        // The daemon's machine has such mounts for its containers, too.
        let host =
            format!("3 1 0:2 /containers/{id}/shm /var/lib/docker/containers/{id}/shm rw - x\n");
        assert_eq!(own_container(&host), None);
    }
}
