//! Snapshots: saved while clients write, restored, undone, carried to another instance.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::daemon::PrivateDaemon;
use crate::disk::{Fs, SmallDisk};
use crate::sandbox::{On, Ran, Sandbox, docker, eventually, finish, psql, spawn, wait};

const MB: u64 = 1 << 20;

crate::on_both_engines!(
    what_was_saved_comes_back_and_undo_brings_back_what_was_there,
    restoring_again_and_again_pushes_out_nothing_that_somebody_wrote,
    what_was_written_after_a_restore_survives_undo_and_undo_again,
    what_was_restored_counts_when_its_snapshot_is_gone,
    a_save_while_a_client_writes_is_of_one_moment_and_disconnects_nobody,
    where_the_settings_allow_no_copy_another_server_stands_in_and_that_is_said,
    a_stand_in_goes_with_the_command_that_is_interrupted_or_killed,
    a_stopped_instance_is_saved_as_it_is,
    names_are_checked_and_never_given_twice,
    an_older_snapshot_gets_the_migrations_it_lacks,
    a_file_brings_a_snapshot_to_another_developer,
    a_file_that_is_not_right_is_refused_and_nothing_made,
    a_damaged_manifest_is_named_and_never_used,
    what_a_killed_command_leaves_is_removed_by_the_next,
    an_interrupted_command_leaves_nothing_and_the_database_serving,
    purge_removes_snapshots_too,
);

/// Sends the signal of Ctrl-C to a devdb once it listens for it, unless it has ended before.
fn interrupt(pid: u32) {
    const SIGINT: u64 = 1 << 1;
    let listens = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        caught.is_none_or(|set| u64::from_str_radix(set.trim(), 16).unwrap() & SIGINT != 0)
            || status.contains("State:\tZ")
    };
    eventually("devdb listens for Ctrl-C", Duration::from_secs(10), listens);
    assert!(Command::new("kill").args(["-INT", &pid.to_string()]).status().unwrap().success());
}

/// A digest of every row of every table, devdb's own among them.
fn checksum(sandbox: &Sandbox) -> String {
    checksum_without(sandbox, &[])
}

/// The same, but for some tables.
fn checksum_without(sandbox: &Sandbox, without: &[&str]) -> String {
    let tables = sandbox.sql(
        "select string_agg(name, ' ' order by name) \
         from pg_tables, format('%I.%I', schemaname, tablename) as name \
         where schemaname not in ('pg_catalog', 'information_schema')",
    );
    let of = |table: &str| {
        sandbox.sql(&format!(
            "select md5(coalesce(string_agg(md5(t::text), '' order by t::text), '')) from {table} t"
        ))
    };
    let tables = tables.split(' ').filter(|table| !without.contains(table));
    tables.map(|table| format!("{table} {}\n", of(table))).collect()
}

/// How many volumes (native: directories) of snapshots the engine has, finished or not.
fn kept(sandbox: &Sandbox) -> usize {
    match sandbox.on {
        On::Docker => {
            let developer = format!("label=devdb.developer={}", sandbox.developer());
            let filters = ["--filter", &developer, "--filter", "label=devdb.snapshot"];
            sandbox.docker(&[&["volume", "ls", "-q"], &filters[..]].concat()).lines().count()
        }
        On::Native => walk(&sandbox.store())
            .iter()
            .filter(|path| path.parent().is_some_and(|parent| parent.ends_with("snapshots")))
            .count(),
    }
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("pgdata") {
            found.extend(walk(&path));
        }
        found.push(path);
    }
    found
}

/// Containers (native: none are left by nature) that are not the instance's own.
fn helpers(sandbox: &Sandbox) -> String {
    match sandbox.on {
        On::Docker => {
            let developer = format!("label=devdb.developer={}", sandbox.developer());
            let role = "label=devdb.role=builder";
            sandbox.docker(&["ps", "-aq", "--filter", &developer, "--filter", role])
        }
        On::Native => String::new(),
    }
}

fn what_was_saved_comes_back_and_undo_brings_back_what_was_there(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["snapshot", "save"]).exits(1).says("devdb up");
    sandbox.run(&["up"]).ok();
    let url = sandbox.url();
    sandbox.sql("insert into items (name) select 'saved' from generate_series(1, 5000)");
    let saved = checksum(sandbox);
    let save = sandbox.run(&["snapshot", "save", "first", "-m", "before it all", "--json"]).ok();
    assert_eq!(save.json()["result"]["name"], "first");
    assert_eq!(save.json()["result"]["interrupted_ms"], serde_json::Value::Null);
    sandbox.sql("delete from items; insert into items (name) values ('later')");
    let later = checksum(sandbox);

    let list = sandbox.run(&["snapshot", "list", "--json"]).ok().json();
    let manifest = &list["result"]["snapshots"][0]["manifest"];
    assert_eq!(manifest["message"], "before it all");
    assert_eq!(manifest["migrations"][0]["version"], 20_260_101_000_000_u64);
    assert!(manifest["disk_bytes"].as_u64().unwrap() > 1 << 20, "{manifest}");
    assert!(manifest["server_version"].as_str().unwrap().starts_with("15."), "{manifest}");
    sandbox.run(&["snapshot", "show", "first"]).ok().says("before it all").says("create items");
    sandbox.run(&["status"]).ok().says("snapshots");

    sandbox.run(&["snapshot", "restore", "first"]).ok().says("devdb undo");
    assert_eq!(sandbox.url(), url);
    assert_eq!(checksum(sandbox), saved);
    sandbox.run(&["up", "--json"]).ok().says("\"unchanged\"");
    sandbox.run(&["undo"]).ok();
    assert_eq!(checksum(sandbox), later);
    sandbox.run(&["undo"]).ok();
    assert_eq!(checksum(sandbox), saved);
    // A snapshot is never used up.
    sandbox.run(&["snapshot", "restore", "first"]).ok();
    assert_eq!(checksum(sandbox), saved);
    sandbox.run(&["snapshot", "rm", "first", "--yes"]).ok();
    assert_eq!((kept(sandbox), helpers(sandbox)), (0, String::new()));
    assert_eq!(checksum(sandbox), saved);
}

fn restoring_again_and_again_pushes_out_nothing_that_somebody_wrote(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.run(&["snapshot", "save", "first"]).ok();
    sandbox.sql("insert into items (name) values ('mine')");
    for _ in 0..4 {
        sandbox.run(&["snapshot", "restore", "first"]).ok();
    }
    assert_eq!(sandbox.sql("select count(*) from items where name = 'mine'"), "0");
    sandbox.run(&["undo"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items where name = 'mine'"), "1");
    // However much is written later, what was written first stays within reach.
    for _ in 0..3 {
        sandbox.sql("insert into items (name) values ('more')");
        let ran = sandbox.run(&["snapshot", "restore", "first"]).ok();
        assert!(!ran.stderr.contains("removes"), "{}", ran.stderr);
    }
    sandbox.run(&["generations", "switch", "1"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items where name = 'mine'"), "1");
}

fn what_was_written_after_a_restore_survives_undo_and_undo_again(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.run(&["snapshot", "save", "first"]).ok();
    sandbox.run(&["snapshot", "restore", "first"]).ok();
    sandbox.sql("insert into items (name) values ('mine')");
    sandbox.run(&["reset"]).ok();
    for expected in ["1", "0", "1", "0", "1"] {
        sandbox.run(&["undo"]).ok();
        assert_eq!(sandbox.sql("select count(*) from items where name = 'mine'"), expected);
    }
}

fn what_was_restored_counts_when_its_snapshot_is_gone(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) values ('mine')");
    sandbox.run(&["snapshot", "save", "only"]).ok();
    sandbox.run(&["reset", "--wipe", "--yes"]).ok().says("as --wipe asks");
    sandbox.run(&["snapshot", "restore", "only"]).ok().says("nobody had written to it");
    sandbox.run(&["snapshot", "rm", "only"]).ok();
    sandbox.run(&["reset"]).ok().says("is kept");
    sandbox.run(&["undo"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items where name = 'mine'"), "1");
}

fn a_save_while_a_client_writes_is_of_one_moment_and_disconnects_nobody(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.sql(
        "create table ledger (id bigint primary key, account int, amount int, filler text); \
         insert into ledger select g, g % 10, 0, repeat('x', 200) from generate_series(1, 40000) g; \
         create table still as select md5(g::text) as text from generate_series(1, 20000) g",
    );
    let others = || checksum_without(sandbox, &["public.ledger", "public.items"]);
    let still = others();
    assert!(still.contains("public.still"), "{still}");
    // Each transaction moves an amount between two rows and counts itself: the sum is always 0,
    // and rows and counts agree, at every moment that is one.
    let mut client = Command::new("psql")
        .args([&sandbox.url(), "-XAtqv", "ON_ERROR_STOP=1"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut input = client.stdin.take().unwrap();
    let writing = std::thread::spawn(move || {
        let mut count = 0_u32;
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            count += 1;
            let (a, b) = (count * 7919 % 40_000 + 1, count * 104_729 % 40_000 + 1);
            let wrote = writeln!(
                input,
                "begin; update ledger set amount = amount - 1 where id = {a}; \
                 update ledger set amount = amount + 1 where id = {b}; \
                 insert into items (name) values ('moved {count}'); commit;"
            );
            if wrote.is_err() || std::thread::panicking() {
                break;
            }
        }
    });
    eventually("the client writes", Duration::from_secs(10), || {
        sandbox.sql("select count(*) from items") != "1"
    });
    let before: u64 = sandbox.sql("select count(*) from items").parse().unwrap();
    sandbox.run(&["snapshot", "save", "busy"]).ok();
    let after: u64 = sandbox.sql("select count(*) from items").parse().unwrap();
    assert!(after > before, "the client wrote nothing meanwhile");
    assert!(client.try_wait().unwrap().is_none(), "the client was disconnected");
    client.kill().unwrap();
    client.wait().unwrap();
    writing.join().unwrap();

    sandbox.run(&["snapshot", "restore", "busy"]).ok();
    let restored: u64 = sandbox.sql("select count(*) from items").parse().unwrap();
    assert!((before..=after).contains(&restored), "{before} {restored} {after}");
    assert_eq!(sandbox.sql("select sum(amount) from ledger"), "0");
    assert_eq!(others(), still);
    // Every one from the first to the last: none is missing in between.
    let last = restored - 1;
    let missing = format!(
        "select count(*) from generate_series(1, {last}) g \
         where not exists (select from items where name = 'moved ' || g)"
    );
    assert_eq!(sandbox.sql(&missing), "0");
    assert_eq!(sandbox.sql("select count(*) from ledger where length(filler) = 200"), "40000");
    sandbox.sql("create extension if not exists amcheck");
    sandbox.sql("select bt_index_check(indexrelid, true) from pg_index join pg_class c on c.oid = indexrelid join pg_am a on a.oid = relam where amname = 'btree'");
}

/// On a server that writes commits to disk late.
fn up_where_the_settings_allow_no_copy(sandbox: &Sandbox) {
    sandbox.project();
    let settings = "wal_level: minimal, max_wal_senders: '0', wal_writer_delay: 10s";
    sandbox.write(
        "devdb.yaml",
        &format!(
            "project: shop\npostgres: {{ durability: relaxed, settings: {{ {settings} }} }}\n"
        ),
    );
    sandbox.run(&["up"]).ok();
}

fn where_the_settings_allow_no_copy_another_server_stands_in_and_that_is_said(sandbox: &Sandbox) {
    up_where_the_settings_allow_no_copy(sandbox);
    sandbox.sql("insert into items (name) values ('mine')");
    let saved = checksum(sandbox);
    sandbox
        .run(&["snapshot", "save", "first"])
        .ok()
        .says("disconnected")
        .says("could not reach the database for");
    assert_eq!(checksum(sandbox), saved);
    assert_eq!(sandbox.sql("show wal_level"), "minimal");
    let away = ["1", "2", "3"].map(|name| {
        let report = sandbox.run(&["snapshot", "save", name, "--json"]).ok().json();
        let away = report["result"]["interrupted_ms"].as_u64().unwrap();
        assert!(away > 0 && away <= report["result"]["took_ms"].as_u64().unwrap(), "{report}");
        away
    });
    // The shortest: the disk is waited for, and other tests keep it busy.
    assert!(away.iter().min() < Some(&1000), "{away:?}");
    sandbox.sql("delete from items");
    sandbox.run(&["snapshot", "restore", "first"]).ok();
    assert_eq!(checksum(sandbox), saved);
}

fn a_stand_in_goes_with_the_command_that_is_interrupted_or_killed(sandbox: &Sandbox) {
    up_where_the_settings_allow_no_copy(sandbox);
    let url = sandbox.url();
    sandbox.sql("insert into items (name) select 'mine' from generate_series(1, 100000)");
    let saved = checksum(sandbox);
    let whole = sandbox.run(&["snapshot", "save", "whole"]).ok().took;
    for step in 1..=7 {
        let (mut child, begun) = spawn(sandbox.command(&["snapshot", "save", "cut"]));
        std::thread::sleep(whole * step / 8);
        if step % 2 == 0 {
            child.kill().unwrap();
            child.wait().unwrap();
            // Perhaps to the server that stands in: what it says is done is done.
            let written = psql(&url, "insert into items (name) values ('late')").code == 0;
            if written {
                // Whatever the next command is, it leaves the database there.
                sandbox.run(&["snapshot", "list"]).ok();
                psql(&url, "select 1").ok();
            }
            sandbox.run(&["up"]).ok();
            let late = psql(&url, "delete from items where name = 'late' returning name").ok();
            assert_eq!(late.stdout.contains("late"), written, "killed at {step}/8");
        } else {
            interrupt(child.id());
            let ran = wait((child, begun));
            assert!([0, 130].contains(&ran.code), "{step}/8\n{}", ran.stderr);
        }
        let level = psql(&url, "show wal_level");
        assert_eq!(level.ok().stdout.trim(), "minimal", "cut short at {step}/8");
        assert_eq!(checksum(sandbox), saved, "cut short at {step}/8");
        assert_eq!(helpers(sandbox), "", "cut short at {step}/8");
        let listed = sandbox.run(&["snapshot", "list", "--json"]).ok().json();
        let listed = listed["result"]["snapshots"].as_array().unwrap().len();
        assert_eq!(kept(sandbox), listed, "cut short at {step}/8");
        if listed == 2 {
            sandbox.run(&["snapshot", "rm", "cut"]).ok();
        }
    }
}

fn a_stopped_instance_is_saved_as_it_is(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.sql("create unlogged table scratch as select 1 as one");
    let saved = checksum(sandbox);
    sandbox.run(&["snapshot", "save", "running"]).ok().says("scratch");
    sandbox.run(&["stop"]).ok();
    sandbox.run(&["snapshot", "save", "stopped"]).ok();
    sandbox.run(&["down"]).ok();
    sandbox.run(&["snapshot", "save", "down"]).ok();
    sandbox.run(&["up"]).ok();
    sandbox.sql("drop table scratch");
    for name in ["stopped", "down"] {
        sandbox.run(&["snapshot", "restore", name]).ok();
        assert_eq!(checksum(sandbox), saved, "{name}");
    }
}

fn names_are_checked_and_never_given_twice(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.run(&["snapshot", "save", "../escape"]).exits(2).says("no name");
    sandbox.run(&["snapshot", "save", "before"]).ok();
    sandbox.run(&["snapshot", "save", "before"]).exits(23).says("already").says("snapshot rm");
    sandbox.run(&["snapshot", "restore", "befor"]).exits(23).says("did you mean before");
    sandbox.run(&["snapshot", "rm", "other"]).exits(23).says("no snapshot");
    sandbox.run(&["snapshot", "show", "other"]).exits(23);
    let unnamed = sandbox.run(&["snapshot", "save", "--json"]).ok().json();
    let name = unnamed["result"]["name"].as_str().unwrap().to_owned();
    assert_eq!(name.len(), "20261125-101500".len(), "{name}");
    sandbox.run(&["snapshot", "list"]).ok().says(&name).says("before");
    assert_eq!(kept(sandbox), 2);
}

fn an_older_snapshot_gets_the_migrations_it_lacks(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.run(&["snapshot", "save", "old"]).ok();
    sandbox.write("migrations/20260102000000_note.sql", "ALTER TABLE items ADD note text;\n");
    sandbox.run(&["up"]).ok();
    sandbox
        .run(&["snapshot", "restore", "old", "--no-migrate"])
        .ok()
        .says("20260102000000_note.sql: not applied");
    sandbox
        .run(&["snapshot", "restore", "old"])
        .ok()
        .says("what the snapshot lacks: 20260102000000_note.sql")
        .says("applied 1 migration");
    assert_eq!(sandbox.sql("select count(note) from items"), "0");
    sandbox.write("devdb.yaml", "project: shop\npostgres: { database: another }\n");
    sandbox.run(&["snapshot", "restore", "old"]).exits(3).says("\"shop\" → \"another\"");
}

/// A command of another developer, with a home and a copy of the project of their own.
fn bert(sandbox: &Sandbox, arguments: &[&str]) -> Ran {
    let directory = sandbox.path("bert");
    let home = sandbox.path("bert-home");
    std::fs::create_dir_all(&home).unwrap();
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("devdb.yaml"), "project: shop\n").unwrap();
    let mut command = sandbox.command_in(&directory, arguments);
    // The developer stays the test's, so that the sandbox cleans up; the instance is another.
    command.env("DEVDB_INSTANCE", "bert").env("DEVDB_DATA_DIR", sandbox.data_dir());
    finish(command)
}

fn a_file_brings_a_snapshot_to_another_developer(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) select 'item ' || g from generate_series(1, 2000) g");
    let saved = checksum(sandbox);
    sandbox.run(&["snapshot", "save", "mine"]).ok();
    let file = sandbox.path("mine.tar.zst");
    let file = file.to_str().unwrap();
    sandbox.run(&["snapshot", "export", "mine", file]).ok().says("SHA-256");
    sandbox.run(&["snapshot", "export", "mine", file]).exits(23).says("--force");
    sandbox.run(&["snapshot", "export", "mine", file, "--force"]).ok();

    bert(sandbox, &["snapshot", "import", file]).exits(1).says("devdb up");
    bert(sandbox, &["up"]).ok();
    let url = bert(sandbox, &["url"]).ok().line();
    bert(sandbox, &["snapshot", "import", file]).ok();
    bert(sandbox, &["snapshot", "import", file]).exits(23).says("already");
    bert(sandbox, &["snapshot", "import", file, "--name", "again"]).ok();
    let restored = bert(sandbox, &["snapshot", "restore", "again"]).ok();
    assert!(!restored.stderr.contains("password"), "{}", restored.stderr);
    // They have none of Anna's migration files.
    restored.says("devdb migrate status");
    // The data is Anna's, the password is not.
    assert_eq!(bert(sandbox, &["url"]).ok().line(), url);
    assert_eq!(psql(&url, "select count(*) from items").ok().line(), "2001");
    let theirs = |url: &str| url.split([':', '@']).nth(2).unwrap().to_owned();
    let anna = url.replace(&theirs(&url), &theirs(&sandbox.url()));
    assert_ne!(psql(&anna, "select 1").code, 0, "another's password opens the clone");
    assert_eq!(checksum(sandbox), saved);
    assert_eq!(helpers(sandbox), "");
}

fn a_file_that_is_not_right_is_refused_and_nothing_made(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.run(&["snapshot", "save", "mine"]).ok();
    let good = sandbox.path("good.tar.zst");
    sandbox.run(&["snapshot", "export", "mine", good.to_str().unwrap()]).ok();
    sandbox.run(&["snapshot", "rm", "mine"]).ok();
    let bytes = std::fs::read(&good).unwrap();

    let refused = |name: &str, content: &[u8], why: &str| {
        sandbox.write(name, "");
        std::fs::write(sandbox.path(name), content).unwrap();
        sandbox.run(&["snapshot", "import", name]).exits(23).says(name).says(why);
        assert_eq!((kept(sandbox), helpers(sandbox)), (0, String::new()), "{name}");
    };
    refused("truncated.tar.zst", &bytes[..bytes.len() / 2], "damaged or incomplete");
    let mut flipped = bytes.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xff;
    refused("flipped.tar.zst", &flipped, "damaged");
    refused("text.tar.zst", b"hello", "cannot use the file");
    refused("empty.tar.zst", b"", "cannot use the file");

    let tampered = |what: fn(&mut Vec<Entry>)| {
        let mut entries = unpack(&bytes);
        what(&mut entries);
        pack(&entries)
    };
    let major = tampered(|entries| replace(&mut entries[0], "\"major\": 15", "\"major\": 14"));
    refused("major.tar.zst", &major, "PostgreSQL 14 → 15");
    let platform = tampered(|entries| replace(&mut entries[0], "linux/amd64", "plan9/vax"));
    refused("platform.tar.zst", &platform, "plan9/vax");
    let escaping = tampered(|entries| {
        entries.insert(2, ("data/../../escaped".into(), b"out".to_vec()));
    });
    refused("escaping.tar.zst", &escaping, "escaped");
    let stranger = tampered(|entries| {
        let last = entries.len() - 2;
        entries[last].1.push(b'x');
    });
    refused("resealed.tar.zst", &stranger, "seal");
    let name = tampered(|entries| replace(&mut entries[0], "\"mine\"", "\"../x\""));
    refused("name.tar.zst", &name, "no name");
    assert_eq!(sandbox.sql("select count(*) from items"), "1");
    sandbox.run(&["snapshot", "import", good.to_str().unwrap()]).ok();
}

/// A tar entry: its name and content; a directory's name ends with a slash.
type Entry = (String, Vec<u8>);

fn replace(entry: &mut Entry, from: &str, to: &str) {
    let text = String::from_utf8(entry.1.clone()).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    entry.1 = text.replace(from, to).into_bytes();
}

fn unpack(file: &[u8]) -> Vec<Entry> {
    let tar = zstd::decode_all(file).unwrap();
    let mut archive = tar::Archive::new(tar.as_slice());
    let mut entries = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut name = entry.path().unwrap().to_str().unwrap().to_owned();
        if entry.header().entry_type().is_dir() && !name.ends_with('/') {
            name.push('/');
        }
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        entries.push((name, content));
    }
    entries
}

fn pack(entries: &[Entry]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in entries {
        let mut header = tar::Header::new_ustar();
        let is_directory = name.ends_with('/');
        // Past the library, which would not write some of these names.
        let plain = name.trim_end_matches('/').as_bytes();
        header.as_old_mut().name[..plain.len()].copy_from_slice(plain);
        header.set_size(content.len() as u64);
        header.set_mode(if is_directory { 0o700 } else { 0o600 });
        header.set_entry_type(match is_directory {
            true => tar::EntryType::Directory,
            false => tar::EntryType::Regular,
        });
        header.set_cksum();
        tar.append(&header, content.as_slice()).unwrap();
    }
    zstd::encode_all(tar.into_inner().unwrap().as_slice(), 1).unwrap()
}

fn a_damaged_manifest_is_named_and_never_used(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.run(&["snapshot", "save", "hurt"]).ok();
    sandbox.run(&["snapshot", "save", "well"]).ok();
    let shown = sandbox.run(&["snapshot", "show", "hurt", "--json"]).ok().json();
    let handle = shown["result"]["handle"].as_str().unwrap().to_owned();
    let directory = match sandbox.on {
        On::Docker => docker(&["volume", "inspect", "-f", "{{.Mountpoint}}", &handle]),
        On::Native => handle,
    };
    let file = Path::new(directory.trim()).join("snapshot.json");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, &text[..text.len() / 2]).unwrap();
    sandbox.run(&["snapshot", "list"]).ok().says("hurt cannot be used").says("well");
    sandbox.run(&["snapshot", "restore", "hurt"]).exits(23).says("damaged");
    sandbox.run(&["snapshot", "save", "hurt"]).exits(23).says("already");
    assert_eq!(sandbox.sql("select count(*) from items"), "1");
    sandbox.run(&["snapshot", "rm", "hurt"]).ok();
    assert_eq!(kept(sandbox), 1);
}

fn what_a_killed_command_leaves_is_removed_by_the_next(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) select 'mine' from generate_series(1, 100000)");
    let saved = checksum(sandbox);
    let whole = sandbox.run(&["snapshot", "save", "whole"]).ok().took;
    for step in 1..=5 {
        let (mut child, _) = spawn(sandbox.command(&["snapshot", "save", "killed"]));
        std::thread::sleep(whole * step / 6);
        child.kill().unwrap();
        child.wait().unwrap();
        sandbox.run(&["status"]).ok();
        // Whatever takes the lock next tidies up.
        sandbox.run(&["start"]).ok();
        assert_eq!(helpers(sandbox), "", "killed at {step}/6");
        let left = kept(sandbox);
        let listed = sandbox.run(&["snapshot", "list", "--json"]).ok().json();
        let listed = listed["result"]["snapshots"].as_array().unwrap().len();
        assert_eq!(left, listed, "killed at {step}/6");
        if listed == 2 {
            sandbox.run(&["snapshot", "rm", "killed"]).ok();
        }
    }
    sandbox.sql("delete from items");
    let whole = sandbox.run(&["snapshot", "restore", "whole"]).ok().took;
    for step in 1..=5 {
        sandbox.sql("update items set name = 'changed' where name = 'First'");
        let (mut child, _) = spawn(sandbox.command(&["snapshot", "restore", "whole"]));
        std::thread::sleep(whole * step / 6);
        child.kill().unwrap();
        child.wait().unwrap();
        sandbox.run(&["up"]).ok();
        assert_eq!(helpers(sandbox), "", "killed at {step}/6");
        assert_eq!(sandbox.sql("select count(*) from items"), "100001", "killed at {step}/6");
    }
    sandbox.run(&["snapshot", "restore", "whole"]).ok();
    assert_eq!(checksum(sandbox), saved);
}

fn an_interrupted_command_leaves_nothing_and_the_database_serving(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) select 'mine' from generate_series(1, 100000)");
    let url = sandbox.url();
    let file = sandbox.path("whole.tar.zst");
    let file = file.to_str().unwrap();
    let save = sandbox.run(&["snapshot", "save", "whole"]).ok().took;
    let export = sandbox.run(&["snapshot", "export", "whole", file]).ok().took;
    let restore = sandbox.run(&["snapshot", "restore", "whole"]).ok().took;
    let commands = [
        (save, &["snapshot", "save", "cut"][..]),
        (export, &["snapshot", "export", "whole", file, "--force"][..]),
        (save, &["snapshot", "import", file, "--name", "cut"][..]),
        (restore, &["snapshot", "restore", "whole"][..]),
    ];
    for (whole, arguments) in commands {
        for step in [2, 4, 6] {
            let (child, begun) = spawn(sandbox.command(arguments));
            std::thread::sleep(whole * step / 8);
            interrupt(child.id());
            let ran = wait((child, begun));
            assert!([0, 130].contains(&ran.code), "{arguments:?} {step}/8\n{}", ran.stderr);
            assert_eq!(psql(&url, "select count(*) from items").ok().line(), "100001");
            sandbox.run(&["start"]).ok();
            assert_eq!(helpers(sandbox), "", "{arguments:?} {step}/8");
            let expected = match (ran.code, arguments.contains(&"cut")) {
                (0, true) => 2,
                _ => 1,
            };
            assert_eq!(kept(sandbox), expected, "{arguments:?} {step}/8");
            let drafts = std::fs::read_dir(sandbox.work()).unwrap().flatten();
            let drafts =
                drafts.filter(|entry| entry.path().extension() == Some("partial".as_ref()));
            assert_eq!(drafts.count(), 0, "{arguments:?} {step}/8");
            if expected == 2 {
                sandbox.run(&["snapshot", "rm", "cut"]).ok();
            }
        }
    }
}

fn purge_removes_snapshots_too(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    sandbox.run(&["snapshot", "save", "one"]).ok();
    sandbox.run(&["down"]).ok();
    assert_eq!(kept(sandbox), 1);
    sandbox.run(&["down", "--purge", "--yes"]).ok().says("snapshots");
    assert_eq!(kept(sandbox), 0);
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}

#[test]
fn a_full_disk_is_said_and_costs_nothing_on_native() {
    let Some(sandbox) = Sandbox::new(On::Native, "snapshot, disk full") else { return };
    let Some(mut disk) = SmallDisk::new(Fs::Ext4, 400 * MB, "snapshot, disk full") else { return };
    disk.bind_over(&sandbox.store());
    fills_up_and_recovers(&sandbox, &disk);
}

#[test]
fn a_full_disk_is_said_and_costs_nothing_on_docker() {
    let Some(mut sandbox) = Sandbox::new(On::Docker, "snapshot, disk full") else { return };
    let Some(disk) = SmallDisk::new(Fs::Ext4, 1200 * MB, "snapshot, disk full") else { return };
    let daemon = PrivateDaemon::with_image(&disk.path(), "postgres:15");
    sandbox.use_daemon(daemon.address());
    fills_up_and_recovers(&sandbox, &disk);
}

fn fills_up_and_recovers(sandbox: &Sandbox, disk: &SmallDisk) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let url = sandbox.url();
    sandbox.run(&["snapshot", "save", "small"]).ok();
    let file = sandbox.path("small.tar.zst");
    let file = file.to_str().unwrap();
    sandbox.run(&["snapshot", "export", "small", file]).ok();
    for free in [20 * MB, 0] {
        disk.fill_up_to(free);
        for arguments in [
            &["snapshot", "save", "large"][..],
            &["snapshot", "import", file, "--name", "large"][..],
            &["snapshot", "restore", "small"][..],
        ] {
            let ran = sandbox.run(arguments).exits(23).says("make room");
            assert!(
                ran.stderr.to_lowercase().contains("no space left on device"),
                "{}",
                ran.stderr
            );
            assert_eq!((kept(sandbox), helpers(sandbox)), (1, String::new()), "{arguments:?}");
            assert_eq!(psql(&url, "select count(*) from items").ok().line(), "1");
        }
    }
    disk.make_room();
    assert_eq!(sandbox.sql("insert into items (name) values ('still') returning name"), "still");
    sandbox.run(&["snapshot", "import", file, "--name", "large"]).ok();
    sandbox.run(&["snapshot", "restore", "large"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items"), "1");
    sandbox.run(&["down", "--purge", "--yes"]).ok();
    assert_eq!(sandbox.leftovers(), Vec::<String>::new());
}
