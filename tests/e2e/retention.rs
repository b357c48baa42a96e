//! However often something is reset, and however many migrations there are, what is kept has a limit.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use crate::sandbox::{On, Sandbox, docker, eventually, say};

crate::on_both_engines!(
    many_resets_keep_all_that_was_promised_and_no_more,
    more_days_in_the_settings_count_at_once,
);

/// As in the product: golden states in the cache, and how high they may be piled.
const STATES_MAX: usize = 20;
const DEPTH_MAX: u64 = 20;

/// Docker takes 125, and what is built on a state has one more.
const LAYERS_MAX: usize = 124;

fn times(variable: &str, usual: u32) -> u32 {
    std::env::var(variable).ok().map_or(usual, |value| value.parse().unwrap())
}

/// `DEVDB_TEST_RESETS` times.
fn many_resets_keep_all_that_was_promised_and_no_more(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.write("devdb.yaml", &format!("project: {}\n", sandbox.project_name()));
    sandbox.run(&["up"]).ok();
    // The current generation and a copy made ahead; docker: its container, and the one that holds
    // the former generations.
    let least = if sandbox.on == On::Docker { 4 } else { 2 };
    let begun = Instant::now();
    let resets = times("DEVDB_TEST_RESETS", 15);
    for number in 1..=resets {
        sandbox.sql(&format!("insert into items (name) values ('{number}')"));
        if number % 3 == 0 {
            sandbox.write("seeds/020_more.sql", &format!("select {number};\n"));
        }
        sandbox.run(&["reset"]).ok();
        // Docker goes on removing a volume for a moment; or, when it has much to do, has not begun:
        // then the next command does it.
        // Every generation was written to, so all are kept.
        let most = least + usize::try_from(number).unwrap();
        let is_within = || sandbox.leftovers().len() <= most + leaving(sandbox);
        eventually("no more is left than is kept", Duration::from_secs(5), is_within);
        let states = golden_states(sandbox);
        assert!(states <= STATES_MAX, "after {number} resets: {states} golden states");
    }
    // The empty database, perhaps what is before the seeds, the first state, one for each change.
    let made = usize::try_from(3 + resets / 3).unwrap();
    // The record and three locks; of each state that is kept a note and a lock.
    let files = self::files(sandbox);
    assert!(files.len() <= 4 + 2 * made.min(STATES_MAX), "{files:#?}");
    if sandbox.on == On::Docker {
        every_state_is_a_named_image(sandbox);
    }
    for (number, steps) in [(resets, 1), (1, resets)] {
        sandbox.run(&["undo", &steps.to_string()]).ok();
        let row = format!("select count(*) from items where name = '{number}'");
        assert_eq!(sandbox.sql(&row), "1", "the row before reset {number}");
        sandbox.run(&["undo"]).ok();
    }
    sandbox.run(&["down", "--purge", "--yes"]).ok();
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
    say(&format!("{resets} resets on {} took {:?}", sandbox.on.name(), begun.elapsed()));
    match sandbox.on {
        On::Docker => remove_golden_images(sandbox),
        // On docker another home may have removed a state that is noted here.
        On::Native => {
            sandbox.clear_cache();
            let files = self::files(sandbox);
            assert!(files.len() <= 3, "more than the locks: {files:#?}");
        }
    }
}

/// What was replaced under the old settings has the days of the new ones with the next command, and
/// what is copied from then on has them too.
fn more_days_in_the_settings_count_at_once(sandbox: &Sandbox) {
    sandbox.project();
    let settings = |days: u32| format!("project: shop\ngenerations: {{ days: {days} }}\n");
    let days_left = |number: u64| {
        let listed = sandbox.run(&["generations", "--json"]).ok().json();
        let rows = listed["result"]["generations"].as_array().unwrap().clone();
        let row = rows.iter().find(|row| row["number"] == number).unwrap();
        let until: DateTime<Utc> = row["kept_until"].as_str().unwrap().parse().unwrap();
        (until - Utc::now() + TimeDelta::hours(1)).num_days()
    };
    sandbox.write("devdb.yaml", &settings(1));
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) values ('mine')");
    sandbox.run(&["reset"]).ok();
    assert_eq!(days_left(1), 1);
    sandbox.write("devdb.yaml", &settings(30));
    assert_eq!(days_left(1), 30);
    sandbox.sql("insert into items (name) values ('mine')");
    sandbox.write("migrations/20260103000000_b.sql", "DELETE FROM items;\n");
    sandbox.run(&["up"]).ok();
    assert_eq!((days_left(1), days_left(3)), (30, 30));
    // Fewer days break no promise.
    sandbox.write("devdb.yaml", &settings(2));
    sandbox.run(&["up"]).ok();
    assert_eq!(days_left(3), 30);
    sandbox.run(&["down", "--purge", "--yes"]).ok();
}

/// How many generations the record says are on their way out: never more than one reset sent away.
fn leaving(sandbox: &Sandbox) -> usize {
    let records = std::fs::read_dir(sandbox.data_dir().join("instances")).unwrap();
    let mut records = records.map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    let record: serde_json::Value = serde_json::from_slice(&records.next().unwrap()).unwrap();
    assert!(records.next().is_none());
    let leaving = record["leaving"].as_array().map_or(0, Vec::len);
    assert!(leaving <= 2, "{record:#}");
    leaving
}

/// What is in devdb's data directory, without the databases of the native engine.
pub fn files(sandbox: &Sandbox) -> Vec<PathBuf> {
    let (mut files, mut directories) = (Vec::new(), vec![sandbox.data_dir()]);
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                // Notes on seed files that were read: one for a project.
                true if path.ends_with("native") || path.ends_with("checked") => {}
                true => directories.push(path),
                false => files.push(path),
            }
        }
    }
    files
}

/// Docker: those that others are built on, too.
fn every_state_is_a_named_image(sandbox: &Sandbox) {
    let dangling = sandbox.golden_images(&["--filter", "dangling=true"]);
    assert!(dangling.is_empty(), "{dangling:?}");
    let named = sandbox.docker(&["image", "ls", "-q", "--no-trunc", "devdb/golden"]);
    let states = sandbox.golden_images(&[]);
    assert!(!states.is_empty());
    for (id, label) in states {
        assert!(named.contains(&id), "{id}: {label:#}");
    }
}

/// The layers of an image, the lowest first.
fn layers(sandbox: &Sandbox, image: &str) -> Vec<String> {
    let format = "{{json .RootFS.Layers}}";
    let layers = sandbox.docker(&["image", "inspect", "--format", format, image]);
    serde_json::from_str(&layers).unwrap()
}

fn golden_states(sandbox: &Sandbox) -> usize {
    match sandbox.on {
        On::Docker => sandbox.golden_images(&[]).len(),
        On::Native => std::fs::read_dir(sandbox.store().join("golden")).unwrap().count(),
    }
}

fn remove_golden_images(sandbox: &Sandbox) {
    for (id, _) in sandbox.golden_images(&[]) {
        docker(&["rmi", "-f", &id]);
    }
}

/// `DEVDB_TEST_MIGRATIONS` of them. Each state is built on the one before, as there are no seeds.
#[test]
fn many_migrations_one_by_one_stay_under_the_limit_of_layers() {
    let Some(sandbox) = Sandbox::new(On::Docker, "layers") else { return };
    sandbox.write("devdb.yaml", &format!("project: {}\n", sandbox.project_name()));
    let migrations = times("DEVDB_TEST_MIGRATIONS", 30);
    let begun = Instant::now();
    let mut deepest = 0;
    let mut below = (0, Vec::new());
    for number in 1..=migrations {
        let file = format!("migrations/2026{number:010}_more.sql");
        sandbox.write(&file, &format!("CREATE TABLE more_{number} (id int);\n"));
        sandbox.run(&["reset"]).ok();
        let states = sandbox.golden_images(&[]);
        let depth = |label: &serde_json::Value| label["depth"].as_u64().unwrap();
        let most = states.iter().map(|(_, label)| depth(label)).max().unwrap();
        assert!(most <= DEPTH_MAX, "after {number} migrations: {most} states on each other");
        deepest = deepest.max(most);
        let (id, label) = states.iter().find(|(_, label)| label["migrations"] == number).unwrap();
        let newest = (depth(label), layers(&sandbox, id));
        assert!(newest.1.len() <= LAYERS_MAX, "after {number} migrations: {newest:?}");
        // Else it is the lowest of a new pile.
        if newest.0 == below.0 + 1 {
            let is_on_it = newest.1.len() > below.1.len() && newest.1.starts_with(&below.1);
            assert!(is_on_it, "after {number} migrations: {newest:?} on {below:?}");
        }
        below = newest;
    }
    let tables = "select count(*) from pg_tables where tablename like 'more_%'";
    assert_eq!(sandbox.sql(tables), migrations.to_string());
    assert_eq!(
        deepest,
        DEPTH_MAX.min(u64::from(migrations - 1)),
        "each is built on the one before"
    );
    every_state_is_a_named_image(&sandbox);
    say(&format!("{migrations} migrations, each with a reset, took {:?}", begun.elapsed()));
    remove_golden_images(&sandbox);
}
