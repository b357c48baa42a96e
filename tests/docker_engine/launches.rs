//! Containers as devdb launches them.

use std::net::TcpListener;
use std::time::Duration;

use devdb::db::scram;
use devdb::engine::Status;
use devdb::error::Kind;

use crate::scene::{PASSWORD, Scene, docker, free_port, spec, until};

#[tokio::test]
async fn a_server_accepts_its_password_alone_and_shows_it_nowhere() {
    let Some(scene) = Scene::set().await else { return };
    let generation = scene.generation(1).await;
    let verifier = scram::verifier(PASSWORD);
    let server = scene.launch_with(1, free_port(), &verifier).await.unwrap();
    scene.ready(&server).await;

    let refused = scene.address(&server, "another").try_connect().await;
    assert!(refused.is_err(), "any password opens it");
    assert!(scene.address(&server, "").try_connect().await.is_err(), "no password opens it");

    let stored = scene.address(&server, PASSWORD).connect().await;
    let stored: String = sqlx::query_scalar("SELECT rolpassword FROM pg_authid WHERE rolname = $1")
        .bind(&scene.spec.user)
        .fetch_one(&mut stored.unwrap())
        .await
        .unwrap();
    assert_eq!(stored, verifier, "a verifier is stored as it is");

    let shown = docker(&["inspect", &server.handle, &generation.handle]);
    assert!(!shown.contains(PASSWORD) && !shown.contains(&verifier), "{shown}");
    let log = docker(&["logs", &server.handle]);
    assert!(!log.contains(PASSWORD) && !log.contains(&verifier), "{log}");
}

#[tokio::test]
async fn docker_shows_one_named_volume_one_local_port_and_soon_a_healthy_container() {
    let Some(scene) = Scene::set().await else { return };
    let generation = scene.generation(1).await;
    let port = free_port();
    let server = scene.launch(1, port).await.unwrap();
    scene.ready(&server).await;

    let mounts = scene.inspect(&server.handle, "{{range .Mounts}}{{.Type}} {{.Name}};{{end}}");
    assert_eq!(mounts, format!("volume {};", generation.handle), "no anonymous volume");
    let data = docker(&["exec", &server.handle, "cat", "/devdb/pgdata/PG_VERSION"]);
    assert_eq!(data, "15");
    let ports = docker(&["port", &server.handle]);
    assert_eq!(ports, format!("5432/tcp -> 127.0.0.1:{port}"));
    let restart = scene.inspect(&server.handle, "{{.HostConfig.RestartPolicy.Name}}");
    assert_eq!(restart, "unless-stopped");

    let health = || scene.inspect(&server.handle, "{{.State.Health.Status}}") == "healthy";
    // Docker checks first after the interval, counted from the start of the container.
    until("healthy", Duration::from_secs(8), health).await;
    let seen = scene.docker.server(&server.handle).await.unwrap().unwrap();
    let Status::Running { since: Some(_), health: Some(health) } = seen.status else {
        panic!("{seen:?}");
    };
    assert_eq!(health, "healthy");
    assert_eq!(
        seen.launch_digest,
        scene.spec.launch_digest(devdb::spec::EngineKind::Docker, Some(port))
    );
}

#[tokio::test]
async fn images_without_bash_with_another_uid_and_with_another_user_work() {
    let Some(mut scene) = Scene::set().await else { return };
    scene.spec = spec("devdb-test/postgres-sh:15");
    scene.generation(1).await;
    let server = scene.launch(1, free_port()).await.unwrap();
    scene.ready(&server).await;
    let anew = "another-password-of-the-tests";
    let user = &scene.spec.user;
    scene.docker.set_password(&server, user, &scram::verifier(anew)).await.unwrap();
    assert!(scene.address(&server, anew).try_connect().await.is_ok());
    assert!(scene.address(&server, PASSWORD).try_connect().await.is_err());
    let error = scene.docker.set_password(&server, "nobody", "SCRAM-x").await.unwrap_err();
    assert!(error.to_string().contains("role \"nobody\" does not exist"), "{error}");
    assert!(!error.to_string().contains("SCRAM-x"), "{error}");
    scene.docker.remove_server(&server).await.unwrap();

    // An image whose processes never are root can neither read root's files nor write to a new
    // volume.
    let tag = format!("{}:15", scene.owner.base_name());
    let recipe = "FROM postgres:15\nUSER postgres\n";
    build(&tag, recipe);
    scene.spec = spec(&tag);
    scene.generation(2).await;
    let server = scene.launch(2, free_port()).await.unwrap();
    scene.ready(&server).await;
    scene.docker.remove_server(&server).await.unwrap();
    docker(&["rmi", &tag]);
}

fn build(tag: &str, recipe: &str) {
    use std::io::Write;
    let mut child = std::process::Command::new("docker")
        .args(["build", "-qt", tag, "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(recipe.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{tag} was not built");
}

#[tokio::test]
async fn a_taken_port_is_named_and_leaves_no_container() {
    let Some(scene) = Scene::set().await else { return };
    scene.generation(1).await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = scene.launch(1, port).await.unwrap_err();
    assert_eq!(error.kind(), Kind::PortBusy, "{error}");
    assert!(error.message().contains(&port.to_string()), "{error}");
    assert!(scene.docker.servers(Some(&scene.owner.key())).await.unwrap().is_empty());

    // The same when it is taken while the server is stopped, and by a container.
    drop(taken);
    let server = scene.launch(1, port).await.unwrap();
    scene.ready(&server).await;
    scene.docker.stop(&server, Duration::from_secs(30)).await.unwrap();
    let thief = format!("{}-g1-thief", scene.owner.base_name());
    let publish = format!("127.0.0.1:{port}:5432");
    docker(&["run", "-d", "--name", &thief, "-p", &publish, "devdb-test/postgres-stranger:15"]);
    let error = scene.docker.start(&server).await.unwrap_err();
    assert_eq!(error.kind(), Kind::PortBusy, "{error}");
    assert!(!scene.docker.server(&server.handle).await.unwrap().unwrap().is_running());
    docker(&["rm", "-f", &thief]);
    let server = scene.docker.start(&server).await.unwrap();
    scene.ready(&server).await;
}

#[tokio::test]
async fn a_launch_that_is_dropped_midway_is_found_and_removed() {
    let Some(scene) = Scene::set().await else { return };
    scene.generation(1).await;
    for millis in [1, 20, 60, 120, 250] {
        let launch = scene.launch(1, free_port());
        let _ = tokio::time::timeout(Duration::from_millis(millis), launch).await;
        // What the daemon has been told it goes on with.
        tokio::time::sleep(Duration::from_secs(1)).await;
        for server in scene.docker.servers(Some(&scene.owner.key())).await.unwrap() {
            scene.docker.remove_server(&server).await.unwrap();
        }
    }
    let server = scene.launch(1, free_port()).await.unwrap();
    assert!(server.is_running());
}
