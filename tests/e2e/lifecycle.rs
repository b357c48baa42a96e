//! up, down, stop, start, status, list: one instance's ordinary life.

use std::net::TcpListener;
use std::time::Duration;

use crate::sandbox::{On, Sandbox, eventually, psql};

crate::on_both_engines!(
    the_sample_is_up_and_seeded_and_up_again_changes_nothing,
    data_and_port_survive_stop_start_and_down,
    a_project_with_awkward_names,
    settings_are_applied_and_lineage_is_refused,
    a_taken_port_is_moved_off_or_refused,
    a_lost_and_a_damaged_record_are_rebuilt,
    a_server_that_cannot_start_is_reported_and_the_old_one_comes_back,
    a_setting_that_the_server_does_not_know_is_named,
    an_instance_that_is_down_survives_a_bad_setting,
    a_renamed_directory_keeps_its_database,
    a_renamed_project_keeps_its_database_and_so_does_a_copy,
    migrations_are_applied_and_a_failing_one_leaves_the_earlier,
    seeds_are_applied_once_and_a_change_is_said,
    a_restart_with_settings_that_fail_leaves_the_database_running,
    the_profile_of_the_seeds_is_remembered,
);

fn a_restart_with_settings_that_fail_leaves_the_database_running(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let before = sandbox.sql("select pg_postmaster_start_time()");
    sandbox.run(&["restart"]).ok();
    assert_ne!(sandbox.sql("select pg_postmaster_start_time()"), before);
    for settings in ["settings: { shared_buffers: 1kB }", "user: other", "version: 14"] {
        sandbox.write("devdb.yaml", &format!("project: shop\npostgres: {{ {settings} }}\n"));
        let failed = sandbox.run(&["restart"]);
        assert_ne!(failed.code, 0, "{settings}");
        sandbox.write("devdb.yaml", "project: shop\n");
        assert_eq!(sandbox.sql("select count(*) from items"), "1", "{settings}");
    }
    // A change of the settings that works is a restart, too.
    sandbox.write("devdb.yaml", "project: shop\npostgres: { settings: { work_mem: 5MB } }\n");
    sandbox.run(&["restart"]).ok();
    assert_eq!(sandbox.sql("show work_mem"), "5MB");
    sandbox.run(&["down", "--purge", "--yes"]).ok();
}

fn the_profile_of_the_seeds_is_remembered(sandbox: &Sandbox) {
    sandbox.project();
    for (profile, name) in [("dev", "Dev"), ("demo", "Demo"), ("big one", "Big")] {
        let row = format!("items:\n  {name}:\n    name: {name}\n");
        sandbox.write(&format!("seeds/{profile}/020_items.yaml"), &row);
    }
    let names = || sandbox.sql("select string_agg(name, ',' order by name) from items");
    let profile = || {
        let config = sandbox.run(&["config", "--json"]).ok().json();
        let settings = config["result"]["settings"].as_array().unwrap().clone();
        let row = settings.into_iter().find(|row| row["key"] == "seeds.profile").unwrap();
        [row["value"].as_str().unwrap().to_owned(), row["origin"].as_str().unwrap().to_owned()]
    };
    assert_eq!(profile(), ["dev", "default"]);
    sandbox.run(&["up", "--profile", "demo"]).ok();
    assert_eq!(names(), "Demo,First");
    assert_eq!(profile(), ["demo", "remembered for this database"]);
    sandbox.run(&["status"]).ok().says("0 pending (seed profile demo)");
    sandbox.run(&["reset"]).ok();
    assert_eq!(names(), "Demo,First");
    // A run is of the project's files, not of this database.
    sandbox
        .run(&["run", "--", "sh", "-c", "psql \"$DATABASE_URL\" -Atc 'select name from items'"])
        .ok()
        .says("Dev");

    // What is of another profile says how it is applied, and then that is remembered.
    let hint = "devdb seed --profile 'big one' applies it";
    sandbox.run(&["up", "--profile", "big one"]).ok().says(hint);
    assert_eq!(profile()[0], "demo");
    sandbox.run(&["seed", "--profile", "big one"]).ok();
    assert_eq!(names(), "Big,Demo,First");
    assert_eq!(profile()[0], "big one");
    // What nobody wrote to would go.
    sandbox.sql("update items set name = name");
    sandbox.run(&["reset"]).ok();
    assert_eq!(names(), "Big,First");
    sandbox.run(&["undo"]).ok();
    assert_eq!(names(), "Big,Demo,First");

    // When its directory is gone, the database goes on, and the way out that is said works.
    std::fs::remove_dir_all(sandbox.path("seeds/big one")).unwrap();
    let up = sandbox.run(&["up"]).ok();
    up.says("the seed profile big one has no directory").says("devdb reset --profile dev");
    for command in ["seed", "reset"] {
        sandbox.run(&[command]).exits(3).says("devdb reset --profile dev");
    }

    // The usual profile is not remembered, so that a change of the files counts.
    sandbox.run(&["reset", "--profile", "dev"]).ok();
    assert_eq!(names(), "Dev,First");
    sandbox.write("devdb.yaml", "project: shop\nseeds:\n  profile: demo\n");
    assert_eq!(profile(), ["demo", "devdb.yaml:3"]);
    sandbox.run(&["reset"]).ok();
    assert_eq!(names(), "Demo,First");
}

fn the_sample_is_up_and_seeded_and_up_again_changes_nothing(sandbox: &Sandbox) {
    sandbox.run(&["status", "--check"]).exits(4).says("not there yet");
    sandbox.run(&["url"]).exits(1).says("devdb up");
    let first = sandbox.run(&["up", "--json"]).ok();
    assert_eq!(first.json()["result"]["how"], "created");
    assert_eq!(sandbox.sql("select count(*) from gateways"), "12");
    assert_eq!(sandbox.sql("select count(*) from organizations"), "2");
    assert_eq!(sandbox.sql("select count(distinct timezone) from factories"), "4");

    let mine = || {
        let list = sandbox.run(&["list", "--json"]).ok().json();
        let all = list["result"]["instances"].as_array().unwrap().clone();
        all.into_iter().filter(|i| i["current"] == true).collect::<Vec<_>>()
    };
    let before = mine();
    let again = sandbox.run(&["up", "--json"]).ok();
    assert_eq!(again.json()["result"]["how"], "unchanged");
    assert_eq!(mine(), before);
    sandbox.run(&["status", "--check"]).ok().says("running");
    sandbox.run(&["migrate", "status", "--check"]).ok().says("0 pending");

    sandbox.run(&["down", "--purge"]).exits(2).says("--yes");
    assert_eq!(sandbox.sql("select count(*) from gateways"), "12");
    sandbox.run(&["down", "--purge", "--yes"]).ok();
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
    sandbox.run(&["down", "--purge", "--yes"]).ok().says("nothing");
}

fn data_and_port_survive_stop_start_and_down(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let url = sandbox.url();
    sandbox.sql("insert into items (name) values ('mine')");
    for (end, begin) in [("stop", "start"), ("down", "start"), ("stop", "up"), ("down", "up")] {
        sandbox.run(&[end]).ok();
        assert_ne!(psql(&url, "select 1").code, 0, "still up after {end}");
        sandbox.run(&["status", "--check"]).exits(4);
        sandbox.run(&[begin]).ok();
        assert_eq!(sandbox.url(), url, "after {end} and {begin}");
        assert_eq!(sandbox.sql("select count(*) from items where name = 'mine'"), "1");
    }
    sandbox.run(&["logs", "-n", "5"]).ok().says("ready to accept connections");
}

fn a_project_with_awkward_names(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.write(
        "devdb.yaml",
        "project: Ünï code & Söhne\npostgres:\n  database: 'Mixed \"quoted\" näme'\n  user: Anna.B\n",
    );
    sandbox.run(&["up"]).ok();
    assert_eq!(
        sandbox.sql("select current_database() || ',' || current_user"),
        "Mixed \"quoted\" näme,Anna.B"
    );
    let psql = sandbox.run(&["psql", "--", "-XAtc", "select count(*) from items"]).ok();
    assert_eq!(psql.line(), "1");
    sandbox.run(&["reset"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items"), "1");
}

fn settings_are_applied_and_lineage_is_refused(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) values ('mine')");
    sandbox.write(
        "devdb.yaml",
        "project: shop\npostgres:\n  durability: relaxed\n  settings: { work_mem: 7MB }\n",
    );
    let up = sandbox.run(&["up", "--json"]).ok();
    assert_eq!(up.json()["result"]["how"], "relaunched");
    assert_eq!(sandbox.sql("show work_mem"), "7MB");
    assert_eq!(sandbox.sql("show synchronous_commit"), "off");
    assert_eq!(sandbox.sql("select count(*) from items where name = 'mine'"), "1");

    sandbox.write("devdb.yaml", "project: shop\npostgres: { database: other, user: somebody }\n");
    sandbox.run(&["up"]).exits(3).says("database").says("user").says("devdb reset");
    assert_eq!(sandbox.sql("select count(*) from items where name = 'mine'"), "1");
}

fn port_of(sandbox: &Sandbox) -> u16 {
    let status = sandbox.run(&["status", "--json"]).ok().json();
    status["result"]["port"].as_u64().and_then(|port| port.try_into().ok()).unwrap()
}

/// The engine lets go of the port a moment after the server has ended.
fn take(port: u16) -> TcpListener {
    let mut holder = None;
    eventually("the port is free", Duration::from_secs(10), || {
        holder = TcpListener::bind(("127.0.0.1", port)).ok();
        holder.is_some()
    });
    holder.unwrap()
}

fn a_taken_port_is_moved_off_or_refused(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up", "--write-env", ".env"]).ok();
    let port = port_of(sandbox);
    sandbox.sql("insert into items (name) values ('mine')");
    sandbox.run(&["stop"]).ok();
    let holder = take(port);

    let fixed = sandbox.run(&["up", "--port", &port.to_string()]).exits(12);
    fixed.says(&port.to_string());
    // The file still has the old address: devdb says so, or mends it where it is told to.
    let moved = sandbox.run(&["up"]).ok().says(&format!("port {port} is taken"));
    moved.says("moved to port").says("DATABASE_URL in .env");
    assert!(!sandbox.url().contains(&format!(":{port}/")));
    sandbox.write("devdb.yaml", "project: shop\nenv: { write: .env }\n");
    let port = port_of(sandbox);
    sandbox.run(&["stop"]).ok();
    let second = take(port);
    sandbox.run(&["start"]).ok().says("moved to port").says(".env has the address of the database");
    drop(second);
    let env = std::fs::read_to_string(sandbox.path(".env")).unwrap();
    assert!(env.contains(&sandbox.url()), "{env}");
    assert_eq!(sandbox.sql("select count(*) from items where name = 'mine'"), "1");
    drop(holder);

    // Before anything is created.
    let holder = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    let before = sandbox.leftovers();
    let refused = sandbox.run(&["--instance", "second", "up", "--port", &port]).exits(12);
    refused.says(&port);
    assert_eq!(sandbox.leftovers(), before, "something was left behind");
}

fn a_lost_and_a_damaged_record_are_rebuilt(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let old = sandbox.url();
    sandbox.sql("insert into items (name) values ('mine')");
    let record = std::fs::read_dir(sandbox.data_dir().join("instances"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "json"))
        .unwrap();

    std::fs::remove_file(&record).unwrap();
    sandbox.run(&["up"]).ok().says("was lost");
    assert_eq!(sandbox.sql("select count(*) from items where name = 'mine'"), "1");
    assert_ne!(psql(&old, "select 1").code, 0, "the old password still works");

    let text = std::fs::read_to_string(&record).unwrap();
    std::fs::write(&record, &text[..text.len() / 2]).unwrap();
    sandbox.run(&["status"]).exits(21).says("damaged");
    sandbox.run(&["up"]).ok().says("damaged");
    assert_eq!(sandbox.sql("select count(*) from items where name = 'mine'"), "1");

    // Which generation was before which is known all the same.
    for name in ["later", "latest"] {
        sandbox.run(&["reset"]).ok();
        sandbox.sql(&format!("insert into items (name) values ('{name}')"));
    }
    std::fs::remove_file(&record).unwrap();
    sandbox.run(&["up"]).ok().says("was lost");
    let names = || sandbox.sql("select string_agg(name, ',' order by name) from items");
    assert_eq!(names(), "First,latest");
    for expected in ["First,later", "First,latest", "First,later"] {
        sandbox.run(&["undo"]).ok();
        assert_eq!(names(), expected);
    }

    // The one that the server is on is the current one, though another is newer.
    let old = sandbox.url();
    sandbox.run(&["stop"]).ok();
    std::fs::remove_file(&record).unwrap();
    sandbox.run(&["up"]).ok().says("was lost");
    assert_eq!(names(), "First,later");
    assert_ne!(psql(&old, "select 1").code, 0, "the old password still works");
    sandbox.run(&["undo"]).ok();
    assert_eq!(names(), "First,latest");
    // What was copied ahead for a reset and in no record is not kept. On docker there are also the
    // server's container and the one that holds the former generations.
    assert_eq!(sandbox.leftovers().len(), if sandbox.on == On::Docker { 5 } else { 3 });
}

fn a_setting_that_the_server_does_not_know_is_named(sandbox: &Sandbox) {
    sandbox.project();
    for (setting, says) in [
        ("shared_bufers: 256MB", "unrecognized configuration parameter \"shared_bufers\""),
        ("shared_buffers: 256XB", "invalid value for parameter \"shared_buffers\""),
    ] {
        let text = format!("project: shop\npostgres:\n  settings: {{ {setting} }}\n");
        sandbox.write("devdb.yaml", &text);
        let ran = sandbox.run(&["up"]).exits(11).says(&format!("why: {says}"));
        ran.says("below postgres.settings in devdb.yaml");
    }
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}

fn a_server_that_cannot_start_is_reported_and_the_old_one_comes_back(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let url = sandbox.url();
    sandbox.write(
        "devdb.yaml",
        "project: shop\npostgres:\n  settings: { shared_buffers: nonsense }\n",
    );
    let up = sandbox.run(&["up"]).exits(11);
    assert!(up.took < Duration::from_secs(15), "{:?}", up.took);
    up.says("shared_buffers").says("as it was before");
    assert_eq!(psql(&url, "select count(*) from items").ok().line(), "1");
}

fn an_instance_that_is_down_survives_a_bad_setting(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) values ('mine')");
    sandbox.run(&["down"]).ok();
    let project = "project: shop\npostgres:\n  settings: { shared_buffers: nonsense }\n";
    sandbox.write("devdb.yaml", project);
    sandbox.run(&["up"]).exits(11).says("shared_buffers");
    sandbox.run(&["up"]).exits(11).says("shared_buffers");
    sandbox.write("devdb.yaml", "project: shop\n");
    sandbox.run(&["up"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items where name = 'mine'"), "1");
}

fn a_renamed_directory_keeps_its_database(sandbox: &Sandbox) {
    sandbox.project();
    let (old, new) = (sandbox.path("old name"), sandbox.path("new name"));
    std::fs::create_dir(&old).unwrap();
    for name in ["migrations", "seeds"] {
        std::fs::rename(sandbox.path(name), old.join(name)).unwrap();
    }
    std::fs::remove_file(sandbox.path("devdb.yaml")).unwrap();
    std::fs::write(old.join("devdb.yaml"), "").unwrap();
    sandbox.run_in(&old, &["up"]).ok();
    let url = sandbox.run_in(&old, &["url"]).ok().line();
    psql(&url, "update items set name = 'mine'").ok();
    std::fs::rename(&old, &new).unwrap();
    sandbox.run_in(&new, &["down"]).ok();
    sandbox.run_in(&new, &["up"]).ok();
    assert_eq!(sandbox.run_in(&new, &["url"]).ok().line(), url);
    assert_eq!(psql(&url, "select name from items").ok().line(), "mine");
    sandbox.run_in(&new, &["reset"]).ok();
    sandbox.run_in(&new, &["undo"]).ok();
    assert_eq!(psql(&url, "select name from items").ok().line(), "mine");
}

/// The database is named after the project, unless the settings name it.
fn a_renamed_project_keeps_its_database_and_so_does_a_copy(sandbox: &Sandbox) {
    sandbox.project();
    std::fs::create_dir(sandbox.path("seeds/demo")).unwrap();
    sandbox.write("seeds/demo/900_more.sql", "INSERT INTO items (name) VALUES ('of demo');\n");
    sandbox.run(&["up", "--profile", "demo"]).ok();
    let setting = |arguments: &[&str], key: &str| -> [String; 2] {
        let config = sandbox.run(&[arguments, &["config", "--json"]].concat()).ok().json();
        let settings = config["result"]["settings"].as_array().unwrap();
        let setting = settings.iter().find(|setting| setting["key"] == key).unwrap();
        ["value", "origin"].map(|part| setting[part].as_str().unwrap().to_owned())
    };
    assert_eq!(setting(&[], "postgres.database"), ["shop", "default"]);
    sandbox.write("devdb.yaml", "project: store\n");
    assert_eq!(setting(&[], "postgres.database"), ["shop", "remembered for this database"]);
    sandbox.run(&["up", "--instance", "copy", "--from", "main"]).ok().says("/shop");
    assert_eq!(setting(&["--instance", "copy"], "postgres.database")[0], "shop");
    assert_eq!(setting(&["--instance", "copy"], "seeds.profile")[0], "demo");
    sandbox.run(&["reset", "--instance", "copy"]).ok();
    let url = sandbox.run(&["url", "--instance", "copy"]).ok().line();
    assert_eq!(psql(&url, "select count(*) from items where name = 'of demo'").ok().line(), "1");
    sandbox.run(&["down", "--purge", "--yes", "--instance", "copy"]).ok();
}

fn migrations_are_applied_and_a_failing_one_leaves_the_earlier(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.write("migrations/20260102000000_good.sql", "ALTER TABLE items ADD note text;\n");
    sandbox.write(
        "migrations/20260103000000_bad.sql",
        "-- fine so far\nALTER TABLE items\n  ADD COLUMN price numeric(,2);\n",
    );
    sandbox.run(&["status", "--check"]).exits(4).says("20260102000000_good.sql");
    sandbox
        .run(&["migrate"])
        .exits(20)
        .says("20260103000000_bad.sql:3:")
        .says("syntax error")
        .says("^");
    assert_eq!(sandbox.sql("select count(note) from items"), "0");
    sandbox
        .write("migrations/20260103000000_bad.sql", "ALTER TABLE items ADD price numeric(8,2);\n");
    sandbox.run(&["up"]).ok().says("applied");

    sandbox.write("migrations/20260102000000_good.sql", "ALTER TABLE items ADD changed text;\n");
    sandbox.run(&["migrate", "status", "--check"]).exits(21).says("changed");
    sandbox.run(&["up"]).exits(21).says("20260102000000_good.sql").says("devdb reset");
    sandbox.run(&["migrate", "new", "Add Invoices!"]).ok().says("add_invoices.sql");
}

fn seeds_are_applied_once_and_a_change_is_said(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up", "--no-seed"]).ok().says("devdb seed");
    assert_eq!(sandbox.sql("select count(*) from items"), "0");
    sandbox.run(&["seed"]).ok();
    sandbox.run(&["seed"]).ok();
    sandbox.run(&["up"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items"), "1");
    sandbox.write("seeds/010_items.yaml", "items:\r\n  first:\r\n    name: First\r\n");
    sandbox.run(&["status", "--check"]).ok();
    sandbox.write("seeds/010_items.yaml", "items:\n  first:\n    name: Second\n");
    sandbox.run(&["up"]).ok().says("changed since it was applied");
    sandbox.run(&["status", "--check"]).exits(4);
    sandbox.run(&["reset"]).ok();
    assert_eq!(sandbox.sql("select name from items"), "Second");
    for command in ["start", "restart", "migrate"] {
        let ran = sandbox.run(&[command]).ok();
        assert!(!ran.stdout.contains("010_items"), "{}", ran.stdout);
    }
    std::fs::remove_file(sandbox.path("seeds/010_items.yaml")).unwrap();
    sandbox.run(&["up"]).ok().says("missing: 010_items.yaml");
    sandbox.run(&["status", "--check"]).exits(4).says("missing 010_items.yaml");
    let reset = sandbox.run(&["reset"]).ok();
    assert!(!reset.stdout.contains("010_items"), "{}", reset.stdout);
    assert_eq!(sandbox.sql("select count(*) from items"), "0");
}

/// A process that was killed keeps its number until its parent has collected it. In a container
/// without an init process nobody ever does.
#[test]
fn a_killed_server_is_replaced_at_once() {
    let Some(sandbox) = Sandbox::new(On::Native, "a killed server") else { return };
    sandbox.project();
    sandbox.run(&["up"]).ok();
    for command in ["reset", "undo", "up"] {
        sandbox.sql("insert into items (name) values ('mine')");
        kill_server(&sandbox);
        sandbox.run(&[command]).ok();
        assert!(sandbox.sql("select count(*) from items").parse::<u32>().unwrap() > 0);
    }
}

/// Kills the one running server of a sandbox, while a client of its is busy.
fn kill_server(sandbox: &Sandbox) {
    let url = sandbox.url();
    let mut busy = std::process::Command::new("psql");
    busy.args([&url, "-XAtqc", "select count(*) from generate_series(1, 30000000)"]);
    let mut busy = busy.stderr(std::process::Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let pid =
        sandbox.sql("select pg_read_file('postmaster.pid')").lines().next().unwrap().to_owned();
    let killed = std::process::Command::new("kill").args(["-KILL", &pid]).status();
    assert!(killed.unwrap().success());
    drop(busy.kill());
    busy.wait().unwrap();
}
