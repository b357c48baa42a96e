//! A disk that fills up: a clear error, the database that is there serves on, and when there is
//! room again everything works and nothing half-made is left.

use std::path::Path;

use crate::daemon::PrivateDaemon;
use crate::disk::{Fs, SmallDisk};
use crate::sandbox::{On, Ran, Sandbox, psql};

const MB: u64 = 1 << 20;

/// Takes 40 MB, and again as much in the log, and while it is made in temporary files.
const LARGE: &str = "CREATE TABLE large AS
    SELECT i, string_agg(md5((i * 30 + j)::text), '') AS text
    FROM generate_series(1, 40000) AS i, generate_series(1, 30) AS j GROUP BY i;
";

const LARGE_NAME: &str = "20260102000000_add_large.sql";

/// A golden state on its way to a disk that is full; it lies on another.
const FILE: &str = "state.tar.zst";

#[test]
fn reset_on_a_full_disk_on_native() {
    let Some(sandbox) = Sandbox::new(On::Native, "disk full") else { return };
    let Some(mut disk) = SmallDisk::new(Fs::Ext4, 800 * MB, "disk full") else { return };
    disk.bind_over(&sandbox.store());
    fills_up_and_recovers(&sandbox, &disk);
}

#[test]
fn reset_on_a_full_disk_on_docker() {
    let Some(mut sandbox) = Sandbox::new(On::Docker, "disk full") else { return };
    let Some(disk) = SmallDisk::new(Fs::Ext4, 1500 * MB, "disk full") else { return };
    let daemon = PrivateDaemon::with_image(&disk.path(), "postgres:15");
    sandbox.use_daemon(daemon.address());
    fills_up_and_recovers(&sandbox, &disk);
}

fn fills_up_and_recovers(sandbox: &Sandbox, disk: &SmallDisk) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let url = sandbox.url();
    sandbox.sql("insert into items (name) values ('mine')");
    sandbox.run(&["cache", "push", FILE]).ok();
    let before = sandbox.leftovers();
    // Full while it migrates, halfway through making the server, at its beginning, and to the last
    // byte; then, when all of that fits, while the state of 120 MB is published, and while it is
    // copied.
    for (free, fits) in [(64, false), (12, false), (1, false), (0, false), (210, true), (290, true)]
    {
        // Another state each time: what a former one has published is not found.
        let large = format!("-- {free} MB\n{LARGE}");
        sandbox.write(&format!("migrations/{LARGE_NAME}"), &large);
        disk.fill_up_to(free * MB);
        let ran = sandbox.run(&["reset"]);
        println!("{free} MB free, exit {}:\n{}", ran.code, ran.stderr);
        assert_eq!(ran.stderr.contains(&format!("applied {LARGE_NAME}")), fits, "{}", ran.stderr);
        if free == 0 && sandbox.on == On::Docker {
            assert!(ran.stderr.contains("works without the lock"), "{}", ran.stderr);
        }
        is_said(ran).says("nothing was replaced");
        assert_eq!(psql(&url, "select count(*) from items").ok().line(), "2");
        sandbox.run(&["status"]).ok();
        assert_eq!(sandbox.leftovers(), before, "something half-made is left");
    }
    disk.make_room();
    assert_eq!(sandbox.sql("select count(*) from items where name = 'mine'"), "1");
    sandbox.run(&["reset"]).ok().says("kept");
    assert_eq!(sandbox.url(), url);
    assert_eq!(sandbox.sql("select string_agg(name, ',') from items"), "First");
    assert_eq!(sandbox.sql("select count(*) from large"), "40000");
    sandbox.run(&["undo"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items where name = 'mine'"), "1");
    a_pull_fails_and_recovers(sandbox, disk);
    sandbox.run(&["down", "--purge", "--yes"]).ok();
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}

/// Fails the test unless a command has failed and told why, and what to do.
#[track_caller]
fn is_said(ran: Ran) -> Ran {
    assert_ne!(ran.code, 0, "{}", ran.stderr);
    let ran = ran.says("make room");
    assert!(ran.stderr.to_lowercase().contains("no space left on device"), "{}", ran.stderr);
    ran
}

/// Of a state that is not there; its instance is.
fn a_pull_fails_and_recovers(sandbox: &Sandbox, disk: &SmallDisk) {
    std::fs::remove_file(sandbox.path("migrations").join(LARGE_NAME)).unwrap();
    sandbox.clear_cache();
    let url = sandbox.url();
    let before = (sandbox.leftovers(), states(sandbox), files(sandbox));
    // The data takes 35 MB.
    for free in [20, 0] {
        disk.fill_up_to(free * MB);
        let ran = sandbox.run(&["cache", "pull", FILE]);
        println!("{free} MB free, exit {}:\n{}", ran.code, ran.stderr);
        is_said(ran);
        assert_eq!((sandbox.leftovers(), states(sandbox), files(sandbox)), before, "{free} MB");
        let mine = "select count(*) from items where name = 'mine'";
        assert_eq!(psql(&url, mine).ok().line(), "1");
        sandbox.run(&["status"]).ok();
    }
    disk.make_room();
    let pulled = sandbox.run(&["cache", "pull", FILE, "--json"]).ok().json();
    assert_eq!(pulled["result"]["changed"], true);
    let reset = sandbox.run(&["reset", "--json"]).ok().json();
    assert_eq!(reset["result"]["golden"]["cached"], "hit");
    assert_eq!(sandbox.sql("select string_agg(name, ',') from items"), "First");
}

/// The golden states that the engine has, whole or not.
fn states(sandbox: &Sandbox) -> Vec<String> {
    match sandbox.on {
        On::Docker => {
            let filter = "label=devdb.golden";
            let list = ["image", "ls", "-aq", "--no-trunc", "--filter", filter];
            sandbox.docker(&list).lines().map(str::to_owned).collect()
        }
        On::Native => names(&sandbox.store().join("golden")),
    }
}

/// The project's files, and what devdb has noted of golden states.
fn files(sandbox: &Sandbox) -> Vec<String> {
    [names(&sandbox.work()), names(&sandbox.data_dir().join("golden"))].concat()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
