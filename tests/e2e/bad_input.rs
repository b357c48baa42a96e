//! Wrong input: a clear error with its place, an exit code, and nothing changed.

use crate::sandbox::{On, Sandbox, finish};

fn sandbox(test: &str) -> Option<Sandbox> {
    Sandbox::new(On::Native, test)
}

#[test]
fn settings_that_cannot_be_used() {
    let Some(sandbox) = sandbox("bad settings") else { return };
    sandbox.project();
    for (text, says) in [
        ("postgres:\n  verson: 15\n", "devdb.yaml:2"),
        ("postgres:\n  verson: 15\n", "version"),
        ("postgres: { durability: maybe }\n", "relaxed"),
        ("postgres: { port: 70000 }\n", "65535"),
        ("postgres: { version: 9 }\n", "9"),
        ("postgres: [15]\n", "devdb.yaml:1"),
        ("isolation: branch\n", "branch"),
        ("postgres: { database: '' }\n", "database"),
        ("migrations: { path: nowhere }\n", "nowhere"),
        ("project: a\nproject: b\n", "project"),
    ] {
        sandbox.write("devdb.yaml", text);
        sandbox.run(&["up"]).exits(3).says(says);
    }
    sandbox.write("devdb.yaml", "\u{feff}project: shop\r\n");
    sandbox.run(&["config"]).ok().says("shop");
    let mut command = sandbox.command(&["up"]);
    command.env("DEVDB_PORT", "http");
    finish(command).exits(3).says("DEVDB_PORT");
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}

#[test]
fn files_that_cannot_be_applied() {
    let Some(sandbox) = sandbox("bad files") else { return };
    sandbox.project();
    for (name, text, says) in [
        ("migrations/notes_x.sql", "select 1;", "notes_x.sql"),
        ("migrations/20260101000000_again.sql", "select 1;", "20260101000000"),
        ("migrations/20260102000000_bom.sql", "\u{feff}select 1;", "byte order mark"),
        ("migrations/20260102000000_psql.sql", "create table a ();\n\\i b.sql\n", "psql.sql:2"),
    ] {
        sandbox.write(name, text);
        sandbox.run(&["up"]).exits(3).says(says);
        std::fs::remove_file(sandbox.path(name)).unwrap();
    }
    for name in ["migrations/20260102000000_pipe.sql", "seeds/pipe.sql"] {
        let path = sandbox.path(name);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let up = sandbox.run(&["up"]).says("pipe.sql").says("a FIFO");
        assert!([3, 22].contains(&up.code), "{}", up.code);
        std::fs::remove_file(path).unwrap();
    }
    for (name, says) in [
        ("migrations/more/20260102000000_a.sql", "more/ is no SQL file"),
        ("migrations/20260102000000_a.sql.gz", "20260102000000_a.sql.gz is no SQL file"),
        ("migrations/20260102000000_a/migration.sql", "migrations of Prisma"),
        ("migrations/20260102000000_a.js", "migrations of a JavaScript tool"),
        ("seeds/a.dump", "a.dump is no seed file"),
        ("seeds/dev/a.json", "a.json is no seed file"),
    ] {
        sandbox.write(name, "x");
        let up = sandbox.run(&["up"]).says(says);
        assert!([3, 22].contains(&up.code), "{}", up.code);
        let top = name.split('/').take(2).collect::<Vec<_>>().join("/");
        let path = sandbox.path(if top == "seeds/dev" { name } else { &top });
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
            .unwrap();
    }
    let mut command = sandbox.command(&["up"]);
    command.env("ENCRYPTION_KEY", "short");
    finish(command).exits(3).says("ENCRYPTION_KEY");
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}

/// The first `up` and `reset` apply migrations to a private server. What is true there is said there.
#[test]
fn a_migration_that_fails_keeps_its_hints() {
    let Some(sandbox) = sandbox("hints") else { return };
    sandbox.project();
    let broken = "migrations/20260102000000_broken.sql";
    sandbox.write(broken, "select nme from items;\n");
    let hint = "Perhaps you meant to reference the column \"items.name\".";
    let fails = |arguments: &[&str]| sandbox.run(arguments).exits(20).says(hint).says(broken);
    let is_true = |ran: crate::sandbox::Ran| !ran.stderr.contains("remains applied");
    assert!(is_true(fails(&["up"])));
    std::fs::remove_file(sandbox.path(broken)).unwrap();
    sandbox.run(&["up"]).ok();
    sandbox.write(broken, "select nme from items;\n");
    assert!(is_true(fails(&["reset"])));
    fails(&["up"]).says("the database is as it was; 1 migration is pending");
    // A command of seeds that fails says nothing of a database that it has half filled.
    sandbox.write(broken, "select 1;\n");
    sandbox.write("devdb.yaml", "project: shop\nseeds: { command: [sh, s.sh], inputs: [s.sh] }\n");
    sandbox.write("s.sh", "exit 1\n");
    let failed = sandbox.run(&["reset"]).exits(22).says("nothing was replaced");
    assert!(!failed.stderr.contains("devdb reset"), "{}", failed.stderr);
}

#[test]
fn what_sqlx_applies_is_applied_with_a_warning() {
    let Some(sandbox) = sandbox("what sqlx applies") else { return };
    sandbox.project();
    sandbox.write("migrations/20260102000000_comment.sql", "-- nothing\n/* at all */\n");
    sandbox.write("migrations/20260103000000_own.sql", "BEGIN;\nCREATE TABLE own ();\nCOMMIT;\n");
    sandbox
        .run(&["up"])
        .ok()
        .says("20260102000000_comment.sql has no SQL statement")
        .says("20260103000000_own.sql commits by itself");
    assert_eq!(sandbox.sql("select to_regclass('own')"), "own");
    sandbox.run(&["run", "--", "true"]).ok();
    let file = sandbox.path("state.tar.zst");
    sandbox.run(&["cache", "push", file.to_str().unwrap()]).ok();
}

#[test]
fn what_is_not_going_to_be_run_is_not_checked() {
    let Some(sandbox) = sandbox("files that are not run") else { return };
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.run(&["snapshot", "save", "before"]).ok();
    sandbox.write("migrations/20260102000000_psql.sql", "\\i other.sql\n");
    let pending = "20260102000000_psql.sql: not applied";
    sandbox.run(&["up", "--no-migrate"]).ok().says(pending);
    sandbox.run(&["snapshot", "restore", "before", "--no-migrate"]).ok().says(pending);
    sandbox.run(&["migrate", "status"]).ok().says("20260102000000_psql.sql");
    // All faults are in one message, and nothing was applied.
    sandbox.write("migrations/20260103000000_more.sql", "\\connect other\n");
    sandbox.run(&["up"]).exits(3).says("psql.sql:1:1").says("more.sql:1:1");
    sandbox.write("migrations/V4__misnamed.sql", "select 1;");
    sandbox.write("seeds/020_bad.yaml", "items: [\n");
    let unknown = "devdb cannot say which migrations are pending";
    sandbox.run(&["up", "--no-migrate"]).ok().says(unknown).says("which seeds are pending");
    sandbox.run(&["snapshot", "restore", "before", "--no-migrate"]).ok().says(unknown);
    for name in ["20260102000000_psql", "20260103000000_more", "V4__misnamed"] {
        std::fs::remove_file(sandbox.path(&format!("migrations/{name}.sql"))).unwrap();
    }
    sandbox.run(&["migrate"]).ok();
    sandbox.run(&["up"]).exits(22);
    sandbox.run(&["reset", "--no-seed"]).ok();
    sandbox.run(&["run", "--no-seed", "--", "true"]).ok();
}

#[test]
fn seeds_that_cannot_be_applied_change_nothing() {
    let Some(sandbox) = sandbox("bad seeds") else { return };
    sandbox.project();
    sandbox.write(
        "migrations/20260102000000_parts.sql",
        "CREATE TABLE parts (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), \
         item_id uuid NOT NULL REFERENCES items, count int, code varchar(3));\n",
    );
    sandbox.run(&["up", "--no-seed"]).ok();
    for (text, says) in [
        ("itmes:\n  a:\n    name: A\n", "items"),
        ("items:\n  a:\n    nmae: A\n", "name"),
        ("items:\n  a:\n    name: A\n  a:\n    name: B\n", "020_bad.yaml:4"),
        ("parts:\n  p:\n    item_id: !ref frist\n", "first"),
        ("parts:\n  p:\n    item_id: !ref first\n    count: many\n", "020_bad.yaml:4"),
        ("parts:\n  p:\n    item_id: !ref first\n    code: longer\n", "code"),
        ("parts:\n  p: [\n", "020_bad.yaml"),
    ] {
        sandbox.write("seeds/020_bad.yaml", text);
        sandbox.run(&["seed"]).exits(22).says(says);
        assert_eq!(sandbox.sql("select count(*) from items"), "0");
    }
}

#[test]
fn the_environment_of_another_database_is_not_followed() {
    let Some(sandbox) = sandbox("inherited environment") else { return };
    sandbox.project();
    let elsewhere = |arguments: &[&str]| {
        let mut command = sandbox.command(arguments);
        for (name, value) in [
            ("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing"),
            ("PGHOST", "127.0.0.2"),
            ("PGPORT", "1"),
            ("PGUSER", "nobody"),
            ("PGPASSWORD", "wrong"),
            ("PGDATABASE", "nothing"),
            ("PGOPTIONS", "-c search_path=nowhere"),
            ("PGSERVICE", "nothing"),
            ("PGSSLMODE", "require"),
        ] {
            command.env(name, value);
        }
        finish(command)
    };
    elsewhere(&["up"]).ok();
    assert_eq!(sandbox.sql("select count(*) from public.items"), "1");
    assert_eq!(elsewhere(&["psql", "--", "-XAtc", "select count(*) from items"]).ok().line(), "1");
    elsewhere(&["status", "--check"]).ok();
    elsewhere(&["reset"]).ok();
}

#[test]
fn migrations_without_a_settings_file_are_the_sample_with_a_warning() {
    let Some(sandbox) = sandbox("sample warning") else { return };
    sandbox.write("migrations/20260101000000_mine.sql", "CREATE TABLE mine ();\n");
    sandbox.run(&["up"]).ok().says("warning").says("devdb init");
    assert_eq!(sandbox.sql("select to_regclass('mine') is null"), "t");
}
