//! Somebody wrote: a person or a program, never PostgreSQL itself.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::sandbox::{On, Sandbox, eventually, psql, spawn, wait};

crate::on_both_engines!(
    what_autovacuum_does_is_nobodys_write,
    what_devdb_does_is_nobodys_write,
    what_the_commands_of_other_tools_do_is_nobodys_write,
    whoever_writes_while_devdb_migrates_is_seen,
);

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

/// Makes autovacuum work on what nobody has analyzed yet, and lets the server idle for some rounds
/// more.
fn idle(sandbox: &Sandbox) {
    let next = || sandbox.sql("select pg_snapshot_xmax(pg_current_snapshot())");
    let before = next();
    sandbox.write("devdb.yaml", EAGER);
    sandbox.run(&["up"]).ok();
    eventually("autovacuum has used transactions", Duration::from_secs(60), || next() != before);
    std::thread::sleep(Duration::from_secs(4));
}

/// The next server has no autovacuum.
fn turn_autovacuum_off(sandbox: &Sandbox) {
    sandbox.write(
        "devdb.yaml",
        &EAGER.replace("{ autovacuum_naptime", "{ autovacuum: 'off', autovacuum_naptime"),
    );
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
    turn_autovacuum_off(sandbox);
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) values ('mine')");
    assert_eq!(former_after_reset(sandbox), "kept");
    for _ in 0..2 {
        idle(sandbox);
        assert!(is_known_to_be_untouched(sandbox));
        turn_autovacuum_off(sandbox);
        assert_eq!(former_after_reset(sandbox), "unwritten");
    }
    // A server that devdb stopped can be asked nothing more.
    idle(sandbox);
    sandbox.run(&["down"]).ok();
    sandbox.run(&["down"]).ok();
    assert_eq!(former_after_reset(sandbox), "unwritten");
    sandbox.run(&["undo"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items where name = 'mine'"), "1");

    // A state that is baked while autovacuum works.
    let slow =
        "CREATE TABLE numbered AS SELECT generate_series(1, 1000) AS n; SELECT pg_sleep(3);\n";
    sandbox.write("migrations/20260103000000_slow.sql", slow);
    sandbox.run(&["reset"]).ok();
    sandbox.sql("analyze");
    assert!(is_known_to_be_untouched(sandbox), "statistics are no data");
    assert_eq!(former_after_reset(sandbox), "unwritten");
}

/// Changes of every kind to what the golden state has.
const CHANGES: &str = "CREATE TABLE more (a int); INSERT INTO more SELECT generate_series(1, 3000);
UPDATE items SET name = name || '!';
DROP TABLE filled;
SELECT nextval('numbers');
ALTER SEQUENCE numbers OWNED BY items.id;
CREATE ROLE devdb_test_somebody; DROP ROLE devdb_test_somebody;
SET track_functions = 'all'; RESET ALL; DELETE FROM items WHERE false;\n";

fn what_devdb_does_is_nobodys_write(sandbox: &Sandbox) {
    project(sandbox);
    let filled = "CREATE TABLE filled (a int); INSERT INTO filled VALUES (1);\n";
    sandbox.write("migrations/20260103000000_fill.sql", filled);
    sandbox.run(&["up"]).ok();
    let is_nobodys = |what: &str| assert!(is_known_to_be_untouched(sandbox), "{what}");
    sandbox.write("migrations/20260104000000_change.sql", CHANGES);
    let alone = "-- no-transaction\nCREATE INDEX CONCURRENTLY ON more (a);\nVACUUM more;\n";
    sandbox.write("migrations/20260105000000_alone.sql", alone);
    sandbox.run(&["up"]).ok().says("20260105000000_alone.sql");
    is_nobodys("up with pending migrations");
    let analyzed = "select reltuples from pg_class where relname = 'more'";
    assert_eq!(sandbox.sql(analyzed), "3000", "autovacuum does not know of the rows");
    sandbox.write("migrations/20260106000000_fail.sql", "DELETE FROM items; SELECT 1/0;\n");
    sandbox.run(&["migrate"]).exits(20);
    is_nobodys("a migration that fails");
    std::fs::remove_file(sandbox.path("migrations/20260106000000_fail.sql")).unwrap();
    sandbox.write("seeds/020_more.sql", "INSERT INTO items (name) VALUES ('second');\n");
    sandbox.run(&["seed"]).ok().says("020_more.sql");
    is_nobodys("seed");
    // A checkout with other line endings: devdb records the checksums of the files that are there.
    sandbox.write("migrations/20260105000000_alone.sql", &alone.replace('\n', "\r\n"));
    sandbox.run(&["up"]).ok();
    is_nobodys("line endings");
    sandbox.run(&["down"]).ok();
    assert_eq!(former_after_reset(sandbox), "unwritten");
    is_nobodys("reset with other line endings");
    assert_eq!(former_after_reset(sandbox), "unwritten");
}

fn what_the_commands_of_other_tools_do_is_nobodys_write(sandbox: &Sandbox) {
    let tools = "migrations:\n  command: [sh, migrate.sh]\n  inputs: [migrate.sh]\n\
                 seeds:\n  command: [sh, seed.sh]\n  inputs: [seed.sh]\n";
    sandbox.write("devdb.yaml", &format!("{EAGER}{tools}"));
    let psql = |statement: &str| format!("psql \"$DATABASE_URL\" -Xqc \"{statement}\"\n");
    let create = psql("create table if not exists rows (n int)");
    sandbox.write("migrate.sh", &create);
    sandbox.write("seed.sh", &psql("insert into rows values (1)"));
    sandbox.run(&["up"]).ok();
    sandbox.write("migrate.sh", &(create + &psql("update rows set n = 2")));
    sandbox.run(&["up"]).ok();
    assert_eq!(sandbox.sql("select n from rows"), "2");
    assert!(is_known_to_be_untouched(sandbox));
    assert_eq!(former_after_reset(sandbox), "unwritten");
}

/// A generation that was current before, and whose server stopped by itself.
#[test]
fn what_was_written_after_an_undo_is_kept_when_the_server_was_stopped_by_others() {
    let Some(sandbox) = Sandbox::new(On::Docker, "stopped by others") else { return };
    project(&sandbox);
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) values ('first')");
    sandbox.run(&["reset"]).ok();
    sandbox.run(&["undo"]).ok();
    sandbox.run(&["undo"]).ok();
    sandbox.sql("insert into items (name) values ('mine')");
    let mine = format!("label=devdb.developer={}", sandbox.developer());
    let container = sandbox.docker(&["ps", "-q", "--filter", &mine]);
    sandbox.docker(&["stop", container.trim()]);
    sandbox.run(&["down"]).ok();
    sandbox.run(&["reset"]).ok();
    sandbox.run(&["undo"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items where name = 'mine'"), "1");
}

/// The server would refuse its login if devdb turned the counting off for it.
#[test]
fn a_command_may_log_in_as_a_role_that_is_no_superuser() {
    let Some(sandbox) = Sandbox::new(On::Native, "a limited role") else { return };
    let tools = "project: shop\nmigrations:\n  command: [sh, migrate.sh]\n  inputs: [migrate.sh]\n";
    sandbox.write("devdb.yaml", tools);
    let create = "psql -Xqc \"create role limited login password 'limited'\" || true\n";
    sandbox.write("migrate.sh", create);
    sandbox.run(&["up"]).ok();
    let as_limited = "PGUSER=limited PGPASSWORD=limited psql -Xqc 'select 1'\n";
    sandbox.write("migrate.sh", &format!("set -e\n{as_limited}"));
    sandbox.run(&["up"]).ok();
}

fn whoever_writes_while_devdb_migrates_is_seen(sandbox: &Sandbox) {
    project(sandbox);
    sandbox.run(&["up"]).ok();
    let url = sandbox.url();
    sandbox.write("migrations/20260103000000_slow.sql", "SELECT pg_sleep(4);\n");
    let migrating = spawn(sandbox.command(&["up"]));
    let sleeps = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
    eventually("the migration runs", Duration::from_secs(20), || sandbox.sql(sleeps) == "1");
    psql(&url, "insert into items (name) values ('mine')").ok();
    wait(migrating).ok();
    assert_eq!(former_after_reset(sandbox), "kept", "somebody wrote meanwhile");
    // Nothing is left of the table to which somebody wrote, nor of its counters.
    for keep_before in [true, false] {
        sandbox
            .write("devdb.yaml", &format!("{EAGER}migrations: {{ keep_before: {keep_before} }}\n"));
        let added = "migrations/20260104000000_add.sql";
        sandbox.write(added, "CREATE TABLE short (a int);\n");
        sandbox.run(&["reset"]).ok();
        sandbox.sql("insert into short values (1)");
        let dropped = "migrations/20260105000000_drop.sql";
        sandbox.write(dropped, "DROP TABLE short;\n");
        sandbox.run(&["migrate"]).ok();
        assert_eq!(former_after_reset(sandbox), "kept", "keep_before: {keep_before}");
        std::fs::remove_file(sandbox.path(dropped)).unwrap();
    }
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
