//! Pulling, from a real registry on this machine.

use std::time::Duration;

use crate::daemon::PrivateDaemon;
use crate::sandbox::{On, Sandbox, docker, spawn, wait};

pub fn registry(test: &str) -> Option<(Sandbox, String)> {
    let sandbox = Sandbox::new(On::Docker, test)?;
    match std::env::var("DEVDB_TEST_REGISTRY") {
        Ok(address) => Some((sandbox, address)),
        Err(_) => {
            assert!(std::env::var_os("CI").is_none(), "{test}: no registry");
            crate::sandbox::skipped(&format!(
                "{test}: there is no registry (tests/run starts one)"
            ));
            None
        }
    }
}

fn image_project(sandbox: &Sandbox, image: &str) {
    sandbox.write("devdb.yaml", &format!("project: pulled\npostgres: {{ image: '{image}' }}\n"));
}

#[test]
fn an_image_is_pulled_and_a_pull_can_be_interrupted() {
    let Some((sandbox, registry)) = registry("pull") else { return };
    let image = format!("{registry}/devdb-test/pull:15");
    docker(&["image", "rm", &image]);
    image_project(&sandbox, &image);

    let (child, begun) = spawn(sandbox.command(&["up"]));
    std::thread::sleep(Duration::from_millis(60));
    drop(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status());
    let ran = wait((child, begun));
    assert!(ran.code == 130 || ran.code == 0, "{}", ran.stderr);
    if ran.code == 130 {
        assert_eq!(sandbox.leftovers(), Vec::<String>::new());
    }

    sandbox.run(&["up"]).ok();
    sandbox.run(&["down", "--purge", "--yes"]).ok();
    docker(&["image", "rm", &image]);
    sandbox.run(&["up"]).ok().says("pulling").says("pulled");
    sandbox.run(&["down", "--purge", "--yes"]).ok();
    docker(&["image", "rm", &image]);
}

#[test]
fn a_missing_tag_and_a_registry_that_is_not_there_are_clear_errors() {
    let Some((sandbox, registry)) = registry("pull errors") else { return };
    image_project(&sandbox, &format!("{registry}/devdb-test/pull:15-nonesuch"));
    sandbox.run(&["up"]).exits(10).says("15-nonesuch");
    image_project(&sandbox, "127.0.0.1:1/nobody/postgres:15");
    let ran = sandbox.run(&["up"]).exits(10);
    assert!(ran.took < Duration::from_secs(30), "{:?}", ran.took);
    ran.says("127.0.0.1:1/nobody/postgres:15");
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}

#[test]
fn auto_goes_native_only_when_that_is_no_surprise() {
    let Some((sandbox, _)) = registry("pull auto") else { return };
    // The project names an image: never native.
    image_project(&sandbox, "127.0.0.1:1/nobody/postgres:15");
    let mut command = sandbox.command(&["up"]);
    command.env("DEVDB_ENGINE", "auto");
    crate::sandbox::finish(command).exits(10).says("127.0.0.1:1/nobody/postgres:15");
    // A daemon that was named for this command: never native.
    sandbox.write("devdb.yaml", "project: auto\n");
    for (variable, value, says) in [
        ("DOCKER_HOST", "unix:///nowhere/docker.sock", "no such socket"),
        ("DOCKER_HOST", "ssh://somewhere", "ssh://"),
        ("DOCKER_HOST", "tcp://192.0.2.1:2375", "DEVDB_PUBLISH=1"),
        ("DOCKER_CONTEXT", "colmia", "there is no context \"colmia\""),
    ] {
        let mut command = sandbox.command(&["up"]);
        command.env_remove("DOCKER_HOST").env("DEVDB_ENGINE", "auto").env(variable, value);
        let ran = crate::sandbox::finish(command).exits(10).says(says);
        assert!(ran.stderr.contains("try: devdb up --engine native"), "{}", ran.stderr);
    }
    // The configuration's daemon does not run: native, and it says so.
    sandbox.use_context("unix:///nowhere/docker.sock");
    let mut command = sandbox.command(&["up", "--json"]);
    command.env_remove("DOCKER_HOST").env("DEVDB_ENGINE", "auto");
    let ran = crate::sandbox::finish(command).ok();
    assert_eq!(ran.json()["result"]["engine"], "native");
    let mut command = sandbox.command(&["down", "--purge", "--yes"]);
    command.env("DEVDB_ENGINE", "auto");
    crate::sandbox::finish(command).ok();
}

#[test]
fn a_daemon_that_dies_during_the_pull_is_a_clear_error() {
    use std::io::{BufRead, BufReader, Read};
    let Some((sandbox, registry)) = registry("pull from a daemon that dies") else { return };
    let image = format!("{registry}/devdb-test/pull:15");
    image_project(&sandbox, &image);
    let mut daemon = PrivateDaemon::start();
    let mut command = sandbox.command(&["up"]);
    command.env("DOCKER_HOST", daemon.address());
    let mut child = command.spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut text = String::new();
    while !text.contains("pulling") {
        assert!(said.read_line(&mut text).unwrap() > 0, "{text}");
    }
    std::thread::sleep(Duration::from_millis(300));
    daemon.kill();
    said.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(10), "{text}");
    assert!(text.contains(&image) && text.contains("try:"), "{text}");
    // Nothing of it is in the way of a daemon that lives.
    image_project(&sandbox, "postgres:15");
    sandbox.run(&["up"]).ok();
}
