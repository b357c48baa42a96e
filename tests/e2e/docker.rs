//! What only docker has: health, volumes, images that differ, strangers with our names.

use std::time::{Duration, SystemTime};

use crate::sandbox::{On, Sandbox, docker, psql};

fn sandbox(test: &str) -> Option<Sandbox> {
    Sandbox::new(On::Docker, test)
}

fn mine(sandbox: &Sandbox, what: &[&str]) -> String {
    let filter = format!("label=devdb.developer={}", sandbox.developer());
    docker(&[what, &["--filter", &filter]].concat()).trim().to_owned()
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
fn an_image_with_other_conventions_is_refused_soon_and_says_why() {
    let Some(sandbox) = sandbox("docker deaf image") else { return };
    let name = format!("devdb-test-deaf-{}", uuid::Uuid::new_v4().simple());
    let image = format!("devdb-test/{name}:15");
    docker(&["create", "--name", &name, "postgres:15"]);
    let deaf = "unset POSTGRES_PASSWORD_FILE; POSTGRES_PASSWORD=its-own; export POSTGRES_PASSWORD; \
                exec docker-entrypoint.sh \"$@\"";
    let entrypoint = format!("ENTRYPOINT {}", serde_json::json!(["sh", "-c", deaf, "sh"]));
    docker(&["commit", "--change", &entrypoint, "--change", r#"CMD ["postgres"]"#, &name, &image]);
    docker(&["rm", "-v", &name]);
    sandbox.write("devdb.yaml", &format!("project: deaf\npostgres: {{ image: '{image}' }}\n"));
    let up = sandbox.run(&["up"]).exits(11).says("POSTGRES_PASSWORD_FILE").says(&image);
    assert!(up.took < Duration::from_secs(40), "{:?}", up.took);
    assert!(!up.stderr.contains("devdb logs"), "{}", up.stderr);
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
    docker(&["rmi", "-f", &image]);
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

    // The name of a volume ends with the second in which devdb makes it.
    let prefix = volume.trim_end_matches(|c: char| c.is_ascii_digit());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let strangers: Vec<String> =
        (now..now + 20).map(|second| format!("{prefix}{second}")).collect();
    for stranger in &strangers {
        docker(&["volume", "create", stranger]);
    }
    sandbox.run(&["up"]).exits(1).says(prefix);
    for stranger in &strangers {
        let format = ["volume", "inspect", "--format", "{{.Labels}}", stranger];
        assert_eq!(docker(&format).trim(), "map[]");
        docker(&["volume", "rm", stranger]);
    }
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

/// A person renames devdb's container, and it goes on running on the volume.
#[test]
fn two_servers_never_run_on_one_volume() {
    let Some(sandbox) = sandbox("docker renamed container") else { return };
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let server = mine(&sandbox, &["ps", "--filter", "label=devdb.role=instance", "-q"]);
    let name = format!("mine-{server}");
    docker(&["rename", &server, &name]);
    let url = sandbox.url();
    let refused = format!("docker stop {name}   ends it");
    for command in [&["up"][..], &["start"], &["restart"], &["snapshot", "save", "s"]] {
        sandbox.run(command).exits(1).says(&refused);
        drop(psql(&url, "insert into items (name) values ('late')").ok());
    }
    docker(&["stop", &name]);
    sandbox.run(&["up"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items where name = 'late'"), "4");
    sandbox.run(&["down", "--purge", "--yes"]).exits(1).says(&format!("docker rm -f {name} "));
    docker(&["rm", &name]);
    sandbox.run(&["down", "--purge", "--yes"]).ok();
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}
