//! Builders end with whoever started them, and what they make has no secret in it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use devdb::db::password;
use devdb::db::scram;
use devdb::event::Events;
use devdb::populate::ready;

use crate::scene::{PASSWORD, Scene, docker, until};

/// How long a builder whose devdb was killed may be there.
const SOON: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_builder_whose_devdb_is_killed_is_gone_soon() {
    let Some(scene) = Scene::set().await else { return };
    let home = tempfile::tempdir().unwrap();
    let project = home.path().join("project");
    std::fs::create_dir_all(project.join("migrations")).unwrap();
    std::fs::write(project.join("devdb.yaml"), "project: killed\n").unwrap();
    let slow = project.join("migrations/20260101000000_slow.sql");
    std::fs::write(slow, "SELECT pg_sleep(600);\n").unwrap();
    let developer = scene.owner.project_id.clone();
    let filter = format!("label=devdb.developer={developer}");
    let builders = |more: &[&str]| docker(&[&["ps", "-aq", "--filter", &filter], more].concat());
    let devdb = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_devdb"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.args(arguments).current_dir(&project).env_clear().env("PATH", path);
        command.env("HOME", home.path()).env("DEVDB_DEVELOPER", &developer);
        command.env("DEVDB_ENGINE", "docker").stdin(Stdio::null());
        if let Some(host) = std::env::var_os("DOCKER_HOST") {
            command.env("DOCKER_HOST", host);
        }
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let mut took = Vec::new();
    for delay in [0, 300, 1500] {
        let mut child = devdb(&["up"]).spawn().unwrap();
        let runs = || !builders(&["--filter", "status=running"]).is_empty();
        until("a builder runs", Duration::from_secs(60), runs).await;
        tokio::time::sleep(Duration::from_millis(delay)).await;
        let killed = Instant::now();
        child.kill().unwrap();
        child.wait().unwrap();
        until("it is gone", Duration::from_secs(20), || builders(&[]).is_empty()).await;
        took.push(killed.elapsed());
    }
    took.sort();
    // A busy daemon may be late once.
    assert!(took[1] < SOON, "{took:?}");
    assert!(devdb(&["down", "--purge", "--yes"]).status().unwrap().success());
}

#[tokio::test]
async fn an_image_of_a_golden_state_has_no_secret_in_it() {
    let Some(scene) = Scene::set().await else { return };
    scene.docker.prepare(&scene.spec, &Events::silent()).await.unwrap();
    let verifier = scram::verifier(PASSWORD);
    let mut builder = scene.builder_with(&verifier).await;
    let address = scene.address_at(builder.endpoint(), PASSWORD);
    ready::first_login(&address, Duration::from_secs(60)).await.unwrap();
    let next = password::remove_password(&address).await.unwrap();
    let label = scene.label(next).await;
    let state = builder.publish(&label).await.unwrap();
    builder.discard().await.unwrap();

    let image = &state.handle;
    let mut shown = docker(&["image", "inspect", image]);
    shown.push_str(&docker(&["history", "--no-trunc", image]));
    shown.push_str(&docker(&["run", "--rm", "--entrypoint", "env", image]));
    assert!(shown.contains("PGDATA="), "{shown}");
    for secret in [PASSWORD, &verifier, "SCRAM-SHA-256"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    // The data directory's log of changes still has what was written; nothing else has.
    let search = format!(
        "grep -rlF '{verifier}' / --exclude-dir=proc --exclude-dir=sys --exclude-dir=pg_wal; true"
    );
    let found = docker(&["run", "--rm", "--entrypoint", "sh", image, "-c", &search]);
    let password_file = found
        .lines()
        .find(|file| !file.contains("/pgdata/base/") && !file.contains("/pgdata/global/"));
    assert_eq!(password_file, None, "{found}");
    scene.docker.remove_golden(&state).await.unwrap();
}

#[tokio::test]
async fn a_server_that_cannot_be_made_ends_the_wait() {
    let Some(mut scene) = Scene::set().await else { return };
    // initdb refuses this user in the middle of a line.
    scene.spec.user = "a$b".into();
    scene.docker.prepare(&scene.spec, &Events::silent()).await.unwrap();
    let builder = scene.builder_with(&scram::verifier(PASSWORD)).await;
    let exit = tokio::time::timeout(Duration::from_secs(60), builder.exited()).await.unwrap();
    assert_eq!(exit.code, Some(1));
    assert!(exit.log_tail.contains("invalid character in extension owner"), "{}", exit.log_tail);
    builder.discard().await.unwrap();
}
