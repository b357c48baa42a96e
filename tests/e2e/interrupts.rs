//! Ctrl-C and SIGTERM in each phase: exit 130, nothing half-made, the next `up` succeeds.

use std::process::Command;
use std::time::Duration;

use crate::sandbox::{On, Ran, Sandbox, docker, eventually, psql, spawn, wait};

crate::on_both_engines!(
    a_first_up_can_be_interrupted_anywhere,
    migrating_can_be_interrupted,
    seeding_can_be_interrupted,
    an_interrupted_restore_says_what_is_restored,
    a_swap_can_be_interrupted_anywhere,
);

fn signal(child: &std::process::Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

fn a_first_up_can_be_interrupted_anywhere(sandbox: &Sandbox) {
    sandbox.project();
    let whole = sandbox.run(&["up"]).ok().took;
    sandbox.run(&["down", "--purge", "--yes"]).ok();
    for (step, name) in [(1, "INT"), (2, "TERM"), (4, "INT"), (6, "TERM"), (7, "INT")] {
        let (child, begun) = spawn(sandbox.command(&["up"]));
        std::thread::sleep(whole * step / 10);
        signal(&child, name);
        let ran = wait((child, begun));
        if ran.code == 0 {
            continue; // It was quicker this time.
        }
        assert_eq!(ran.code, 130, "{step}/10 {name}\n{}", ran.stderr);
        if sandbox.run(&["url"]).code != 0 {
            assert_eq!(sandbox.leftovers(), Vec::<String>::new(), "{step}/10 {name}");
        }
    }
    sandbox.run(&["up"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items"), "1");
}

/// Interrupts `command` once a backend of the instance sleeps in a statement of ours.
fn interrupt_while_sleeping(sandbox: &Sandbox, command: &[&str]) -> Ran {
    let url = sandbox.url();
    let (child, begun) = spawn(sandbox.command(command));
    let asleep = "select count(*) from pg_stat_activity where application_name = 'devdb' and wait_event = 'PgSleep'";
    eventually("it sleeps", Duration::from_secs(20), || psql(&url, asleep).line() == "1");
    signal(&child, "INT");
    let ran = wait((child, begun)).exits(130);
    assert!(ran.took < Duration::from_secs(25), "{:?}", ran.took);
    eventually("its statement ends", Duration::from_secs(5), || psql(&url, asleep).line() == "0");
    ran
}

fn migrating_can_be_interrupted(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.write("migrations/20260102000000_add.sql", "ALTER TABLE items ADD note text;\n");
    sandbox.write(
        "migrations/20260103000000_slow.sql",
        "CREATE TABLE half (); SELECT pg_sleep(60);\n",
    );
    sandbox.sql("insert into items (name) values ('mine')");
    interrupt_while_sleeping(sandbox, &["up"])
        .says("is a copy from before this attempt")
        .says("devdb undo ");
    assert_eq!(sandbox.sql("select to_regclass('half') is null"), "t");
    assert_eq!(sandbox.sql("select count(note) from items"), "0");
    sandbox.write("migrations/20260103000000_slow.sql", "CREATE TABLE half ();\n");
    sandbox.run(&["up"]).ok();
    assert_eq!(sandbox.sql("select to_regclass('half') is null"), "f");
}

fn seeding_can_be_interrupted(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up", "--no-seed"]).ok();
    sandbox.write(
        "seeds/020_slow.sql",
        "INSERT INTO items (name) VALUES ('half'); SELECT pg_sleep(60);\n",
    );
    interrupt_while_sleeping(sandbox, &["seed"]);
    assert_eq!(sandbox.sql("select count(*) from items"), "0");
    sandbox.write("seeds/020_slow.sql", "INSERT INTO items (name) VALUES ('whole');\n");
    sandbox.run(&["up"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items"), "2");
}

/// The database is another one by then, and the person has to know.
fn an_interrupted_restore_says_what_is_restored(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.run(&["snapshot", "save", "old"]).ok();
    sandbox.sql("insert into items (name) values ('mine')");
    sandbox.write("migrations/20260103000000_slow.sql", "SELECT pg_sleep(60);\n");
    interrupt_while_sleeping(sandbox, &["snapshot", "restore", "old"])
        .says("interrupted\n  try: devdb migrate   tries again; the snapshot itself is restored\n")
        .says("  try: devdb undo   goes back to the database from before\n");
    sandbox.run(&["undo"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items"), "2");
}

fn a_swap_can_be_interrupted_anywhere(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let whole = sandbox.run(&["reset"]).ok().took;
    let url = sandbox.url();
    for (step, name) in [(3, "INT"), (6, "TERM"), (8, "INT"), (9, "TERM")] {
        sandbox.sql("insert into items (name) values ('mine')");
        let rows = sandbox.sql("select count(*) from items");
        let (child, begun) = spawn(sandbox.command(&["reset"]));
        std::thread::sleep(whole * step / 10);
        signal(&child, name);
        let ran = wait((child, begun));
        let now = psql(&url, "select count(*) from items").ok().line();
        match ran.code {
            0 => assert_eq!(now, "1"),
            130 => assert_eq!(now, rows, "{step}/10 {name}"),
            other => panic!("{step}/10 {name}: exit {other}\n{}", ran.stderr),
        }
        sandbox.run(&["up"]).ok();
        if sandbox.on == On::Docker {
            let filter = format!("label=devdb.developer={}", sandbox.developer());
            let servers = ["ps", "-aq", "--filter", &filter, "--filter", "label=devdb.role"];
            assert_eq!(docker(&servers).lines().count(), 1);
        }
    }
}
