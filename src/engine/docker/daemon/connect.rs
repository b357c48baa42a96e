//! Makes a client for the address of a daemon.

use std::path::Path;

use bollard::API_DEFAULT_VERSION;
use url::{Host, Url};

use crate::engine::docker::failure;

/// How many seconds the daemon may take to begin a later answer. A daemon on a busy disk is slow.
const ANSWER_SECONDS: u64 = 120;

/// Makes a client for an address as in `DOCKER_HOST`. It sends nothing yet.
pub(super) fn connect(address: &str, tls: Option<&Path>) -> Result<bollard::Docker, String> {
    let (scheme, rest) = address.split_once("://").unwrap_or(("tcp", address));
    match scheme {
        "unix" => bollard::Docker::connect_with_unix(rest, ANSWER_SECONDS, API_DEFAULT_VERSION)
            .map_err(|refusal| failure::text(&refusal)),
        "tcp" | "http" | "https" => {
            let encrypted = tls.is_some() || scheme == "https";
            let Authority { address, .. } = authority(rest, encrypted)?;
            if encrypted {
                let dir = tls.ok_or("TLS needs DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH")?;
                connect_tls(&address, dir)
            } else {
                let address = format!("tcp://{address}");
                bollard::Docker::connect_with_http(&address, ANSWER_SECONDS, API_DEFAULT_VERSION)
                    .map_err(|refusal| failure::text(&refusal))
            }
        }
        "npipe" => connect_pipe(rest),
        "ssh" => Err("engines behind ssh:// are not supported yet".into()),
        other => Err(format!(
            "\"{other}://\" is no address of a Docker engine (unix://, tcp://, http://, https://, \
             npipe://)"
        )),
    }
}

fn connect_tls(authority: &str, dir: &Path) -> Result<bollard::Docker, String> {
    bollard::Docker::connect_with_ssl(
        &format!("tcp://{authority}"),
        &dir.join("key.pem"),
        &dir.join("cert.pem"),
        &dir.join("ca.pem"),
        ANSWER_SECONDS,
        API_DEFAULT_VERSION,
    )
    .map_err(|refusal| failure::text(&refusal))
}

/// Reads a daemon's host and port. The default is Docker's port.
fn authority(rest: &str, encrypted: bool) -> Result<Authority, String> {
    let rest = rest.trim_end_matches('/');
    let url = Url::parse(&format!("docker://{rest}"))
        .map_err(|error| format!("\"{rest}\" is no host and port: {error}"))?;
    let is_local = match url.host() {
        // The url crate recognises an IPv4 address only in URLs with a web scheme.
        Some(Host::Domain(name)) => {
            name == "localhost"
                || name.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        }
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(format!("\"{rest}\" names no host")),
    };
    let host = url.host_str().unwrap_or_default().to_owned();
    let port = url.port().unwrap_or(if encrypted { 2376 } else { 2375 });
    Ok(Authority { address: format!("{host}:{port}"), remote: (!is_local).then_some(host) })
}

/// The host and port of a daemon.
#[derive(Debug, PartialEq, Eq)]
struct Authority {
    /// Host and port.
    address: String,
    /// The host, when it is another machine.
    remote: Option<String>,
}

/// The host in a daemon's address, when it is another machine.
pub(super) fn remote(address: &str) -> Option<String> {
    let (scheme, rest) = address.split_once("://").unwrap_or(("tcp", address));
    ["tcp", "http", "https"]
        .contains(&scheme)
        .then(|| authority(rest, false).ok()?.remote)
        .flatten()
}

#[cfg(windows)]
fn connect_pipe(path: &str) -> Result<bollard::Docker, String> {
    bollard::Docker::connect_with_named_pipe(path, ANSWER_SECONDS, API_DEFAULT_VERSION)
        .map_err(|refusal| failure::text(&refusal))
}

#[cfg(not(windows))]
fn connect_pipe(_path: &str) -> Result<bollard::Docker, String> {
    Err("named pipes exist on Windows only".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_on_this_machine_or_another() {
        let found = |rest, encrypted| authority(rest, encrypted).map(|at| (at.address, at.remote));
        assert_eq!(found("127.0.0.1:2375", false), Ok(("127.0.0.1:2375".into(), None)));
        assert_eq!(found("localhost", false), Ok(("localhost:2375".into(), None)));
        assert_eq!(found("[::1]", true), Ok(("[::1]:2376".into(), None)));
        assert_eq!(found("127.0.0.1:1234/", false), Ok(("127.0.0.1:1234".into(), None)));
        assert_eq!(found("docker:2375", false), Ok(("docker:2375".into(), Some("docker".into()))));
        assert_eq!(remote("tcp://10.0.0.7:2375"), Some("10.0.0.7".into()));
        assert_eq!(remote("unix:///var/run/docker.sock"), None);
        assert!(found("", false).is_err());
    }

    #[test]
    fn unknown_addresses_are_refused_in_words() {
        assert!(connect("ssh://me@host", None).unwrap_err().contains("ssh://"));
        assert!(connect("fish://x", None).unwrap_err().contains("fish"));
        assert!(connect("https://127.0.0.1:2376", None).unwrap_err().contains("DOCKER_CERT_PATH"));
        #[cfg(unix)]
        assert!(connect("npipe:////./pipe/docker_engine", None).unwrap_err().contains("Windows"));
    }
}
