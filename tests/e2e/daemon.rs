//! A daemon of the test's own, so that it may die, or have a small disk.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::disk;
use crate::sandbox::{docker, eventually};

/// How many private daemons for containers this process has started.
static DAEMONS: AtomicU32 = AtomicU32::new(0);

/// It leaves the firewall alone, and takes the bridge of the machine's as somebody else's: with
/// `--bridge=none` it would remove that.
pub struct PrivateDaemon {
    root: tempfile::TempDir,
    process: Child,
    arguments: Vec<String>,
    tcp: String,
}

/// This machine's address on the network of its engine's containers: the first of the subnet, which
/// an engine that was just installed does not call its gateway yet.
pub fn bridge_address() -> String {
    let format = "{{(index .IPAM.Config 0).Subnet}}";
    let subnet = docker(&["network", "inspect", "bridge", "--format", format]);
    match subnet.rsplit_once('.') {
        Some((network, _)) => format!("{network}.1"),
        None => panic!("the bridge's subnet is {subnet}"),
    }
}

impl PrivateDaemon {
    /// A daemon that starts no containers; its data is on the machine's disk.
    pub fn start() -> PrivateDaemon {
        PrivateDaemon::spawn(None, &["--storage-driver=vfs"])
    }

    /// A daemon for containers, with its data in `data_root`, and an image of the machine's.
    pub fn with_image(data_root: &Path, image: &str) -> PrivateDaemon {
        PrivateDaemon::for_containers(data_root, image, None)
    }

    /// The same, as on another machine: listening on a TCP port of [`bridge_address`] too.
    pub fn listening(data_root: &Path, image: &str) -> PrivateDaemon {
        let host = bridge_address();
        let free = std::net::TcpListener::bind((host.as_str(), 0)).unwrap();
        let tcp = format!("tcp://{}", free.local_addr().unwrap());
        drop(free);
        PrivateDaemon::for_containers(data_root, image, Some(tcp))
    }

    fn for_containers(data_root: &Path, image: &str, tcp: Option<String>) -> PrivateDaemon {
        // Addresses that no other daemon gives to its containers: not the machine's, which counts up
        // from the lowest, and not another private one of a test that runs at the same time. All of
        // them share one bridge, and two containers with one address are taken for each other.
        let nth = DAEMONS.fetch_add(1, Ordering::Relaxed);
        let address = bridge_address();
        let octets: Vec<&str> = address.split('.').collect();
        let [a, b, ..] = octets.as_slice() else { panic!("the bridge's address is {address}") };
        let third = 128 + (std::process::id() + nth) % 100;
        let addresses = format!("--fixed-cidr={a}.{b}.{third}.0/24");
        let mut more = vec!["--storage-driver=overlay2", &addresses];
        more.extend(tcp.iter().flat_map(|tcp| ["--host", tcp]));
        let mut daemon = PrivateDaemon::spawn(Some(data_root), &more);
        daemon.tcp = tcp.unwrap_or_default();
        let mut saved =
            Command::new("docker").args(["save", image]).stdout(Stdio::piped()).spawn().unwrap();
        let loaded = Command::new("docker")
            .args(["-H", &daemon.address(), "load", "--quiet"])
            .stdin(saved.stdout.take().unwrap())
            .output()
            .unwrap();
        assert!(saved.wait().unwrap().success() && loaded.status.success(), "{loaded:?}");
        daemon
    }

    fn spawn(data_root: Option<&Path>, more: &[&str]) -> PrivateDaemon {
        let root = tempfile::Builder::new().prefix("devdb-daemon").tempdir().unwrap();
        let path = |name: &str| root.path().join(name).display().to_string();
        let data_root = data_root.map_or_else(|| path("data"), |data| data.display().to_string());
        let socket = format!("unix://{}", path("sock"));
        let (exec, pid) = (path("exec"), path("pid"));
        let all = [
            &["--host", &socket, "--data-root", &data_root, "--exec-root", &exec],
            &["--pidfile", &pid, "--bridge=docker0", "--iptables=false"][..],
            more,
        ];
        let arguments: Vec<String> = all.concat().into_iter().map(str::to_owned).collect();
        let process = start(&arguments);
        let daemon = PrivateDaemon { root, process, arguments, tcp: String::new() };
        daemon.wait_until_it_answers();
        daemon
    }

    /// After it was killed.
    pub fn restart(&mut self) {
        if !self.is_running() {
            // Its containerd ended with it and left this, by which it would be waited for.
            drop(std::fs::remove_file(self.root.path().join("exec/containerd/containerd.pid")));
            self.process = start(&self.arguments);
            self.wait_until_it_answers();
        }
    }

    fn wait_until_it_answers(&self) {
        eventually("the private daemon answers", Duration::from_secs(30), || {
            docker(&["-H", &self.address(), "info", "--format", "{{.ID}}"]).trim().len() > 10
        });
    }

    /// For `DOCKER_HOST`, as from another machine.
    pub fn tcp(&self) -> &str {
        &self.tcp
    }

    /// For `DOCKER_HOST`.
    pub fn address(&self) -> String {
        format!("unix://{}/sock", self.root.path().display())
    }

    /// The whole group: its containerd goes with it. Containers go on.
    pub fn kill(&mut self) {
        if self.is_running() {
            let group = format!("-{}", self.process.id());
            drop(Command::new("kill").args(["-KILL", "--", &group]).status());
            drop(self.process.wait());
        }
    }

    fn is_running(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }
}

impl Drop for PrivateDaemon {
    fn drop(&mut self) {
        if self.is_running() {
            let address = self.address();
            for id in docker(&["-H", &address, "ps", "-aq"]).lines() {
                docker(&["-H", &address, "rm", "-f", "-v", id]);
            }
            // Only a daemon that ends by itself undoes its mounts.
            drop(Command::new("kill").arg(self.process.id().to_string()).status());
            let begun = Instant::now();
            while self.is_running() && begun.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        self.kill();
        disk::unmount_below(self.root.path());
    }
}

fn start(arguments: &[String]) -> Child {
    Command::new("dockerd")
        .args(arguments)
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
