//! reset: the new beside the old, then the swap.

use std::process::Stdio;
use std::time::Duration;

use crate::sandbox::{On, Sandbox, docker, eventually, psql, spawn, wait};

crate::on_both_engines!(
    reset_is_fresh_on_the_same_url_while_a_client_is_connected,
    undo_brings_the_old_data_back_and_again_the_new,
    what_nobody_wrote_to_is_kept_until_the_next_reset,
    a_broken_migration_leaves_the_old_data_serving,
    a_broken_seed_leaves_the_old_data_serving,
    wipe_gives_the_disk_back_and_quick_resets_keep_all_that_was_written_to,
    a_reset_killed_anywhere_leaves_the_old_or_the_new,
);

fn reset_is_fresh_on_the_same_url_while_a_client_is_connected(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let url = sandbox.url();
    sandbox.sql("insert into items (name) values ('mine')");
    let mut command = std::process::Command::new("psql");
    command.args([url.as_str(), "-Xc", "select pg_sleep(60)"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let client = spawn(command);
    let sleepers = "select count(*) from pg_stat_activity where query like '%pg_sleep(60)%' and pid <> pg_backend_pid()";
    eventually("the client sleeps", Duration::from_secs(5), || sandbox.sql(sleepers) == "1");
    sandbox.run(&["reset"]).ok().says("kept");
    assert_eq!(sandbox.url(), url);
    assert_eq!(sandbox.sql("select string_agg(name, ',') from items"), "First");
    assert_ne!(wait(client).code, 0, "the client was not disconnected");
    sandbox.run(&["up", "--json"]).ok();
    sandbox.run(&["status", "--check"]).ok();
}

fn what_nobody_wrote_to_is_kept_until_the_next_reset(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) values ('mine')");
    sandbox.run(&["reset"]).ok().says("generation 1, is kept for up to 7 days");
    let until = "generation 2, is kept until the next reset, because nobody changed it";
    sandbox.run(&["undo"]).ok().says(until);
    let listed = sandbox.run(&["generations"]).ok();
    assert!(listed.stdout.contains("next reset"), "{}", listed.stdout);
    sandbox.run(&["reset"]).ok();
    sandbox.run(&["generations", "switch", "2"]).exits(1);
    assert_eq!(sandbox.run(&["undo"]).ok().says(&until.replace('2', "3")).code, 0);
    assert_eq!(sandbox.sql("select count(*) from items where name = 'mine'"), "1");
    sandbox.run(&["down", "--purge", "--yes"]).ok();
}

fn undo_brings_the_old_data_back_and_again_the_new(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["undo"]).exits(1).says("devdb up");
    sandbox.run(&["up"]).ok();
    let url = sandbox.url();
    sandbox.run(&["undo"]).exits(1).says("no former generation");
    sandbox.sql("insert into items (name) values ('mine')");
    let reset = sandbox.run(&["reset", "--json"]).ok().json();
    assert_eq!(reset["result"]["former"], "kept");
    assert_eq!(reset["result"]["kept_days"], 7);
    sandbox.sql("insert into items (name) values ('newer')");
    for (name, other) in [("mine", "newer"), ("newer", "mine"), ("mine", "newer")] {
        sandbox.run(&["undo"]).ok();
        assert_eq!(sandbox.url(), url);
        assert_eq!(sandbox.sql(&format!("select count(*) from items where name = '{name}'")), "1");
        assert_eq!(sandbox.sql(&format!("select count(*) from items where name = '{other}'")), "0");
        sandbox.run(&["up"]).ok();
    }
    // Two generations and a copy made ahead; docker: the server's container and the one that holds
    // the former generation.
    assert_eq!(sandbox.leftovers().len(), if sandbox.on == On::Docker { 5 } else { 3 });
}

fn a_broken_migration_leaves_the_old_data_serving(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let url = sandbox.url();
    sandbox.sql("insert into items (name) values ('mine')");
    sandbox.write("migrations/20260109000000_broken.sql", "CREATE TABLE oops (;\n");
    let before = sandbox.leftovers();
    sandbox
        .run(&["reset"])
        .exits(20)
        .says("20260109000000_broken.sql:1:")
        .says("nothing was replaced");
    assert_eq!(psql(&url, "select count(*) from items where name = 'mine'").ok().line(), "1");
    assert_eq!(sandbox.leftovers(), before, "something was left behind");
}

fn a_broken_seed_leaves_the_old_data_serving(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let url = sandbox.url();
    sandbox.sql("insert into items (name) values ('mine')");
    sandbox.write("seeds/020_more.yaml", "items:\n  second:\n    nmae: Second\n");
    sandbox.run(&["reset"]).exits(22).says("020_more.yaml:3").says("name");
    assert_eq!(psql(&url, "select count(*) from items where name = 'mine'").ok().line(), "1");
}

fn wipe_gives_the_disk_back_and_quick_resets_keep_all_that_was_written_to(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let generations = || {
        let list = sandbox.run(&["list", "--json"]).ok().json();
        let all = list["result"]["instances"].as_array().unwrap().clone();
        let mine = all.iter().find(|i| i["owner"]["developer"] == sandbox.developer()).unwrap();
        mine["generations"].as_u64().unwrap()
    };
    sandbox.run(&["reset", "--wipe"]).exits(2).says("--yes");
    sandbox.run(&["reset", "--wipe", "--yes"]).ok().says("removed");
    assert_eq!(generations(), 1);
    for _ in 0..4 {
        sandbox.sql("insert into items (name) values ('mine')");
        sandbox.run(&["reset"]).ok().says("kept");
    }
    assert_eq!(generations(), 5);
    // What nobody wrote to is not kept, and pushes out nothing that somebody did.
    for _ in 0..3 {
        sandbox.run(&["reset"]).ok().says("removed");
    }
    assert_eq!(generations(), 5);
    sandbox.run(&["undo"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items where name = 'mine'"), "1");
    if sandbox.on == On::Docker {
        let filter = format!("label=devdb.developer={}", sandbox.developer());
        let servers = ["ps", "-aq", "--filter", &filter, "--filter", "label=devdb.role"];
        assert_eq!(docker(&servers).lines().count(), 1);
    }
}

fn a_reset_killed_anywhere_leaves_the_old_or_the_new(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let url = sandbox.url();
    let whole = sandbox.run(&["reset"]).ok().took;
    for step in 1..=5 {
        sandbox.sql("insert into items (name) values ('mine')");
        let (mut child, _) = spawn(sandbox.command(&["reset"]));
        std::thread::sleep(whole * step / 6);
        child.kill().unwrap();
        child.wait().unwrap();
        sandbox.run(&["up"]).ok();
        assert_eq!(sandbox.url(), url);
        let rows = sandbox.sql("select count(*) from items");
        let old_or_new =
            rows == "1" || sandbox.sql("select count(*) > 0 from items where name = 'mine'") == "t";
        assert!(old_or_new, "killed at {step}/6: {rows} rows");
        // The current generation and at most one former one a step; no server but one.
        let left = sandbox.leftovers();
        assert!(left.len() <= 3 + usize::try_from(step).unwrap(), "killed at {step}/6: {left:?}");
    }
}

/// The copy that is made ahead is in no container: `docker volume prune` takes it.
#[test]
fn a_copy_that_was_pruned_takes_no_other_generation_along() {
    let Some(sandbox) = Sandbox::new(On::Docker, "a pruned copy") else { return };
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let prune = || {
        let filter = format!("label=devdb.developer={}", sandbox.developer());
        let unused = ["volume", "ls", "-q", "--filter", "dangling=true", "--filter", &filter];
        for name in docker(&unused).lines() {
            docker(&["volume", "rm", name]);
        }
    };
    sandbox.run(&["reset"]).ok();
    prune();
    sandbox.run(&["reset"]).ok();
    prune();
    sandbox.write("seeds/020_more.sql", "insert into items (name) values ('Second');\n");
    sandbox.run(&["reset"]).ok();
    sandbox.sql("insert into items (name) values ('mine')");
    sandbox.run(&["reset"]).ok().says("kept");
    assert_eq!(sandbox.sql("select count(*) from items"), "2");
    sandbox.run(&["undo"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items where name = 'mine'"), "1");
    sandbox.run(&["up"]).ok();
}

#[test]
fn what_was_written_into_a_copy_of_an_earlier_bake_counts() {
    let Some(sandbox) = Sandbox::new(On::Native, "a copy of an earlier bake") else { return };
    let yaml = "project: shop\nmigrations: { command: [sh, migrate.sh], inputs: [migrate.sh] }\n";
    sandbox.write("devdb.yaml", yaml);
    // How many transactions it takes is nothing that the state is known by.
    let script = "psql -qc 'create table items (name text)'\n\
                  for _ in $(cat more); do psql -qc 'create sequence s' -c 'drop sequence s'; done\n";
    sandbox.write("migrate.sh", script);
    sandbox.write("more", "");
    sandbox.run(&["up"]).ok();
    sandbox.run(&["reset"]).ok();
    sandbox.clear_cache();
    sandbox.write("more", "1 2 3");
    sandbox.run(&["reset"]).ok();
    // As many as the new bake took more than the one that this is a copy of.
    for _ in 0..6 {
        sandbox.sql("insert into items values ('mine')");
    }
    sandbox.run(&["reset"]).ok();
    sandbox.run(&["undo"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items"), "6");
}
