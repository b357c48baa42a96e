//! What `devdb init --ci` writes: valid for the CI system, and a job that passes as it is written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ci_system::{Job, Runner};
use crate::daemon::PrivateDaemon;
use crate::sandbox::{On, Sandbox, docker, finish, peers, skipped};

crate::on_both_engines!(
    the_jobs_of_github_pass_and_the_second_takes_what_the_first_kept,
    the_jobs_of_gitlab_pass_and_the_second_takes_what_the_first_kept,
    a_failing_test_fails_its_job_and_leaves_its_log,
);

const STATE: &str = "devdb-state.tar.zst";
const TEST: &str = r"psql -c '\dt'";

/// A machine of a CI system with a fresh checkout of a project that `devdb init` has made.
fn runner(sandbox: &Sandbox, system: &str, project: &str, store: &Path) -> Runner {
    let checkout = sandbox.path(project);
    std::fs::create_dir(&checkout).unwrap();
    sandbox.run_in(&checkout, &["init", "--sample", "--ci", system]).ok().says("fill in");
    let programs = sandbox.path("bin");
    std::fs::create_dir(&programs).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_devdb"), programs.join("devdb")).unwrap();
    let usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut environment = BTreeMap::from([
        ("HOME".to_owned(), sandbox.home().display().to_string()),
        ("PATH".to_owned(), format!("{}:{usual}", programs.display())),
        ("CI".to_owned(), "true".to_owned()),
        // So that the sandbox finds what is left.
        ("DEVDB_DEVELOPER".to_owned(), sandbox.developer().to_owned()),
    ]);
    let number = uuid::Uuid::new_v4().to_string();
    let job = if system == "github" { "GITHUB_RUN_ID" } else { "CI_JOB_ID" };
    environment.insert(job.to_owned(), number);
    match (sandbox.on, std::env::var("DOCKER_HOST")) {
        (On::Native, _) => {
            sandbox.use_context("unix:///nowhere/docker.sock");
        }
        (On::Docker, Ok(host)) => drop(environment.insert("DOCKER_HOST".into(), host)),
        (On::Docker, Err(_)) => {}
    }
    Runner {
        checkout,
        store: store.to_path_buf(),
        environment,
        settings: BTreeMap::new(),
        service: None,
    }
}

fn edit(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{from:?} is not in\n{text}");
    std::fs::write(file, text.replace(from, to)).unwrap();
}

/// Removes the golden states of a runner's project: an engine of the machine's keeps them for all.
fn forget(sandbox: &Sandbox, runner: &Runner) {
    let mut clear = sandbox.command_in(&runner.checkout, &["cache", "clear", "--yes"]);
    if let Some(address) = &runner.service {
        clear.env("DOCKER_HOST", address).env("DEVDB_PUBLISH", "1");
    }
    finish(clear).ok();
}

/// Two jobs, one after the other, each on a machine of its own, with the same cache.
fn twice(
    first: &Sandbox,
    system: &str,
    prepare: impl Fn(&mut Runner),
    run: impl Fn(&Runner) -> Job,
) -> [Job; 2] {
    let store = tempfile::tempdir().unwrap();
    let key = first.run(&["secret", "keygen"]).ok().line();
    let second = Sandbox::new(first.on, "another machine").unwrap();
    [first, &second].map(|sandbox| {
        let mut runner = runner(sandbox, system, &first.project_name(), store.path());
        runner.settings.insert("ENCRYPTION_KEY".into(), key.clone());
        prepare(&mut runner);
        let job = run(&runner).passes().says("gateways");
        forget(sandbox, &runner);
        assert_eq!(sandbox.leftovers(), Vec::<String>::new());
        job
    })
}

/// The first bakes, and the second has it from the first.
fn is_taken_over(on: On, [first, second]: [Job; 2]) -> [Job; 2] {
    // "fetched golden state 0123456789ab for native from cache.tar.zst"
    let taken = format!(" for {} from ", on.name());
    let bakes = "applied 20260105090000_create_updated_at_function.sql";
    assert!(first.log.contains(bakes) && !first.log.contains(&taken), "{}", first.log);
    assert_eq!(first.kept, [STATE], "{}", first.log);
    assert!(!second.log.contains(bakes) && second.log.contains(&taken), "{}", second.log);
    [first, second]
}

fn the_jobs_of_github_pass_and_the_second_takes_what_the_first_kept(sandbox: &Sandbox) {
    let jobs = twice(sandbox, "github", |_| {}, Runner::github);
    let [_, second] = is_taken_over(sandbox.on, jobs);
    assert_eq!(second.kept, Vec::<String>::new());
}

fn the_jobs_of_gitlab_pass_and_the_second_takes_what_the_first_kept(sandbox: &Sandbox) {
    if !has_debian_packages() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let daemon =
        (sandbox.on == On::Docker).then(|| PrivateDaemon::listening(data.path(), "postgres:15"));
    let prepare = |runner: &mut Runner| match &daemon {
        Some(daemon) => runner.service = Some(daemon.tcp().to_owned()),
        None => edit(&runner.checkout.join(".gitlab-ci.yml"), ".docker] #", ".native] #"),
    };
    is_taken_over(sandbox.on, twice(sandbox, "gitlab", prepare, Runner::gitlab));
    let left = daemon.map(|daemon| docker(&["-H", &daemon.address(), "ps", "-aq"]));
    assert_eq!(left.unwrap_or_default(), "");
}

/// GitLab's jobs run in Debian's image and install what it lacks; on this machine it must be there.
fn has_debian_packages() -> bool {
    let installed = Command::new("dpkg").args(["-s", "postgresql-15"]).output();
    if installed.is_ok_and(|output| output.status.success()) {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "Debian's postgresql-15 is not installed");
    skipped("a GitLab job: Debian's postgresql-15 is not installed here");
    false
}

fn a_failing_test_fails_its_job_and_leaves_its_log(sandbox: &Sandbox) {
    let store = tempfile::tempdir().unwrap();
    let runner = runner(sandbox, "github", &sandbox.project_name(), store.path());
    let file = runner.checkout.join(".github/workflows/devdb.yml");
    edit(&file, TEST, r"psql -c 'select from nothing'");
    let failed = runner.github();
    forget(sandbox, &runner);
    assert!(!failed.passed, "{}", failed.log);
    let log = std::fs::read_to_string(runner.checkout.join("devdb-failure/server.log")).unwrap();
    assert!(log.contains("relation \"nothing\" does not exist"), "{log}");
    assert_eq!(failed.kept, Vec::<String>::new());
}

#[test]
fn without_the_key_of_encrypted_values_a_job_passes_and_keeps_nothing() {
    let Some(sandbox) = Sandbox::new(On::Native, "a job without a key") else { return };
    let store = tempfile::tempdir().unwrap();
    let runner = runner(&sandbox, "github", &sandbox.project_name(), store.path());
    let job = runner.github().passes().says("gateways").says("ENCRYPTION_KEY");
    assert_eq!(job.kept, Vec::<String>::new());
}

/// A repository with a program of devdb's name: enough for cargo to install it from there.
fn source(sandbox: &Sandbox) -> PathBuf {
    let source = sandbox.path("source");
    std::fs::create_dir_all(source.join("src")).unwrap();
    let manifest = "[package]\nname = \"devdb\"\nversion = \"0.0.0\"\nedition = \"2024\"\n";
    std::fs::write(source.join("Cargo.toml"), manifest).unwrap();
    let program = "fn main() { println!(\"installed from source\") }\n";
    std::fs::write(source.join("src/main.rs"), program).unwrap();
    let script = "cargo generate-lockfile --offline && git init -q && git add . && \
                  git -c user.name=t -c user.email=t@example.org commit -qm first";
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).current_dir(&source);
    finish(shell).ok();
    source
}

/// The machine has cargo, and no devdb.
fn without_devdb(runner: &mut Runner) {
    let cargo = finish({
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "dirname \"$(command -v cargo)\"; echo \"${RUSTUP_HOME:-$HOME/.rustup}\"",
        ]);
        command
    });
    let ok = cargo.ok();
    let (programs, rustup) = ok.stdout.trim_end().split_once('\n').unwrap();
    let home = &runner.environment["HOME"];
    let path = format!("{home}/.cargo/bin:{programs}:/usr/sbin:/usr/bin:/sbin:/bin");
    runner.environment.insert("PATH".into(), path);
    runner.environment.insert("RUSTUP_HOME".into(), rustup.to_owned());
}

#[test]
fn a_machine_without_devdb_builds_it_from_the_source_that_is_named() {
    for (system, run) in
        [("github", Runner::github as fn(&Runner) -> Job), ("gitlab", Runner::gitlab)]
    {
        let Some(sandbox) = Sandbox::new(On::Native, "devdb in a job") else { return };
        let source = source(&sandbox);
        let store = tempfile::tempdir().unwrap();
        let mut runner = runner(&sandbox, system, system, store.path());
        std::fs::remove_dir_all(sandbox.path("bin")).unwrap();
        without_devdb(&mut runner);
        if system == "gitlab" {
            if !has_debian_packages() {
                continue;
            }
            edit(&runner.checkout.join(".gitlab-ci.yml"), ".docker] #", ".native] #");
        }
        let job = run(&runner).says("DEVDB_GIT: is not set");
        assert!(!job.passed, "{}", job.log);
        runner.settings.insert("DEVDB_GIT".into(), format!("file://{}", source.display()));
        let job = run(&runner).passes().says("installed from source");
        assert!(!job.log.contains("DEVDB_GIT: is not set"), "{}", job.log);
        if system == "gitlab" {
            assert_eq!(job.kept, ["devdb-program/"]);
            std::fs::remove_dir_all(runner.checkout.join("devdb-program")).unwrap();
            std::fs::remove_dir_all(&source).unwrap();
            run(&runner).passes().says("installed from source");
        }
    }
}

#[test]
fn the_files_are_valid_by_the_schemas_of_their_systems() {
    let Some(peers) = peers("CI schemas", &["check-jsonschema/bin/check-jsonschema"]) else {
        return;
    };
    let Some(sandbox) = Sandbox::new(On::Native, "CI schemas") else { return };
    let check = |schema: &str, file: &str| {
        let mut command = Command::new(peers.join("check-jsonschema/bin/check-jsonschema"));
        command.args(["--builtin-schema", schema]).arg(sandbox.path(file));
        finish(command)
    };
    for (system, schema, file, from, to) in [
        (
            "github",
            "vendor.github-workflows",
            ".github/workflows/devdb.yml",
            "timeout-minutes: 30",
            "timeout: 30",
        ),
        ("gitlab", "vendor.gitlab-ci", ".gitlab-ci.yml", "when: on_failure", "when: failed"),
    ] {
        sandbox.run(&["init", "--ci", system]).ok();
        check(schema, file).ok();
        edit(&sandbox.path(file), from, to);
        check(schema, file).exits(1);
    }
}

#[test]
fn in_a_project_only_the_file_of_the_ci_system_is_added() {
    let Some(sandbox) = Sandbox::new(On::Native, "init --ci") else { return };
    sandbox.write("devdb.yaml", "migrations: { command: [\"true\"], inputs: [\"x\"] }\n");
    let names = || {
        let entries = std::fs::read_dir(sandbox.work()).unwrap().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let init = sandbox.run(&["init", "--ci", "gitlab", "--json"]).ok().json();
    let written = init["result"]["written"].as_array().unwrap();
    assert_eq!(written.len(), 1, "{init}");
    assert!(written[0].as_str().unwrap().ends_with("/.gitlab-ci.yml"), "{init}");
    assert_eq!(names(), [".gitlab-ci.yml", "devdb.yaml"]);
    sandbox.run(&["init", "--ci", "github"]).ok().says("wrote").says(".github/workflows/devdb.yml");
    assert_eq!(names(), [".github", ".gitlab-ci.yml", "devdb.yaml"]);

    sandbox.write(".gitlab-ci.yml", "mine: {}\n");
    sandbox.run(&["init", "--ci", "gitlab"]).ok().says("existed already and stays as it is");
    assert_eq!(std::fs::read_to_string(sandbox.path(".gitlab-ci.yml")).unwrap(), "mine: {}\n");
    sandbox.run(&["init", "--ci", "jenkins"]).exits(2).says("github, gitlab");
}
