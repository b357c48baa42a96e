//! The docker engine, and what devdb did not make on it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use devdb::engine::Lease;
use devdb::engine::docker::{Docker, DockerEnvironment, discover};

use super::Stranger;

/// The engine, or why there is none.
pub async fn engine() -> Result<Docker, String> {
    let variable = |name: &str| std::env::var(name).ok();
    let environment = DockerEnvironment {
        docker_host: variable("DOCKER_HOST"),
        docker_context: variable("DOCKER_CONTEXT"),
        docker_config: variable("DOCKER_CONFIG").map(PathBuf::from),
        publish: None,
        docker_tls_verify: variable("DOCKER_TLS_VERIFY"),
        docker_cert_path: variable("DOCKER_CERT_PATH").map(PathBuf::from),
        xdg_runtime_dir: variable("XDG_RUNTIME_DIR").map(PathBuf::from),
        home: variable("HOME").map(PathBuf::from),
    };
    let discovery = discover(&environment).await;
    let tried: Vec<String> = discovery.tried.iter().map(ToString::to_string).collect();
    discovery.engine.ok_or_else(|| format!("no daemon answers; tried {}", tried.join(", ")))
}

/// A volume with the name of a generation's.
pub fn put_stranger(name: &str) -> Stranger {
    assert!(docker(&["volume", "create", name]));
    Stranger::Volume(name.to_owned())
}

pub fn volume_exists(name: &str) -> bool {
    docker(&["volume", "inspect", name])
}

pub fn remove_volume(name: &str) {
    docker(&["volume", "rm", name]);
}

/// Puts a lock that a process of this machine holds.
pub fn put_lock(name: &str, pid: u32, image: &str) {
    let mut lease = serde_json::to_value(Lease::of_this_process(None)).unwrap();
    lease["pid"] = pid.into();
    // The 22nd field of the file; the second one is a name in brackets (proc(5)).
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let started = status.rsplit(')').next().and_then(|rest| rest.split(' ').nth(20)).unwrap();
    lease["started"] = started.into();
    let labels = [format!("devdb.lock={name}"), format!("devdb.lock.lease={lease}")];
    let [lock, lease] = &labels;
    let container = format!("devdb-lock-{name}");
    let create = ["create", "--name", &container, "--label", lock, "--label", lease, image, "true"];
    assert!(docker(&create));
}

/// What a docker command prints.
pub fn said(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Builds an image from a Dockerfile.
pub fn build(tag: &str, recipe: &str) {
    use std::io::Write;
    let mut child = Command::new("docker")
        .args(["build", "-qt", tag, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(recipe.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{tag} was not built");
}

fn docker(arguments: &[&str]) -> bool {
    let quiet = || Stdio::null();
    let status = Command::new("docker").args(arguments).stdout(quiet()).stderr(quiet()).status();
    status.is_ok_and(|status| status.success())
}
