//! Somebody wrote: a person or a program, never PostgreSQL itself.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::sandbox::{On, Sandbox, eventually, psql, spawn, wait};

crate::on_both_engines!(what_autovacuum_does_is_nobodys_write);

/// Autovacuum looks for work every second, and every changed row is work.
const EAGER: &str = "project: shop\npostgres: { settings: { autovacuum_naptime: 1s, \
    autovacuum_analyze_threshold: 0, autovacuum_analyze_scale_factor: 0, \
    autovacuum_vacuum_threshold: 0, autovacuum_vacuum_scale_factor: 0, \
    max_prepared_transactions: 5 } }\n";

fn project(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.write("devdb.yaml", EAGER);
    sandbox.write("migrations/20260102000000_add_numbers.sql", "CREATE SEQUENCE numbers;\n");
}

/// Lets the server idle until autovacuum has worked, and some rounds more.
fn idle(sandbox: &Sandbox) {
    let untouched = baseline(sandbox);
    let next = || sandbox.sql("select pg_snapshot_xmax(pg_current_snapshot())");
    eventually("autovacuum has used transactions", Duration::from_secs(60), || next() != untouched);
    std::thread::sleep(Duration::from_secs(4));
}

/// The number of the first transaction of somebody else in the current generation, as devdb has
/// recorded it. Read from the file, so that older programs can be tested, too.
fn baseline(sandbox: &Sandbox) -> String {
    let records = std::fs::read_dir(sandbox.data_dir().join("instances")).unwrap();
    let record = records.map(|entry| entry.unwrap().path()).next().unwrap();
    let record: Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
    let generations = record["generations"].as_array().unwrap();
    let current = generations.iter().find(|one| one["number"] == record["current"]).unwrap();
    current["baseline"].to_string().trim_matches('"').to_owned()
}

/// Whether `generations` says within some seconds that nobody has written to the current one.
fn is_known_to_be_untouched(sandbox: &Sandbox) -> bool {
    (0..10).any(|_| {
        std::thread::sleep(Duration::from_millis(500));
        let shown = sandbox.run(&["generations", "--json"]).ok().json();
        shown["result"]["generations"][0]["written"] == false
    })
}

fn former_after_reset(sandbox: &Sandbox) -> String {
    let reset = sandbox.run(&["reset", "--json"]).ok().json();
    reset["result"]["former"].as_str().unwrap().to_owned()
}

fn what_autovacuum_does_is_nobodys_write(sandbox: &Sandbox) {
    project(sandbox);
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) values ('mine')");
    assert_eq!(former_after_reset(sandbox), "kept");
    // Counters that were read while autovacuum worked on a busy machine may be those of no copy. Then
    // devdb keeps too much until the state is baked anew.
    let is_known = (0..4).any(|bake| {
        let numbers = format!("CREATE SEQUENCE numbers; -- {bake}\n");
        sandbox.write("migrations/20260102000000_add_numbers.sql", &numbers);
        sandbox.run(&["reset"]).ok();
        idle(sandbox);
        is_known_to_be_untouched(sandbox)
    });
    assert!(is_known, "an untouched database counts as written to, however often it is baked");
    for _ in 0..2 {
        idle(sandbox);
        assert!(is_known_to_be_untouched(sandbox));
        assert_eq!(former_after_reset(sandbox), "unwritten");
    }
    // A server that devdb stopped can be asked nothing more.
    idle(sandbox);
    sandbox.run(&["down"]).ok();
    assert_eq!(former_after_reset(sandbox), "unwritten");
    sandbox.run(&["undo"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items where name = 'mine'"), "1");
}

#[test]
fn whatever_somebody_wrote_is_seen() {
    let Some(sandbox) = Sandbox::new(On::Native, "writes of every kind") else { return };
    project(&sandbox);
    sandbox.run(&["up"]).ok();
    for write in [
        "insert into items (name) values ('mine')",
        "truncate items",
        "create table more (a int)",
        "comment on table items is 'mine'",
        "select nextval('numbers')",
        "select setval('numbers', 7, false)",
        "select lo_create(0)",
        "alter role current_user set work_mem = '5MB'",
        "create role somebody",
        "create database another",
        "begin; insert into items (name) values ('mine'); prepare transaction 'mine'",
        "delete from items; select pg_stat_reset()",
    ] {
        sandbox.sql(write);
        assert_eq!(former_after_reset(&sandbox), "kept", "{write}");
    }
    assert_eq!(former_after_reset(&sandbox), "unwritten", "nobody wrote");

    // A session that is still open has not counted yet what it wrote.
    let url = sandbox.url();
    let mut command = Command::new("psql");
    let write = "insert into items (name) values ('late')";
    command.args([url.as_str(), "-Xqc", write, "-c", "select pg_sleep(60)"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let client = spawn(command);
    eventually("the client has written", Duration::from_secs(5), || {
        sandbox.sql("select count(*) from items where name = 'late'") == "1"
    });
    assert_eq!(former_after_reset(&sandbox), "kept", "a session was open");
    drop(wait(client));

    // A crash loses what the server has counted.
    sandbox.sql("insert into items (name) values ('mine')");
    let mut command = Command::new("psql");
    command.args([url.as_str(), "-Xqc", "select pg_sleep(60)"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let client = spawn(command);
    let sleeper = "select pid from pg_stat_activity where query = 'select pg_sleep(60)'";
    eventually("the client sleeps", Duration::from_secs(5), || !sandbox.sql(sleeper).is_empty());
    let pid = sandbox.sql(sleeper);
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    drop(wait(client));
    eventually("the server has recovered", Duration::from_secs(20), || {
        psql(&url, "select 1").code == 0
    });
    assert_eq!(former_after_reset(&sandbox), "kept", "after a crash");
}
