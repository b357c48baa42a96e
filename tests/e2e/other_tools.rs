//! Projects of other migration tools: devdb says what they are and what to write, and goes on from
//! what a tool has applied already. Tools that cannot be installed here have a stand-in, a script
//! that reads their files and keeps their table as they do.

use std::process::Command;

use crate::sandbox::{Ran, Sandbox, finish};

crate::on_both_engines!(
    a_project_of_another_tool_is_told_what_to_write,
    a_new_file_is_applied_to_what_is_cached,
    applied_files_that_change_or_go_are_said,
    migrations_that_seeds_take_back_are_applied_again,
    line_endings_never_count,
    what_was_copied_ahead_goes_with_the_cache,
);

/// A project of another tool, as its users have it.
struct Project {
    tool: &'static str,
    files: &'static [(&'static str, &'static str)],
    /// The programs that devdb's advice runs.
    programs: &'static [(&'static str, &'static str)],
}

const PRISMA: Project = Project {
    tool: "Prisma",
    files: &[
        ("package.json", "{}"),
        ("prisma/migrations/migration_lock.toml", "provider = \"postgresql\"\n"),
        ("prisma/migrations/20260301120000_a/migration.sql", "create table a (b int);\n"),
        ("prisma/migrations/20260302120000_c/migration.sql", "create table c (d int);\n"),
    ],
    programs: &[(
        "npx",
        r#"test "$*" = "prisma migrate deploy" || exit 9
psql -Xqc 'create table if not exists _prisma_migrations (id serial, checksum text, finished_at timestamptz, migration_name text, rolled_back_at timestamptz, started_at timestamptz default now())'
for directory in prisma/migrations/*/; do
    name=$(basename "$directory")
    test -z "$(psql -XAtqc "select 1 from _prisma_migrations where migration_name = '$name'")" || continue
    psql -Xq -v ON_ERROR_STOP=1 -f "$directory/migration.sql" || exit 1
    psql -Xqc "insert into _prisma_migrations (migration_name, finished_at) values ('$name', now())"
done
"#,
    )],
};

const DIESEL: Project = Project {
    tool: "Diesel",
    files: &[
        ("migrations/2026-03-01-120000_a/up.sql", "create table a (b int);\n"),
        ("migrations/2026-03-01-120000_a/down.sql", "drop table a;\n"),
        ("migrations/2026-03-02-120000_c/up.sql", "create table c (d int);\n"),
        ("migrations/2026-03-02-120000_c/down.sql", "drop table c;\n"),
    ],
    programs: &[(
        "diesel",
        r#"test "$1 $2 $3" = "migration run --migration-dir" || exit 9
psql -Xqc 'create table if not exists __diesel_schema_migrations (version varchar(50) primary key, run_on timestamp default now())'
for directory in "$4"/*/; do
    version=$(basename "$directory" | sed 's/_.*//; s/-//g')
    test -z "$(psql -XAtqc "select 1 from __diesel_schema_migrations where version = '$version'")" || continue
    psql -Xq -v ON_ERROR_STOP=1 -f "$directory/up.sql" || exit 1
    psql -Xqc "insert into __diesel_schema_migrations (version) values ('$version')"
done
"#,
    )],
};

const GOOSE: Project = Project {
    tool: "goose",
    files: &[
        (
            "migrations/00001_a.sql",
            "-- +goose Up\ncreate table a (b int);\n\n-- +goose Down\ndrop table a;\n",
        ),
        (
            "migrations/00002_c.sql",
            "-- +goose Up\ncreate table c (d int);\n\n-- +goose Down\ndrop table c;\n",
        ),
    ],
    programs: &[(
        "goose",
        r#"test "$1 $3 $5" = "-dir postgres up" && test "$4" = "$DATABASE_URL" || exit 9
psql -Xqc 'create table if not exists goose_db_version (id serial primary key, version_id bigint, is_applied bool, tstamp timestamp default now())'
test -n "$(psql -XAtqc 'select 1 from goose_db_version limit 1')" || psql -Xqc 'insert into goose_db_version (version_id, is_applied) values (0, true)'
for file in "$2"/*.sql; do
    version=$(basename "$file" | sed 's/_.*//; s/^0*//')
    test -z "$(psql -XAtqc "select 1 from goose_db_version where version_id = $version and is_applied")" || continue
    sed '/^-- +goose Down/,$d' "$file" | psql -Xq -v ON_ERROR_STOP=1 || exit 1
    psql -Xqc "insert into goose_db_version (version_id, is_applied) values ($version, true)"
done
"#,
    )],
};

const DBMATE: Project = Project {
    tool: "dbmate",
    files: &[
        (
            "db/migrations/20260301120000_a.sql",
            "-- migrate:up\ncreate table a (b int);\n\n-- migrate:down\ndrop table a;\n",
        ),
        (
            "db/migrations/20260302120000_c.sql",
            "-- migrate:up\ncreate table c (d int);\n\n-- migrate:down\ndrop table c;\n",
        ),
    ],
    // The real one.
    programs: &[],
};

fn a_project_of_another_tool_is_told_what_to_write(sandbox: &Sandbox) {
    let Some(peers) = crate::sandbox::peers("other tools", &["npm/node_modules"]) else { return };
    for project in [PRISMA, DIESEL, GOOSE, DBMATE] {
        let home = project.tool.to_lowercase();
        let at = |name: &str| format!("{home}/{name}");
        for (name, text) in project.files {
            sandbox.write(&at(name), text);
        }
        for (name, script) in project.programs {
            let name = at(&format!("bin/{name}"));
            sandbox.write(&name, &format!("#!/bin/sh\n{script}"));
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(sandbox.path(&name), mode).unwrap();
        }
        let here = sandbox.path(&home);
        let run = |arguments: &[&str]| -> Ran {
            let mut command = sandbox.command_in(&here, arguments);
            let tools = peers.join("npm/node_modules/.bin");
            let path = std::env::var("PATH").unwrap();
            let own = here.join("bin");
            command.env("PATH", format!("{}:{}:{path}", own.display(), tools.display()));
            finish(command)
        };
        let directory = project
            .files
            .iter()
            .find_map(|(name, _)| name.find("migrations/").map(|at| &name[..at + 10]));
        let directory = directory.unwrap();
        // The settings do not name the tool, so devdb looks for it.
        sandbox.write(&at("devdb.yaml"), "postgres: { version: 15 }\n");
        let told = run(&["up", "--json"]).says(&format!("migrations of {}", project.tool));
        assert_eq!(told.code, if directory == "migrations" { 3 } else { 0 });
        // `devdb init` looks before it writes.
        std::fs::remove_file(sandbox.path(&at("devdb.yaml"))).unwrap();
        let looks_like = format!(
            "{directory} has migrations of {}, but there is no devdb.yaml here",
            project.tool
        );
        run(&["config"]).ok().says(&looks_like);
        run(&["init"]).ok().says(&format!("{directory} has migrations of {}", project.tool));
        let written = std::fs::read_to_string(sandbox.path(&at("devdb.yaml"))).unwrap();
        sandbox.write(&at("devdb.yaml"), &format!("migrations: {{ path: {directory} }}\n"));
        run(&["migrate", "status"]).exits(3).says(project.tool);
        let refused = run(&["up", "--json"]).exits(3).says(project.tool);
        // What it says to write works as it is.
        let hints = refused.json()["error"]["hints"].clone();
        let (section, _) = hints[0].as_str().unwrap().split_once("   in devdb.yaml").unwrap();
        assert!(written.lines().any(|line| line == section), "{section} is not in\n{written}");
        sandbox.write(&at("devdb.yaml"), &written);
        run(&["up"]).ok();
        let url = run(&["url"]).ok().line();
        let there = crate::sandbox::psql(&url, "select to_regclass('a'), to_regclass('c')").ok();
        assert_eq!(there.line(), "a|c", "{}", project.tool);
        run(&["status", "--check"]).ok().says("2 applied by ");
        run(&["migrate", "status"]).ok().says("2 applied by ");
        run(&["down", "--purge", "--yes"]).ok();
    }
}

/// A tool that keeps its table as dbmate does, and says in `log` what it applies.
const MIGRATE: &str = r#"
psql -Xqc 'create table if not exists schema_migrations (version varchar primary key)'
for file in migrations/*.sql; do
    version=$(basename "$file" | sed 's/_.*//')
    test -z "$(psql -XAtqc "select 1 from schema_migrations where version = '$version'")" || continue
    psql -Xq -v ON_ERROR_STOP=1 -f "$file" || exit 1
    psql -Xqc "insert into schema_migrations values ('$version')"
    echo "$version" >>log
done
"#;

fn a_new_file_is_applied_to_what_is_cached(sandbox: &Sandbox) {
    let project = sandbox.project_name();
    sandbox.write(
        "devdb.yaml",
        &format!(
            "project: {project}\nmigrations:\n  command: [sh, migrate.sh]\n  inputs: [\"migrations/*.sql\", migrate.sh]\n\
             seeds:\n  command: [sh, seed.sh]\n  inputs: [seed.sh]\n"
        ),
    );
    sandbox.write("migrate.sh", MIGRATE);
    sandbox.write("seed.sh", "psql -Xqc 'create table seeded as select 1'\n");
    let add = |number: u32| {
        let name = format!("migrations/2026030{number}120000_t.sql");
        sandbox.write(&name, &format!("create table t{number} (a int); select pg_sleep(0.3);\n"));
        name
    };
    let log = || {
        let log = std::fs::read_to_string(sandbox.path("log")).unwrap_or_default();
        drop(std::fs::remove_file(sandbox.path("log")));
        log.lines().map(|line| line[7..8].to_owned()).collect::<Vec<_>>().concat()
    };
    let cached = |ran: Ran| ran.json()["result"]["golden"]["cached"].clone();
    add(2);
    add(3);
    sandbox.run(&["up"]).ok();
    assert_eq!(log(), "23");
    let before = sandbox.run(&["status"]).ok();

    add(4);
    let behind = sandbox.run(&["status"]).ok();
    assert_eq!(cached(sandbox.run(&["reset", "--json"]).ok()), "prefix");
    assert_eq!(log(), "4");
    assert_eq!(
        sandbox.sql("select to_regclass('t2'), to_regclass('t4'), (select count(*) from seeded)"),
        "t2|t4|1"
    );
    before.says("2 applied by sh migrate.sh");
    behind.says("2 applied by sh migrate.sh; the files that it reads");
    sandbox.run(&["status", "--check"]).ok().says("3 applied by sh migrate.sh");

    // The tool would apply an older file before the others, so everything is made anew.
    let older = add(1);
    assert_eq!(cached(sandbox.run(&["reset", "--json"]).ok()), "miss");
    assert_eq!(log(), "1234");
    // So it is when a file is gone. What is left was cached before.
    std::fs::remove_file(sandbox.path(&older)).unwrap();
    std::fs::remove_file(sandbox.path("migrations/20260304120000_t.sql")).unwrap();
    assert_eq!(cached(sandbox.run(&["reset", "--json"]).ok()), "hit");
    assert_eq!(log(), "");
    sandbox.write("migrations/20260303120000_t.sql", "create table other ();\n");
    assert_eq!(cached(sandbox.run(&["reset", "--json"]).ok()), "miss");
    assert_eq!(log(), "23");
}

fn applied_files_that_change_or_go_are_said(sandbox: &Sandbox) {
    crate::branch::repository(sandbox);
    let git = |arguments: &[&str]| crate::branch::git(&sandbox.work(), arguments);
    sandbox.write(
        "devdb.yaml",
        "project: shop\nisolation: branch\nmigrations:\n  command: [sh, migrate.sh]\n  inputs: [\"m/*.sql\", migrate.sh]\n\
         seeds: { command: [\"true\"], inputs: [migrate.sh] }\n",
    );
    sandbox.write("migrate.sh", &MIGRATE.replace("migrations/", "m/"));
    let commit = |number: u32| {
        let file = format!("m/2026030{number}120000_t.sql");
        sandbox.write(&file, &format!("create table t{number} (a int);\n"));
        git(&["add", "."]);
        git(&["commit", "-q", "-m", "a step"]);
        file
    };
    let first = commit(1);
    let second = commit(2);
    sandbox.run(&["up"]).ok();
    sandbox.run(&["status", "--check"]).ok();

    // The tool itself, or an older dump, takes one back.
    sandbox.sql("drop table t2; delete from schema_migrations where version like '20260302%'");
    sandbox
        .run(&["status", "--check"])
        .exits(4)
        .says("1 applied by")
        .says("taken back since: 2026");
    sandbox.run(&["migrate", "status", "--check"]).exits(4);
    sandbox.run(&["up"]).ok().says("ran sh migrate.sh");
    assert_eq!(sandbox.sql("select to_regclass('t2')"), "t2");
    sandbox.run(&["status", "--check"]).ok();

    // It stays said although the tool has run again, until the database is made anew.
    sandbox.write(&first, "create table t1 (a int, b int);\n");
    sandbox.run(&["status"]).ok().says(&format!("changed      {first}")).says("devdb reset");
    let said = format!("{first} has changed since sh migrate.sh ran; devdb reset");
    sandbox.run(&["up"]).ok().says(&said);
    sandbox.run(&["up"]).ok().says(&said);
    sandbox.run(&["migrate"]).ok().says(&said);
    sandbox.run(&["status", "--check"]).exits(21).says(&first);
    sandbox.run(&["migrate", "status", "--check"]).exits(21).says(&first);
    std::fs::remove_file(sandbox.path(&second)).unwrap();
    sandbox.run(&["up"]).ok().says(&format!("{first} has changed, and {second} is gone since"));
    sandbox.run(&["status"]).ok().says(&format!("missing      {second}"));
    // A file that is as it was counts as unchanged, and so do all after a reset.
    git(&["checkout", "-q", "--", "m"]);
    sandbox.run(&["up"]).ok();
    sandbox.run(&["status", "--check"]).ok();
    sandbox.write(&first, "create table t1 (a int, b int);\n");
    sandbox.run(&["reset"]).ok();
    sandbox.run(&["status", "--check"]).ok();
    assert_eq!(sandbox.sql("select count(b) from t1"), "0");
    git(&["checkout", "-q", "--", "m"]);

    // A bisect sees that the commit lacks a migration.
    git(&["checkout", "-q", "--detach"]);
    sandbox.run(&["up"]).ok();
    git(&["checkout", "-q", "main~1"]);
    let renewed = sandbox.run(&["up", "--json"]).ok().json();
    assert_eq!(renewed["result"]["how"], "renewed", "{renewed:#}");
    assert_eq!(sandbox.sql("select to_regclass('t1'), to_regclass('t2')"), "t1|");
}

fn migrations_that_seeds_take_back_are_applied_again(sandbox: &Sandbox) {
    let seeds = "seeds:\n  command: [sh, seed.sh]\n  inputs: [seed.sh]\n";
    sandbox.write("devdb.yaml", &format!("project: older\n{seeds}"));
    sandbox.write("migrations/20260301120000_t.sql", "create table t1 (a int);\n");
    sandbox.write("migrations/20260302120000_t.sql", "create table t2 (a int);\n");
    // As `pg_restore --clean` of a dump that has one migration.
    sandbox.write(
        "seed.sh",
        "psql -Xq -v ON_ERROR_STOP=1 -c 'drop table t2; delete from _sqlx_migrations where version > 20260301120000; insert into t1 values (1)'\n",
    );
    let up = sandbox.run(&["up"]).ok();
    let look = "select to_regclass('t2'), (select count(*) from _sqlx_migrations), (select count(*) from t1)";
    assert_eq!(sandbox.sql(look), "t2|2|1");
    // What is handed out is what the label says.
    let psql = ["run", "--", "psql", "-XAtqc", look];
    assert_eq!(sandbox.run(&psql).ok().line(), "t2|2|1");
    up.says("took migrations back");
    sandbox.run(&["status", "--check"]).ok().says("2 applied");
    sandbox.run(&["reset"]).ok();
    assert_eq!(sandbox.sql(look), "t2|2|1");

    // So it is in a database that is there.
    sandbox.run(&["reset", "--no-seed"]).ok();
    assert_eq!(sandbox.sql(look), "t2|2|0");
    sandbox.run(&["seed"]).ok().says("took migrations back");
    assert_eq!(sandbox.sql(look), "t2|2|1");

    // The same with another tool.
    sandbox.write(
        "devdb.yaml",
        &format!("project: older\nmigrations:\n  command: [sh, migrate.sh]\n  inputs: [\"migrations/*.sql\", migrate.sh]\n{seeds}"),
    );
    sandbox.write("migrate.sh", MIGRATE);
    sandbox.write(
        "seed.sh",
        "psql -Xq -v ON_ERROR_STOP=1 -c \"drop table t2; delete from schema_migrations where version > '20260301120000'; insert into t1 values (1)\"\n",
    );
    sandbox.run(&["reset"]).ok();
    assert_eq!(sandbox.sql(&look.replace("_sqlx_migrations", "schema_migrations")), "t2|2|1");

    // A dump with a migration that nobody here has.
    sandbox.write("devdb.yaml", &format!("project: older\n{seeds}"));
    sandbox.write(
        "seed.sh",
        "psql -Xq -v ON_ERROR_STOP=1 -c \"update _sqlx_migrations set version = 20260303120000 where version = 20260302120000\"\n",
    );
    sandbox
        .run(&["reset"])
        .exits(21)
        .says("20260303120000")
        .says("the seeds changed what the database records");
    assert_eq!(sandbox.sql("select to_regclass('t2')"), "t2");
}

fn line_endings_never_count(sandbox: &Sandbox) {
    let Some(peers) = crate::sandbox::peers("line endings", &["bin/sqlx"]) else { return };
    let name = sandbox.project_name();
    sandbox.write("devdb.yaml", &format!("project: {name}\n"));
    let file = "migrations/20260301120000_t.sql";
    let sqlx = || {
        let mut command = Command::new(peers.join("bin/sqlx"));
        command
            .args(["migrate", "run", "--source", "migrations"])
            .current_dir(sandbox.work())
            .env("DATABASE_URL", sandbox.url());
        finish(command)
    };
    sandbox.write(file, "create table t (\n  a int\n);\n");
    sandbox.run(&["up"]).ok();
    sqlx().ok();
    // The same commit with `core.autocrlf`: the cached state has the checksums of the LF files.
    sandbox.write(file, "create table t (\r\n  a int\r\n);\r\n");
    let reset = sandbox.run(&["reset", "--json"]).ok();
    assert_eq!(reset.json()["result"]["golden"]["cached"], "hit");
    sqlx().ok();
    sandbox.run(&["status", "--check"]).ok();
    let mut run = sandbox.command(&["run", "--", "sqlx", "migrate", "run"]);
    let path = std::env::var("PATH").unwrap();
    run.env("PATH", format!("{}:{path}", peers.join("bin").display()));
    finish(run).ok();
    // A person switches the setting in a checkout whose database is there.
    sandbox.write(file, "create table t (\n  a int\n);\n");
    sandbox.run(&["up"]).ok();
    sqlx().ok();
    // An editor has mixed them. Later, git makes them all the same.
    sandbox.write(file, "create table t (\r\n  a int\n);\n");
    sandbox.run(&["up"]).ok();
    sqlx().ok();
    sandbox.write(file, "create table t (\n  a int\n);\n");
    sandbox.run(&["up"]).ok();
    sqlx().ok();
    // What differs in more than that has changed.
    sandbox.write(file, "create table t (\n  a int \n);\n");
    sandbox.run(&["up"]).exits(21);
}

/// Another tool's command may read more than its inputs. `cache clear` makes it run again.
fn what_was_copied_ahead_goes_with_the_cache(sandbox: &Sandbox) {
    sandbox.write(
        "devdb.yaml",
        "project: shop\nmigrations: { command: [sh, migrate.sh], inputs: [migrate.sh] }\n",
    );
    sandbox.write("migrate.sh", "psql -Xqc \"create table t as select '$(cat stamp)' as t\"\n");
    sandbox.write("stamp", "one");
    sandbox.run(&["up"]).ok();
    sandbox.run(&["reset"]).ok();
    sandbox.write("stamp", "two");
    sandbox.clear_cache();
    sandbox.run(&["reset"]).ok().says("ran");
    assert_eq!(sandbox.sql("select t from t"), "two");
    sandbox.run(&["reset"]).ok();
    assert_eq!(sandbox.sql("select t from t"), "two");
    sandbox.run(&["down", "--purge", "--yes"]).ok();
    sandbox.clear_cache();
}
