//! Images: present, strange, pulled and not to be had.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use devdb::engine::docker::PullFailure;
use devdb::error::Kind;
use devdb::event::{Event, Events};

use crate::scene::{Scene, docker, free_port, skip, spec};

#[tokio::test]
async fn an_image_that_is_there_is_not_pulled() {
    let Some(scene) = Scene::set().await else { return };
    let events = Events::new(|event| panic!("{event:?}"));
    scene.docker.prepare(&scene.spec, &events).await.unwrap();
    let image = scene.docker.inspect_image("postgres:15").await.unwrap().unwrap();
    assert!(image.id.starts_with("sha256:") && image.bytes.unwrap() > 1 << 20);
    assert_eq!(image.major, Some(15));
    assert!(scene.docker.inspect_image("devdb-test/nothing:1").await.unwrap().is_none());
}

#[tokio::test]
async fn an_image_of_another_version_or_no_postgresql_is_refused() {
    let Some(scene) = Scene::set().await else { return };
    let mut other = spec("postgres:15");
    other.major = 16;
    let error = scene.docker.prepare(&other, &Events::silent()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config, "{error}");
    let stranger = spec("devdb-test/postgres-stranger:15");
    let error = scene.docker.prepare(&stranger, &Events::silent()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Image, "{error}");
    let malformed = spec("Not A Reference");
    let error = scene.docker.prepare(&malformed, &Events::silent()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config, "{error}");
}

#[tokio::test]
async fn a_registry_that_refuses_is_unreachable() {
    let Some(scene) = Scene::set().await else { return };
    let nowhere = spec(&format!("127.0.0.1:{}/postgres:15", free_port()));
    let started = Instant::now();
    let failed = scene.docker.prepare_detailed(&nowhere, &Events::silent()).await.unwrap_err();
    assert_eq!(failed.pull, Some(PullFailure::Unreachable), "{:?}", failed.error);
    assert_eq!(failed.error.kind(), Kind::Image);
    assert!(failed.error.message().contains(&nowhere.image), "{}", failed.error);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_registry_that_answers_with_an_error_is_told_from_one_that_does_not() {
    let Some(scene) = Scene::set().await else { return };
    for (answer, failure) in [
        ("429 Too Many Requests", PullFailure::RegistryError),
        ("503 Service Unavailable", PullFailure::RegistryError),
        ("401 Unauthorized", PullFailure::Denied),
    ] {
        let registry = fake_registry(answer);
        let image = spec(&format!("{registry}/postgres:15"));
        let failed = scene.docker.prepare_detailed(&image, &Events::silent()).await.unwrap_err();
        assert_eq!(failed.pull, Some(failure), "{answer}: {:?}", failed.error);
    }
}

/// A registry that gives one answer to everything but the greeting.
fn fake_registry(answer: &'static str) -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap_or(0);
            let greeting = request[..length].starts_with(b"GET /v2/ ");
            let status = if greeting { "200 OK" } else { answer };
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nDocker-Distribution-Api-Version: registry/2.0\r\n\
                 Content-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
    });
    address
}

/// `HOST:PORT` of a registry that has `devdb-test/pull:15`.
fn registry() -> Option<String> {
    let registry = std::env::var("DEVDB_TEST_REGISTRY").ok().filter(|address| !address.is_empty());
    if registry.is_none() {
        skip("pulls: DEVDB_TEST_REGISTRY names no registry");
    }
    registry
}

#[tokio::test]
async fn an_image_is_pulled_with_progress_and_a_tag_that_is_not_there_is_named() {
    let Some(scene) = Scene::set().await else { return };
    let Some(registry) = registry() else { return };
    let image = spec(&format!("{registry}/devdb-test/pull:15"));
    docker(&["rmi", "-f", &image.image]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let events = Events::new({
        let seen = Arc::clone(&seen);
        move |event| seen.lock().unwrap().push(event)
    });
    // Dropped midway it stops; begun again it succeeds.
    let dropped = scene.docker.prepare(&image, &events);
    let _ = tokio::time::timeout(Duration::from_millis(60), dropped).await;
    seen.lock().unwrap().clear();
    scene.docker.prepare(&image, &events).await.unwrap();
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    assert!(matches!(&seen[0], Event::Pulling { image: name } if *name == image.image));
    assert!(matches!(seen.last(), Some(Event::Pulled { .. })), "{seen:?}");
    let progress = |event: &Event| matches!(event, Event::PullProgress { .. });
    assert!(seen.iter().any(progress), "{seen:?}");
    docker(&["rmi", "-f", &image.image]);

    let missing = spec(&format!("{registry}/devdb-test/pull:99"));
    let failed = scene.docker.prepare_detailed(&missing, &Events::silent()).await.unwrap_err();
    assert_eq!(failed.pull, Some(PullFailure::NotFound), "{:?}", failed.error);
    assert!(failed.error.message().contains("pull:99"), "{}", failed.error);
}
