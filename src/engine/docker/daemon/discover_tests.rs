use super::*;

/// An environment without a daemon. Only the system's own socket can be found in it.
fn nowhere() -> (tempfile::TempDir, DockerEnvironment) {
    let dir = tempfile::tempdir().unwrap();
    let env = DockerEnvironment { home: Some(dir.path().to_owned()), ..Default::default() };
    (dir, env)
}

/// A daemon that answers every request with `reply`.
fn fake(dir: &Path, reply: &'static str) -> String {
    use std::io::{Read, Write};
    let path = dir.join("fake.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(reply.as_bytes());
        }
    });
    format!("unix://{}", path.display())
}

const PONG: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK";

#[tokio::test]
async fn docker_host_that_does_not_answer_is_not_replaced() {
    let (_dir, mut env) = nowhere();
    env.docker_host = Some("unix:///nowhere/docker.sock".into());
    let found = discover(&env).await;
    assert!(found.engine.is_none());
    assert_eq!(found.tried.len(), 1);
    let text = found.tried[0].to_string();
    assert_eq!(text, "DOCKER_HOST unix:///nowhere/docker.sock: no such socket");
    assert_eq!(found.error().kind(), Kind::NoEngine);
}

#[tokio::test]
async fn docker_host_wins_over_the_context_and_an_empty_one_is_unset() {
    let (dir, mut env) = nowhere();
    env.docker_host = Some(fake(dir.path(), PONG));
    env.docker_context = Some("colima".into());
    let found = discover(&env).await;
    assert!(found.engine.is_some(), "{:?}", found.tried);
    assert_eq!(found.tried[0].source, "DOCKER_HOST");

    env.docker_host = Some(String::new());
    let found = discover(&env).await;
    assert_eq!(found.tried[0].source, "context colima");
    assert!(found.engine.is_none(), "a context that is not there is not replaced");
}

#[tokio::test]
async fn the_current_context_is_used() {
    let (dir, env) = nowhere();
    let host = fake(dir.path(), PONG);
    let config = dir.path().join(".docker");
    let meta = config.join("contexts/meta").join(sha256_hex("mine"));
    std::fs::create_dir_all(&meta).unwrap();
    std::fs::write(config.join("config.json"), r#"{"currentContext":"mine"}"#).unwrap();
    std::fs::write(
        meta.join("meta.json"),
        format!(r#"{{"Name":"mine","Endpoints":{{"docker":{{"Host":"{host}"}}}}}}"#),
    )
    .unwrap();
    let found = discover(&env).await;
    assert_eq!(found.tried[0].source, "context mine");
    assert_eq!(found.engine.unwrap().address(), host);
}

fn sha256_hex(text: &str) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_daemon_that_is_silent_is_given_up_soon() {
    let (dir, mut env) = nowhere();
    let path = dir.path().join("silent.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    env.docker_host = Some(format!("unix://{}", path.display()));
    let started = std::time::Instant::now();
    let found = discover(&env).await;
    assert_eq!(found.tried[0].result, Err("no answer within 2 s".into()));
    assert!(started.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn a_daemon_that_is_there_or_was_chosen_has_no_substitute() {
    let (dir, env) = nowhere();
    let socket = dir.path().join("silent.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let silent = format!("unix://{}", socket.display());
    let place = |address: &str, choice| PossibleDaemon {
        source: "test".into(),
        address: address.to_owned(),
        tls: None,
        choice,
        problem: None,
    };
    let nobody = "unix:///nowhere/docker.sock";
    for (address, choice, is_nobody_there) in [
        (nobody, Choice::Nobody, true),
        (nobody, Choice::Configuration, true),
        (nobody, Choice::Variable, false),
        (silent.as_str(), Choice::Nobody, false),
        (silent.as_str(), Choice::Configuration, false),
        ("ssh://somewhere", Choice::Configuration, false),
    ] {
        let found = search(vec![place(address, choice)], &env, Duration::from_millis(50)).await;
        assert_eq!(found.is_nobody_there(), is_nobody_there, "{address} {choice:?}");
    }
}

#[tokio::test]
async fn a_daemon_that_needs_longer_is_waited_for() {
    use std::io::{Read, Write};
    let (dir, mut env) = nowhere();
    let path = dir.path().join("slow.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                std::thread::sleep(Duration::from_secs(3));
                let _ = stream.write_all(PONG.as_bytes());
            });
        }
    });
    env.docker_host = Some(format!("unix://{}", path.display()));
    let waited = std::sync::Mutex::new(Vec::new());
    let found = discover_patiently(&env, |at| waited.lock().unwrap().push(at.to_owned())).await;
    assert!(found.engine.is_some(), "{:?}", found.tried);
    assert_eq!(waited.into_inner().unwrap(), [env.docker_host.unwrap()]);
}

#[tokio::test]
async fn an_old_daemon_is_named_as_such() {
    let (dir, mut env) = nowhere();
    env.docker_host = Some(fake(
        dir.path(),
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\
         {\"Version\":\"19.03.15\",\"ApiVersion\":\"1.40\"}",
    ));
    let found = discover_all(&env).await;
    assert!(found.engine.is_none());
    let text = found.tried[0].to_string();
    assert!(text.contains("Docker 19.03.15, API 1.40 is too old"), "{text}");
}

#[tokio::test]
async fn another_machine_is_used_only_when_that_was_asked_for() {
    let env = DockerEnvironment {
        docker_host: Some("tcp://192.0.2.1:2375".into()),
        ..Default::default()
    };
    let found = discover(&env).await;
    assert!(found.tried[0].to_string().contains("DEVDB_PUBLISH=1"), "{}", found.tried[0]);
}

#[test]
fn every_well_known_socket_is_looked_for_once() {
    let env = DockerEnvironment {
        home: Some("/home/anna".into()),
        xdg_runtime_dir: Some("/run/user/1000".into()),
        ..Default::default()
    };
    let addresses: Vec<String> = places(&env).into_iter().map(|place| place.address).collect();
    assert_eq!(addresses.len(), 9, "{addresses:?}");
    assert!(addresses.contains(&"unix:///home/anna/.orbstack/run/docker.sock".to_owned()));
    assert!(addresses.contains(&"unix:///run/user/1000/docker.sock".to_owned()));
}
