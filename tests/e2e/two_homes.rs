//! Two home directories with one daemon, as a host and a devcontainer have them. Each has a record
//! of its own, and what belongs to the daemon belongs to both.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use devdb::state::{Store, UnderWay};

use crate::sandbox::{On, Ran, Sandbox, finish, psql, spawn};

/// A checkout that two home directories use.
struct Homes {
    sandbox: Sandbox,
    homes: [PathBuf; 2],
}

const HOST: usize = 0;
const CONTAINER: usize = 1;

impl Homes {
    fn new(test: &str) -> Option<Homes> {
        let sandbox = Sandbox::new(On::Docker, test)?;
        sandbox.project();
        sandbox.write("devdb.yaml", &format!("project: {}\n", sandbox.project_name()));
        // The checkout has its id before two want to give it one.
        sandbox.run(&["status"]).ok();
        let other = sandbox.home().with_file_name("other home");
        std::fs::create_dir(&other).unwrap();
        Some(Homes { homes: [sandbox.home(), other], sandbox })
    }

    fn command(&self, home: usize, arguments: &[&str]) -> Command {
        let mut command = self.sandbox.command(arguments);
        command.env("HOME", &self.homes[home]);
        command
    }

    #[track_caller]
    fn run(&self, home: usize, arguments: &[&str]) -> Ran {
        finish(self.command(home, arguments)).ok()
    }

    /// The URL with the password that this home directory has. `up` sets that one again when the
    /// other home directory has set its own.
    #[track_caller]
    fn url(&self, home: usize) -> String {
        drop(self.run(home, &["up"]));
        self.run(home, &["url"]).line()
    }

    #[track_caller]
    fn add(&self, home: usize, name: &str) {
        let url = self.url(home);
        drop(psql(&url, &format!("insert into items (name) values ('{name}')")).ok());
    }

    /// The rows that somebody added, as a home directory sees them.
    #[track_caller]
    fn rows(&self, home: usize) -> String {
        let url = self.url(home);
        let rows = "select coalesce(string_agg(name, ' ' order by name), '') \
                    from items where name <> 'First'";
        psql(&url, rows).ok().line()
    }

    /// The ids of the generations that the daemon has.
    fn generation_ids(&self) -> Vec<u32> {
        let volumes = self.volumes("devdb.generation");
        let format = "{{index .Labels \"devdb.generation\"}}";
        let id = |volume: &str| {
            let id = self.sandbox.docker(&["volume", "inspect", "--format", format, volume]);
            id.trim().parse().unwrap()
        };
        volumes.lines().map(id).collect()
    }

    fn volumes(&self, label: &str) -> String {
        let mine = format!("label=devdb.developer={}", self.sandbox.developer());
        let label = format!("label={label}");
        self.sandbox.docker(&["volume", "ls", "-q", "--filter", &mine, "--filter", &label])
    }
}

#[test]
fn whoever_resets_or_goes_back_the_others_data_can_be_reached() {
    let Some(homes) = Homes::new("two records") else { return };
    drop(homes.run(HOST, &["up"]));
    homes.add(HOST, "one");
    drop(homes.run(HOST, &["reset"]));
    homes.add(HOST, "two");
    // The other one finds everything, and goes back.
    drop(homes.run(CONTAINER, &["up"]));
    assert_eq!(homes.rows(CONTAINER), "two");
    drop(homes.run(CONTAINER, &["undo"]));
    assert_eq!(homes.rows(CONTAINER), "one");
    homes.add(CONTAINER, "late");
    // The first one's record says something else. Nothing that is in use goes.
    for command in [&["status"][..], &["up"], &["gc", "--yes"], &["generations"]] {
        drop(homes.run(HOST, command));
    }
    assert_eq!(homes.rows(HOST), "late one");
    drop(homes.run(HOST, &["undo"]));
    assert_eq!(homes.rows(HOST), "two");
    // A promise of one holds for the other.
    let former = homes.run(HOST, &["generations", "--json"]).json();
    let former = former["result"]["generations"].as_array().unwrap().clone();
    let former = former.iter().find(|one| one["current"] == false).unwrap()["number"].to_string();
    drop(homes.run(HOST, &["generations", "keep", &former]));
    for _ in 0..2 {
        drop(homes.run(CONTAINER, &["reset"]));
        homes.add(CONTAINER, "more");
        drop(homes.run(HOST, &["up"]));
    }
    drop(homes.run(HOST, &["generations", "switch", &former]));
    assert_eq!(homes.rows(CONTAINER), "late one");
    homes.sandbox.clear_cache();
}

#[test]
fn a_command_that_one_left_unfinished_takes_nothing_from_the_other() {
    let Some(homes) = Homes::new("unfinished") else { return };
    drop(homes.run(HOST, &["up"]));
    homes.add(HOST, "one");
    // A reset that is killed while it bakes.
    homes.sandbox.write("seeds/020_slow.sql", "SELECT pg_sleep(4);\n");
    let (mut killed, _) = spawn(homes.command(HOST, &["reset"]));
    std::thread::sleep(Duration::from_secs(3));
    killed.kill().unwrap();
    killed.wait().unwrap();
    std::fs::remove_file(homes.sandbox.path("seeds/020_slow.sql")).unwrap();
    // The other one goes on meanwhile.
    drop(homes.run(CONTAINER, &["reset"]));
    homes.add(CONTAINER, "two");
    drop(homes.run(CONTAINER, &["reset"]));
    homes.add(CONTAINER, "three");
    drop(homes.run(HOST, &["up"]));
    assert_eq!(homes.rows(HOST), "three");
    let mut found = vec![homes.rows(HOST)];
    for _ in 0..2 {
        drop(homes.run(CONTAINER, &["undo", "2"]));
        found.push(homes.rows(CONTAINER));
    }
    found.sort();
    assert_eq!(found, ["one", "three", "two"]);
    homes.sandbox.clear_cache();
}

/// `down` has recorded that nobody wrote. That was true in one home directory, and then.
#[test]
fn what_one_wrote_after_the_others_down_is_kept() {
    for (row, ends) in [("one", &["status"][..]), ("two", &["stop"]), ("three", &["down"])] {
        let Some(homes) = Homes::new("written after down") else { return };
        drop(homes.run(HOST, &["up"]));
        drop(homes.run(HOST, &["down"]));
        homes.add(CONTAINER, row);
        drop(homes.run(CONTAINER, ends));
        drop(homes.run(HOST, &["reset"]));
        drop(homes.run(HOST, &["undo"]));
        assert_eq!(homes.rows(HOST), row, "{ends:?}");
        homes.sandbox.clear_cache();
    }
}

/// The record of one names data that the other has removed, and no server runs. Its own hint must not
/// remove what the other has.
#[test]
fn what_one_wiped_and_made_anew_is_found_by_the_other() {
    let Some(homes) = Homes::new("wiped by the other") else { return };
    homes.add(CONTAINER, "old");
    drop(homes.run(HOST, &["up"]));
    drop(homes.run(HOST, &["reset", "--wipe", "--yes"]));
    homes.add(HOST, "new");
    drop(homes.run(HOST, &["down"]));
    let status = finish(homes.command(CONTAINER, &["status"]));
    assert!(!status.stderr.contains("--purge"), "{}", status.stderr);
    assert_eq!(homes.rows(CONTAINER), "new");
    homes.sandbox.clear_cache();
}

/// What one home directory serves is never removed by the other, nor said to be.
#[test]
fn a_generation_that_the_other_serves_is_not_removed() {
    let Some(homes) = Homes::new("rm of what is served") else { return };
    homes.add(HOST, "one");
    drop(homes.run(HOST, &["reset"]));
    drop(homes.run(CONTAINER, &["up"]));
    drop(homes.run(CONTAINER, &["generations", "switch", "1"]));
    homes.add(CONTAINER, "more");
    let rm = finish(homes.command(HOST, &["generations", "rm", "1", "--yes"]));
    assert_ne!(rm.code, 0, "{}", rm.stdout);
    drop(homes.run(CONTAINER, &["stop"]));
    for command in [&["status"][..], &["up"], &["gc", "--yes"]] {
        drop(homes.run(HOST, command));
    }
    assert_eq!(homes.rows(CONTAINER), "more one");
    homes.sandbox.clear_cache();
}

/// A command that was killed has noted which generation it was about to make.
#[test]
fn an_id_that_one_has_noted_may_be_the_others_by_now() {
    let Some(homes) = Homes::new("noted ids") else { return };
    homes.add(HOST, "one");
    drop(homes.run(CONTAINER, &["up"]));
    let reset = homes.run(CONTAINER, &["reset", "--json"]).json();
    assert_eq!(reset["result"]["generation"], 2, "{reset:#}");
    homes.add(CONTAINER, "two");
    drop(homes.run(CONTAINER, &["down"]));
    let ids = homes.generation_ids();

    let store = Store::open(&homes.sandbox.data_dir()).unwrap();
    let mut record = store.load_all().unwrap().remove(0).unwrap();
    let second = ids.into_iter().find(|id| record.by_id(*id).is_none()).unwrap();
    record.under_way = Some(UnderWay::Generation(second));
    store.save(&record).unwrap();
    let file = homes.sandbox.data_dir().join(format!("instances/{}.json", record.owner.key()));
    let earlier = SystemTime::now() - Duration::from_secs(60);
    std::fs::File::options().write(true).open(file).unwrap().set_modified(earlier).unwrap();
    assert_eq!(homes.rows(HOST), "one");
    drop(homes.run(HOST, &["generations", "switch", "2"]));
    assert_eq!(homes.rows(HOST), "two");
    homes.sandbox.clear_cache();
}

#[test]
fn what_both_keep_is_held() {
    let Some(homes) = Homes::new("a holder for two") else { return };
    drop(homes.run(HOST, &["up"]));
    homes.add(HOST, "one");
    drop(homes.run(HOST, &["snapshot", "save", "of-host"]));
    drop(homes.run(CONTAINER, &["reset"]));
    drop(homes.run(CONTAINER, &["snapshot", "save", "of-container"]));
    drop(homes.run(HOST, &["up"]));
    let mine = format!("label=devdb.developer={}", homes.sandbox.developer());
    let all = ["ps", "-aq", "--filter", &mine, "--filter", "label=devdb.holds"];
    let holders = homes.sandbox.docker(&all);
    assert_eq!(holders.lines().count(), 1, "{holders}");
    let format = "{{range .Mounts}}{{.Name}} {{end}}";
    let held = homes.sandbox.docker(&["inspect", "--format", format, holders.trim()]);
    let former = homes.generation_ids().into_iter().min().unwrap();
    let former = homes.volumes(&format!("devdb.generation={former}"));
    let kept = format!("{}{former}", homes.volumes("devdb.snapshot"));
    assert_eq!(kept.lines().count(), 3, "{kept}");
    assert_eq!(kept.lines().filter(|name| !held.contains(name)).count(), 0, "{kept}\n{held}");
    // Either may remove what the other has saved.
    drop(homes.run(HOST, &["snapshot", "rm", "of-container"]));
    drop(homes.run(CONTAINER, &["snapshot", "restore", "of-host"]));
    assert_eq!(homes.rows(HOST), "one");
    drop(homes.run(HOST, &["down", "--purge", "--yes"]));
    drop(homes.run(CONTAINER, &["down", "--purge", "--yes"]));
    assert_eq!(homes.sandbox.leftovers(), Vec::<String>::new());
    homes.sandbox.clear_cache();
}
