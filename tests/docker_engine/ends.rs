//! How servers end, and how that is told.

use std::time::{Duration, Instant};

use devdb::error::Kind;

use crate::scene::{PASSWORD, Scene, docker, free_port, spec, until};

#[tokio::test]
async fn a_server_that_dies_at_its_start_is_reported_within_a_second_with_its_log() {
    let Some(mut scene) = Scene::set().await else { return };
    scene.generation(1).await;
    scene.spec = spec("devdb-test/postgres-crash:15");
    let server = scene.launch(1, free_port()).await.unwrap();
    let exit = scene.docker.exited(&server).await;
    let told = chrono::Utc::now();
    assert!(exit.log_tail.contains("this server dies on purpose"), "{}", exit.log_tail);
    assert!(exit.log_tail.lines().count() <= 20, "{}", exit.log_tail);
    assert_eq!(exit.code, Some(1));
    let died = scene.inspect(&server.handle, "{{.State.FinishedAt}}");
    let died = chrono::DateTime::parse_from_rfc3339(&died).unwrap();
    let late = told.signed_duration_since(died);
    assert!(late < chrono::TimeDelta::seconds(1), "told {late} after its death");

    // Docker starts it again and again. Whoever has seen it run, and looks later, is told as well.
    let server = loop {
        match scene.docker.server(&server.handle).await.unwrap() {
            Some(server) if server.is_running() => break server,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    tokio::time::sleep(Duration::from_secs(3)).await;
    let started = Instant::now();
    let exit = scene.docker.exited(&server).await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert!(exit.log_tail.contains("dies on purpose"), "{}", exit.log_tail);
    assert_eq!(exit.code, Some(1));

    scene.docker.stop(&server, Duration::from_secs(30)).await.unwrap();
    assert!(!scene.docker.server(&server.handle).await.unwrap().unwrap().is_running());
}

#[tokio::test]
async fn a_process_that_docker_has_started_again_has_ended_all_the_same() {
    let Some(scene) = Scene::set().await else { return };
    scene.generation(1).await;
    let server = scene.launch(1, free_port()).await.unwrap();
    scene.ready(&server).await;
    // A crash of the postmaster; `docker kill` would count as stopped by hand.
    let pid = scene.inspect(&server.handle, "{{.State.Pid}}");
    let waits = tokio::spawn({
        let (docker, server) = (scene.docker.clone(), server.clone());
        async move { (docker.exited(&server).await, Instant::now()) }
    });
    tokio::time::sleep(Duration::from_millis(600)).await;
    let killed = Instant::now();
    if !std::process::Command::new("kill").args(["-9", &pid]).status().unwrap().success() {
        return crate::scene::skip("the daemon's processes are not on this machine");
    }
    let (exit, told) = waits.await.unwrap();
    assert_eq!(exit.code, Some(137), "{exit:?}");
    assert!(told - killed < Duration::from_secs(1), "{:?}", told - killed);
    let again = || scene.inspect(&server.handle, "{{.RestartCount}}") == "1";
    until("restarted", Duration::from_secs(10), again).await;
    let exit = scene.docker.exited(&server).await;
    assert_eq!(exit.code, Some(137), "the process that was waited for: {exit:?}");
    scene.ready(&server).await;
}

#[tokio::test]
async fn a_stopped_server_stays_stopped_and_starts_as_it_was() {
    let Some(scene) = Scene::set().await else { return };
    scene.generation(1).await;
    let port = free_port();
    let server = scene.launch(1, port).await.unwrap();
    scene.ready(&server).await;
    let client = scene.address(&server, PASSWORD).connect().await.unwrap();
    scene.docker.stop(&server, Duration::from_secs(30)).await.unwrap();
    drop(client);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stopped = scene.docker.server(&server.handle).await.unwrap().unwrap();
    assert!(!stopped.is_running(), "{stopped:?}");
    let log = docker(&["logs", &server.handle]);
    assert!(log.contains("received fast shutdown request"), "{log}");
    assert!(log.contains("database system is shut down"), "{log}");
    assert_eq!(stopped.endpoint.as_ref().unwrap().port, port);
    // Twice is once.
    scene.docker.stop(&server, Duration::from_secs(1)).await.unwrap();
    assert_eq!(scene.docker.exited(&stopped).await.code, Some(0));

    let server = scene.docker.start(&stopped).await.unwrap();
    assert_eq!(server.endpoint.as_ref().unwrap().port, port);
    scene.ready(&server).await;
    let since = scene.inspect(&server.handle, "{{.State.StartedAt}}");
    scene.docker.start(&server).await.unwrap();
    assert_eq!(scene.inspect(&server.handle, "{{.State.StartedAt}}"), since);
}

#[tokio::test]
async fn a_server_that_does_not_stop_in_time_is_not_killed() {
    let Some(scene) = Scene::set().await else { return };
    scene.generation(1).await;
    let server = scene.launch(1, free_port()).await.unwrap();
    scene.ready(&server).await;
    let pid = scene.inspect(&server.handle, "{{.State.Pid}}");
    let signal = |signal: &str| {
        std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success()
    };
    if !signal("-STOP") {
        return crate::scene::skip("the daemon's processes are not on this machine");
    }
    let error = scene.docker.stop(&server, Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unexpected);
    assert!(error.to_string().contains("within 2s"), "{error}");
    assert!(scene.docker.server(&server.handle).await.unwrap().unwrap().is_running());
    assert!(signal("-CONT"));
    assert_eq!(scene.docker.exited(&server).await.code, Some(0), "it ends in its own time");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let ended = scene.docker.server(&server.handle).await.unwrap().unwrap();
    assert!(!ended.is_running(), "and is not started again: {ended:?}");
}

#[tokio::test]
async fn a_server_that_is_removed_under_a_watcher_has_ended() {
    let Some(scene) = Scene::set().await else { return };
    scene.generation(1).await;
    let server = scene.launch(1, free_port()).await.unwrap();
    let (exit, removed) =
        tokio::join!(scene.docker.exited(&server), scene.docker.remove_server(&server));
    removed.unwrap();
    assert!(exit.code.is_none() || exit.code == Some(137), "{exit:?}");
    scene.docker.remove_server(&server).await.expect("gone already is no error");
}

#[tokio::test]
async fn logs_have_a_tail_and_follow_until_the_end() {
    let Some(scene) = Scene::set().await else { return };
    scene.generation(1).await;
    let server = scene.launch(1, free_port()).await.unwrap();
    scene.ready(&server).await;
    let mut text = Vec::new();
    let mut sink = |part: &[u8]| text.extend_from_slice(part);
    scene.docker.logs(&server, Some(1), false, &mut sink).await.unwrap();
    let tail = String::from_utf8(text).unwrap();
    assert_eq!(tail.lines().count(), 1, "{tail}");

    let mut text = Vec::new();
    let mut sink = |part: &[u8]| text.extend_from_slice(part);
    let (followed, stopped) = tokio::join!(
        scene.docker.logs(&server, None, true, &mut sink),
        scene.docker.stop(&server, Duration::from_secs(30))
    );
    stopped.unwrap();
    followed.unwrap();
    let all = String::from_utf8(text).unwrap();
    assert!(all.contains("ready to accept connections"), "{all}");
    assert!(all.contains("database system is shut down"), "{all}");
}
