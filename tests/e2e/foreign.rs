//! Other people's migration tools, the real ones, in a project as their users have it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::sandbox::{Ran, Sandbox, eventually, finish, spawn, wait};

crate::on_both_engines!(
    dbmate,
    node_pg_migrate,
    sqlx_cli,
    a_command_runs_once_for_two_at_a_time,
    an_interrupted_command_ends_with_everything_it_started,
    the_environment_of_another_database_does_not_reach_a_command,
    a_seed_that_fails_is_run_again,
    nothing_is_cached_of_a_command_whose_inputs_change_meanwhile,
);

/// Where the migration tools are.
fn peers(test: &str) -> Option<PathBuf> {
    crate::sandbox::peers(test, &["npm/node_modules", "bin/sqlx"])
}

/// A project that migrates and seeds with other tools.
struct Project<'a> {
    sandbox: &'a Sandbox,
    path: String,
    migrate: &'static str,
    seed: &'static str,
}

impl Project<'_> {
    fn devdb(&self, arguments: &[&str]) -> Ran {
        let mut command = self.sandbox.command(arguments);
        command.env("PATH", &self.path);
        finish(command)
    }

    /// What `devdb up` ran.
    #[track_caller]
    fn up_runs(&self, expected: &[&str]) -> Ran {
        let up = self.devdb(&["up", "--json"]).ok();
        assert_eq!(up.json()["result"]["commands_run"], serde_json::json!(expected));
        up
    }
}

/// With the tools on PATH and in node_modules, as `npm ci` leaves them.
fn project<'a>(
    sandbox: &'a Sandbox,
    peers: &Path,
    yaml: &str,
    migrate: &'static str,
    seed: &'static str,
) -> Project<'a> {
    let modules = peers.join("npm/node_modules");
    std::os::unix::fs::symlink(modules, sandbox.path("node_modules")).unwrap();
    sandbox.write("devdb.yaml", yaml);
    let path = format!("{}:{}", peers.join("bin").display(), std::env::var("PATH").unwrap());
    Project { sandbox, path, migrate, seed }
}

/// A migration's name and text.
type Migration = (&'static str, &'static str);

/// Everything that must hold, whatever the tool: the first of `migrations` creates `items (name)`,
/// the second adds `note`, the third is broken; `seed` inserts one row, the second version another.
fn holds(project: &Project<'_>, migrations: &[Migration; 3], seed_file: &str, seeds: [&str; 2]) {
    let Project { sandbox, migrate, seed, .. } = project;
    let [first, second, broken] = migrations;
    sandbox.write(first.0, first.1);
    sandbox.write(seed_file, seeds[0]);

    project.devdb(&["up"]).ok().says(&format!("ran     {migrate}")).says("(");
    assert_eq!(sandbox.sql("select string_agg(name, ',') from items"), "First");
    assert_eq!(project.up_runs(&[]).json()["result"]["how"], "unchanged");
    project.devdb(&["status", "--check"]).ok();
    project.devdb(&["migrate", "status", "--check"]).ok().says(migrate);

    sandbox.write(second.0, second.1);
    project.devdb(&["status", "--check"]).exits(4).says(migrate);
    project.devdb(&["migrate", "status", "--check"]).exits(4).says("pending");
    project.up_runs(&[migrate]);
    assert_eq!(sandbox.sql("select count(name) || ',' || count(note) from items"), "1,0");
    project.devdb(&["migrate"]).ok().says("ran");

    sandbox.sql("insert into items (name) values ('mine')");
    sandbox.write(broken.0, broken.1);
    let url = sandbox.url();
    let password = url.split(['/', ':', '@']).nth(4).unwrap();
    assert_eq!(password.len(), 32, "{url}");
    for arguments in [&["up"][..], &["up", "-v"], &["reset", "-v"], &["migrate", "--json"]] {
        let failed = project.devdb(arguments).exits(20);
        let all = format!("{}{}", failed.stdout, failed.stderr);
        assert!(!all.contains(password), "{all}");
        failed.says(migrate).says("syntax error").says("it ended with exit code");
    }
    assert_eq!(sandbox.sql("select count(*) from items"), "2");
    std::fs::remove_file(sandbox.path(broken.0)).unwrap();
    project.up_runs(&[]);

    sandbox.write(seed_file, seeds[1]);
    project.devdb(&["up"]).ok().says(seed).says("changed since it was applied");
    project.devdb(&["status", "--check"]).exits(4).says("changed");
    project.devdb(&["reset"]).ok().says(&format!("ran {migrate} and {seed}"));
    assert_eq!(sandbox.sql("select string_agg(name, ',') from items"), "Second");
    assert_eq!(sandbox.url(), url);
    project.up_runs(&[]);
    project.devdb(&["status", "--check"]).ok();
    project.devdb(&["migrate", "new", "x"]).exits(3).says(migrate);
}

const NODE_SEED: &str = "\
const { Client } = require('pg');
const client = new Client({ connectionString: process.env.DATABASE_URL });
client.connect()
  .then(() => client.query('insert into items (name) values ($1)', ['NAME']))
  .then(() => client.end());
";

fn dbmate(sandbox: &Sandbox) {
    let Some(peers) = peers("dbmate") else { return };
    let yaml = "migrations:\n  command: [node_modules/.bin/dbmate, --no-dump-schema, up]\n  \
                inputs: [db/migrations/*.sql]\n\
                seeds:\n  command: [node, db/seed.js]\n  inputs: [db/seed.js]\n";
    let migrate = "node_modules/.bin/dbmate --no-dump-schema up";
    let project = project(sandbox, &peers, yaml, migrate, "node db/seed.js");
    let migrations = [
        (
            "db/migrations/20260101000000_items.sql",
            "-- migrate:up\ncreate table items (name text);\n-- migrate:down\ndrop table items;\n",
        ),
        (
            "db/migrations/20260102000000_note.sql",
            "-- migrate:up\nalter table items add note text;\n-- migrate:down\n",
        ),
        (
            "db/migrations/20260103000000_broken.sql",
            "-- migrate:up\nalter table items add (;\n-- migrate:down\n",
        ),
    ];
    let seeds = ["First", "Second"].map(|name| NODE_SEED.replace("NAME", name));
    holds(&project, &migrations, "db/seed.js", [&seeds[0], &seeds[1]]);
    assert_eq!(sandbox.sql("select count(*) from schema_migrations"), "2");
}

fn node_pg_migrate(sandbox: &Sandbox) {
    let Some(peers) = peers("node-pg-migrate") else { return };
    let yaml = "migrations:\n  command: [npm, run, \"db:migrate\"]\n  inputs: [\"migrations/**\"]\n\
                seeds:\n  command: [npm, run, \"db:seed\"]\n  inputs: [src/database/seed.js]\n";
    let project = project(sandbox, &peers, yaml, "npm run db:migrate", "npm run db:seed");
    sandbox.write(
        "package.json",
        r#"{ "private": true, "scripts": {
            "db:migrate": "node-pg-migrate up",
            "db:seed": "node src/database/seed.js" } }"#,
    );
    let migrations = [
        (
            "migrations/1767225600000_items.js",
            "exports.up = (pgm) => pgm.createTable('items', { name: 'text' });\n",
        ),
        (
            "migrations/1767312000000_note.js",
            "exports.up = (pgm) => pgm.addColumn('items', { note: 'text' });\n",
        ),
        (
            "migrations/1767398400000_broken.js",
            "exports.up = (pgm) => { console.log(process.env.DATABASE_URL); pgm.sql('alter table items add (') };\n",
        ),
    ];
    let seeds = ["First", "Second"].map(|name| NODE_SEED.replace("NAME", name));
    holds(&project, &migrations, "src/database/seed.js", [&seeds[0], &seeds[1]]);
    assert_eq!(sandbox.sql("select count(*) from pgmigrations"), "2");
}

fn sqlx_cli(sandbox: &Sandbox) {
    let Some(peers) = peers("sqlx-cli") else { return };
    let yaml = "migrations:\n  command: [sqlx, migrate, run]\n  inputs: [\"migrations/**\"]\n\
                seeds:\n  command: [psql, -Xq, -v, ON_ERROR_STOP=1, -f, seed.sql]\n  inputs: [seed.sql]\n";
    let seed = "psql -Xq -v ON_ERROR_STOP=1 -f seed.sql";
    let project = project(sandbox, &peers, yaml, "sqlx migrate run", seed);
    let migrations = [
        ("migrations/20260101000000_items.sql", "create table items (name text);\n"),
        ("migrations/20260102000000_note.sql", "alter table items add note text;\n"),
        ("migrations/20260103000000_broken.sql", "alter table items add (;\n"),
    ];
    let seeds = ["First", "Second"].map(|name| format!("insert into items values ('{name}');\n"));
    holds(&project, &migrations, "seed.sql", [&seeds[0], &seeds[1]]);
    assert_eq!(sandbox.sql("select count(*) from _sqlx_migrations"), "2");
}

/// A project whose migrations are a script.
fn scripted(sandbox: &Sandbox, script: &str) {
    sandbox.write(
        "devdb.yaml",
        "migrations:\n  command: [sh, migrate.sh]\n  inputs: [migrate.sh]\nseeds: { path: seeds }\n",
    );
    sandbox.write("migrate.sh", script);
}

fn a_command_runs_once_for_two_at_a_time(sandbox: &Sandbox) {
    scripted(sandbox, "true\n");
    sandbox.run(&["up"]).ok();
    scripted(sandbox, "echo ran >>log; sleep 1\n");
    let both = [spawn(sandbox.command(&["up"])), spawn(sandbox.command(&["up"]))];
    for up in both {
        wait(up).ok();
    }
    assert_eq!(std::fs::read_to_string(sandbox.path("log")).unwrap(), "ran\n");
}

fn an_interrupted_command_ends_with_everything_it_started(sandbox: &Sandbox) {
    scripted(sandbox, "true\n");
    sandbox.run(&["up"]).ok();
    scripted(sandbox, "sleep 300 & echo $! >pid.new; mv pid.new pid; wait\n");
    let (child, begun) = spawn(sandbox.command(&["up"]));
    eventually("it runs", Duration::from_secs(20), || sandbox.path("pid").exists());
    let pid = std::fs::read_to_string(sandbox.path("pid")).unwrap();
    let kill = |signal: &str, pid: &str| {
        let mut command = Command::new("kill");
        command.args([signal, pid.trim()]).stderr(std::process::Stdio::null());
        command.status().unwrap().success()
    };
    assert!(kill("-0", &pid), "{pid} is not there");
    kill("-INT", &child.id().to_string());
    wait((child, begun)).exits(130);
    eventually("its child ends", Duration::from_secs(5), || !is_alive(pid.trim()));
    sandbox.run(&["status", "--check"]).exits(4).says("sh migrate.sh");
    scripted(sandbox, "true\n");
    sandbox.run(&["up"]).ok();
}

/// Whether a process runs: one whose parent has not looked yet is dead all the same.
fn is_alive(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn the_environment_of_another_database_does_not_reach_a_command(sandbox: &Sandbox) {
    scripted(
        sandbox,
        "env | grep -E '^(PG|DATABASE)' >seen\npsql -Xqc 'create table mine ()' && psql -Xqc 'select from mine' \"$DATABASE_URL\"\n",
    );
    let mut command = sandbox.command(&["up"]);
    for (name, value) in [
        ("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing"),
        ("DATABASE_HOST", "wrong.example"),
        ("PGHOST", "127.0.0.2"),
        ("PGHOSTADDR", "127.0.0.2"),
        ("PGPORT", "1"),
        ("PGUSER", "nobody"),
        ("PGPASSWORD", "wrong"),
        ("PGDATABASE", "nothing"),
        ("PGOPTIONS", "-c search_path=nowhere"),
        ("PGSERVICE", "nothing"),
        ("PGSSLMODE", "require"),
        ("PGCLIENTENCODING", "UTF8"),
    ] {
        command.env(name, value);
    }
    finish(command).ok();
    assert_eq!(sandbox.sql("select to_regclass('public.mine') is null"), "f");
    let seen = std::fs::read_to_string(sandbox.path("seen")).unwrap();
    let mut seen: Vec<&str> = seen.lines().collect();
    let printed = sandbox.run(&["env"]).ok().stdout;
    seen.retain(|line| *line != "PGCLIENTENCODING=UTF8");
    assert_eq!(seen.len(), printed.lines().count(), "{seen:?}\n{printed}");
    // That of a private server, which prepared the database.
    let url = seen.iter().find(|line| line.starts_with("DATABASE_URL=")).unwrap();
    assert!(url.contains("@127.0.0.1:") && url.ends_with("/work?sslmode=disable"), "{url}");
    assert!(!url.contains("nobody"), "{url}");
}

fn a_seed_that_fails_is_run_again(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.write(
        "devdb.yaml",
        "project: shop\nseeds:\n  command: [bin/seed, now]\n  inputs: [seed.sql]\n",
    );
    sandbox.write("seed.sql", "insert into items (name) values ('x'\n");
    sandbox.run(&["up"]).exits(3).says("seeds.command: cannot run \"bin/seed\"");
    let script = "#!/bin/sh\necho \"$1\"; exec psql -Xq -v ON_ERROR_STOP=1 -f seed.sql\n";
    sandbox.write("bin/seed", script);
    sandbox.run(&["up"]).exits(3).says("chmod +x bin/seed");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(sandbox.path("bin/seed"), mode).unwrap();
    sandbox.run(&["up"]).exits(22).says("seed.sql:").says("| now");
    sandbox.write("seed.sql", "insert into items (name) values ('x');\n");
    sandbox.run(&["up", "--no-seed"]).ok().says("devdb seed applies it");
    sandbox.run(&["seed"]).ok().says("ran bin/seed now");
    sandbox.run(&["seed"]).ok();
    sandbox.run(&["up"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items"), "1");
}

fn nothing_is_cached_of_a_command_whose_inputs_change_meanwhile(sandbox: &Sandbox) {
    sandbox.write(
        "devdb.yaml",
        "project: moving\nmigrations:\n  command: [sh, migrate.sh]\n  inputs: [migrate.sh, branch]\n",
    );
    let script = "psql -Xqc \"create table if not exists $(cat branch) ()\"\n";
    let switching =
        format!("{script}test -f switched || {{ echo theirs >branch; touch switched; }}\n");
    sandbox.write("migrate.sh", &switching);
    sandbox.write("branch", "mine");
    sandbox.run(&["up"]).ok().says("changed while sh migrate.sh ran");
    // Back on the branch that it was begun on: nothing was cached under its files.
    sandbox.write("branch", "mine");
    let golden = |ran: Ran| ran.json()["result"]["golden"]["cached"].clone();
    assert_eq!(golden(sandbox.run(&["status", "--json"]).ok()), "miss");
    assert_eq!(golden(sandbox.run(&["reset", "--json"]).ok()), "miss");
    assert_eq!(golden(sandbox.run(&["reset", "--json"]).ok()), "hit");
    assert_eq!(sandbox.sql("select to_regclass('mine'), to_regclass('theirs')"), "mine|");
}
