//! What devdb did not make is not touched; what it made is found again.

use std::collections::BTreeMap;
use std::time::Duration;

use devdb::error::Kind;

use crate::scene::{Scene, docker, free_port};

const STRANGER: &str = "devdb-test/postgres-stranger:15";

#[tokio::test]
async fn a_container_with_devdbs_name_is_named_and_left_alone() {
    let Some(scene) = Scene::set().await else { return };
    let name = scene.owner.base_name();
    scene.generation(1).await;
    docker(&["run", "-d", "--name", &name, STRANGER]);
    let error = scene.launch(1, free_port()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotOurs, "{error}");
    assert!(error.message().contains(&name), "{error}");
    assert!(error.hints()[0].contains("docker rename"), "{error:?}");
    assert_eq!(scene.inspect(&name, "{{.State.Running}}"), "true");
    assert!(scene.docker.servers(Some(&scene.owner.key())).await.unwrap().is_empty());
    let id = scene.inspect(&name, "{{.Id}}");
    assert!(scene.docker.server(&id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_volume_with_devdbs_name_is_named_and_left_alone() {
    let Some(scene) = Scene::set().await else { return };
    let name = scene.owner.generation_name(1);
    docker(&["volume", "create", &name]);
    let base = scene.base().await;
    let made = scene.docker.clone_golden(&base, &scene.owner, 1, &scene.spec).await;
    let error = made.unwrap_err();
    assert_eq!(error.kind(), Kind::NotOurs, "{error}");
    assert!(error.message().contains(&name), "{error}");
    let mut generation = scene.generation(2).await;
    assert_eq!(scene.launch(1, free_port()).await.unwrap_err().kind(), Kind::NotOurs);
    generation.handle.clone_from(&name);
    let error = scene.docker.remove_generation(&generation).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotOurs, "{error}");
    assert_eq!(scene.inspect(&name, "{{.Name}}"), name);
}

#[tokio::test]
async fn labels_inherited_from_an_image_make_nothing_ours() {
    let Some(scene) = Scene::set().await else { return };
    scene.generation(1).await;
    let server = scene.launch(1, free_port()).await.unwrap();
    let tag = format!("{}:committed", scene.owner.base_name());
    docker(&["commit", &server.handle, &tag]);
    let copy = format!("{}-g9-copy", scene.owner.base_name());
    docker(&["create", "--name", &copy, &tag]);
    let key = scene.owner.key();
    let servers = scene.docker.servers(Some(&key)).await.unwrap();
    assert_eq!(servers.len(), 1, "{servers:?}");
    docker(&["rm", "-v", &copy]);
    docker(&["rmi", &tag]);
}

#[tokio::test]
async fn what_a_newer_devdb_made_is_left_alone_and_said() {
    let Some(scene) = Scene::set().await else { return };
    let (name, key) = (scene.owner.base_name(), scene.owner.key());
    let labels =
        ["devdb.schema=2".to_owned(), format!("devdb.name={name}"), format!("devdb.key={key}")];
    let mut command = vec!["create", "--name", &name];
    labels.iter().for_each(|label| command.extend(["--label", label]));
    command.push(STRANGER);
    let id = docker(&command);
    let error = scene.docker.servers(Some(&key)).await.unwrap_err();
    assert!(error.message().contains("newer devdb"), "{error}");
    assert!(scene.docker.server(&id).await.is_err());
    let all = scene.docker.servers(None).await.unwrap();
    assert!(all.iter().all(|server| server.handle != id));
}

#[tokio::test]
async fn a_server_set_aside_makes_room_and_comes_back() {
    let Some(scene) = Scene::set().await else { return };
    scene.generation(1).await;
    scene.generation(2).await;
    let port = free_port();
    let old = scene.launch(1, port).await.unwrap();
    scene.ready(&old).await;
    scene.docker.stop(&old, Duration::from_secs(30)).await.unwrap();
    scene.docker.set_aside(&old).await.unwrap();
    scene.docker.set_aside(&old).await.expect("twice is once");
    let aside = scene.docker.server(&old.handle).await.unwrap().unwrap();
    assert_eq!(aside.name, format!("{}-aside", scene.owner.generation_name(1)));

    let new = scene.launch(2, port).await.unwrap();
    assert_eq!(scene.docker.servers(Some(&scene.owner.key())).await.unwrap().len(), 2);
    let error = scene.docker.reinstate(&aside).await.unwrap_err();
    assert!(error.message().contains("another server"), "{error}");
    scene.docker.remove_server(&new).await.unwrap();
    scene.docker.reinstate(&aside).await.unwrap();
    scene.docker.reinstate(&aside).await.expect("twice is once");
    let back = scene.docker.start(&old).await.unwrap();
    assert_eq!(back.name, scene.owner.base_name());
    scene.ready(&back).await;
}

/// A daemon that is busy makes a container for a command that was killed, after the next command
/// has looked.
#[tokio::test]
async fn a_container_that_was_made_late_and_never_started_makes_room() {
    let Some(scene) = Scene::set().await else { return };
    scene.generation(1).await;
    let old = scene.launch(1, free_port()).await.unwrap();
    scene.ready(&old).await;
    let labels = scene.inspect(&old.handle, "{{json .Config.Labels}}");
    let labels: BTreeMap<String, String> = serde_json::from_str(&labels).unwrap();
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let late = |name: &str| {
        let mut command = vec!["create", "--name", name];
        labels.iter().for_each(|label| command.extend(["--label", label]));
        command.push("postgres:15");
        docker(&command)
    };
    scene.docker.stop(&old, Duration::from_secs(30)).await.unwrap();
    let aside = scene.docker.set_aside(&old).await.unwrap();
    let first = late(&scene.owner.base_name());
    let new = scene.launch(1, free_port()).await.unwrap();
    assert!(scene.docker.server(&first).await.unwrap().is_none());
    scene.docker.remove_server(&new).await.unwrap();
    let second = late(&scene.owner.base_name());
    scene.docker.reinstate(&aside).await.unwrap();
    assert!(scene.docker.server(&second).await.unwrap().is_none());
}

#[tokio::test]
async fn a_generation_is_complete_when_it_says_so() {
    let Some(scene) = Scene::set().await else { return };
    let generation = scene.generation(1).await;
    assert_eq!(scene.docker.number_of(&generation, &scene.spec).await.unwrap(), None);
    let server = scene.launch(1, free_port()).await.unwrap();
    scene.ready(&server).await;
    assert_eq!(scene.docker.number_of(&generation, &scene.spec).await.unwrap(), Some(1));
    assert_eq!(scene.docker.servers(Some(&scene.owner.key())).await.unwrap().len(), 1);

    let error = scene.docker.remove_generation(&generation).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unexpected, "a container uses it: {error}");
    scene.docker.remove_server(&server).await.unwrap();
    assert_eq!(scene.docker.number_of(&generation, &scene.spec).await.unwrap(), Some(1));
    scene.docker.remove_generation(&generation).await.unwrap();
    scene.docker.remove_generation(&generation).await.expect("gone already is no error");
    assert_eq!(scene.docker.number_of(&generation, &scene.spec).await.unwrap(), None);
    let again = scene.docker.generations(Some(&scene.owner.key())).await.unwrap();
    assert!(again.is_empty(), "{again:?}");
}

/// Old daemons measure for one client at a time.
#[tokio::test]
async fn whoever_asks_at_once_learns_every_size() {
    let Some(scene) = Scene::set().await else { return };
    let (one, two) = (scene.generation(1).await, scene.generation(2).await);
    let key = scene.owner.key();
    let asking = (0..8).map(|_| {
        let (docker, key) = (scene.docker.clone(), key.clone());
        let wanted = [one.handle.clone(), two.handle.clone()];
        tokio::spawn(async move {
            for _ in 0..10 {
                let sizes = docker.sizes(Some(&key)).await.unwrap();
                assert!(sizes.keys().eq(&wanted), "{sizes:?}");
            }
        })
    });
    for asked in asking.collect::<Vec<_>>() {
        asked.await.unwrap();
    }
}

#[tokio::test]
async fn a_daemon_has_one_id() {
    let Some(scene) = Scene::set().await else { return };
    let id = scene.docker.id().await.unwrap();
    assert_eq!(id, scene.docker.id().await.unwrap());
    let told = docker(&["info", "--format", "{{.ID}} {{.DockerRootDir}}"]);
    let (its_own, root) = told.split_once(' ').unwrap();
    assert_eq!(id, devdb::spec::digest([its_own, root])[..32]);
}
