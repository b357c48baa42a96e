//! What devdbs that were killed have left is collected by the next command, whichever it is, and
//! nothing else is.

use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::run::{left, nothing_is_left, processes};
use crate::sandbox::{On, Sandbox, docker, eventually, finish, spawn};

/// A `devdb run` that goes on, once its command runs.
fn going_on(sandbox: &Sandbox) -> Child {
    let mut command = sandbox.command(&["run", "--", "sh", "-c", "echo > started; exec sleep 300"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    drop(std::fs::remove_file(sandbox.path("started")));
    let (child, _) = spawn(command);
    let started = || sandbox.path("started").exists();
    eventually("the command runs", Duration::from_secs(30), started);
    child
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The process that would tidy up after `child`.
fn kill_watcher(child: &Child) {
    let parent = format!("PPid:\t{}\n", child.id());
    let watcher = processes("watch-run").into_iter().filter_map(|process| {
        let directory = process.split(':').next()?.to_owned();
        let status = std::fs::read_to_string(format!("{directory}/status")).ok()?;
        status.contains(&parent).then(|| directory.trim_start_matches("/proc/").to_owned())
    });
    let watcher: Vec<String> = watcher.collect();
    assert_eq!(watcher.len(), 1);
    let killed = std::process::Command::new("kill").args(["-KILL", &watcher[0]]).status();
    assert!(killed.unwrap().success());
}

#[test]
fn a_container_that_nobody_started_is_collected_and_those_of_others_are_not() {
    let Some(sandbox) = Sandbox::new(On::Docker, "reaping") else { return };
    sandbox.project();
    let (dead, alive) = (going_on(&sandbox), going_on(&sandbox));
    let inspected = |id: &str| -> Value {
        let text = docker(&["inspect", id]);
        serde_json::from_str::<Vec<Value>>(&text).unwrap().remove(0)
    };
    let labels = |id: &str| inspected(id)["Config"]["Labels"].as_object().unwrap().clone();
    let of = |child: &Child| {
        let pid = format!("\"pid\":{},", child.id());
        let mut ids = left(&sandbox).into_iter();
        let lease = |id: &String| labels(id)["devdb.lease"].as_str().unwrap().contains(&pid);
        let id = ids.find(lease).unwrap();
        (inspected(&id)["Name"].as_str().unwrap().trim_start_matches('/').to_owned(), labels(&id))
    };
    let ((name, of_dead), (_, of_alive)) = (of(&dead), of(&alive));
    kill(dead);
    eventually("it is gone", Duration::from_secs(2), || left(&sandbox).len() == 1);

    let create = |name: &str, labels: &serde_json::Map<String, Value>, change: (&str, String)| {
        let mut command = vec!["create".to_owned(), "--name".into(), name.into()];
        let mut labels = labels.clone();
        labels.insert("devdb.name".into(), name.into());
        labels.insert(change.0.into(), change.1.into());
        for (label, value) in &labels {
            command.extend(["--label".into(), format!("{label}={}", value.as_str().unwrap())]);
        }
        command.extend(["postgres:15".into(), "true".into()]);
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        docker(&words).trim().to_owned()
    };
    let text = |labels: &serde_json::Map<String, Value>| {
        labels["devdb.lease"].as_str().unwrap().to_owned()
    };
    let lease = text(&of_dead);
    let same = ("devdb.lease", lease.clone());
    let rubbish = create(&name, &of_dead, same.clone());
    let anothers = lease.replacen("\"user\":0", "\"user\":4242", 1);
    let kept = [
        create(&format!("{name}-1"), &of_dead, ("devdb.lease", anothers)),
        create(&format!("{name}-2"), &of_alive, ("devdb.lease", text(&of_alive))),
        create(&format!("{name}-3"), &of_dead, ("devdb.schema", "2".into())),
        create(&format!("{name}-4"), &of_dead, ("devdb.name", "another".into())),
    ];
    let is_there = |id: &String| docker(&["inspect", "-f", "{{.Id}}", id]).trim() == id;
    // Another test's devdb may have collected it already.
    assert!(!rubbish.is_empty() && kept.iter().all(is_there));
    let ran = sandbox.run(&["list"]).ok();
    eventually("it is collected", Duration::from_secs(2), || !is_there(&rubbish));
    assert!(kept.iter().all(is_there), "{}", ran.stderr);
    for id in &kept {
        docker(&["rm", "-f", id]);
    }
    kill(alive);
    eventually("all are gone", Duration::from_secs(2), || left(&sandbox).is_empty());
}

#[test]
fn what_is_left_when_the_watcher_dies_too_is_collected() {
    let Some(sandbox) = Sandbox::new(On::Native, "reaping") else { return };
    sandbox.project();
    let (dead, alive) = (going_on(&sandbox), going_on(&sandbox));
    kill_watcher(&dead);
    kill(dead);
    assert_eq!(left(&sandbox).iter().filter(|path| !path.contains("/s/")).count(), 2);
    sandbox.run(&["list"]).ok();
    let databases = || left(&sandbox).iter().filter(|path| !path.contains("/s/")).count();
    eventually("it is collected", Duration::from_secs(2), || {
        drop(finish(sandbox.command(&["list"])));
        databases() == 1
    });
    kill(alive);
    eventually("the other is gone", Duration::from_secs(2), || databases() == 0);
    nothing_is_left(&sandbox);
    // The watcher was to end its command, too.
    for process in processes(sandbox.developer()) {
        let pid = process.trim_start_matches("/proc/").split(':').next().unwrap().to_owned();
        drop(std::process::Command::new("kill").args(["-KILL", &pid]).status());
    }
}

#[test]
fn what_a_run_was_baking_when_its_watcher_died_too_is_collected() {
    let Some(sandbox) = Sandbox::new(On::Native, "reaping") else { return };
    sandbox.project();
    sandbox.write("migrations/20260102000000_slow.sql", "SELECT pg_sleep(30);\n");
    let mut command = sandbox.command(&["run", "--", "true"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let (child, _) = spawn(command);
    let is_baking = || !left(&sandbox).is_empty();
    eventually("it bakes", Duration::from_secs(30), is_baking);
    kill_watcher(&child);
    kill(child);
    assert!(is_baking());
    eventually("it is collected", Duration::from_secs(5), || {
        drop(finish(sandbox.command(&["list"])));
        !is_baking()
    });
    nothing_is_left(&sandbox);
}

#[test]
fn collecting_does_not_get_in_the_way_of_who_begins_anew() {
    let Some(sandbox) = Sandbox::new(On::Native, "reaping") else { return };
    sandbox.project();
    let slow = sandbox.path("migrations/20260102000000_slow.sql");
    for round in 0..4 {
        std::fs::write(&slow, format!("SELECT pg_sleep(30); -- {round}\n")).unwrap();
        let mut command = sandbox.command(&["up"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let (child, _) = spawn(command);
        let is_baking = || sandbox.leftovers().iter().any(|path| path.ends_with("/g0"));
        eventually("it bakes", Duration::from_secs(30), is_baking);
        kill(child);
        // Something else to bake.
        std::fs::write(&slow, format!("SELECT {round};\n")).unwrap();
        sandbox.run(&["up"]).ok();
        sandbox.run(&["down", "--purge", "--yes"]).ok();
    }
    nothing_is_left(&sandbox);
}
