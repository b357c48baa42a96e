//! What only docker has: health, volumes, images that differ, strangers with our names.

use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use crate::sandbox::{On, Sandbox, docker, eventually, psql};

fn sandbox(test: &str) -> Option<Sandbox> {
    Sandbox::new(On::Docker, test)
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
    let Some(sandbox) = sandbox("docker health") else { return };
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
fn a_slow_image_is_never_reported_ready_early() {
    let Some(sandbox) = sandbox("docker slow image") else { return };
    sandbox
        .write("devdb.yaml", "project: slow\npostgres: { image: 'devdb-test/postgres-slow:15' }\n");
    let up = sandbox.run(&["up"]).ok();
    let url = sandbox.url();
    for attempt in 0..100 {
        assert_eq!(psql(&url, "select 1").code, 0, "login {attempt} after up failed");
    }
    assert!(up.took > Duration::from_secs(5), "{:?}", up.took);
}

#[test]
fn a_server_that_dies_is_reported_within_a_second_with_its_log() {
    let Some(sandbox) = sandbox("docker crash image") else { return };
    sandbox.write(
        "devdb.yaml",
        "project: crash\npostgres: { image: 'devdb-test/postgres-crash:15' }\n",
    );
    let events = std::process::Command::new("docker")
        .args([
            "events",
            "--filter",
            "event=die",
            "--format",
            "{{.TimeNano}} {{.Actor.Attributes.name}}",
        ])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
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
    let mut events = events;
    events.kill().unwrap();
    let log = String::from_utf8(events.wait_with_output().unwrap().stdout).unwrap();
    let died: Vec<i64> = log
        .lines()
        .filter(|line| line.contains("devdb-crash"))
        .map(|line| line.split(' ').next().unwrap().parse().unwrap())
        .collect();
    let after = reported.timestamp_nanos_opt().unwrap() - died[0];
    println!("reported {} ms after its death", after / 1_000_000);
    assert!(after < 1_000_000_000, "{after} ns");
    assert!(said.contains("this server dies on purpose"), "{said}");
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}

#[test]
fn an_image_without_bash_and_with_another_uid_works() {
    let Some(sandbox) = sandbox("docker sh image") else { return };
    sandbox.project();
    sandbox.write("devdb.yaml", "project: sh\npostgres: { image: 'devdb-test/postgres-sh:15' }\n");
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) values ('mine')");
    sandbox.run(&["down"]).ok();
    sandbox.run(&["up"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items"), "2");
    sandbox.run(&["reset"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items"), "1");
}

#[test]
fn init_scripts_run_once() {
    let Some(sandbox) = sandbox("docker init scripts") else { return };
    sandbox
        .write("devdb.yaml", "project: init\npostgres: { image: 'devdb-test/postgres-init:15' }\n");
    sandbox.run(&["up"]).ok();
    assert_eq!(sandbox.sql("select count(*) from init_runs"), "3");
    sandbox.run(&["down"]).ok();
    sandbox.run(&["up"]).ok();
    assert_eq!(sandbox.sql("select count(*) from init_runs"), "3");
}

#[test]
fn an_image_that_is_no_postgresql_is_refused() {
    let Some(sandbox) = sandbox("docker stranger image") else { return };
    sandbox.write(
        "devdb.yaml",
        "project: odd\npostgres: { image: 'devdb-test/postgres-stranger:15' }\n",
    );
    sandbox.run(&["up"]).exits(10).says("devdb-test/postgres-stranger:15");
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}

#[test]
fn strangers_with_our_names_are_named_and_left_alone() {
    let Some(sandbox) = sandbox("docker strangers") else { return };
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let name = mine(&sandbox, &["ps", "--format", "{{.Names}}"]);
    let volume = mine(&sandbox, &["volume", "ls", "-q"]);
    sandbox.run(&["down", "--purge", "--yes"]).ok();

    docker(&["create", "--name", &name, "postgres:15"]);
    sandbox.run(&["up"]).exits(1).says(&name);
    assert_eq!(docker(&["inspect", "--format", "{{.State.Status}}", &name]).trim(), "created");
    docker(&["rm", "-f", "-v", &name]);

    docker(&["volume", "create", &volume]);
    sandbox.run(&["up"]).exits(1).says(&volume);
    assert_eq!(docker(&["volume", "inspect", "--format", "{{.Name}}", &volume]).trim(), volume);
    docker(&["volume", "rm", &volume]);
    sandbox.run(&["up"]).ok();
}

#[test]
fn another_context_never_passes_for_the_instances_own() {
    let Some(sandbox) = sandbox("docker gone") else { return };
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let mut command = sandbox.command(&["up"]);
    command.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    crate::sandbox::finish(command).exits(10).says("/nowhere/docker.sock").says("lives on docker");
    let mut command = sandbox.command(&["--instance", "new", "up"]);
    command.env("DOCKER_HOST", "ssh://somewhere");
    crate::sandbox::finish(command).exits(10).says("ssh");
    sandbox.run(&["up"]).ok();
}
