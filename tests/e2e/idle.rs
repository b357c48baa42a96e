//! What keeps the databases of many commits and branches from becoming a heap: one for all detached
//! heads, a stop of those that nobody uses, and commands for all of them at once.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::branch::{git, repository};
use crate::sandbox::{On, Sandbox, docker, eventually, psql};

crate::on_both_engines!(
    a_bisect_leaves_one_database_that_gc_finds,
    a_branch_that_nobody_uses_stops_by_itself,
    all_databases_of_a_project_are_stopped_and_removed_at_once,
);

/// The names of this project's instances and their states.
fn instances(sandbox: &Sandbox) -> Vec<(String, String)> {
    let list = sandbox.run(&["list", "--json"]).ok().json();
    let mine = |one: &&serde_json::Value| one["owner"]["developer"] == sandbox.developer();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let all = list["result"]["instances"].as_array().unwrap();
    let mut found: Vec<_> = all
        .iter()
        .filter(mine)
        .map(|one| (text(&one["owner"]["instance"]), text(&one["state"])))
        .collect();
    found.sort();
    found
}

fn commit(sandbox: &Sandbox, number: u32) {
    let file = format!("migrations/2026020{number}000000_step_{number}.sql");
    sandbox.write(&file, &format!("CREATE TABLE step_{number} (n int);\n"));
    git(&sandbox.work(), &["add", "."]);
    git(&sandbox.work(), &["commit", "-q", "-m", &format!("step {number}")]);
}

fn a_bisect_leaves_one_database_that_gc_finds(sandbox: &Sandbox) {
    const STEPS: &str = "select coalesce(max(right(tablename, 1)), '0') from pg_tables where tablename like 'step%'";
    repository(sandbox);
    for number in 1..=4 {
        commit(sandbox, number);
    }
    git(&sandbox.work(), &["bisect", "start", "HEAD", "HEAD~4"]);
    sandbox.run(&["up"]).ok().says("instance HEAD");
    assert_eq!(sandbox.sql(STEPS), "2");
    sandbox.sql("insert into items (name) values ('of the second step')");
    // To a later commit: its migrations are applied. To an earlier one: the data is made anew.
    git(&sandbox.work(), &["bisect", "good"]);
    sandbox.run(&["up"]).ok();
    assert_eq!(sandbox.sql(STEPS), "3");
    git(&sandbox.work(), &["checkout", "-q", "main~3"]);
    let renewed = sandbox.run(&["up", "--json"]).ok().json();
    assert_eq!(renewed["result"]["how"], "renewed", "{renewed:#}");
    assert_eq!(sandbox.sql(STEPS), "1");
    assert_eq!(sandbox.sql("select count(*) from items"), "1");
    sandbox.run(&["undo"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items"), "2", "what was written is kept");

    let one = [("HEAD".to_owned(), "running".to_owned())];
    assert_eq!(instances(sandbox), one);
    sandbox.run(&["gc"]).ok().says("nothing to remove");
    git(&sandbox.work(), &["bisect", "reset"]);
    git(&sandbox.work(), &["switch", "-q", "main"]);
    sandbox.run(&["gc"]).ok().says("instance HEAD").says("detached heads");
    assert_eq!(instances(sandbox), one);
    sandbox.run(&["gc", "--yes"]).ok();
    assert_eq!(instances(sandbox), []);
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}

fn a_branch_that_nobody_uses_stops_by_itself(sandbox: &Sandbox) {
    repository(sandbox);
    sandbox.write("devdb.yaml", "project: shop\nisolation: branch\nidle: 8s\n");
    sandbox.run(&["up"]).ok();
    git(&sandbox.work(), &["switch", "-q", "-c", "side"]);
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) values ('kept')");
    let url = sandbox.url();

    // A client that is connected keeps the database up, whether it does anything or not.
    let mut client = Command::new("psql")
        .args([&url, "-XAtq"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(25));
    let state = |name: &str| {
        let all = instances(sandbox);
        all.into_iter().find(|(found, _)| found == name).map(|(_, state)| state).unwrap()
    };
    assert_eq!(state("side"), "running");
    drop(client.stdin.take());
    client.wait().unwrap();

    if sandbox.on == On::Docker {
        end_the_checks_own_session_late(sandbox);
    }
    // So do clients that come and go.
    for _ in 0..20 {
        std::thread::sleep(Duration::from_secs(1));
        psql(&url, "select 1").ok();
    }
    eventually("the unused database stops", Duration::from_secs(60), || state("side") == "stopped");
    assert_eq!(state("main"), "running");
    sandbox.run(&["status"]).ok().says("stopped");
    let up = sandbox.run(&["up", "--json"]).ok().json();
    assert_eq!(up["result"]["how"], "started");
    assert_eq!(sandbox.url(), url);
    assert_eq!(sandbox.sql("select count(*) from items where name = 'kept'"), "1");

    // With another setting it goes on.
    sandbox.write("devdb.yaml", "project: shop\nisolation: branch\nidle: off\n");
    sandbox.run(&["up"]).ok();
    std::thread::sleep(Duration::from_secs(20));
    assert_eq!(state("side"), "running");
    sandbox.run(&["down", "--all", "--purge", "--yes"]).ok();
    eventually("no process is left", Duration::from_secs(10), || !is_watched(&url));
}

/// As on a busy machine: the server still shows the connection of a health check when that has ended.
fn end_the_checks_own_session_late(sandbox: &Sandbox) {
    const SLOW: &str = r#"cd /usr/lib/postgresql/15/bin && mv pg_isready pg_isready.real && cat >pg_isready <<'END'
#!/bin/bash
"$0.real" "$@"; rc=$?
(exec -a 'postgres: postgres shop 127.0.0.1(4711) authentication' sleep 1) >/dev/null 2>&1 &
exit $rc
END
chmod 755 pg_isready"#;
    let filter = format!("label=devdb.developer={}", sandbox.developer());
    let labels = ["--filter", "label=devdb.instance=side", "--filter", "label=devdb.role=instance"];
    let all = docker(&[&["ps", "-q", "--filter", &filter], &labels[..]].concat());
    docker(&["exec", "-u", "0", all.lines().next().unwrap(), "sh", "-c", SLOW]);
}

/// Whether a process waits until nobody uses the database at this port.
fn is_watched(url: &str) -> bool {
    let port = url.rsplit(':').next().unwrap().split('/').next().unwrap().to_owned();
    let listed = Command::new("ps").args(["-eo", "args"]).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    listed.lines().any(|line| line.contains(&format!("port={port}")))
}

fn all_databases_of_a_project_are_stopped_and_removed_at_once(sandbox: &Sandbox) {
    repository(sandbox);
    sandbox.run(&["stop", "--all"]).ok().says("no database of this project was running");
    sandbox.run(&["up"]).ok();
    let urls = [sandbox.url(), {
        git(&sandbox.work(), &["switch", "-q", "-c", "side"]);
        sandbox.run(&["up"]).ok();
        sandbox.url()
    }];
    let answering = || urls.iter().filter(|url| psql(url, "select 1").code == 0).count();
    sandbox.run(&["stop", "--all"]).ok().says("stopped 2 databases: main, side");
    assert_eq!(answering(), 0);
    sandbox.run(&["up"]).ok();
    sandbox.run(&["down", "--all"]).ok().says("stopped 2 databases: main, side");
    assert_eq!(answering(), 0);
    sandbox.run(&["up"]).ok();
    assert_eq!(answering(), 1);
    sandbox.run(&["down", "--all", "--yes"]).exits(2);
    sandbox.run(&["down", "--all", "--purge"]).exits(2).says("--yes");
    assert_eq!(answering(), 1);
    // Another developer in the same checkout is not concerned.
    let other = format!("{}-other", sandbox.developer());
    sandbox.run(&["up", "--developer", &other]).ok();
    let theirs = sandbox.run(&["url", "--developer", &other]).ok().line();
    sandbox.run(&["down", "--all", "--purge", "--yes"]).ok().says("deleted 2 databases");
    assert_eq!(psql(&theirs, "select 1").code, 0);
    sandbox.run(&["down", "--developer", &other, "--purge", "--yes"]).ok();
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
    sandbox.run(&["down", "--all", "--purge", "--yes"]).ok().says("nothing to remove");
}
