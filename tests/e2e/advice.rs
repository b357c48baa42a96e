//! What devdb advises after a failure fits that failure, and `-q`, `restart`, completions and other
//! small things do as people expect.

use std::time::{Duration, Instant};

use crate::sandbox::{On, Ran, Sandbox, eventually, finish, spawn, wait};

fn sandbox(test: &str) -> Option<Sandbox> {
    Sandbox::new(On::Native, test)
}

/// Runs devdb where no Docker engine answers, with more variables.
fn without_docker(sandbox: &Sandbox, arguments: &[&str], more: &[(&str, &str)]) -> Ran {
    let mut command = sandbox.command(arguments);
    command.env("DOCKER_HOST", "unix:///nowhere/docker.sock").envs(more.iter().copied());
    finish(command)
}

#[test]
fn a_hint_is_not_what_cannot_help() {
    let Some(sandbox) = sandbox("hints") else { return };
    sandbox.project();
    // Native was not tried, and is there.
    without_docker(&sandbox, &["up", "--engine", "docker"], &[])
        .exits(10)
        .says("try: devdb up --engine native");
    without_docker(&sandbox, &["run", "--engine", "docker", "true"], &[])
        .exits(10)
        .says("try: --engine native");
    // A command that has no such option.
    let reset = without_docker(&sandbox, &["reset"], &[("DEVDB_ENGINE", "docker")]).exits(10);
    assert!(!reset.stderr.contains("try: --engine"), "{}", reset.stderr);
    // Native was tried, or cannot be: the directory of its programs is wrong.
    sandbox.use_context("unix:///nowhere/docker.sock");
    let mut command = sandbox.command(&["up"]);
    command.env_remove("DOCKER_HOST");
    command.env("DEVDB_BIN_DIR", "/nowhere").env("DEVDB_ENGINE", "auto");
    let up = finish(command).exits(10).says("postgres.bin_dir");
    assert!(!up.stderr.contains("--engine native"), "{}", up.stderr);
    assert!(!up.stderr.contains("in devdb.yaml"), "{}", up.stderr);

    sandbox.run(&["up"]).ok();
    let up = sandbox.run(&["up", "--postgres", "14"]).exits(3);
    assert!(up.stderr.contains("try: devdb reset --postgres 14 "), "{}", up.stderr);
    let up = sandbox.run(&["up", "--engine", "docker"]).exits(3);
    assert!(!up.stderr.contains("--purge"), "{}", up.stderr);
    let list = sandbox.run(&["snapshot", "restore", "none"]).exits(23);
    assert!(list.stderr.contains("try: devdb snapshot list"), "{}", list.stderr);

    for (version, says) in [("9.6", "use a major version"), ("15.4", "write 15")] {
        sandbox.write("devdb.yaml", &format!("project: shop\npostgres:\n  version: {version}\n"));
        sandbox.run(&["config"]).exits(3).says(says);
    }
    sandbox.write("devdb.yaml", "project: shop\npostgres:\n  extensions: [postgis]\n");
    let up = sandbox.run(&["up"]).exits(3).says("postgres.image").says("package");
    assert!(!up.stderr.contains("did you mean"), "{}", up.stderr);
}

/// Typed as it is printed, a command works on the database that the present one is about.
#[test]
fn what_devdb_says_to_type_is_about_the_chosen_database() {
    let Some(sandbox) = sandbox("chosen") else { return };
    sandbox.project();
    sandbox.run(&["up"]).ok().says("  devdb url ");
    sandbox.run(&["--instance", "exp", "up"]).ok().says("  devdb --instance exp url ");
    sandbox.run(&["--instance", "exp", "snapshot", "save", "one"]).ok();
    sandbox
        .run(&["snapshot", "save", "two", "--instance", "exp"])
        .ok()
        .says("devdb --instance exp snapshot restore two ");
    sandbox.run(&["psql", "--instance", "exp", "-qc", "create table mine ()"]).ok();
    sandbox.run(&["reset", "--instance", "exp"]).ok().says("  devdb --instance exp undo ");
    sandbox.run(&["--json", "--instance", "no", "url"]).exits(1).says("devdb --instance no up ");
    let gone = sandbox.run(&["--instance", "exp", "down", "--purge", "--yes"]).ok();
    assert!(!gone.stderr.contains("no database now"), "{}", gone.stderr);
}

#[test]
fn drift_names_a_few_files_and_has_one_exit_code_everywhere() {
    let Some(sandbox) = sandbox("drift") else { return };
    sandbox.project();
    for number in 1..=30 {
        sandbox.write(&format!("migrations/202601020000{number:02}_more.sql"), "SELECT 1;\n");
    }
    sandbox.run(&["up"]).ok();
    for number in 1..=30 {
        sandbox.write(&format!("migrations/202601020000{number:02}_more.sql"), "SELECT 2;\n");
    }
    let up = sandbox.run(&["up"]).exits(21).says("the same holds for 25 more");
    assert!(up.stderr.lines().count() < 15, "{}", up.stderr);
    up.says("git diff HEAD -- '*20260102000001_more.sql'");
    sandbox.run(&["status", "--check"]).exits(21);
    sandbox.run(&["migrate", "status", "--check"]).exits(21);
    for number in 1..=30 {
        sandbox.write(&format!("migrations/202601020000{number:02}_more.sql"), "SELECT 1;\n");
    }
    sandbox.run(&["status", "--check"]).ok();
    sandbox.write("migrations/20260101000001_late.sql", "SELECT 1;\n");
    for command in [&["up"][..], &["status", "--check"], &["migrate", "status", "--check"]] {
        sandbox.run(command).exits(21);
    }
    sandbox.write("devdb.yaml", "project: shop\nmigrations:\n  out_of_order: allow\n");
    sandbox.run(&["status", "--check"]).exits(4);
    sandbox.run(&["migrate", "status", "--check"]).exits(4);
}

#[test]
fn psql_quiet_and_restart_do_as_people_expect() {
    let Some(sandbox) = sandbox("small things") else { return };
    sandbox.project();
    let up = sandbox.run(&["-q", "up"]).ok();
    assert_eq!((up.stdout.as_str(), up.stderr.as_str()), ("", ""));
    assert_eq!(sandbox.run(&["psql", "-XAtc", "select count(*) from items"]).ok().line(), "1");
    assert_eq!(sandbox.run(&["psql", "-X", "-v", "n=7", "-Atc", "select 7"]).ok().line(), "7");
    sandbox.run(&["-q", "url"]).ok().says("postgresql://");

    let started = "select pg_postmaster_start_time()";
    let before = sandbox.sql(started);
    let url = sandbox.url();
    sandbox.run(&["restart"]).ok().says("started");
    assert_ne!(sandbox.sql(started), before);
    assert_eq!(sandbox.url(), url);
    sandbox.run(&["stop"]).ok();
    sandbox.run(&["restart"]).ok().says("started");
    sandbox
        .run(&["run", "--keep-on-failure", "--ttl", "banana", "true"])
        .exits(2)
        .says("not a time");
}

#[test]
fn a_slow_migration_is_named_while_it_runs() {
    let Some(sandbox) = sandbox("slow migration") else { return };
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.write("migrations/20260102000000_slow.sql", "SELECT pg_sleep(4);\n");
    sandbox.run(&["migrate"]).ok().says("applying 20260102000000_slow.sql …");
    sandbox.write("migrations/20260103000000_fast.sql", "SELECT 1;\n");
    let fast = sandbox.run(&["migrate"]).ok();
    assert!(!fast.stderr.contains("applying"), "{}", fast.stderr);
}

#[test]
fn a_stopped_command_of_run_ends_by_sigterm_and_a_deaf_one_by_the_second() {
    let Some(sandbox) = sandbox("signals") else { return };
    sandbox.project();
    for (script, signals) in [
        ("echo > ready; kill -STOP $$; sleep 60", 1),
        ("trap '' TERM; echo > ready; while :; do sleep 1; done", 2),
    ] {
        let ready = sandbox.path("ready");
        let child = spawn(sandbox.command(&["run", "--", "sh", "-c", script]));
        eventually("the command runs", Duration::from_secs(60), || ready.exists());
        std::thread::sleep(Duration::from_millis(300));
        let begun = Instant::now();
        for _ in 0..signals {
            let pid = child.0.id().to_string();
            let sent = std::process::Command::new("kill").args(["-TERM", &pid]).status();
            assert!(sent.unwrap().success());
            std::thread::sleep(Duration::from_millis(500));
        }
        let ran = wait(child);
        assert!(begun.elapsed() < Duration::from_secs(20), "{script}: {:?}", begun.elapsed());
        assert_ne!(ran.code, 0);
        std::fs::remove_file(ready).unwrap();
    }
}

#[test]
fn names_are_completed() {
    let Some(sandbox) = sandbox("completion") else { return };
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.run(&["up", "--instance", "other"]).ok();
    sandbox.run(&["snapshot", "save", "before-import"]).ok();
    // What the script of bash runs when somebody presses Tab.
    let complete = |words: &[&str]| {
        let line = [&["--", "devdb"][..], words].concat();
        let mut command = sandbox.command(&line);
        command
            .env("COMPLETE", "bash")
            .env("_CLAP_IFS", "\n")
            .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
            .env("_CLAP_COMPLETE_COMP_TYPE", "9")
            .env("_CLAP_COMPLETE_SPACE", "false");
        finish(command).ok().stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete(&["snapshot", "restore", "be"]), ["before-import"]);
    assert_eq!(complete(&["up", "--instance", ""]), ["main", "other"]);
    assert_eq!(complete(&["up", "--from", "o"]), ["other"]);
    assert_eq!(complete(&["up", "--engine", "n"]), ["native"]);
    assert_eq!(complete(&["res"]), ["restart", "reset"]);
    assert!(complete(&["-C", "/", "snapshot", "restore", "be"]).is_empty());
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        sandbox.run(&["completions", shell]).ok().says("COMPLETE");
    }
}

#[test]
fn doctor_shows_problems_first_and_what_is_used() {
    let Some(sandbox) = sandbox("doctor") else { return };
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let short = sandbox.run(&["doctor"]).ok();
    assert!(!short.stdout.contains("no such"), "{}", short.stdout);
    assert!(!short.stdout.contains("docker, socket"), "{}", short.stdout);
    assert_eq!(short.stdout.matches("ok   native, ").count(), 1, "{}", short.stdout);
    assert!(short.stdout.contains("belongs to this database"), "{}", short.stdout);
    sandbox.run(&["doctor", "-v"]).ok().says("no such");

    // The port is another program's now.
    let port = sandbox.run(&["status", "--json"]).ok().json()["result"]["port"].as_u64().unwrap();
    sandbox.run(&["stop"]).ok();
    let held = std::net::TcpListener::bind(("127.0.0.1", port as u16)).unwrap();
    sandbox.run(&["doctor"]).ok().says("devdb up takes another port");
    sandbox.write("devdb.yaml", &format!("project: shop\npostgres:\n  port: {port}\n"));
    let doctor = sandbox.run(&["doctor"]).ok();
    assert!(doctor.stdout.starts_with("warn port"), "{}", doctor.stdout);
    drop(held);

    let nowhere = [("DEVDB_BIN_DIR", "/nowhere")];
    let doctor = without_docker(&sandbox, &["doctor"], &nowhere).exits(1);
    assert!(doctor.stdout.starts_with("bad  engine native"), "{}", doctor.stdout);
}
