//! `devdb cache`: golden states listed, pruned, and carried from one home to another.
//!
//! The states of an engine are everybody's, so each test has a project of its own name.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use devdb::archive::{Archive, ArchiveKind, FileOwner, IfExists, Writer};
use devdb::engine::GoldenLabel;
use serde_json::Value;

use crate::sandbox::{On, Ran, Sandbox, docker, eventually, finish, psql, spawn, wait};

crate::on_both_engines!(
    states_are_listed_pruned_and_cleared,
    what_was_used_longest_ago_goes_first,
    a_new_migration_builds_on_what_is_cached,
    clearing_takes_no_database_from_a_command,
    a_file_carries_a_state_to_another_home,
    what_is_not_exactly_that_state_is_refused,
    a_state_with_a_key_of_this_machine_stays_here,
    damaged_states_are_named_never_used_and_removed,
    a_killed_pull_leaves_nothing_that_is_used,
    many_resets_leave_no_more_than_the_limits_allow,
);

/// A small project under a name that nobody else has.
fn project(sandbox: &Sandbox) -> String {
    let name = format!("cache {}", uuid::Uuid::new_v4().simple());
    sandbox.project();
    sandbox.write("devdb.yaml", &format!("project: {name}\n"));
    name
}

/// The same project in another home.
fn twin(sandbox: &Sandbox, name: &str) -> Sandbox {
    let other = Sandbox::new(sandbox.on, "twin").unwrap();
    other.project();
    other.write("devdb.yaml", &format!("project: {name}\n"));
    other
}

fn migration(sandbox: &Sandbox, number: usize) {
    sandbox.write(
        &format!("migrations/202602010000{number:02}_more.sql"),
        &format!("CREATE TABLE more_{number} (a int);\n"),
    );
}

/// The project's states, the last used first.
fn states(sandbox: &Sandbox) -> Vec<Value> {
    let list = sandbox.run(&["cache", "list", "--json"]).ok().json();
    list["result"]["states"].as_array().unwrap().clone()
}

/// The one that this directory's files make.
fn whole(sandbox: &Sandbox) -> Value {
    states(sandbox).into_iter().find(|state| state["wanted"] == "whole").unwrap()
}

fn handle(state: &Value) -> &str {
    state["handle"].as_str().unwrap()
}

fn handles(states: &[Value]) -> Vec<&str> {
    states.iter().map(handle).collect()
}

fn cached(ran: &Ran) -> String {
    ran.json()["result"]["golden"]["cached"].as_str().unwrap_or("nothing").to_owned()
}

/// Docker: what an image says that it holds.
fn label(image: &str) -> String {
    docker(&["image", "inspect", "-f", r#"{{index .Config.Labels "devdb.golden"}}"#, image])
}

/// Docker: images that carry the project's label and have no name.
fn dangling(name: &str) -> Vec<String> {
    let filters = ["--filter", "dangling=true", "--filter", "label=devdb.golden"];
    let ids = docker(&[&["image", "ls", "-q"], &filters[..]].concat());
    ids.lines().filter(|id| label(id).contains(name)).map(str::to_owned).collect()
}

fn states_are_listed_pruned_and_cleared(sandbox: &Sandbox) {
    let name = project(sandbox);
    let status = |wanted: &str| {
        let status = sandbox.run(&["status", "--json"]).ok();
        assert_eq!(cached(&status), wanted);
        let says = match wanted {
            "hit" => "(in the cache)",
            "miss" => "(not in the cache)",
            _ => "(some of its migrations are in the cache)",
        };
        sandbox.run(&["status", "-v"]).ok().says(says);
        assert!(!sandbox.run(&["status"]).ok().stdout.contains("golden"));
        status.json()["result"]["golden"]["fingerprint"].as_str().unwrap().to_owned()
    };
    status("miss");
    let fingerprint = cached(&sandbox.run(&["up", "--json"]).ok());
    assert_eq!(fingerprint, "miss");
    let fingerprint = status("hit");
    let listed = states(sandbox);
    let whole: Vec<_> = listed.iter().filter(|state| state["wanted"] == "whole").collect();
    assert_eq!(whole.len(), 1, "{listed:?}");
    assert_eq!(whole[0]["fingerprint"], fingerprint.as_str());
    assert_eq!((&whole[0]["migrations"], &whole[0]["seeds"]), (&1.into(), &1.into()));
    assert_eq!(whole[0]["clean"], true);
    let bytes = whole[0]["bytes"].as_u64().unwrap();
    assert!((1 << 20..100 << 20).contains(&bytes), "{bytes}");
    assert!(listed.iter().any(|state| state["wanted"] == "part"), "{listed:?}");
    sandbox.run(&["cache", "list"]).ok().says(&fingerprint[..8]).says("1 migration, 1 seed");

    migration(sandbox, 1);
    sandbox.run(&["reset"]).ok();
    let all = states(sandbox);
    assert!(all.len() > listed.len());
    sandbox.run(&["cache", "prune", "--older-than", "1h"]).ok().says("nothing to remove");
    sandbox.run(&["cache", "prune", "--size", "much"]).exits(2);
    sandbox.run(&["cache", "prune", "--keep", "1"]).ok().says("removed");
    let left = states(sandbox);
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0]["wanted"], "whole");
    assert_eq!(cached(&sandbox.run(&["reset", "--json"]).ok()), "hit");

    sandbox.run(&["cache", "clear"]).exits(2).says("--yes");
    assert_eq!(states(sandbox).len(), 1);
    sandbox.run(&["cache", "clear", "--yes"]).ok().says("removed");
    assert_eq!(states(sandbox), Vec::<Value>::new());
    assert_eq!(dangling(&name), Vec::<String>::new());
    assert_eq!(sandbox.sql("select count(*) from items"), "1");
    status("miss");
}

/// Has this user have used a state so many hours ago.
fn age(sandbox: &Sandbox, state: &Value, hours: u64) {
    let name = handle(state).rsplit(['/', ':']).next().unwrap();
    let note = sandbox.data_dir().join("golden").join(name);
    let note = fs::File::options().append(true).create(true).open(note).unwrap();
    note.set_modified(SystemTime::now() - Duration::from_secs(hours * 3600)).unwrap();
}

fn what_was_used_longest_ago_goes_first(sandbox: &Sandbox) {
    let name = project(sandbox);
    sandbox.run(&["up"]).ok();
    for number in 1..=2 {
        migration(sandbox, number);
        sandbox.run(&["reset"]).ok();
    }
    // In another order than they were made in.
    let mut all = states(sandbox);
    all.reverse();
    for (hours, state) in (1..).zip(&all) {
        age(sandbox, state, hours);
    }
    // The empty database, and one for each time that there was another migration.
    assert!(all.len() >= 4, "{all:?}");
    assert_eq!(handles(&states(sandbox)), handles(&all));

    let prune = |option: &str, value: &str| {
        let pruned = sandbox.run(&["cache", "prune", option, value, "--json"]).ok().json();
        pruned["result"]["removed"].as_array().unwrap().len()
    };
    assert_eq!(prune("--older-than", "150m"), all.len() - 2);
    assert_eq!(handles(&states(sandbox)), handles(&all[..2]));
    assert_eq!(prune("--size", &format!("{}B", all[0]["bytes"])), 1);
    assert_eq!(handles(&states(sandbox)), handles(&all[..1]));
    assert_eq!(prune("--size", "1B"), 1);
    assert_eq!(states(sandbox), Vec::<Value>::new());
    sandbox.run(&["reset"]).ok();
    assert_ne!(states(sandbox), Vec::<Value>::new());
    sandbox.run(&["cache", "prune", "--older-than", "0s"]).ok().says("removed");
    assert_eq!(states(sandbox), Vec::<Value>::new());
    assert_eq!(dangling(&name), Vec::<String>::new());
    assert_eq!(sandbox.sql("select count(*) from items"), "1");
}

fn a_new_migration_builds_on_what_is_cached(sandbox: &Sandbox) {
    project(sandbox);
    // What takes next to no time is not kept without the seeds.
    let slow = "DO $$ BEGIN PERFORM pg_sleep(0.5); END $$;\n";
    sandbox.write("migrations/20260102000000_slow.sql", slow);
    sandbox.run(&["up"]).ok();
    migration(sandbox, 1);
    let status = sandbox.run(&["status", "--json"]).ok();
    assert_eq!(cached(&status), "prefix");
    let status = status.json();
    let fingerprint = status["result"]["golden"]["fingerprint"].as_str().unwrap();
    let text = format!("{} (some of its migrations are in the cache)", &fingerprint[..12]);
    sandbox.run(&["status", "-v"]).ok().says(&text);

    let reset = sandbox.run(&["reset", "--json"]).ok();
    assert_eq!(cached(&reset), "prefix");
    assert_eq!(reset.json()["result"]["golden"]["fingerprint"], fingerprint);
    assert_eq!(sandbox.sql("select count(*) from more_1"), "0");
    assert_eq!(sandbox.sql("select count(*) from items"), "1");
    assert_eq!(cached(&sandbox.run(&["status", "--json"]).ok()), "hit");
    migration(sandbox, 2);
    sandbox.run(&["reset"]).ok().says("the first migrations copied from the cache");
    sandbox.run(&["cache", "clear", "--yes"]).ok();
}

/// Docker: what it runs on is kept until it ends. Native: it runs on a copy of that.
fn clearing_takes_no_database_from_a_command(sandbox: &Sandbox) {
    let name = project(sandbox);
    let script = "printf %s \"$DATABASE_URL\" >draft && mv draft url && \
                  while [ -e url ]; do sleep 0.05; done";
    let command = spawn(sandbox.command(&["run", "--", "sh", "-c", script]));
    let file = sandbox.path("url");
    eventually("the command runs", Duration::from_secs(60), || file.exists());
    let url = fs::read_to_string(&file).unwrap();
    let state = whole(sandbox);
    let clear = || sandbox.run(&["cache", "clear", "--yes", "--json"]);
    let left = match sandbox.on {
        On::Docker => {
            let kept = clear().exits(1).json();
            assert_eq!(kept["result"]["in_use"], serde_json::json!([handle(&state)]));
            let text = format!("{}: it is in use", handle(&state));
            sandbox.run(&["cache", "clear", "--yes"]).exits(1).says(&text);
            vec![handle(&state)]
        }
        On::Native => {
            clear().ok().says(handle(&state));
            Vec::new()
        }
    };
    assert_eq!(handles(&states(sandbox)), left);
    assert_eq!(psql(&url, "select count(*) from items").ok().line(), "1");

    fs::remove_file(&file).unwrap();
    wait(command).ok();
    crate::run::nothing_is_left(sandbox);
    assert_eq!(clear().ok().json()["result"]["removed"], serde_json::json!(left));
    assert_eq!(states(sandbox), Vec::<Value>::new());
    assert_eq!(dangling(&name), Vec::<String>::new());
    if sandbox.on == On::Native {
        // Nobody could use it again.
        let copies = fs::read_dir(sandbox.store().join("pool"));
        assert_eq!(copies.map_or(0, Iterator::count), 0);
    }
}

fn a_file_carries_a_state_to_another_home(sandbox: &Sandbox) {
    let name = project(sandbox);
    let other = twin(sandbox, &name);
    let file = sandbox.path("state.tar.zst");
    let path = file.to_str().unwrap();
    let pushed = sandbox.run(&["cache", "push", path, "--json"]).ok().json();
    assert_eq!(pushed["result"]["cached"], "miss");
    // Once more: it is there now, and the file is replaced.
    let pushed = sandbox.run(&["cache", "push", path, "--json"]).ok().json();
    assert_eq!(pushed["result"]["cached"], "hit");
    sandbox.run(&["up"]).ok();
    sandbox.run(&["cache", "clear", "--yes"]).ok();

    let pulled = other.run(&["cache", "pull", path, "--json"]).ok().json();
    assert_eq!(pulled["result"]["changed"], true);
    assert_eq!(pulled["result"]["fingerprint"], pushed["result"]["fingerprint"]);
    let again = other.run(&["cache", "pull", path, "--json"]).ok().json();
    assert_eq!(again["result"]["changed"], false);
    assert_eq!(other.leftovers(), Vec::<String>::new());
    arrived(sandbox, &other);
}

/// `other` has the state, whole, and shares nothing but that with `sandbox`.
fn arrived(sandbox: &Sandbox, other: &Sandbox) {
    assert_eq!(cached(&other.run(&["up", "--json"]).ok()), "hit");
    assert_eq!(other.sql("select name from items"), "First");
    other.run(&["status", "--check"]).ok();
    other.sql("insert into items (name) values ('mine')");
    assert_eq!(cached(&other.run(&["reset", "--json"]).ok()), "hit");
    other.sql("create table written (a int)");
    let password = |url: &str| url.split(':').nth(2).unwrap().split('@').next().unwrap().to_owned();
    let (here, there) = (sandbox.url(), other.url());
    assert_ne!(password(&here), password(&there));
    let crossed = there.replace(&password(&there), &password(&here));
    assert_ne!(psql(&crossed, "select 1").code, 0, "a clone accepts another's password");
    let none = there.replace(&format!(":{}@", password(&there)), "@");
    let mut command = std::process::Command::new("psql");
    command.args(["-w", &none, "-c", "select 1"]).env_remove("PGPASSWORD");
    command.stdin(std::process::Stdio::null());
    assert_ne!(finish(command).code, 0, "a clone accepts no password");
}

#[test]
fn a_registry_carries_a_state_to_another_home() {
    let Some((sandbox, registry)) = crate::pull::registry("cache push") else { return };
    let name = project(&sandbox);
    let other = twin(&sandbox, &name);
    let reference = format!("{registry}/devdb-test/cache:{}", &name[6..18]);
    sandbox.run(&["up"]).ok();
    sandbox.run(&["cache", "push", &reference]).ok().says("pushing").says("pushed");
    assert_eq!(docker(&["image", "ls", "-q", &reference]), "", "the name stays");
    // A container that is made of it inherits nothing of the one that it was made from.
    let sent =
        docker(&["image", "inspect", "-f", "{{json .Config.Labels}}", handle(&whole(&sandbox))]);
    assert!(sent.contains("devdb.golden") && !sent.contains(sandbox.developer()), "{sent}");
    sandbox.run(&["cache", "clear", "--yes"]).ok();
    // What has the name here keeps it.
    docker(&["tag", "postgres:15", &reference]);
    other.run(&["cache", "pull", &reference]).ok().says("pulling").says("pulled");
    let id = |name: &str| docker(&["image", "inspect", "-f", "{{.Id}}", name]);
    assert_eq!(id(&reference), id("postgres:15"));
    docker(&["image", "rm", &reference]);
    assert_eq!(dangling(&name), Vec::<String>::new());
    assert_eq!(other.leftovers(), Vec::<String>::new());
    arrived(&sandbox, &other);

    // Another state, an image that is none, a tag and a registry that are not there.
    migration(&other, 1);
    other.run(&["cache", "pull", &reference]).exits(23).says("made from other files");
    let plain = format!("{registry}/devdb-test/pull:15");
    other.run(&["cache", "pull", &plain]).exits(10).says("not a golden state");
    other.run(&["cache", "pull", &format!("{registry}/devdb-test/no:1")]).exits(10);
    let nowhere = other.run(&["cache", "push", "127.0.0.1:1/devdb-test/cache:1"]).exits(10);
    assert!(nowhere.took < Duration::from_secs(60), "{:?}", nowhere.took);
    assert_eq!(docker(&["image", "ls", "-q", "127.0.0.1:1/devdb-test/cache"]), "");
    assert_eq!(dangling(&name), Vec::<String>::new());
    sandbox.run(&["cache", "clear", "--yes"]).ok();
}

#[test]
fn two_pushes_to_one_name_do_not_disturb_each_other() {
    let Some((sandbox, registry)) = crate::pull::registry("two pushes") else { return };
    let name = project(&sandbox);
    let other = twin(&sandbox, &name);
    migration(&other, 1);
    let reference = format!("{registry}/devdb-test/cache:two-{}", &name[6..18]);
    for one in [&sandbox, &other] {
        one.run(&["up"]).ok();
    }
    for _ in 0..3 {
        let pushes = [&sandbox, &other]
            .map(|one| crate::sandbox::spawn(one.command(&["cache", "push", &reference])));
        for push in pushes {
            crate::sandbox::wait(push).ok().says("pushed");
        }
        assert_eq!(docker(&["image", "ls", "-q", &reference]), "", "the name stays");
    }
    assert_eq!(dangling(&name), Vec::<String>::new());
    sandbox.run(&["cache", "clear", "--yes"]).ok();
}

#[test]
fn an_image_of_something_else_than_its_label_says_is_refused() {
    let Some((sandbox, registry)) = crate::pull::registry("cache pull of a lie") else { return };
    let name = project(&sandbox);
    let other = twin(&sandbox, &name);
    migration(&other, 1);
    let status = other.run(&["status", "--json"]).ok().json();
    sandbox.run(&["up"]).ok();
    let state = whole(&sandbox);
    let mut lie: Value = serde_json::from_str(&label(handle(&state))).unwrap();
    assert_ne!(lie["fingerprint"], status["result"]["golden"]["fingerprint"]);
    lie["fingerprint"] = status["result"]["golden"]["fingerprint"].clone();
    let reference = format!("{registry}/devdb-test/cache:lie-{}", &name[6..18]);
    let container = format!("lie-{}", &name[6..]);
    docker(&["create", "--name", &container, handle(&state)]);
    let change = format!("LABEL devdb.golden='{lie}'");
    docker(&["commit", "--change", &change, &container, &reference]);
    docker(&["rm", "-v", &container]);
    assert_eq!(serde_json::from_str::<Value>(&label(&reference)).unwrap(), lie);
    docker(&["push", "--quiet", &reference]);
    docker(&["image", "rm", &reference]);
    sandbox.run(&["cache", "clear", "--yes"]).ok();

    let refused = other.run(&["cache", "pull", &reference]).exits(23);
    refused.says("not what its label says").says("it lacks 20260201000001_more.sql");
    assert_eq!(docker(&["image", "ls", "-q", &reference]), "", "the name stays");
    assert_eq!(states(&other), Vec::<Value>::new());
    assert_eq!(dangling(&name), Vec::<String>::new());
    assert_eq!(other.leftovers(), Vec::<String>::new());
    let fetched = fs::read_dir(other.data_dir().join("golden")).unwrap();
    assert_eq!(fetched.count(), 0, "what was fetched stays");
}

/// The same file under another label.
fn relabelled(from: &Path, to: &Path, change: impl FnOnce(&mut GoldenLabel)) {
    let whole = Archive::<GoldenLabel>::open(from, ArchiveKind::Golden).unwrap().verify().unwrap();
    let mut label = whole.manifest().payload.clone();
    change(&mut label);
    let mut tar = Vec::new();
    whole.write_tar(Path::new("pgdata"), FileOwner::ROOT, &mut tar).unwrap();
    let mut writer = Writer::create(to, ArchiveKind::Golden, &label, IfExists::Replace).unwrap();
    writer.append_tar(tar.as_slice(), Path::new("pgdata"), &|_| false).unwrap();
    writer.finish().unwrap();
}

fn what_is_not_exactly_that_state_is_refused(sandbox: &Sandbox) {
    let name = project(sandbox);
    let other = twin(sandbox, &name);
    let file = sandbox.path("state.tar.zst");
    sandbox.run(&["cache", "push", file.to_str().unwrap()]).ok();
    sandbox.run(&["cache", "clear", "--yes"]).ok();
    let bad = other.path("bad.tar.zst");
    let refused = |what: &str| {
        let ran = other.run(&["cache", "pull", bad.to_str().unwrap()]).exits(23).says(what);
        assert!(ran.stderr.contains("try:"), "{}", ran.stderr);
        assert_eq!(states(&other), Vec::<Value>::new());
        assert_eq!(other.leftovers(), Vec::<String>::new());
    };
    let bytes = std::fs::read(&file).unwrap();
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    std::fs::write(&bad, flipped).unwrap();
    refused("damaged");
    std::fs::write(&bad, &bytes[..bytes.len() / 2]).unwrap();
    refused("damaged or incomplete");
    relabelled(&file, &bad, |label| label.platform = "another".into());
    refused("another server made it");
    relabelled(&file, &bad, |label| label.clean = false);
    refused("running server");

    // Other files; and then a file that lies about which it was made from.
    migration(&other, 1);
    std::fs::copy(&file, &bad).unwrap();
    refused("nothing was kept");
    let status = other.run(&["status", "--json"]).ok().json();
    let wanted = status["result"]["golden"]["fingerprint"].as_str().unwrap().to_owned();
    relabelled(&file, &bad, |label| label.fingerprint.clone_from(&wanted));
    refused("not what its label says");
    other.write("migrations/20260201000001_more.sql", "");
    std::fs::remove_file(other.path("migrations/20260201000001_more.sql")).unwrap();
    other.write("seeds/010_items.yaml", "items:\n  first:\n    name: Second\n");
    let status = other.run(&["status", "--json"]).ok().json();
    let wanted = status["result"]["golden"]["fingerprint"].as_str().unwrap().to_owned();
    relabelled(&file, &bad, |label| label.fingerprint.clone_from(&wanted));
    refused("010_items.yaml");
    assert_eq!(dangling(&name), Vec::<String>::new());

    for reference in ["state", "./state.tar", "a/b@sha256:00"] {
        other.run(&["cache", "push", reference]).exits(2).says(".tar.zst");
    }
    if sandbox.on == On::Native {
        other.run(&["cache", "push", "127.0.0.1:1/a/b:c"]).exits(2).says(".tar.zst");
    }
    other.run(&["cache", "pull", "nowhere.tar.zst"]).exits(23).says("nowhere.tar.zst");
}

fn a_state_with_a_key_of_this_machine_stays_here(sandbox: &Sandbox) {
    project(sandbox);
    sandbox.write("seeds/020_items.yaml", "items:\n  second:\n    name: !encrypt hidden\n");
    let keys = sandbox.data_dir().join("keys");
    let status = sandbox.run(&["status", "--json"]).ok().json();
    assert_eq!(status["result"]["golden"]["fingerprint"], Value::Null);
    sandbox.run(&["status", "-v"]).ok().says("before there is a key");
    sandbox.run(&["cache", "list"]).ok();
    for verb in ["push", "pull"] {
        sandbox.run(&["cache", verb, "x.tar.zst"]).exits(3).says("ENCRYPTION_KEY");
    }
    assert!(!keys.exists(), "a key was made");
    assert!(!sandbox.path("x.tar.zst").exists());
    sandbox.run(&["up"]).ok();
    let status = sandbox.run(&["status", "--json"]).ok();
    assert_eq!(cached(&status), "hit");

    // With a key that others may have it goes, to those who have it.
    let key = sandbox.run(&["secret", "keygen"]).ok().line();
    let with = |key: &str, arguments: &[&str]| {
        let mut command = sandbox.command(arguments);
        command.env("ENCRYPTION_KEY", key);
        finish(command)
    };
    with(&key, &["cache", "push", "x.tar.zst"]).ok();
    with(&key, &["cache", "clear", "--yes"]).ok();
    let another = sandbox.run(&["secret", "keygen"]).ok().line();
    with(&another, &["cache", "pull", "x.tar.zst"]).exits(23).says("nothing was kept");
    with(&key, &["cache", "pull", "x.tar.zst"]).ok();
    sandbox.run(&["cache", "clear", "--yes"]).ok();
}

/// Only the Docker engine is shared between homes.
#[test]
fn two_homes_share_a_state_unless_their_keys_differ() {
    let Some(sandbox) = Sandbox::new(On::Docker, "two homes") else { return };
    let name = project(&sandbox);
    let other = twin(&sandbox, &name);
    let up = |home: &Sandbox, key: &str, verb: &str| {
        let mut command = home.command(&[verb, "--json"]);
        command.env("ENCRYPTION_KEY", key);
        cached(&finish(command).ok())
    };
    let keygen = || sandbox.run(&["secret", "keygen"]).ok().line();
    let (ours, theirs) = (keygen(), keygen());
    assert_eq!(up(&sandbox, &ours, "up"), "miss");
    assert_eq!(up(&other, &theirs, "up"), "hit");
    for home in [&sandbox, &other] {
        home.write("seeds/020_items.yaml", "items:\n  second:\n    name: !encrypt hidden\n");
    }
    assert_ne!(up(&sandbox, &ours, "reset"), "hit");
    assert_ne!(up(&other, &theirs, "reset"), "hit");
    assert_eq!(up(&other, &theirs, "reset"), "hit");
    assert_eq!(up(&other, &ours, "reset"), "hit");
    sandbox.run(&["cache", "clear", "--yes"]).ok();
}

fn damaged_states_are_named_never_used_and_removed(sandbox: &Sandbox) {
    let name = project(sandbox);
    sandbox.run(&["up"]).ok();
    let handle = handle(&whole(sandbox)).to_owned();
    let damage = |text: &str| match sandbox.on {
        On::Native => std::fs::write(Path::new(&handle).join("golden.json"), text).unwrap(),
        On::Docker => {
            let container = format!("damage-{}", &name[6..]);
            docker(&["create", "--name", &container, &handle]);
            docker(&["image", "rm", &handle]);
            let label = format!("LABEL devdb.golden={text}");
            docker(&["commit", "--change", &label, &container, &handle]);
            docker(&["rm", "-v", &container]);
        }
    };
    // Another test's pruning of the same engine may be faster.
    let named = |text: &str, arguments: &[&str]| {
        (0..5).any(|_| {
            sandbox.run(&["reset"]).ok();
            damage(text);
            sandbox.run(arguments).ok().stdout.contains(&handle)
        })
    };
    for text in ["{", "nonsense"] {
        assert!(named(text, &["cache", "list"]), "{text}: {handle} is not named");
        assert_ne!(cached(&sandbox.run(&["status", "--json"]).ok()), "hit");
        assert_ne!(cached(&sandbox.run(&["reset", "--json"]).ok()), "hit");
        // Baked again, under the name that the damaged one had.
        assert_eq!(cached(&sandbox.run(&["reset", "--json"]).ok()), "hit");
        assert!(!sandbox.run(&["cache", "list"]).ok().stdout.contains(&handle[..]));
    }
    assert!(named("{", &["cache", "prune"]), "{handle} is not named");
    sandbox.run(&["cache", "clear", "--yes"]).ok();
    let list = sandbox.run(&["cache", "list", "--json"]).ok().json();
    assert!(!list.to_string().contains(&handle), "{list}");
    assert_eq!(dangling(&name), Vec::<String>::new());
}

fn a_killed_pull_leaves_nothing_that_is_used(sandbox: &Sandbox) {
    let name = project(sandbox);
    let other = twin(sandbox, &name);
    let file = sandbox.path("state.tar.zst");
    let path = file.to_str().unwrap();
    sandbox.run(&["cache", "push", path]).ok();
    sandbox.run(&["cache", "clear", "--yes"]).ok();
    let whole = other.run(&["cache", "pull", path]).ok().took;
    for step in 1..=4 {
        other.run(&["cache", "clear", "--yes"]).ok();
        let (mut child, _) = spawn(other.command(&["cache", "pull", path]));
        std::thread::sleep(whole * step / 5);
        child.kill().unwrap();
        child.wait().unwrap();
        // A state is there whole or not at all.
        assert!(states(&other).len() <= 1);
    }
    other.run(&["up"]).ok();
    assert_eq!(other.sql("select name from items"), "First");
    other.run(&["down", "--purge", "--yes"]).ok();
    assert_eq!(other.leftovers(), Vec::<String>::new());
    // An image whose devdb was killed before it was named may be another's that is about to be.
    eventually("images without a name are removed", Duration::from_secs(30), || {
        other.run(&["cache", "clear", "--yes"]).ok();
        dangling(&name).is_empty()
    });
    if sandbox.on == On::Native {
        let left = std::fs::read_dir(other.store().join("golden")).unwrap().count();
        assert_eq!(left, 0, "half-made states are left");
    }
}

fn many_resets_leave_no_more_than_the_limits_allow(sandbox: &Sandbox) {
    let name = project(sandbox);
    sandbox.write("devdb.yaml", &format!("project: {name}\ncache: {{ states: 3 }}\n"));
    sandbox.run(&["up"]).ok();
    for number in 1..=30 {
        migration(sandbox, number);
        sandbox.run(&["reset"]).ok();
        let kept = states(sandbox);
        assert!(kept.len() <= 3, "after {number}: {kept:?}");
        assert!(kept.iter().any(|state| state["wanted"] == "whole"), "after {number}: {kept:?}");
    }
    assert_eq!(sandbox.sql("select count(*) from pg_tables where tablename like 'more_%'"), "30");
    assert_eq!(dangling(&name), Vec::<String>::new());
    // The record and three locks; of each state that is kept a note and a lock.
    let files = crate::retention::files(sandbox);
    assert!(files.len() <= 4 + 2 * 3, "{files:#?}");
    sandbox.run(&["cache", "clear", "--yes"]).ok();
    let mut command = sandbox.command(&["up"]);
    command.env("DEVDB_CACHE_SIZE", "much");
    finish(command).exits(3).says("DEVDB_CACHE_SIZE");
}

/// Docker: the states are everybody's, so another home's pruning may remove one between its being
/// found and its being used.
#[test]
fn the_chosen_engine_alone_is_listed_and_cleared() {
    let Some(sandbox) = Sandbox::new(On::Docker, "two engines") else { return };
    let name = project(&sandbox);
    let native = Sandbox::new(On::Native, "two engines").unwrap();
    native.project();
    native.write("devdb.yaml", &format!("project: {name}\n"));
    sandbox.run(&["up"]).ok();
    native.run(&["up"]).ok();
    let engines = |states: Vec<Value>| -> std::collections::BTreeSet<String> {
        states.iter().map(|state| state["engine"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(engines(states(&sandbox)), ["docker".to_owned()].into());
    native.run(&["cache", "clear", "--yes"]).ok();
    assert_eq!(states(&native), Vec::<Value>::new());
    assert_eq!(engines(states(&sandbox)), ["docker".to_owned()].into());
}

#[test]
fn what_another_home_clears_meanwhile_is_made_again() {
    let name = "what_another_home_clears_meanwhile_is_made_again";
    let Some(sandbox) = Sandbox::new(On::Docker, name) else { return };
    let other = twin(&sandbox, &project(&sandbox));
    // A user of its own, so that no other test meets its states, the empty database included.
    let settings = |of: &Sandbox| {
        let text = fs::read_to_string(of.path("devdb.yaml")).unwrap();
        let user = sandbox.project_name();
        of.write("devdb.yaml", &format!("{text}postgres: {{ user: {user} }}\n"));
    };
    settings(&sandbox);
    settings(&other);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clearing = scope.spawn(|| {
            let mut pauses = [600, 150, 900, 300, 1300].into_iter().cycle();
            let mut cleared = 0;
            while !is_over.load(Ordering::Relaxed) {
                let ran = other.run(&["cache", "clear", "--yes", "--json"]);
                assert!([0, 1].contains(&ran.code), "{}", ran.stderr);
                cleared += ran.json()["result"]["removed"].as_array().unwrap().len();
                std::thread::sleep(Duration::from_millis(pauses.next().unwrap()));
            }
            cleared
        });
        let rest = AtEnd(&is_over);
        sandbox.run(&["up"]).ok();
        for _ in 0..6 {
            sandbox.run(&["reset"]).ok();
            sandbox.run(&["run", "--", "true"]).ok();
        }
        drop(rest);
        assert!(clearing.join().unwrap() > 6, "next to nothing was cleared");
    });
}

/// Says that it is over, also when a test fails.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
