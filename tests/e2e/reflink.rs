//! Where copies share their blocks a reset takes next to no room, and each copy is still its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use devdb::state::Store;

use crate::disk::{Fs, SmallDisk};
use crate::sandbox::{On, Sandbox, finish};

const MB: u64 = 1 << 20;

/// Takes 20 MB, and again as much in the log: what a server writes at its start is little beside it.
const LARGE: &str = "CREATE TABLE large AS
    SELECT i, string_agg(md5((i * 30 + j)::text), '') AS text
    FROM generate_series(1, 20000) AS i, generate_series(1, 30) AS j GROUP BY i;
";

/// How long all the texts in it are.
const TEXTS: &str = "19200000";

#[test]
fn on_xfs_a_reset_shares_its_blocks() {
    a_reset(Fs::Xfs, "a reset on XFS");
}

#[test]
fn on_btrfs_a_reset_shares_its_blocks() {
    a_reset(Fs::Btrfs, "a reset on btrfs");
}

/// What is measured there is the sharing, and not that nothing is copied.
#[test]
fn on_ext4_a_reset_takes_the_room_of_a_copy() {
    a_reset(Fs::Ext4, "a reset on ext4");
}

fn a_reset(fs: Fs, test: &str) {
    let Some(sandbox) = Sandbox::new(On::Native, test) else { return };
    let Some(mut disk) = SmallDisk::new(fs, 1000 * MB, test) else { return };
    disk.bind_over(&sandbox.store());
    sandbox.project();
    // Otherwise the server itself may write to blocks that it shares.
    sandbox.write("devdb.yaml", "project: shop\npostgres: { settings: { autovacuum: 'off' } }\n");
    sandbox.write("migrations/20260102000000_add_large.sql", LARGE);
    sandbox.run(&["up"]).ok();
    // What somebody has written to is kept, so that no reset makes room for what it copies.
    let write = || sandbox.sql("insert into items (name) values ('mine')");
    write();
    sandbox.run(&["reset"]).ok().says("kept");
    write();
    let size = size_of(&current(&sandbox));
    let before = disk.free_when_synced();
    // It takes the copy that was made ahead, and makes another.
    sandbox.run(&["reset"]).ok().says("kept");
    let taken = before.saturating_sub(disk.free_when_synced());
    println!("{fs:?}: {} MB taken, by a data directory of {} MB", taken / MB, size / MB);
    assert!(size > 40 * MB, "{fs:?}: {size}");
    assert_eq!(taken < size / 4, fs != Fs::Ext4, "{fs:?}: {taken} of {size}");

    let items = || sandbox.sql("select string_agg(name, ',' order by name) from items");
    let texts = || sandbox.sql("select sum(length(text)) from large");
    assert_eq!((items().as_str(), texts().as_str()), ("First", TEXTS));
    sandbox.sql("update large set text = 'mine'");
    sandbox.run(&["reset"]).ok().says("kept");
    assert_eq!((items().as_str(), texts().as_str()), ("First", TEXTS));
    sandbox.run(&["undo"]).ok();
    assert_eq!((items().as_str(), texts().as_str()), ("First", "80000"));
    sandbox.run(&["down", "--purge", "--yes"]).ok();
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}

/// The data directory of the current generation.
fn current(sandbox: &Sandbox) -> PathBuf {
    let record = Store::open(&sandbox.data_dir()).unwrap().load_all().unwrap().remove(0).unwrap();
    let name = format!("g{}", record.current_generation().unwrap().id);
    let mut generations = sandbox.leftovers().into_iter().map(PathBuf::from);
    generations.find(|path| path.ends_with(&name)).unwrap().join("pgdata")
}

/// What the files in a directory take, in bytes, whoever shares it with them.
fn size_of(directory: &Path) -> u64 {
    let mut du = Command::new("du");
    du.arg("-sk").arg(directory);
    let kilobytes = finish(du).ok().line();
    kilobytes.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}
