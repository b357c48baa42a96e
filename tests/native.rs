//! What only the native engine has to do: tell processes apart, survive crashes and reboots, and
//! keep its files to itself.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[expect(dead_code, reason = "each suite uses its part")]
mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Bench, PASSWORD, free_port, kind_of};
use devdb::db::backup::{Backup, BackupEnd};
use devdb::db::scram;
use devdb::engine::native::{Native, NativeEnvironment};
use devdb::engine::{
    Engine, Launch, Lease, Numbered, PrivateLaunch, Role, Server, Snapshot, State,
};
use devdb::error::Kind;
use devdb::spec::{EngineKind, Owner};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use sqlx::Executor;

macro_rules! on_native {
    ($($property:ident),+ $(,)?) => {
        mod test {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $property() {
                super::common::run(super::EngineKind::Native, "native", super::$property).await;
            })+
        }
    };
}

on_native![
    a_killed_server_is_reported_and_recovers,
    a_lock_file_with_a_number_used_again_does_not_hinder_a_start,
    a_copy_of_a_running_server_survives_a_recovery_that_ends_early,
    a_server_outlives_devdb_and_is_found_by_another,
    without_programs_what_is_there_is_listed_and_stopped,
    its_files_are_private_and_nothing_secret_stays,
    a_data_directory_that_was_never_completed_is_not_started,
    in_the_mark_of_an_older_devdb_the_number_is_the_id,
    what_a_newer_devdb_made_is_refused,
    the_id_is_made_once_however_many_ask,
    a_long_log_is_put_aside_at_a_start,
    a_long_path_gets_its_sockets_elsewhere,
    an_initialisation_that_fails_says_why_and_can_be_tried_again,
];

fn pgdata(server: &Server) -> PathBuf {
    Path::new(&server.handle).join("pgdata")
}

fn lock_file(server: &Server) -> PathBuf {
    pgdata(server).join("postmaster.pid")
}

fn pid_of(server: &Server) -> i32 {
    fs::read_to_string(lock_file(server)).unwrap().lines().next().unwrap().parse().unwrap()
}

fn kill(server: &Server) {
    kill_process(Pid::from_raw(pid_of(server)).unwrap(), Signal::KILL).unwrap();
}

async fn put_a_row(bench: &Bench, server: &Server) {
    let sql = "CREATE TABLE kept (what text); INSERT INTO kept VALUES ('a row')";
    let mut connection = bench.log_in(server).await;
    connection.execute(sql).await.unwrap();
    // The tests' servers do not sync what is written.
    connection.execute("CHECKPOINT").await.unwrap();
}

async fn has_the_row(bench: &Bench, server: &Server) -> bool {
    bench.log_in(server).await.execute("SELECT what FROM kept").await.unwrap().rows_affected() == 1
}

async fn a_killed_server_is_reported_and_recovers(bench: Arc<Bench>) {
    let server = bench.make(&bench.owner("anna"), 1).await;
    put_a_row(&bench, &server).await;
    let killed = Instant::now();
    kill(&server);
    let exit = bench.engine.exited(&server).await;
    assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
    assert_eq!(exit.code, Some(137));
    let stopped = bench.engine.server(&server.handle).await.unwrap().unwrap();
    assert!(!stopped.is_running() && lock_file(&server).exists());
    // Its orphans may need a moment to notice.
    let deadline = Instant::now() + Duration::from_secs(20);
    let started = loop {
        let started = bench.engine.start(&stopped).await.unwrap();
        if started.is_running() {
            break started;
        }
        assert!(Instant::now() < deadline, "{}", bench.log(&started, Some(20)).await);
    };
    assert!(has_the_row(&bench, &started).await);
}

async fn a_copy_of_a_running_server_survives_a_recovery_that_ends_early(bench: Arc<Bench>) {
    let owner = bench.owner("anna");
    let server = bench.make(&owner, 1).await;
    put_a_row(&bench, &server).await;
    let address = bench.address(&server, &bench.spec, PASSWORD);
    let backup = Backup::begin(&address, "test").await.unwrap().unwrap();
    // Its log is replayed in the copy.
    let mut connection = bench.log_in(&server).await;
    connection.execute("INSERT INTO kept VALUES ('another row')").await.unwrap();
    let file: String = sqlx::query_scalar("SELECT pg_relation_filepath('kept')")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let all = bench.engine.generations(Some(&owner.key())).await.unwrap();
    let new = Numbered { id: 2, number: 2 };
    let end = Some(async { backup.end().await.map(BackupEnd::restartable) });
    let Engine::Native(native) = &bench.engine else { panic!("the native engine") };
    let copy = native.copy_generation(&all[0], new, &bench.spec, end).await.unwrap();

    drop(connection);
    bench.down(&server).await;
    // The first server on the copy ends in the middle of its recovery, when it cannot open a file.
    let file = Path::new(&copy.handle).join("pgdata").join(file);
    let readable = fs::metadata(&file).unwrap().permissions();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    let launch = bench.relaunch(&owner, 2, &bench.spec, free_port());
    let first = bench.engine.launch(&launch).await.unwrap();
    let exit = bench.engine.exited(&first).await;
    assert!(exit.log_tail.contains("WAL redo at"), "{}", exit.log_tail);
    let label = Path::new(&copy.handle).join("pgdata/backup_label");
    assert!(!label.exists(), "the first server puts the label away");

    fs::set_permissions(&file, readable).unwrap();
    let stopped = bench.engine.server(&first.handle).await.unwrap().unwrap();
    let second = bench.engine.start(&stopped).await.unwrap();
    let mut connection = bench.log_in(&second).await;
    let rows = connection.execute("SELECT what FROM kept").await.unwrap().rows_affected();
    assert_eq!(rows, 2);
}

async fn a_lock_file_with_a_number_used_again_does_not_hinder_a_start(bench: Arc<Bench>) {
    let server = bench.make(&bench.owner("anna"), 1).await;
    put_a_row(&bench, &server).await;
    let stranger = bench.make(&bench.owner("bert"), 1).await;
    let lock = fs::read_to_string(lock_file(&server)).unwrap();
    bench.engine.stop(&server, Duration::from_secs(60)).await.unwrap();
    // As after a reboot: the file is there again, its number is another process's of the account.
    let (_, rest) = lock.split_once('\n').unwrap();
    let written = Path::new(&server.handle).join("postmaster.pid");
    fs::write(&written, format!("{}\n{rest}", pid_of(&stranger))).unwrap();
    fs::set_permissions(&written, fs::Permissions::from_mode(0o600)).unwrap();
    let owner = fs::metadata(pgdata(&server)).unwrap();
    use std::os::unix::fs::MetadataExt;
    std::os::unix::fs::chown(&written, Some(owner.uid()), Some(owner.gid())).unwrap();
    fs::rename(&written, lock_file(&server)).unwrap();

    let stopped = bench.engine.server(&server.handle).await.unwrap().unwrap();
    assert!(!stopped.is_running());
    bench.engine.stop(&stopped, Duration::from_secs(1)).await.unwrap();
    let verifier = scram::verifier(PASSWORD);
    bench.engine.set_password(&stopped, "postgres", &verifier).await.unwrap();
    let started = bench.engine.start(&stopped).await.unwrap();
    assert!(has_the_row(&bench, &started).await);
    assert!(bench.engine.server(&stranger.handle).await.unwrap().unwrap().is_running());
    bench.log_in(&stranger).await;
}

/// What another process does in the next test, which runs this one by name.
#[tokio::test]
async fn another_process() {
    let Ok(owner) = std::env::var("HELPER_OWNER") else { return };
    let owner: Owner = serde_json::from_str(&owner).unwrap();
    let data_dir = PathBuf::from(std::env::var_os("HELPER_DATA_DIR").unwrap());
    let engine = Native::find(&common::native::environment(data_dir), 15).unwrap();
    let spec = common::spec();
    let verifier = scram::verifier(PASSWORD);
    let launch = Launch {
        owner: &owner,
        generation: 1,
        number: 1,
        spec: &spec,
        port: common::free_port(),
        verifier: Some(&verifier),
    };
    engine.launch(&launch).await.unwrap();
    println!("LAUNCHED");
    std::thread::sleep(Duration::from_secs(60));
}

async fn a_server_outlives_devdb_and_is_found_by_another(bench: Arc<Bench>) {
    use std::io::{BufRead, BufReader, Read};
    let owner = bench.owner("anna");
    bench.make_generation(&owner, 1).await;
    let environment = &bench.native.as_ref().unwrap().environment;
    let mut devdb = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "another_process", "--nocapture"])
        .env("HELPER_OWNER", serde_json::to_string(&owner).unwrap())
        .env("HELPER_DATA_DIR", &environment.data_dir)
        .env("A_SECRET", "of devdb's own environment")
        .process_group(0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(devdb.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("LAUNCHED") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it ended early");
    }
    // A terminal that hangs up, and Ctrl-C: the whole group gets it.
    let group = Pid::from_raw(i32::try_from(devdb.id()).unwrap()).unwrap();
    kill_process_group(group, Signal::HUP).unwrap();
    devdb.wait().unwrap();
    // Ends only when nobody holds devdb's output any more.
    said.read_to_string(&mut line).unwrap();

    let server = bench.servers(&owner).await.remove(0);
    assert!(server.is_running());
    put_a_row(&bench, &server).await;
    assert!(has_the_row(&bench, &server).await);
    #[cfg(target_os = "linux")]
    {
        let environment = fs::read(format!("/proc/{}/environ", pid_of(&server))).unwrap();
        assert!(!String::from_utf8_lossy(&environment).contains("A_SECRET"));
    }
    // Not this process's child: its end is seen all the same.
    let ended = tokio::spawn({
        let (bench, server) = (Arc::clone(&bench), server.clone());
        async move { bench.engine.exited(&server).await }
    });
    bench.engine.stop(&server, Duration::from_secs(60)).await.unwrap();
    let exit = tokio::time::timeout(Duration::from_secs(1), ended).await.unwrap().unwrap();
    assert_eq!(exit.code, None);
    assert!(exit.log_tail.contains("database system is shut down"), "{exit:?}");
}

async fn without_programs_what_is_there_is_listed_and_stopped(bench: Arc<Bench>) {
    let owner = bench.owner("anna");
    let server = bench.make(&owner, 1).await;
    put_a_row(&bench, &server).await;
    let none = NativeEnvironment {
        path: None,
        bin_dir: Some("/nonexistent".into()),
        ..bench.native.as_ref().unwrap().environment.clone()
    };
    assert_eq!(kind_of(Native::find(&none, 15)), Kind::NoEngine);
    let engine = Native::store_only(&none).unwrap();
    assert!(engine.servers(None).await.unwrap()[0].is_running());
    engine.stop(&server, Duration::from_secs(60)).await.unwrap();
    assert!(!engine.servers(Some(&owner.key())).await.unwrap()[0].is_running());
    // The server's own programs are still where they were.
    let started = engine.start(&server).await.unwrap();
    assert!(has_the_row(&bench, &started).await);
}

async fn its_files_are_private_and_nothing_secret_stays(bench: Arc<Bench>) {
    let server = bench.make(&bench.owner("anna"), 1).await;
    bench.log_in(&server).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let directory = Path::new(&server.handle);
    assert_eq!(mode(&pgdata(&server)), 0o700);
    assert!(matches!(mode(directory), 0o700 | 0o711));
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        names.push(entry.file_name().into_string().unwrap());
        if entry.path().is_file() {
            assert_eq!(mode(&entry.path()), 0o600, "{entry:?}");
            let text = fs::read_to_string(entry.path()).unwrap();
            assert!(!text.contains("SCRAM-SHA-256$") && !text.contains(PASSWORD), "{entry:?}");
        }
    }
    names.sort();
    assert_eq!(names, ["complete", "generation.json", "log", "pgdata", "server.json"]);
}

async fn a_data_directory_that_was_never_completed_is_not_started(bench: Arc<Bench>) {
    let owner = bench.owner("anna");
    let lost = Snapshot {
        handle: "/nonexistent".into(),
        owner: owner.clone(),
        name: "lost".into(),
        state: State::Unfinished,
    };
    let Engine::Native(engine) = &bench.engine else { panic!("this is the native engine's suite") };
    let new = Numbered { id: 1, number: 1 };
    let copy = engine.create_generation_from_snapshot(&owner, new, &lost, &bench.spec).await;
    assert_eq!(kind_of(copy), Kind::Snapshot);
    assert_eq!(bench.generations(&owner).await.len(), 1, "what was begun stays");
    let launch = bench.relaunch(&owner, 1, &bench.spec, common::free_port());
    assert_eq!(kind_of(bench.engine.launch(&launch).await), Kind::Unexpected);
    let verifier = scram::verifier(PASSWORD);
    let launch = Launch { verifier: Some(&verifier), ..launch };
    let error = bench.engine.launch(&launch).await.unwrap_err();
    assert!(error.message().contains("never completed"), "{error}");
    assert!(bench.servers(&owner).await.is_empty());
}

async fn in_the_mark_of_an_older_devdb_the_number_is_the_id(bench: Arc<Bench>) {
    let owner = bench.owner("anna");
    bench.make(&owner, 3).await;
    let generation = bench.generations(&owner).await.remove(0);
    fs::write(Path::new(&generation.handle).join("complete"), "").unwrap();
    assert_eq!(bench.engine.number_of(&generation, &bench.spec).await.unwrap(), Some(3));
}

async fn what_a_newer_devdb_made_is_refused(bench: Arc<Bench>) {
    let (anna, bert) = (bench.owner("anna"), bench.owner("bert"));
    let newer = bench.make_generation(&anna, 1).await;
    bench.make_generation(&bert, 1).await;
    let file = Path::new(&newer.handle).join("generation.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"schema\": 1", "\"schema\": 9")).unwrap();
    let error = bench.engine.generations(Some(&anna.key())).await.unwrap_err();
    assert!(error.message().contains("newer devdb"), "{error}");
    bench.engine.remove_generation(&newer).await.expect_err("it is not this devdb's to judge");
    assert!(file.exists());
    // It hides no others.
    let all = bench.engine.generations(None).await.unwrap();
    assert_eq!(all.iter().map(|g| &g.owner).collect::<Vec<_>>(), [&bert]);
    fs::write(&file, text).unwrap();
}

async fn the_id_is_made_once_however_many_ask(bench: Arc<Bench>) {
    let environment = bench.native.as_ref().unwrap().environment.clone();
    let asked: Vec<_> = (0..8)
        .map(|_| {
            let engine = Native::store_only(&environment).unwrap();
            tokio::spawn(async move { engine.id().await.unwrap() })
        })
        .collect();
    let id = bench.engine.id().await.unwrap();
    for other in asked {
        assert_eq!(other.await.unwrap(), id);
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let data_dir = elsewhere.path().join("another home");
    let other = Native::store_only(&NativeEnvironment { data_dir, ..environment }).unwrap();
    assert_ne!(other.id().await.unwrap(), id);
    fs::remove_dir_all(other.store_path()).unwrap();
}

async fn a_long_log_is_put_aside_at_a_start(bench: Arc<Bench>) {
    let server = bench.make(&bench.owner("anna"), 1).await;
    bench.log_in(&server).await;
    bench.engine.stop(&server, Duration::from_secs(60)).await.unwrap();
    let log = Path::new(&server.handle).join("log");
    fs::write(&log, "x".repeat(100).repeat(120_000)).unwrap();
    let started = bench.engine.start(&server).await.unwrap();
    bench.log_in(&started).await;
    assert!(fs::metadata(&log).unwrap().len() < 100_000);
    assert_eq!(fs::metadata(log.with_extension("1")).unwrap().len(), 12_000_000);
}

async fn a_long_path_gets_its_sockets_elsewhere(bench: Arc<Bench>) {
    let scratch = tempfile::tempdir().unwrap();
    let environment = NativeEnvironment {
        data_dir: scratch.path().join("d".repeat(120)),
        ..bench.native.as_ref().unwrap().environment.clone()
    };
    let engine = Native::find(&environment, 15).unwrap();
    let owner = bench.owner("anna");
    let base = bench.base(&bench.spec).await;
    engine.clone_golden(&base, &owner, 1, &bench.spec).await.unwrap();
    let verifier = scram::verifier(PASSWORD);
    let relaunch = bench.relaunch(&owner, 1, &bench.spec, common::free_port());
    let launch = Launch { verifier: Some(&verifier), ..relaunch };
    let server = engine.launch(&launch).await.unwrap();
    let address = bench.address(&server, &bench.spec, PASSWORD);
    let ready = devdb::db::connect::wait_for_login(&address, Duration::from_secs(60)).await;
    let lock = fs::read_to_string(lock_file(&server)).unwrap_or_default();
    let sockets = PathBuf::from(lock.lines().nth(4).unwrap_or_default());
    let mode = fs::metadata(&sockets).map(|found| found.permissions().mode() & 0o777);
    // This store is not the bench's: removed here, before anything may fail.
    engine.remove_server(&server).await.unwrap();
    ready.unwrap();
    assert_eq!(mode.unwrap(), 0o700);
    assert!(!sockets.exists());
    fs::remove_dir_all(engine.store_path()).unwrap();
}

async fn an_initialisation_that_fails_says_why_and_can_be_tried_again(bench: Arc<Bench>) {
    let owner = bench.owner("anna");
    let mut spec = bench.spec.clone();
    // initdb refuses names that are PostgreSQL's own.
    spec.user = "pg_anna".into();
    let verifier = scram::verifier(PASSWORD);
    let launch = PrivateLaunch {
        owner: &owner,
        role: Role::Builder,
        lease: &Lease::of_this_process(None),
        spec: &spec,
        from: None,
        unpack: None,
        verifier: &verifier,
    };
    let error = bench.engine.start_private(&launch).await.unwrap_err();
    assert!(error.to_string().contains("pg_anna"), "{error}");
    assert!(bench.servers(&owner).await.is_empty());
    assert!(bench.generations(&owner).await.is_empty(), "nothing is left");
    let builder = bench.start_builder(&owner, &bench.spec, None).await;
    builder.discard().await.unwrap();
}
