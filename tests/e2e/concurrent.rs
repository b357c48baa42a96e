//! Many at once: of one instance, of many developers, of checkouts that look alike.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::sandbox::{On, Sandbox, psql, spawn, wait};

crate::on_both_engines!(
    eight_ups_of_one_instance_make_one,
    eight_developers_get_eight,
    work_on_a_server_waits_for_its_replacement,
    a_slow_bake_holds_nobody_up,
    worktrees_copies_and_namesakes_stay_apart_and_a_moved_directory_keeps_its_own,
);

fn eight_ups_of_one_instance_make_one(sandbox: &Sandbox) {
    sandbox.project();
    let ups: Vec<_> =
        (0..8).map(|_| spawn(sandbox.command(&["up", "--json", "--timeout", "5m"]))).collect();
    let urls: BTreeSet<String> = ups
        .into_iter()
        .map(|up| wait(up).ok().json()["result"]["url"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(urls.len(), 1, "{urls:?}");
    assert_eq!(sandbox.sql("select count(*) from items"), "1");
    let list = sandbox.run(&["list", "--json"]).ok().json();
    let mine = list["result"]["instances"].as_array().unwrap().iter();
    assert_eq!(mine.filter(|i| i["owner"]["developer"] == sandbox.developer()).count(), 1);
}

/// `migrate`, `seed` and `up` work on the running server, and others replace or stop it meanwhile.
fn work_on_a_server_waits_for_its_replacement(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    for (replace, pause) in
        [("reset", 0), ("reset", 40), ("undo", 120), ("restart", 20), ("reset", 250)]
    {
        sandbox.sql("update items set name = 'mine'");
        let replacing = spawn(sandbox.command(&[replace]));
        std::thread::sleep(Duration::from_millis(pause));
        let working = ["migrate", "seed", "up", "migrate"].map(|command| {
            std::thread::sleep(Duration::from_millis(30));
            (command, spawn(sandbox.command(&[command])))
        });
        wait(replacing).ok();
        for (command, ran) in working {
            let ran = wait(ran);
            assert_eq!(ran.code, 0, "{command} beside {replace}:\n{}", ran.stderr);
        }
    }
    assert_eq!(sandbox.sql("select count(*) from items"), "1");
}

fn eight_developers_get_eight(sandbox: &Sandbox) {
    sandbox.project();
    // A database of a name that no other test has: its state is not cached yet.
    sandbox.write("devdb.yaml", &format!("project: {}\n", sandbox.project_name()));
    let names: Vec<String> = (0..8).map(|n| format!("dev {n}")).collect();
    let up = |name: &String| {
        spawn(sandbox.command(&["--instance", name, "up", "--json", "--timeout", "5m"]))
    };
    let ups: Vec<_> = names.iter().map(up).collect();
    let results: Vec<Value> =
        ups.into_iter().map(|up| wait(up).ok().json()["result"].clone()).collect();
    let ports: BTreeSet<u64> = results.iter().map(|one| one["port"].as_u64().unwrap()).collect();
    assert_eq!(ports.len(), 8);
    // One makes the state, the others wait for it.
    let cached = |how: &str| results.iter().filter(|one| one["golden"]["cached"] == how).count();
    assert_eq!((cached("miss"), cached("hit")), (1, 7), "{results:#?}");
    for name in &names {
        let url = sandbox.run(&["--instance", name, "url"]).ok().line();
        psql(&url, &format!("update items set name = '{name}'")).ok();
    }
    for name in &names {
        let url = sandbox.run(&["--instance", name, "url"]).ok().line();
        assert_eq!(&psql(&url, "select name from items").ok().line(), name);
    }
    sandbox.clear_cache();
}

fn a_slow_bake_holds_nobody_up(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let slow = sandbox.path("slow");
    let migration = slow.join("migrations/20260101000000_slow.sql");
    std::fs::create_dir_all(migration.parent().unwrap()).unwrap();
    std::fs::write(slow.join("devdb.yaml"), "project: slow\n").unwrap();
    std::fs::write(migration, "SELECT pg_sleep(600);\n").unwrap();
    let (mut baking, begun) = spawn(sandbox.command_in(&slow, &["up", "-v"]));
    std::thread::sleep(Duration::from_secs(3));
    sandbox.write("seeds/020_more.yaml", "items:\n  second:\n    name: Second\n");
    let commands: [&[&str]; 6] =
        [&["status"], &["reset"], &["cache", "list"], &["run", "--", "true"], &["list"], &["up"]];
    for command in commands {
        sandbox.run(command).ok();
    }
    assert_eq!(sandbox.sql("select count(*) from items"), "2");
    sandbox.run_in(&slow, &["status"]).ok();
    assert!(baking.try_wait().unwrap().is_none(), "it has ended by itself");
    let interrupt = Command::new("kill").args(["-INT", &baking.id().to_string()]).status();
    assert!(interrupt.unwrap().success());
    wait((baking, begun)).exits(130);
}

fn git(directory: &Path, arguments: &[&str]) {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn worktrees_copies_and_namesakes_stay_apart_and_a_moved_directory_keeps_its_own(
    sandbox: &Sandbox,
) {
    sandbox.project();
    let first = sandbox.path("first");
    std::fs::create_dir(&first).unwrap();
    for name in ["devdb.yaml", "migrations", "seeds"] {
        std::fs::rename(sandbox.path(name), first.join(name)).unwrap();
    }
    git(&first, &["init", "-q"]);
    git(&first, &["add", "."]);
    git(&first, &["commit", "-qm", "first"]);
    sandbox.run_in(&first, &["up"]).ok();
    let url = sandbox.run_in(&first, &["url"]).ok().line();
    psql(&url, "update items set name = 'original'").ok();

    git(&first, &["worktree", "add", "-q", "../worktree"]);
    let copied =
        Command::new("cp").args(["-a", "first", "copy"]).current_dir(sandbox.work()).status();
    assert!(copied.unwrap().success());
    let namesake = sandbox.path("namesake");
    std::fs::create_dir(&namesake).unwrap();
    for name in ["devdb.yaml", "migrations", "seeds"] {
        let from = first.join(name);
        drop(Command::new("cp").arg("-a").arg(from).arg(&namesake).status());
    }
    let mut urls = BTreeSet::from([url.clone()]);
    for name in ["worktree", "copy", "namesake"] {
        let directory = sandbox.path(name);
        sandbox.run_in(&directory, &["up"]).ok();
        let other = sandbox.run_in(&directory, &["url"]).ok().line();
        assert_eq!(psql(&other, "select name from items").ok().line(), "First", "{name}");
        urls.insert(other);
    }
    assert_eq!(urls.len(), 4);

    let moved = sandbox.path("moved");
    std::fs::rename(&first, &moved).unwrap();
    assert_eq!(sandbox.run_in(&moved, &["url"]).ok().line(), url);
    sandbox.run_in(&moved, &["up"]).ok();
    assert_eq!(psql(&url, "select name from items").ok().line(), "original");
}

/// A host and a devcontainer have a home each, and one engine.
#[test]
fn two_homes_with_one_engine_wait_for_each_other() {
    let Some(sandbox) = Sandbox::new(On::Docker, "two homes") else { return };
    sandbox.project();
    sandbox.write("devdb.yaml", &format!("project: {}\n", sandbox.project_name()));
    sandbox.write("migrations/20260102000000_slow.sql", "SELECT pg_sleep(4);\n");
    let other = sandbox.home().with_file_name("other home");
    std::fs::create_dir(&other).unwrap();
    let start = |home: &Path, arguments: &[&str]| {
        let mut command = sandbox.command(arguments);
        command.env("HOME", home);
        spawn(command)
    };
    // The checkout has its id before two want to give it one.
    sandbox.run(&["status"]).ok();
    let first = start(&sandbox.home(), &["up"]);
    std::thread::sleep(Duration::from_secs(2));
    let second = start(&other, &["up"]);
    wait(first).ok().says("created");
    wait(second).ok().says("another home directory or container");
    let list = sandbox.run(&["list", "--json"]).ok().json();
    let mine: Vec<Value> = list["result"]["instances"].as_array().unwrap().clone();
    let mine: Vec<&Value> =
        mine.iter().filter(|one| one["owner"]["developer"] == sandbox.developer()).collect();
    assert_eq!(mine.len(), 1, "{mine:#?}");
    assert_eq!(mine[0]["generations"], 1);

    // Nobody sees the process of a holder elsewhere. When it is silent, its lock is broken.
    let lock = format!("devdb-lock-instance-{}", mine[0]["key"].as_str().unwrap());
    let lease = r#"devdb.lock.lease={"world":"elsewhere","user":0,"pid":1,"started":null}"#;
    let label = ["--label", "devdb.lock=x", "--label", lease];
    sandbox.docker(&[&["create", "--name", &lock][..], &label, &["postgres:15", "true"]].concat());
    let stop = sandbox.run(&["stop"]).ok().says("another home directory or container");
    assert!(stop.took > Duration::from_secs(15), "{:?}", stop.took);
    assert_eq!(sandbox.docker(&["ps", "-aq", "--filter", &format!("name={lock}")]), "");
    sandbox.clear_cache();
}
