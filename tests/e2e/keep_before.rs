//! Before migrations or seeds change data that somebody wrote to, devdb keeps a copy of it, and
//! `undo` goes back to the copy.

use crate::sandbox::{Sandbox, eventually, psql, spawn, wait};

crate::on_both_engines!(
    undo_brings_back_what_migrations_deleted,
    undo_brings_back_what_seeds_and_commands_deleted,
    nothing_is_applied_when_no_copy_can_be_made,
    a_migration_that_fails_again_makes_no_second_copy,
    the_copy_from_before_the_first_failure_is_named,
    of_two_at_once_only_the_one_that_applies_keeps_a_copy,
    a_reset_beside_a_migration_makes_no_word_untrue,
);

const DESTRUCTIVE: &str = "DELETE FROM items; ALTER TABLE items DROP COLUMN name;\n";

fn names(sandbox: &Sandbox) -> String {
    sandbox.sql("select string_agg(name, ' ' order by name) from items")
}

/// The generation that the report of a command names.
fn kept_before(report: &serde_json::Value) -> Option<u64> {
    report["result"]["kept_before"].as_u64()
}

fn undo_brings_back_what_migrations_deleted(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    // Nobody wrote to it: nothing is copied.
    sandbox.write("migrations/20260102000000_a.sql", "ALTER TABLE items ADD COLUMN a int;\n");
    assert_eq!(kept_before(&sandbox.run(&["up", "--json"]).ok().json()), None);

    sandbox.sql("insert into items (name) values ('mine')");
    sandbox.write("migrations/20260103000000_b.sql", DESTRUCTIVE);
    let up = sandbox.run(&["up"]).ok();
    let kept = sandbox.run(&["generations", "--json"]).ok().json();
    let kept = kept["result"]["generations"].as_array().unwrap().clone();
    let kept = kept.iter().find(|one| one["why"] == "before_migrate").unwrap();
    up.says(&format!(
        "generation {} is a copy from before this change (devdb undo",
        kept["number"]
    ));
    assert_eq!(sandbox.sql("select count(*) from items"), "0");
    // Nothing is pending: nothing is copied.
    assert_eq!(kept_before(&sandbox.run(&["up", "--json"]).ok().json()), None);

    let url = sandbox.url();
    sandbox.run(&["undo"]).ok();
    assert_eq!(names(sandbox), "First mine");
    assert_eq!(psql(&url, "select count(*) from items").ok().line(), "2", "by the same address");
    sandbox.run(&["migrate", "status"]).ok().says("20260103000000_b.sql");
    // What was migrated is kept in turn.
    sandbox.run(&["undo"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items"), "0");
    sandbox.run(&["undo"]).ok();

    // What has left nothing needs no undo.
    sandbox.write("migrations/20260103000000_b.sql", &format!("{DESTRUCTIVE} SELECT 1/0;\n"));
    let failed = sandbox.run(&["up"]).exits(20).says("the database is as it was");
    assert!(!failed.stderr.contains("devdb undo"), "{}", failed.stderr);
    assert_eq!(names(sandbox), "First mine");
    sandbox.write("migrations/20260103000000_b.sql", DESTRUCTIVE);

    // The same by `migrate`, which fails half-way: the first file stays applied.
    sandbox.write("migrations/20260104000000_c.sql", "SELECT 1/0;\n");
    let failed = sandbox.run(&["migrate"]).exits(20);
    failed.says("is a copy from before this attempt").says("devdb undo");
    assert_eq!(sandbox.sql("select count(*) from items"), "0");
    sandbox.run(&["undo"]).ok();
    assert_eq!(names(sandbox), "First mine");
    sandbox.run(&["down", "--purge", "--yes"]).ok();
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}

fn undo_brings_back_what_seeds_and_commands_deleted(sandbox: &Sandbox) {
    sandbox.project();
    // The server's settings allow no copy while it runs.
    let settings = "postgres: { settings: { wal_level: minimal, max_wal_senders: 0 } }\n";
    sandbox.write("devdb.yaml", &format!("project: shop\n{settings}"));
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) values ('mine')");
    sandbox.write("seeds/020_delete.sql", "DELETE FROM items;\n");
    sandbox.run(&["seed"]).ok().says("is a copy from before");
    assert_eq!(sandbox.sql("select count(*) from items"), "0");
    sandbox.run(&["undo"]).ok();
    assert_eq!(names(sandbox), "First mine");

    let delete = "command: [sh, -c, 'psql \"$DATABASE_URL\" -qc \"delete from items\"']";
    sandbox.write(
        "devdb.yaml",
        &format!("project: shop\nmigrations: {{ {delete}, inputs: ['migrations/**'] }}\n"),
    );
    let migrated = sandbox.run(&["up", "--json"]).ok().json();
    assert!(kept_before(&migrated).is_some(), "{migrated:#}");
    assert_eq!(sandbox.sql("select count(*) from items"), "0");
    sandbox.run(&["undo"]).ok();
    assert_eq!(names(sandbox), "First mine");
    // `migrate` runs the command whether devdb sees anything to do or not.
    sandbox.run(&["migrate"]).ok().says("is a copy from before");
    sandbox.run(&["undo"]).ok();
    assert_eq!(names(sandbox), "First mine");
    sandbox.run(&["down", "--purge", "--yes"]).ok();
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}

fn nothing_is_applied_when_no_copy_can_be_made(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) values ('mine')");
    // A copy of the data directory would lack a tablespace that is elsewhere.
    let place = format!("/tmp/{}", sandbox.project_name());
    sandbox.sql(&format!("copy (select 1) to program 'cat >/dev/null; mkdir -m 700 {place}'"));
    sandbox.sql(&format!("create tablespace elsewhere location '{place}'"));
    let before = sandbox.leftovers();
    sandbox.write("migrations/20260103000000_b.sql", DESTRUCTIVE);
    for command in ["up", "migrate"] {
        let refused = sandbox.run(&[command]).exits(23);
        refused.says("nothing was applied").says("DEVDB_KEEP_BEFORE=false");
        assert_eq!(names(sandbox), "First mine");
    }
    assert_eq!(sandbox.leftovers(), before, "and nothing half-made is left");
    sandbox.write("devdb.yaml", "project: shop\nmigrations: { keep_before: false }\n");
    let up = sandbox.run(&["up", "--json"]).ok().json();
    assert_eq!(kept_before(&up), None);
    assert_eq!(sandbox.sql("select count(*) from items"), "0");
    sandbox.sql("drop tablespace elsewhere");
    sandbox.sql(&format!("copy (select 1) to program 'cat >/dev/null; rmdir {place}'"));
    sandbox.run(&["down", "--purge", "--yes"]).ok();
}

fn a_migration_that_fails_again_makes_no_second_copy(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let copies = || {
        let listed = sandbox.run(&["generations", "--json"]).ok().json();
        listed["result"]["generations"].as_array().unwrap().len() - 1
    };
    sandbox.sql("insert into items (name) values ('mine')");
    let failing = "DELETE FROM items; CREATE TABLE more (n int); SELECT 1/0;\n";
    sandbox.write("migrations/20260103000000_b.sql", failing);
    for command in ["up", "migrate", "up"] {
        sandbox.run(&[command]).exits(20).says("generation 2 is a copy");
        assert_eq!(copies(), 1, "{command}");
    }
    // Somebody wrote, if only a row's deletion.
    sandbox.sql("delete from items where name = 'First'");
    for command in ["up", "migrate"] {
        sandbox.run(&[command]).exits(20).says("generation 3 is a copy");
        assert_eq!(copies(), 2, "{command}");
    }
    // A part of what is pending was applied.
    sandbox.write("migrations/20260102000000_a.sql", "UPDATE items SET name = 'ours';\n");
    sandbox.run(&["migrate"]).exits(20).says("devdb undo");
    sandbox.run(&["up"]).exits(20).says("generation 4 is a copy");
    assert_eq!(copies(), 3, "the second one has what the first migration did");
    sandbox.run(&["undo"]).ok();
    assert_eq!(names(sandbox), "ours");
    // What was a copy is changed by people now.
    sandbox.sql("insert into items (name) values ('late')");
    sandbox.run(&["up"]).exits(20);
    sandbox.run(&["undo"]).ok();
    assert_eq!(names(sandbox), "late ours");
    sandbox.run(&["undo", "3"]).ok();
    assert_eq!(names(sandbox), "mine");
    sandbox.run(&["down", "--purge", "--yes"]).ok();
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}

fn the_copy_from_before_the_first_failure_is_named(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) values ('mine')");
    let file = "migrations/20260103000000_b.sql";
    sandbox.write(file, "-- no-transaction\nDELETE FROM items;\nSELECT 1/0;\n");
    let first = sandbox.run(&["up"]).exits(20).says("devdb undo");
    assert!(!first.stderr.contains("first attempt"), "{}", first.stderr);
    let kept = sandbox.run(&["generations", "--json"]).ok().json();
    let kept = kept["result"]["generations"].as_array().unwrap().clone();
    let kept = kept.iter().find(|one| one["why"] == "before_migrate").unwrap();
    let (number, way) =
        (kept["number"].to_string(), format!("devdb generations switch {} ", kept["number"]));
    for command in ["up", "migrate"] {
        sandbox.sql("insert into items (name) values ('late')");
        sandbox.run(&[command]).exits(20).says(&way);
    }
    sandbox.sql("insert into items (name) values ('later')");
    sandbox.write(file, "-- no-transaction\nALTER TABLE items ADD COLUMN b int;\n");
    sandbox.run(&["up"]).ok().says(&way);
    // What succeeded is no failed attempt.
    sandbox.write("migrations/20260104000000_c.sql", "ALTER TABLE items ADD COLUMN c int;\n");
    let next = sandbox.run(&["up"]).ok().says("devdb undo");
    assert!(!next.stderr.contains("first attempt"), "{}", next.stderr);
    sandbox.run(&["generations", "switch", &number]).ok();
    assert_eq!(names(sandbox), "First mine");
    sandbox.run(&["down", "--purge", "--yes"]).ok();
}

fn of_two_at_once_only_the_one_that_applies_keeps_a_copy(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) values ('mine')");
    sandbox.write(
        "migrations/20260103000000_b.sql",
        "SELECT pg_sleep(8); DELETE FROM items WHERE name = 'mine';\n",
    );
    // The first one starts the server and has the lock while it migrates. The second one sees a
    // server that runs and a migration that is pending.
    sandbox.run(&["stop"]).ok();
    let reports = std::thread::scope(|scope| {
        let first = scope.spawn(|| sandbox.run(&["up", "--json"]).ok().json());
        let sleeps = "select count(*) from pg_stat_activity where query like '%pg_sleep%' and pid <> pg_backend_pid()";
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while sandbox.run(&["psql", "-Atc", sleeps]).stdout.trim() != "1" {
            assert!(std::time::Instant::now() < until, "the first one does not migrate");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let second = sandbox.run(&["up", "--json"]).ok().json();
        [first.join().unwrap(), second]
    });
    let [first, second] = reports.each_ref().map(kept_before);
    assert!(first.is_some() && second.is_none(), "{reports:#?}");
    sandbox.run(&["undo"]).ok();
    assert_eq!(names(sandbox), "First mine");
    sandbox.run(&["down", "--purge", "--yes"]).ok();
}

/// `up` migrates without the lock, so a reset may take its place before it has said what it did.
fn a_reset_beside_a_migration_makes_no_word_untrue(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) values ('mine')");
    sandbox.write("migrations/20260103000000_b.sql", "SELECT pg_sleep(2); CREATE TABLE b ();\n");
    let up = spawn(sandbox.command(&["up"]));
    let sleeps = "select count(*) from pg_stat_activity where query like '%pg_sleep(2)%' and pid <> pg_backend_pid()";
    eventually("the migration runs", std::time::Duration::from_secs(60), || {
        sandbox.run(&["psql", "-Atc", sleeps]).stdout.trim() == "1"
    });
    // It bakes the same migration, which takes it longer.
    sandbox.run(&["reset"]).ok();
    let up = wait(up).ok();
    assert!(!up.stdout.contains("devdb undo switches"), "{}{}", up.stdout, up.stderr);
    sandbox.run(&["undo"]).ok();
    assert_eq!(names(sandbox), "First mine");
    sandbox.write("migrations/20260104000000_c.sql", "CREATE TABLE c ();\n");
    let next = sandbox.run(&["up"]).ok().says("devdb undo switches");
    assert!(!next.stderr.contains("first attempt"), "no attempt has failed: {}", next.stderr);
    sandbox.run(&["down", "--purge", "--yes"]).ok();
}
