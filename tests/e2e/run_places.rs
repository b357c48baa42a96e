//! `devdb run` from where CI jobs stand: in a container with the engine's socket, and with an engine
//! on another machine.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::daemon::{PrivateDaemon, bridge_address};
use crate::sandbox::{On, Sandbox, docker, eventually, finish, spawn, wait};

/// Debian with psql, as it is built for the tests.
const IMAGE: &str = "devdb-test/postgres:15";

/// What every job begins with: a project at the same path.
const PROJECT: &str = r"
mkdir -p /builds/shop/migrations && cd /builds/shop && echo 'project: shop' >devdb.yaml &&
echo 'CREATE TABLE items (name text);' >migrations/20260101000000_items.sql || exit
";

/// A database of its own, twice looked at.
const JOB: &str = r#"
exec devdb run -- sh -c '
    psql -XAtqc "insert into items values (1)" && sleep 3 &&
    psql -XAtqc "select count(*) from items" && echo "$PGHOST"'
"#;

/// A container with devdb and the engine's socket in it.
fn job(sandbox: &Sandbox, network: &str, script: &str) -> Command {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    let socket = host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock").to_owned();
    let mut command = Command::new("docker");
    command
        .args(["run", "--rm", "--network", network])
        .args(["--label", &format!("devdb.developer={}", sandbox.developer())])
        .args(["-v", &format!("{socket}:/var/run/docker.sock")])
        .args(["-v", &format!("{}:/usr/local/bin/devdb:ro", env!("CARGO_BIN_EXE_devdb"))])
        .args(["-e", &format!("DEVDB_DEVELOPER={}", sandbox.developer())])
        .args(["-e", "DEVDB_ENGINE=docker", "--entrypoint", "sh", IMAGE, "-c"])
        .arg([PROJECT, script].concat())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[test]
fn two_jobs_that_share_an_engine_get_two_databases() {
    let Some(sandbox) = Sandbox::new(On::Docker, "jobs in containers") else { return };
    let both = [spawn(job(&sandbox, "bridge", JOB)), spawn(job(&sandbox, "bridge", JOB))];
    let hosts = both.map(|child| {
        let ran = wait(child).ok();
        let lines: Vec<&str> = ran.stdout.lines().collect();
        assert_eq!(lines[0], "1", "its own row and no other\n{}", ran.stdout);
        lines[1].to_owned()
    });
    assert_ne!(hosts[0], hosts[1]);
    assert!(!hosts.contains(&"127.0.0.1".to_owned()), "{hosts:?}");
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}

#[test]
fn a_database_that_stays_is_refused_in_a_container_at_once() {
    let Some(sandbox) = Sandbox::new(On::Docker, "up in a container") else { return };
    let refused = finish(job(&sandbox, "bridge", "devdb up")).exits(10);
    let refused = refused.says("in a container").says("devdb run");
    assert!(!refused.stderr.contains("preparing"), "{}", refused.stderr);
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
    // One that shares the machine's network reaches it.
    finish(job(&sandbox, "host", "devdb up && devdb down --purge --yes")).ok();
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}

#[test]
fn a_job_on_a_network_of_its_own_has_its_database_there_and_takes_it_along() {
    let Some(sandbox) = Sandbox::new(On::Docker, "a job on a network") else { return };
    let network = format!("{}-net", sandbox.developer().to_lowercase());
    docker(&["network", "create", &network]);
    let ran = finish(job(&sandbox, &network, JOB)).ok();
    assert!(ran.stdout.starts_with("1\n"), "{}", ran.stdout);

    let script = JOB.replace("sleep 3", "sleep 300");
    let (mut child, _) = spawn(job(&sandbox, &network, &script));
    let count = || sandbox.leftovers().len();
    eventually("job and database are there", Duration::from_secs(30), || count() == 2);
    std::thread::sleep(Duration::from_secs(2));
    let filter = format!("ancestor={IMAGE}");
    let mine = format!("label=devdb.developer={}", sandbox.developer());
    for id in docker(&["ps", "-q", "--filter", &mine, "--filter", &filter]).lines() {
        if docker(&["inspect", "-f", "{{.Config.Labels}}", id]).contains("devdb.role") {
            continue;
        }
        docker(&["kill", id]);
    }
    drop(child.wait());
    eventually("both are gone", Duration::from_secs(3), || count() == 0);
    docker(&["network", "rm", &network]);
}

#[test]
fn an_engine_on_another_machine_serves_when_publishing_there_was_asked_for() {
    let Some(mut sandbox) = Sandbox::new(On::Docker, "a remote engine") else { return };
    sandbox.project();
    let data = tempfile::tempdir().unwrap();
    let daemon = PrivateDaemon::listening(data.path(), "postgres:15");
    let host = bridge_address();
    sandbox.use_daemon(daemon.tcp().to_owned());
    let run = ["run", "--", "sh", "-c", "psql -XAtqc 'select count(*) from items'; echo $PGHOST"];
    sandbox.run(&run).exits(10).says("DEVDB_PUBLISH=1");
    let with = |arguments: &[&str]| {
        let mut command = sandbox.command(arguments);
        command.env("DEVDB_PUBLISH", "1");
        command
    };
    let ran = finish(with(&run)).ok();
    assert_eq!(ran.line(), format!("1\n{host}"));
    assert!(!ran.stderr.contains("DEVDB_PUBLISH"), "{}", ran.stderr);
    let refused = finish(with(&["up"])).exits(10).says("another machine").says("devdb run");
    assert!(!refused.stderr.contains("preparing"), "{}", refused.stderr);
    let there = || docker(&["-H", &daemon.address(), "ps", "-aq"]).lines().count();
    assert_eq!(there(), 0);

    let (mut child, _) = spawn(with(&["run", "--", "sleep", "300"]));
    eventually("it is there", Duration::from_secs(20), || there() == 1);
    std::thread::sleep(Duration::from_secs(1));
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("it is gone", Duration::from_secs(2), || there() == 0);
}
