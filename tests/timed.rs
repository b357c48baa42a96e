//! What has a limit in seconds: a suite of its own and one test at a time, so that nothing else
//! takes the machine's time.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails; helpers are not in test functions"
)]

#[expect(dead_code, reason = "each suite uses its part")]
#[path = "e2e/sandbox.rs"]
mod sandbox;

use std::io::{BufRead, BufReader};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sandbox::{On, Sandbox, docker, eventually};

static ALONE: Mutex<()> = Mutex::new(());

fn sandbox(test: &str) -> Option<(Sandbox, MutexGuard<'static, ()>)> {
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    Some((Sandbox::new(On::Docker, test)?, alone))
}

fn mine(sandbox: &Sandbox, what: &[&str]) -> String {
    let filter = format!("label=devdb.developer={}", sandbox.developer());
    docker(&[what, &["--filter", &filter]].concat()).trim().to_owned()
}

/// A volume whose name is 64 hexadecimal digits was made by nobody on purpose.
fn anonymous_volumes_of(container: &str) -> usize {
    let format = "{{range .Mounts}}{{if eq .Type \"volume\"}}{{.Name}}\n{{end}}{{end}}";
    let names = docker(&["inspect", "--format", format, container]);
    names.lines().filter(|name| name.len() == 64).count()
}

#[test]
fn it_is_healthy_within_six_seconds_local_and_leaves_nothing() {
    let Some((sandbox, _alone)) = sandbox("docker health") else { return };
    let begun = Instant::now();
    sandbox.run(&["up"]).ok();
    assert_eq!(sandbox.sql("select count(*) from gateways"), "12");
    let status = || mine(&sandbox, &["ps", "--format", "{{.Status}}"]);
    eventually("healthy", Duration::from_secs(7), || status().contains("(healthy)"));
    let container = mine(&sandbox, &["ps", "-q"]);
    let started = docker(&["inspect", "--format", "{{.State.StartedAt}}", &container]);
    let started = chrono::DateTime::parse_from_rfc3339(started.trim()).unwrap();
    let healthy_after = chrono::Utc::now().signed_duration_since(started);
    println!("healthy {healthy_after} after its start, {:?} after up began", begun.elapsed());
    assert!(healthy_after < chrono::TimeDelta::seconds(6), "{healthy_after}");

    let ports = docker(&["port", &container]);
    assert!(ports.lines().all(|line| line.contains("127.0.0.1:")), "{ports}");
    assert_eq!(ports.lines().count(), 1, "{ports}");
    assert_eq!(mine(&sandbox, &["volume", "ls", "-q"]).lines().count(), 1);
    assert_eq!(anonymous_volumes_of(&container), 0);
    let policy = docker(&["inspect", "--format", "{{.HostConfig.RestartPolicy.Name}}", &container]);
    assert_eq!(policy.trim(), "unless-stopped");

    sandbox.run(&["down", "--purge", "--yes"]).ok();
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}

#[test]
fn a_server_that_dies_is_reported_within_a_second_with_its_log() {
    let Some((sandbox, _alone)) = sandbox("docker crash image") else { return };
    sandbox.write(
        "devdb.yaml",
        "project: crash\npostgres: { image: 'devdb-test/postgres-crash:15' }\n",
    );
    let mut command = sandbox.command(&["up"]);
    let mut child = command.spawn().unwrap();
    let mut said = String::new();
    let mut reported = None;
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.contains("the server ended") {
            reported.get_or_insert_with(chrono::Utc::now);
        }
        said.push_str(&line);
    }
    assert_eq!(child.wait().unwrap().code(), Some(11), "{said}");
    let reported = reported.unwrap();
    // It says itself when it dies: the container of a server that prepares a database lives on.
    let died = said.split("dies on purpose at ").nth(1).unwrap();
    let died: i64 = died.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
    let after = reported.timestamp_nanos_opt().unwrap() - died;
    println!("reported {} ms after its death", after / 1_000_000);
    assert!((0..1_000_000_000).contains(&after), "{after} ns");
    assert!(said.contains("this server dies on purpose"), "{said}");
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}
