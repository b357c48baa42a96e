//! A disk that fills up: a clear error, the database that is there serves on, and when there is
//! room again everything works and nothing half-made is left.

use crate::daemon::PrivateDaemon;
use crate::disk::{Fs, SmallDisk};
use crate::sandbox::{On, Sandbox, psql};

const MB: u64 = 1 << 20;

/// Takes 40 MB, and again as much in the log.
const LARGE: &str = "CREATE TABLE large AS
    SELECT i, string_agg(md5((i * 30 + j)::text), '') AS text
    FROM generate_series(1, 40000) AS i, generate_series(1, 30) AS j GROUP BY i;
";

#[test]
fn reset_on_a_full_disk_on_native() {
    let Some(sandbox) = Sandbox::new(On::Native, "disk full") else { return };
    let Some(mut disk) = SmallDisk::new(Fs::Ext4, 700 * MB, "disk full") else { return };
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
    let before = sandbox.leftovers();
    sandbox.write("migrations/20260102000000_add_large.sql", LARGE);
    // Full while it migrates, halfway through making the server, at its beginning, and to the last
    // byte.
    for free in [64 * MB, 12 * MB, MB, 0] {
        disk.fill_up_to(free);
        let ran = sandbox.run(&["reset"]);
        println!("{} MB free, exit {}:\n{}", free / MB, ran.code, ran.stderr);
        assert_ne!(ran.code, 0, "{}", ran.stderr);
        let ran = ran.says("nothing was replaced").says("make room");
        assert!(ran.stderr.to_lowercase().contains("no space left on device"), "{}", ran.stderr);
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
    sandbox.run(&["down", "--purge", "--yes"]).ok();
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}
