//! After an error that may mean missing data, devdb names what there is to go back to: what exists,
//! the newest first, with the command to type.

use crate::prune::remove_generation_by_hand;
use crate::sandbox::{Ran, Sandbox, psql};

crate::on_both_engines!(
    a_dropped_database_is_brought_back_by_what_the_error_names,
    a_damaged_data_directory_is_brought_back_by_what_the_error_names,
    a_damaged_generation_is_no_way_back_from_itself,
    a_snapshot_that_another_program_removed_is_said_to_be_gone,
    what_is_gone_is_not_said_to_be_kept,
    a_lost_record_gives_up_no_generation_at_once,
    an_instance_without_a_record_is_told_of_and_serves_on,
    an_interrupted_purge_is_told_of_and_finished,
);

/// Generation 1 with a row, and a snapshot with another, saved later.
fn kept(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) values ('old')");
    sandbox.run(&["reset"]).ok();
    sandbox.sql("insert into items (name) values ('new')");
    sandbox.run(&["snapshot", "save", "s"]).ok();
}

#[track_caller]
fn names_both_newest_first(ran: Ran) {
    let all = format!("{}{}", ran.stdout, ran.stderr);
    let place = |text: &str| all.find(text).unwrap_or_else(|| panic!("no {text:?} in\n{all}"));
    assert!(place("devdb snapshot restore s ") < place("devdb undo "), "{all}");
}

fn a_dropped_database_is_brought_back_by_what_the_error_names(sandbox: &Sandbox) {
    kept(sandbox);
    let elsewhere = sandbox.url().replace("/shop", "/postgres");
    drop(psql(&elsewhere, "drop database shop with (force)").ok());
    names_both_newest_first(sandbox.run(&["status"]).ok());
    for command in ["up", "migrate", "seed"] {
        let failed = sandbox.run(&[command]).exits(21);
        assert!(!failed.stderr.contains("brings the present data back"), "{}", failed.stderr);
        names_both_newest_first(failed);
    }
    sandbox.run(&["snapshot", "restore", "s"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items where name = 'new'"), "1");
    drop(psql(&elsewhere, "drop database shop with (force)").ok());
    // Only what is there is named.
    sandbox.run(&["snapshot", "rm", "s"]).ok();
    let failed = sandbox.run(&["up"]).exits(21).says("devdb undo ");
    assert!(!failed.stderr.contains("snapshot restore"), "{}", failed.stderr);
    sandbox.run(&["down", "--purge", "--yes"]).ok();
}

fn what_is_gone_is_not_said_to_be_kept(sandbox: &Sandbox) {
    kept(sandbox);
    for (back, row) in [(&["snapshot", "restore", "s"][..], "new"), (&["undo"], "old")] {
        let current = sandbox.run(&["status", "--json"]).ok().json()["result"]["generation"]
            .as_u64()
            .and_then(|number| number.try_into().ok());
        sandbox.run(&["down"]).ok();
        remove_generation_by_hand(sandbox, current.unwrap());
        let status = sandbox.run(&["status"]).ok().says("is gone");
        assert!(!status.stdout.contains("its data is kept"), "{}", status.stdout);
        let went = sandbox.run(back).ok().says("another program had removed its data");
        assert!(!went.stdout.contains("is kept"), "{}", went.stdout);
        assert_eq!(sandbox.sql(&format!("select count(*) from items where name = '{row}'")), "1");
    }
    sandbox.run(&["down", "--purge", "--yes"]).ok();
}

fn a_lost_record_gives_up_no_generation_at_once(sandbox: &Sandbox) {
    kept(sandbox);
    sandbox.run(&["generations", "keep", "1"]).ok();
    lose_records(sandbox);
    sandbox.write("devdb.yaml", "project: shop\ngenerations: { days: 0 }\n");
    sandbox.run(&["up"]).ok().says("keeps them for 7 days").says("devdb generations keep N");
    sandbox.run(&["up"]).ok();
    sandbox.run(&["undo"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items where name = 'old'"), "1");
    sandbox.run(&["down", "--purge", "--yes"]).ok();
}

fn lose_records(sandbox: &Sandbox) {
    let instances = std::fs::read_dir(sandbox.data_dir().join("instances")).unwrap().flatten();
    for entry in instances.filter(|entry| entry.path().extension().is_some_and(|e| e == "json")) {
        std::fs::remove_file(entry.path()).unwrap();
    }
}

fn an_instance_without_a_record_is_told_of_and_serves_on(sandbox: &Sandbox) {
    kept(sandbox);
    lose_records(sandbox);
    let found = "has this database, but devdb has no record of it; devdb up makes one";
    sandbox.run(&["status"]).ok().says(found);
    for command in [&["psql", "-c", "select 1"][..], &["undo"], &["snapshot", "list"], &["stop"]] {
        sandbox.run(command).exits(1).says(found);
    }
    let untouched = "devdb has no record of it here, and left it alone; devdb up --instance main";
    for all in [&["stop", "--all"][..], &["down", "--all", "--purge", "--yes"]] {
        sandbox.run(all).ok().says(untouched);
    }
    // Whatever command makes the record anew, the server takes the password that is in it.
    sandbox.run(&["up", "--instance", "two", "--from", "main"]).ok().says("has a new password");
    sandbox.run(&["snapshot", "save", "t"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items where name = 'new'"), "1");
    sandbox.run(&["down", "--all", "--purge", "--yes"]).ok();
}

fn an_interrupted_purge_is_told_of_and_finished(sandbox: &Sandbox) {
    kept(sandbox);
    let store = devdb::state::Store::open(&sandbox.data_dir()).unwrap();
    let mut record = store.load_all().unwrap().into_iter().flatten().next().unwrap();
    record.under_way = Some(devdb::state::UnderWay::Purge);
    store.save(&record).unwrap();
    let status = sandbox.run(&["status"]).ok().says("was interrupted; the next up, stop or down");
    assert!(!status.stdout.contains("its data is kept"), "{}", status.stdout);
    sandbox.run(&["up"]).ok().says("devdb has finished it").says("created and started");
    assert_eq!(sandbox.sql("select count(*) from items"), "1");
    sandbox.run(&["down", "--purge", "--yes"]).ok();
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}

fn a_damaged_data_directory_is_brought_back_by_what_the_error_names(sandbox: &Sandbox) {
    kept(sandbox);
    sandbox.sql("copy (select 1) to program 'rm global/pg_control'");
    drop(sandbox.run(&["stop"]));
    let failed = sandbox.run(&["up", "--timeout", "10s"]).exits(11);
    names_both_newest_first(failed);
    sandbox.run(&["undo"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items where name = 'old'"), "1");
    sandbox.run(&["down", "--purge", "--yes"]).ok();
}

fn a_damaged_generation_is_no_way_back_from_itself(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) values ('old')");
    sandbox.sql("copy (select 1) to program 'cat >/dev/null; rm global/pg_control'");
    drop(sandbox.run(&["stop"]));
    let reset = sandbox.run(&["reset", "--json"]).ok().json();
    let damaged = reset["result"]["former_generation"].to_string();
    sandbox.sql("insert into items (name) values ('new')");
    let failed = sandbox.run(&["generations", "switch", &damaged]).exits(11);
    let said = format!("cannot switch to generation {damaged}");
    let failed = failed.says("nothing was replaced").says(&said);
    for useless in ["devdb undo ", &format!("devdb generations switch {damaged} ")] {
        assert!(!failed.stderr.contains(useless), "{}", failed.stderr);
    }
    assert_eq!(sandbox.sql("select count(*) from items where name = 'new'"), "1");
    sandbox.run(&["down", "--purge", "--yes"]).ok();
}

fn a_snapshot_that_another_program_removed_is_said_to_be_gone(sandbox: &Sandbox) {
    kept(sandbox);
    crate::prune::remove_by_hand(sandbox, "snapshot", "s");
    let gone = sandbox.run(&["snapshot", "restore", "s"]).exits(23);
    gone.says("the snapshot \"s\" is gone").says("another program removed it").says("devdb undo");
    // It may be forgotten, and its name used again.
    sandbox.run(&["snapshot", "rm", "s"]).ok();
    sandbox.run(&["snapshot", "restore", "s"]).exits(23).says("there is no snapshot");

    crate::prune::remove_generation_by_hand(sandbox, 1);
    sandbox.run(&["generations"]).ok().says("gone: another program removed it");
    sandbox.run(&["undo"]).exits(21).says("generation 1 is gone");
    assert_eq!(sandbox.sql("select count(*) from items where name = 'new'"), "1");
    sandbox.run(&["down", "--purge", "--yes"]).ok();
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}
