//! The numbers of generations: 1, 2, 3 … in the order in which they became current. None is given
//! twice.

use std::time::Duration;

use crate::sandbox::{On, Sandbox, spawn};

crate::on_both_engines!(
    numbers_have_no_gap_and_none_is_given_twice,
    copies_and_snapshots_take_the_next_number,
    a_lost_record_does_not_turn_the_numbers_back,
    a_killed_reset_leaves_no_gap,
);

fn numbers_have_no_gap_and_none_is_given_twice(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let write = || drop(sandbox.sql("insert into items (name) values ('mine')"));
    let reset = |number: u64| {
        write();
        let report = sandbox.run(&["reset", "--json"]).ok().json();
        assert_eq!(report["result"]["generation"], number);
    };
    // The second one makes a copy ahead for the third.
    reset(2);
    reset(3);
    // The copy that was made ahead is of no use now, and neither is a reset that fails.
    sandbox.write("migrations/20260102000000_bad.sql", "CREATE TABLE broken (;\n");
    sandbox.run(&["reset"]).exits(20);
    sandbox.write("migrations/20260102000000_bad.sql", "CREATE TABLE mended ();\n");
    reset(4);
    write();
    sandbox.run(&["undo"]).ok().says("generation 3");
    reset(5);
    sandbox.run(&["generations", "switch", "4"]).ok();
    sandbox.run(&["generations", "rm", "5", "--yes"]).ok();
    reset(6);
    // Down and up remove the copy made ahead.
    write();
    sandbox.run(&["down"]).ok();
    sandbox.run(&["up"]).ok();
    reset(7);
    sandbox.run(&["reset", "--wipe", "--yes"]).ok();
    write();
    assert_eq!(numbers(sandbox), [8, 6, 4, 3, 2, 1]);
    sandbox.run(&["down", "--purge", "--yes"]).ok();
    sandbox.run(&["up"]).ok();
    assert_eq!(numbers(sandbox), [1], "another instance, another count");
}

fn copies_and_snapshots_take_the_next_number(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.run(&["snapshot", "save", "s"]).ok();
    sandbox.sql("insert into items (name) values ('mine')");
    sandbox.run(&["reset"]).ok();
    sandbox.sql("insert into items (name) values ('more')");
    sandbox.write("migrations/20260102000000_a.sql", "ALTER TABLE items ADD COLUMN a int;\n");
    sandbox.run(&["up"]).ok().says("generation 3 is a copy from before");
    sandbox.run(&["snapshot", "restore", "s", "--no-migrate"]).ok().says("generation 4");
    assert_eq!(numbers(sandbox), [4, 3, 2, 1]);
    let from = ["snapshot", "save", "t", "--from-generation", "3"];
    sandbox.run(&from).ok();
    sandbox.run(&["snapshot", "restore", "t", "--no-migrate"]).ok().says("generation 5");
    assert_eq!(sandbox.sql("select count(*) from items where name = 'more'"), "1");
}

fn a_lost_record_does_not_turn_the_numbers_back(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    for _ in 0..3 {
        sandbox.sql("insert into items (name) values ('mine')");
        sandbox.run(&["reset"]).ok();
    }
    sandbox.sql("insert into items (name) values ('mine')");
    sandbox.run(&["generations", "switch", "2"]).ok();
    sandbox.run(&["generations", "rm", "1", "--yes"]).ok();
    let records = std::fs::read_dir(sandbox.data_dir().join("instances")).unwrap();
    let mut records = records.map(|entry| entry.unwrap().path());
    let record = records.find(|path| path.extension().is_some_and(|end| end == "json")).unwrap();
    std::fs::remove_file(record).unwrap();
    sandbox.run(&["up"]).ok().says("found generation 2");
    assert_eq!(numbers(sandbox), [4, 3, 2]);
    sandbox.run(&["reset"]).ok().says("to generation 5");
}

fn a_killed_reset_leaves_no_gap(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let longest = if sandbox.on == On::Docker { 1500 } else { 500 };
    for after in (0..longest).step_by(longest / 6) {
        let before = numbers(sandbox)[0];
        sandbox.sql("insert into items (name) values ('mine')");
        let (mut child, _) = spawn(sandbox.command(&["reset"]));
        std::thread::sleep(Duration::from_millis(u64::try_from(after).unwrap()));
        child.kill().unwrap();
        child.wait().unwrap();
        sandbox.run(&["up"]).ok();
        let all = numbers(sandbox);
        assert!([before, before + 1].contains(&all[0]), "{before}, then {all:?}");
        assert!(all.is_sorted_by(|a, b| a > b), "{all:?}");
    }
    let before = numbers(sandbox)[0];
    sandbox.sql("insert into items (name) values ('mine')");
    sandbox.run(&["reset"]).ok().says(&format!("to generation {}", before + 1));
}

/// The numbers that `generations` lists.
fn numbers(sandbox: &Sandbox) -> Vec<u64> {
    let listed = sandbox.run(&["generations", "--json"]).ok().json();
    let all = listed["result"]["generations"].as_array().unwrap().clone();
    all.iter().map(|one| one["number"].as_u64().unwrap()).collect()
}
