//! What is kept, for how long, and what gc removes.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use devdb::state::{GenerationRecord, Store};
use serde_json::Value;

use crate::branch::{git, repository};
use crate::disk::{Fs, SmallDisk};
use crate::sandbox::{On, Ran, Sandbox, eventually, finish, psql, spawn};

crate::on_both_engines!(
    instances_of_gone_branches_are_shown_and_then_removed_and_only_they,
    instances_of_gone_directories_are_shown_and_then_removed_and_moved_ones_are_not,
    a_project_that_git_moved_or_left_out_is_not_forgotten,
    former_generations_are_kept_as_long_as_was_promised,
    room_is_made_by_the_oldest_and_a_command_says_so_before,
    an_expired_generation_is_shown_and_then_removed_and_only_it,
    what_a_killed_reset_left_is_shown_and_then_removed,
    a_checkout_that_was_cloned_again_is_told_of_and_gone,
    a_database_of_another_name_can_be_gone_back_to_when_it_is_set_back,
);

/// Types what `up` said in this directory.
fn follow(sandbox: &Sandbox, directory: &Path, told: &Ran) {
    let way = told.stderr.split("with: ").nth(1).unwrap().lines().next().unwrap().to_owned();
    for command in way.replace("--purge", "--purge --yes").split(" && ") {
        match command.strip_prefix("devdb ") {
            Some(arguments) => {
                let arguments: Vec<&str> = arguments.split(' ').collect();
                sandbox.run_in(directory, &arguments).ok();
            }
            None => {
                let mut shell = std::process::Command::new("sh");
                shell.args(["-c", command]).current_dir(directory);
                finish(shell).ok();
            }
        }
    }
}

/// Below the top of a checkout: git moves only what it knows, and a branch may lack the project.
fn a_project_that_git_moved_or_left_out_is_not_forgotten(sandbox: &Sandbox) {
    let (top, pay) = (sandbox.path("mono"), sandbox.path("mono/services/pay"));
    let payments = sandbox.path("mono/services/payments");
    fs::create_dir_all(pay.join("migrations")).unwrap();
    fs::write(pay.join("devdb.yaml"), "project: pay\n").unwrap();
    fs::write(pay.join("migrations/20260101000000_t.sql"), "create table t (n int);\n").unwrap();
    git(&top, &["init", "-q", "-b", "main"]);
    git(&top, &["commit", "-q", "--allow-empty", "-m", "nothing yet"]);
    git(&top, &["branch", "without"]);
    git(&top, &["add", "."]);
    git(&top, &["commit", "-q", "-m", "all"]);
    sandbox.run_in(&pay, &["up"]).ok();
    sandbox.run_in(&pay, &["psql", "-qc", "insert into t values (42)"]).ok();
    let rows = |directory: &Path| {
        sandbox
            .run_in(directory, &["psql", "-XAtqc", "select string_agg(n::text, ',') from t"])
            .line()
    };
    let nothing = |ran: Ran| ran.ok().says("nothing to remove");

    // On a branch that lacks the project, and after git has removed what it ignores.
    git(&top, &["switch", "-q", "without"]);
    nothing(sandbox.run_in(&sandbox.work(), &["gc", "--yes"]));
    git(&top, &["clean", "-xfdq"]);
    let spared = nothing(sandbox.run_in(&sandbox.work(), &["gc", "--yes"]));
    spared.says("is not there now, but the branch main has it");
    git(&top, &["switch", "-q", "main"]);
    sandbox.run_in(&pay, &["up"]).ok();
    assert_eq!(rows(&pay), "42");

    // As after a pull: the id stays behind.
    git(&top, &["switch", "-q", "-c", "moved"]);
    fs::create_dir_all(&payments).unwrap();
    git(&top, &["mv", "services/pay/devdb.yaml", "services/pay/migrations", "services/payments/"]);
    git(&top, &["commit", "-q", "-m", "moved"]);
    let told = sandbox.run_in(&payments, &["up"]).ok().says("services/pay has no devdb.yaml now");
    assert_eq!(rows(&payments), "");
    follow(sandbox, &payments, &told);
    assert_eq!(rows(&payments), "42");
    // A project that has a database already is not told to give it up.
    let gone = sandbox.path("mono/services/gone");
    fs::create_dir(&gone).unwrap();
    fs::write(gone.join("devdb.yaml"), "project: gone\n").unwrap();
    sandbox.run_in(&gone, &["up"]).ok();
    fs::remove_file(gone.join("devdb.yaml")).unwrap();
    let second = sandbox.run_in(&payments, &["up", "--instance", "second"]).ok();
    assert!(!second.stderr.contains("has no devdb.yaml now"), "{}", second.stderr);
    sandbox.run_in(&payments, &["down", "--purge", "--yes", "--instance", "second"]).ok();
    fs::write(gone.join("devdb.yaml"), "project: gone\n").unwrap();
    sandbox.run_in(&gone, &["down", "--purge", "--yes"]).ok();

    // With all that is in it.
    let paid = sandbox.path("mono/services/paid");
    fs::rename(&payments, &paid).unwrap();
    sandbox.run_in(&paid, &["up"]).ok().says("was moved here");
    assert_eq!(rows(&paid), "42");
    nothing(sandbox.run_in(&sandbox.work(), &["gc", "--yes"]));
    sandbox.run_in(&paid, &["down", "--purge", "--yes"]).ok();
}

fn found(ran: &Ran) -> Vec<Value> {
    ran.json()["result"]["found"].as_array().unwrap().clone()
}

fn instances_of_gone_branches_are_shown_and_then_removed_and_only_they(sandbox: &Sandbox) {
    repository(sandbox);
    sandbox.run(&["up"]).ok();
    let on_main = sandbox.url();
    sandbox.run(&["up", "--instance", "scratch"]).ok();
    let scratch = sandbox.run(&["url", "--instance", "scratch"]).ok().line();
    git(&sandbox.work(), &["switch", "-q", "-c", "done/With-It"]);
    sandbox.run(&["up"]).ok();
    let on_branch = sandbox.url();
    git(&sandbox.work(), &["switch", "-q", "main"]);
    sandbox.run(&["gc", "--yes"]).ok().says("nothing to remove");

    git(&sandbox.work(), &["branch", "-q", "-D", "done/With-It"]);
    let shown = sandbox.run(&["gc", "--json"]).ok();
    let all = found(&shown);
    assert_eq!(all.len(), 1, "{}", shown.stdout);
    assert_eq!(all[0]["reason"], "branch_gone");
    assert_eq!(all[0]["owner"]["instance"], "done/With-It");
    assert!(all[0]["bytes"].as_u64().unwrap() > 1_000_000, "{}", shown.stdout);
    sandbox.run(&["gc"]).ok().says("would remove").says("done/With-It").says(" MB");
    for url in [&on_main, &scratch, &on_branch] {
        psql(url, "select 1").ok();
    }

    let removed = found(&sandbox.run(&["gc", "--yes", "--json"]).ok());
    assert_eq!(removed.len(), 1);
    assert_eq!(removed[0]["left"].as_array().unwrap().len(), 0);
    assert_ne!(psql(&on_branch, "select 1").code, 0);
    psql(&on_main, "select 1").ok();
    psql(&scratch, "select 1").ok();
    let list = sandbox.run(&["list", "--json"]).ok();
    assert!(!list.stdout.contains("With-It"), "{}", list.stdout);
}

fn instances_of_gone_directories_are_shown_and_then_removed_and_moved_ones_are_not(
    sandbox: &Sandbox,
) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let kept = sandbox.url();
    let other = sandbox.home().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("devdb.yaml"), "project: other\n").unwrap();
    sandbox.run_in(&other, &["up"]).ok();
    sandbox.run_in(&other, &["up", "--instance", "second"]).ok();
    let url = sandbox.run_in(&other, &["url"]).ok().line();

    // One that was moved is known again when it is used, with all its instances.
    let moved = sandbox.home().join("moved");
    fs::rename(&other, &moved).unwrap();
    assert_eq!(found(&sandbox.run(&["gc", "--json"]).ok()).len(), 2);
    sandbox.run_in(&moved, &["status"]).ok().says("was moved here");
    assert_eq!(found(&sandbox.run(&["gc", "--yes", "--json"]).ok()).len(), 0);
    assert_eq!(found(&sandbox.run_in(&moved, &["gc", "--yes", "--json"]).ok()).len(), 0);
    sandbox.run_in(&moved, &["up"]).ok();
    assert_eq!(found(&sandbox.run(&["gc", "--yes", "--json"]).ok()).len(), 0);
    psql(&url, "select 1").ok();

    fs::remove_dir_all(&moved).unwrap();
    sandbox.run(&["gc"]).ok().says("other for").says("second").says("moved is gone").says("--yes");
    psql(&url, "select 1").ok();

    // Whoever works on an instance is not disturbed.
    let all = found(&sandbox.run(&["gc", "--json"]).ok());
    let second = all.iter().find(|one| one["owner"]["instance"] == "second").unwrap();
    let key = key_of(sandbox, &second["owner"]);
    let lock = File::options().write(true).open(lock_file(sandbox, &key)).unwrap();
    lock.lock().unwrap();
    let ran = sandbox.run(&["gc", "--yes"]).ok().says("skipped");
    assert!(ran.stdout.contains("another devdb is working on it"), "{}", ran.stdout);
    assert_ne!(psql(&url, "select 1").code, 0);
    lock.unlock().unwrap();
    assert_eq!(found(&sandbox.run(&["gc", "--yes", "--json"]).ok()).len(), 1);
    psql(&kept, "select 1").ok();
    let list = sandbox.run(&["list", "--json"]).ok().json();
    let mine = list["result"]["instances"].as_array().unwrap().clone();
    let mine = mine.iter().filter(|one| one["owner"]["developer"] == sandbox.developer());
    assert_eq!(mine.count(), 1);
}

#[test]
fn a_project_on_a_disk_that_is_not_mounted_is_left_alone() {
    let Some(sandbox) = Sandbox::new(On::Native, "a disk that is not mounted") else { return };
    let Some(disk) = SmallDisk::new(Fs::Ext4, 16 << 20, "a disk that is not mounted") else {
        return;
    };
    let directory = disk.path().join("shop");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("devdb.yaml"), "project: shop\n").unwrap();
    sandbox.run_in(&directory, &["up"]).ok();
    let url = sandbox.run_in(&directory, &["url"]).ok().line();
    disk.unmount();
    let left = sandbox.run_in(&sandbox.home(), &["gc", "--yes"]).ok().says("nothing to remove");
    assert!(
        left.stdout.contains("shop is on a file system that is not mounted"),
        "{}",
        left.stdout
    );
    psql(&url, "select 1").ok();

    disk.mount().unwrap();
    fs::remove_dir_all(&directory).unwrap();
    let removed = found(&sandbox.run_in(&sandbox.home(), &["gc", "--yes", "--json"]).ok());
    assert_eq!(removed.len(), 1);
    assert_eq!(removed[0]["reason"], "directory_gone");
}

fn key_of(sandbox: &Sandbox, owner: &Value) -> String {
    let list = sandbox.run(&["list", "--json"]).ok().json();
    let all = list["result"]["instances"].as_array().unwrap().clone();
    let one = all.iter().find(|one| one["owner"] == *owner).unwrap();
    one["key"].as_str().unwrap().to_owned()
}

fn lock_file(sandbox: &Sandbox, key: &str) -> std::path::PathBuf {
    sandbox.data_dir().join("locks").join(format!("{key}.lock"))
}

fn former_generations_are_kept_as_long_as_was_promised(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.write("devdb.yaml", "project: shop\ngenerations: { days: 1 }\n");
    sandbox.run(&["generations"]).exits(1).says("devdb up");
    sandbox.run(&["up"]).ok();
    for _ in 0..2 {
        sandbox.sql("insert into items (name) values ('mine')");
        sandbox.run(&["reset"]).ok().says("kept for up to 1 day\n");
    }
    let shown = sandbox.run(&["generations", "--json"]).ok();
    let rows = shown.json()["result"]["generations"].as_array().unwrap().clone();
    let numbers = |rows: &[Value]| -> Vec<u64> {
        rows.iter().map(|row| row["number"].as_u64().unwrap()).collect()
    };
    assert_eq!(numbers(&rows), [3, 2, 1], "{}", shown.stdout);
    let why: Vec<&str> = rows.iter().map(|row| row["why"].as_str().unwrap()).collect();
    assert_eq!(why, ["reset", "reset", "up"]);
    assert_eq!(rows[0]["current"], true);
    assert_eq!(rows[0]["written"], false);
    assert_eq!(rows[0]["kept_until"], Value::Null);
    for row in &rows[1..] {
        assert_eq!((&row["current"], &row["written"]), (&false.into(), &true.into()));
        assert!(row["kept_until"].as_str() > row["replaced"].as_str(), "{row}");
    }
    for row in &rows {
        assert!(row["bytes"].as_u64().unwrap() > 1_000_000, "{row}");
    }
    sandbox.sql("insert into items (name) values ('mine')");
    sandbox.run(&["generations"]).ok().says("reset").says(" MB").says("UNTIL");
    let written = sandbox.run(&["generations", "--json"]).ok().json();
    assert_eq!(written["result"]["generations"][0]["written"], true);

    // What was promised stays so, whatever the settings say later.
    assert_eq!(sandbox.run(&["up", "--json"]).ok().json()["result"]["how"], "unchanged");
    let with = |arguments: &[&str], name: &str, value: &str| {
        let mut command = sandbox.command(arguments);
        command.env(name, value);
        finish(command)
    };
    let left = || {
        let shown = sandbox.run(&["generations", "--json"]).ok();
        numbers(shown.json()["result"]["generations"].as_array().unwrap())
    };
    with(&["gc", "--yes"], "DEVDB_GENERATIONS_DAYS", "0").ok().says("nothing to remove");
    with(&["undo"], "DEVDB_GENERATIONS_DAYS", "0").ok().says("generation 3, is removed");
    assert_eq!(left(), [2, 1]);

    // A command says a day before what goes. Then it goes with the next command.
    age(sandbox, 1, 8);
    sandbox.run(&["status"]).ok();
    assert_eq!(left(), [2, 1]);
    let said = sandbox.run(&["up"]).ok();
    assert!(
        said.stderr.contains("removes generation 1, because its time is over"),
        "{}",
        said.stderr
    );
    sandbox.run(&["up"]).ok().says("devdb generations keep 1");
    assert_eq!(left(), [2, 1]);
    told_earlier(sandbox, 1);
    sandbox.run(&["generations", "keep", "1"]).ok().says("for good");
    sandbox.run(&["down"]).ok();
    assert_eq!(left(), [2, 1]);
    sandbox.run(&["generations", "rm", "1"]).exits(2).says("--yes");
    sandbox.run(&["generations", "rm", "2", "--yes"]).exits(2).says("is the current one");
    sandbox.run(&["generations", "rm", "1", "--yes"]).ok().says("generation 1 is removed");
    assert_eq!(left(), [2]);
    sandbox.run(&["undo"]).exits(1).says("no former generation");
    sandbox.run(&["generations", "switch", "7"]).exits(1).says("there is no generation 7");
    sandbox.run(&["up"]).ok();

    for (name, value) in [("DEVDB_GENERATIONS_SIZE", "much"), ("DEVDB_GENERATIONS_DAYS", "a week")]
    {
        with(&["up"], name, value).exits(3).says(name);
    }
}

/// Disk space is made by a swap that a command has spoken of, and by no generation of today.
fn room_is_made_by_the_oldest_and_a_command_says_so_before(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    for day in ["first", "second", "third"] {
        sandbox.sql(&format!("insert into items (name) values ('{day}')"));
        sandbox.run(&["reset"]).ok();
    }
    let states = || {
        let shown = sandbox.run(&["generations", "--json"]).ok().json();
        let all = shown["result"]["generations"].as_array().unwrap().clone();
        let one = |one: &Value| {
            (one["number"].as_u64().unwrap(), one["state"].as_str().unwrap().to_owned())
        };
        all.iter().map(one).collect::<Vec<_>>()
    };
    let numbers = || states().into_iter().map(|(number, _)| number).collect::<Vec<_>>();
    let all = numbers();
    let oldest = all[3];
    sandbox.write("devdb.yaml", "project: shop\ngenerations: { size: 100MB }\n");
    age(sandbox, u32::try_from(oldest).unwrap(), 2);
    // Nobody has said anything yet.
    sandbox.sql("insert into items (name) values ('fourth')");
    let reset = sandbox.run(&["reset"]).ok();
    assert!(
        reset.stderr.contains(&format!("removes generation {oldest}, to make room")),
        "{}",
        reset.stderr
    );
    assert!(numbers().contains(&oldest), "{:?}", states());
    assert!(states().contains(&(oldest, "no_room".into())), "{:?}", states());
    sandbox.sql("insert into items (name) values ('fifth')");
    sandbox.run(&["reset"]).ok().says(&format!("devdb removes generation {oldest} to make room"));
    assert!(!numbers().contains(&oldest), "{:?}", states());
    // The others are of today.
    assert_eq!(numbers().len(), 5, "{:?}", states());
    sandbox.run(&["snapshot", "save", "kept", "--from-generation", &all[2].to_string()]).ok();
    sandbox.run(&["snapshot", "restore", "kept"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items where name = 'second'"), "1");
    sandbox.run(&["generations", "switch", &all[1].to_string()]).ok();
    assert_eq!(sandbox.sql("select count(*) from items where name = 'third'"), "1");
    sandbox.run(&["undo", "3"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items where name = 'fourth'"), "1");
}

/// Has a former generation have stopped being current some days earlier.
fn age(sandbox: &Sandbox, number: u32, days: i64) {
    let days = chrono::TimeDelta::days(days);
    change(sandbox, number, |former| {
        former.replaced = Some(former.replaced.unwrap() - days);
        former.promised = Some(former.promised.unwrap() - days);
    });
}

/// Has a command have said two days ago that the generation will go.
fn told_earlier(sandbox: &Sandbox, number: u32) {
    change(sandbox, number, |former| {
        let announced = former.announced.as_mut().unwrap();
        announced.since -= chrono::TimeDelta::days(2);
        announced.after -= chrono::TimeDelta::days(2);
    });
}

fn change(sandbox: &Sandbox, number: u32, change: impl FnOnce(&mut GenerationRecord)) {
    let store = Store::open(&sandbox.data_dir()).unwrap();
    let mut record = store.load_all().unwrap().remove(0).unwrap();
    let mut generations = record.generations.iter_mut();
    change(generations.find(|generation| generation.number == number).unwrap());
    store.save(&record).unwrap();
}

fn an_expired_generation_is_shown_and_then_removed_and_only_it(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    for name in ["oldest", "former"] {
        sandbox.sql(&format!("insert into items (name) values ('{name}')"));
        sandbox.run(&["reset"]).ok().says("kept for up to 7 days");
    }
    sandbox.sql("insert into items (name) values ('current')");
    let before = sandbox.leftovers();
    sandbox.run(&["gc"]).ok().says("nothing to remove");
    // Any other command would remove it.
    age(sandbox, 1, 8);
    let shown = sandbox.run(&["gc", "--json"]).ok();
    let all = found(&shown);
    assert_eq!(all.len(), 1, "{}", shown.stdout);
    assert_eq!(all[0]["reason"], "expired");
    assert_eq!(all[0]["generations"], serde_json::json!([1]));
    assert!(all[0]["bytes"].as_u64().unwrap() > 1_000_000, "{}", shown.stdout);
    sandbox.run(&["gc"]).ok().says("would remove").says("generation 1: past its time");
    assert_eq!(sandbox.leftovers(), before);

    let removed = found(&sandbox.run(&["gc", "--yes", "--json"]).ok());
    assert_eq!(removed.len(), 1);
    assert_eq!(removed[0]["objects"], all[0]["objects"]);
    assert_eq!(removed[0]["left"].as_array().unwrap().len(), 0);
    assert_eq!(sandbox.leftovers().len(), before.len() - 1);
    sandbox.run(&["gc"]).ok().says("nothing to remove");
    assert_eq!(sandbox.sql("select count(*) from items where name = 'current'"), "1");
    sandbox.run(&["undo"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items where name = 'former'"), "1");
}

fn a_database_of_another_name_can_be_gone_back_to_when_it_is_set_back(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) values ('mine')");
    sandbox.write("devdb.yaml", "project: shop\npostgres: { database: other }\n");
    sandbox.run(&["up"]).exits(3).says("devdb reset");
    let reset = sandbox.run(&["reset"]).ok();
    assert!(reset.stdout.contains("after you set this back: database"), "{}", reset.stdout);
    sandbox
        .run(&["undo"])
        .exits(3)
        .says("cannot go back to generation 1")
        .says("change the setting");
    sandbox.write("devdb.yaml", "project: shop\n");
    sandbox.run(&["undo"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items where name = 'mine'"), "1");
}

fn a_checkout_that_was_cloned_again_is_told_of_and_gone(sandbox: &Sandbox) {
    sandbox.project();
    let others = sandbox.home().join("others");
    let clone = || {
        fs::create_dir(&others).unwrap();
        fs::write(others.join("devdb.yaml"), "project: shop\n").unwrap();
        git(&others, &["init", "-q"]);
    };
    clone();
    sandbox.run_in(&others, &["up"]).ok();
    sandbox.run_in(&others, &["gc", "--yes"]).ok().says("nothing to remove");
    fs::remove_dir_all(&others).unwrap();
    clone();
    // Nothing has said yet which checkout this is.
    let unknown = sandbox.run(&["gc", "--json"]).ok();
    assert_eq!(found(&unknown).len(), 0, "{}", unknown.stdout);
    sandbox.run_in(&others, &["up"]).ok().says("has left a database of its own");
    let url = sandbox.run_in(&others, &["url"]).ok().line();
    for at in [sandbox.work(), others] {
        let all = found(&sandbox.run_in(&at, &["gc", "--json"]).ok());
        assert_eq!(all.len(), 1);
        assert_eq!(all[0]["reason"], "checkout_gone");
    }
    sandbox.run(&["gc", "--yes"]).ok().says("another checkout is in");
    psql(&url, "select 1").ok();
    assert_eq!(found(&sandbox.run(&["gc", "--json"]).ok()).len(), 0);
}

fn what_a_killed_reset_left_is_shown_and_then_removed(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let url = sandbox.url();
    sandbox.sql("insert into items (name) values ('mine')");
    let before = sandbox.leftovers();
    let (mut child, _) = spawn(sandbox.command(&["reset"]));
    // Containers come and go; the data of the new generation stays.
    eventually("a new generation is there", Duration::from_secs(30), || {
        let is_generation =
            |one: &&String| one.rsplit_once('g').is_some_and(|(_, id)| id.parse::<u32>().is_ok());
        sandbox.leftovers().iter().filter(is_generation).any(|one| !before.contains(one))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    // An engine that was asked for a container makes it, also when nobody waits any more.
    std::thread::sleep(Duration::from_secs(1));
    let shown = found(&sandbox.run(&["gc", "--json"]).ok());
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0]["reason"], "cut_short");
    assert!(sandbox.leftovers().len() > before.len(), "it was to show it only");
    // From another directory than the project's.
    sandbox.run_in(Path::new("/"), &["gc", "--yes"]).ok().says("removed");
    assert_eq!(sandbox.leftovers(), before);
    assert_eq!(psql(&url, "select count(*) from items where name = 'mine'").ok().line(), "1");
    sandbox.run(&["gc"]).ok().says("nothing to remove");
}

/// git moves the files of a project from the top of a checkout into a directory, and back. The id of
/// one at the top is in git's directory alone.
#[test]
fn what_up_says_about_a_project_that_git_has_moved_works_from_and_to_the_top() {
    let Some(sandbox) = Sandbox::new(On::Native, "a project at the top moves") else { return };
    sandbox.project();
    let top = sandbox.work();
    git(&top, &["init", "-q", "-b", "main"]);
    git(&top, &["add", "."]);
    git(&top, &["commit", "-q", "-m", "all"]);
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) values ('mine')");
    let api = top.join("api");
    let files = ["devdb.yaml", "migrations", "seeds"];
    let goes_back = |directory: &Path| {
        let told = sandbox.run_in(directory, &["up"]).ok().says("its database still exists");
        follow(&sandbox, directory, &told);
        let count = ["psql", "-Atc", "select count(*) from items where name = 'mine'"];
        assert_eq!(sandbox.run_in(directory, &count).ok().line(), "1");
    };
    std::fs::create_dir(&api).unwrap();
    git(&top, &[&["mv"][..], &files, &["api/"]].concat());
    git(&top, &["commit", "-q", "-m", "into a directory"]);
    goes_back(&api);
    git(&top, &["mv", "api/devdb.yaml", "api/migrations", "api/seeds", "."]);
    git(&top, &["commit", "-q", "-m", "back to the top"]);
    goes_back(&top);
    sandbox.run(&["down", "--purge", "--yes"]).ok();
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}
