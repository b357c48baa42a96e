//! `docker volume prune` and `docker system prune --volumes` remove nothing that devdb keeps.

use devdb::state::Store;

use crate::daemon::PrivateDaemon;
use crate::disk::{Fs, SmallDisk};
use crate::sandbox::{On, Sandbox};

/// Removes a generation as another program would.
pub fn remove_generation_by_hand(sandbox: &Sandbox, number: u32) {
    remove_by_hand(sandbox, "generation", &id_of(sandbox, number));
}

/// The id of a generation.
fn id_of(sandbox: &Sandbox, number: u32) -> String {
    let record = Store::open(&sandbox.data_dir()).unwrap().load_all().unwrap().remove(0).unwrap();
    let generation = record.generations.iter().find(|one| one.number == number).unwrap();
    generation.id.to_string()
}

/// The volume of a snapshot, or of the generation with an id.
fn volume_of(sandbox: &Sandbox, what: &str, value: &str) -> String {
    let mine = format!("label=devdb.developer={}", sandbox.developer());
    let filter = format!("label=devdb.{what}={value}");
    let found = sandbox.docker(&["volume", "ls", "-q", "--filter", &mine, "--filter", &filter]);
    assert_eq!(found.lines().count(), 1, "{found}");
    found.trim().to_owned()
}

/// Removes a snapshot, or the generation with an id, as another program would.
pub fn remove_by_hand(sandbox: &Sandbox, what: &str, value: &str) {
    match sandbox.on {
        On::Docker => {
            for holder in holders(sandbox) {
                sandbox.docker(&["rm", "-f", &holder]);
            }
            sandbox.docker(&["volume", "rm", &volume_of(sandbox, what, value)]);
        }
        On::Native => {
            let name = match what {
                "snapshot" => format!("snapshots/{value}"),
                _ => format!("g{value}"),
            };
            let instances = std::fs::read_dir(sandbox.store()).unwrap().flatten();
            let mut found = instances.map(|entry| entry.path().join(&name));
            let found = found.find(|path| path.exists()).unwrap();
            std::fs::remove_dir_all(found).unwrap();
        }
    }
}

/// The containers that hold this sandbox's volumes.
fn holders(sandbox: &Sandbox) -> Vec<String> {
    let mine = format!("label=devdb.developer={}", sandbox.developer());
    let all = ["ps", "-aq", "--filter", &mine, "--filter", "label=devdb.holds"];
    sandbox.docker(&all).lines().map(str::to_owned).collect()
}

fn prune(sandbox: &Sandbox) {
    sandbox.docker(&["volume", "prune", "-f"]);
}

/// The lines of doctor about what clean-up commands of Docker can remove.
fn at_risk(sandbox: &Sandbox) -> Vec<String> {
    let doctor = sandbox.run(&["doctor"]).ok().stdout;
    let lines = doctor.lines().filter_map(|line| line.strip_prefix("warn "));
    lines.filter(|line| line.contains("prune")).map(str::to_owned).collect()
}

fn has(sandbox: &Sandbox, name: &str) -> bool {
    sandbox.sql(&format!("select count(*) from items where name = '{name}'")) == "1"
}

#[test]
fn what_devdb_keeps_survives_docker_volume_prune() {
    let Some(mut sandbox) = Sandbox::new(On::Docker, "prune") else { return };
    let Some(disk) = SmallDisk::new(Fs::Ext4, 2500 << 20, "prune") else { return };
    let daemon = PrivateDaemon::with_image(&disk.path(), "postgres:15");
    sandbox.use_daemon(daemon.address());
    let sandbox = &sandbox;
    sandbox.project();
    sandbox.run(&["up"]).ok();
    assert_eq!(holders(sandbox), Vec::<String>::new(), "there is nothing to hold");
    sandbox.sql("insert into items (name) values ('one')");
    sandbox.run(&["reset"]).ok();
    sandbox.sql("insert into items (name) values ('two')");
    sandbox.run(&["snapshot", "save", "s"]).ok();
    prune(sandbox);
    sandbox.run(&["snapshot", "show", "s"]).ok();
    sandbox.write("migrations/20260102000000_a.sql", "DELETE FROM items;\n");
    sandbox.run(&["up"]).ok().says("is a copy from before");
    assert_eq!(holders(sandbox).len(), 1);

    prune(sandbox);
    sandbox.docker(&["system", "prune", "--volumes", "-f"]);
    sandbox.run(&["undo"]).ok();
    assert!(has(sandbox, "two"), "what was kept before migrating");
    prune(sandbox);
    sandbox.run(&["snapshot", "restore", "s", "--no-migrate"]).ok();
    assert!(has(sandbox, "two"), "the snapshot");
    let holder = holders(sandbox);
    sandbox.run(&["up", "--no-migrate"]).ok();
    assert_eq!(holders(sandbox), holder, "the same while nothing changes");

    // What clean-up commands can remove is said by doctor, and only then.
    assert_eq!(at_risk(sandbox), Vec::<String>::new(), "everything is held");
    sandbox.docker(&["rm", "-f", &holder[0]]);
    let lines = at_risk(sandbox);
    assert!(matches!(&lines[..], [line] if line.starts_with("docker volume prune: ")), "{lines:?}");
    sandbox.run(&["restart"]).ok();
    assert_eq!(at_risk(sandbox), Vec::<String>::new(), "held again, as doctor says");

    // Without a running server, too, as far as the engine lets it.
    for end in ["stop", "down"] {
        sandbox.run(&[end]).ok();
        let lines = at_risk(sandbox);
        assert!(
            matches!(&lines[..], [line] if line.starts_with("docker system prune --volumes: ")),
            "{lines:?}"
        );
        prune(sandbox);
        sandbox.run(&["up", "--no-migrate"]).ok();
        assert!(has(sandbox, "two"), "after {end}");
        sandbox.run(&["snapshot", "show", "s"]).ok();
    }
    sandbox.docker(&["system", "prune", "--volumes", "-f"]);
    sandbox.run(&["snapshot", "show", "s"]).ok();

    // What is held can be removed.
    sandbox.run(&["snapshot", "rm", "s"]).ok();
    let volumes = sandbox.docker(&["volume", "ls", "-q"]);
    assert!(!volumes.contains("-s-s"), "{volumes}");
    sandbox.run(&["reset", "--wipe", "--yes"]).ok();
    sandbox.run(&["down", "--purge", "--yes"]).ok();
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}

#[test]
fn undo_makes_no_new_holder_and_one_that_fails_leaves_everything_held() {
    let Some(sandbox) = Sandbox::new(On::Docker, "hold") else { return };
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) values ('one')");
    sandbox.run(&["reset"]).ok();
    let holder = holders(&sandbox);
    sandbox.run(&["undo"]).ok();
    assert_eq!(holders(&sandbox), holder);
    assert_eq!(at_risk(&sandbox), Vec::<String>::new());

    sandbox.run(&["snapshot", "save", "s"]).ok();
    let volume = format!("{}:/v", volume_of(&sandbox, "generation", &id_of(&sandbox, 2)));
    let remove = ["run", "--rm", "-v", &volume, "--entrypoint", "rm", "postgres:15"];
    sandbox.docker(&[&remove[..], &["/v/pgdata/global/pg_control"]].concat());
    assert_ne!(sandbox.run(&["undo"]).code, 0);
    assert_eq!(at_risk(&sandbox), Vec::<String>::new());
    assert!(has(&sandbox, "one"));
    sandbox.run(&["down", "--purge", "--yes"]).ok();
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}

#[test]
fn data_that_docker_volume_prune_did_remove_is_said_to_be_gone() {
    let Some(mut sandbox) = Sandbox::new(On::Docker, "prune") else { return };
    let Some(disk) = SmallDisk::new(Fs::Ext4, 2500 << 20, "prune") else { return };
    let daemon = PrivateDaemon::with_image(&disk.path(), "postgres:15");
    sandbox.use_daemon(daemon.address());
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.run(&["stop"]).ok();
    sandbox.docker(&["system", "prune", "--volumes", "-f"]);
    sandbox.run(&["status"]).ok().says("is gone").says("another program removed it");
    sandbox.run(&["up"]).exits(21).says("another program removed it").says("devdb down --purge");
    sandbox.run(&["down", "--purge", "--yes"]).ok();
    sandbox.run(&["up"]).ok();
    sandbox.run(&["down", "--purge", "--yes"]).ok();
}
