//! What an engine and the disk have, against what the records say.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::sandbox::{On, Sandbox};

/// What may be beside a native data directory.
const OF_A_GENERATION: &[&str] =
    &["generation.json", "pgdata", "log", "server.json", "complete", "aside.json"];

/// Of devdb's data directory: what is looked at by other means, and the notes of what is for a time,
/// whose drafts go a minute later.
const LOOKED_AT: &[&str] = &["instances", "native", "ephemeral"];

/// What is there that no record names, and what a record names that is not there. Empty when the
/// two are the same. No devdb is asked: it would tidy up first.
pub fn without_an_owner(sandbox: &Sandbox) -> BTreeSet<String> {
    look(sandbox, |_| Vec::new())
}

/// The same right after a command, which an engine may still be removing generations for: the record
/// names them, and the next command waits.
pub fn without_an_owner_or_leaving(sandbox: &Sandbox) -> BTreeSet<String> {
    look(sandbox, |record| ids(record["leaving"].as_array().into_iter().flatten()))
}

/// `leaving`: the ids of a record's generations that may be there.
fn look(sandbox: &Sandbox, leaving: fn(&Value) -> Vec<u64>) -> BTreeSet<String> {
    let mut problems = BTreeSet::new();
    let records = records(sandbox, &mut problems);
    for record in &records {
        if !record["under_way"].is_null() {
            problems.insert(format!("{} is under way", record["under_way"]));
        }
    }
    problems.extend(half_made(sandbox));
    match sandbox.on {
        On::Docker => {
            let expected =
                &volumes_of(&records, generations_of) | &whole_snapshots(sandbox, &records);
            let found = &volumes(sandbox) - &volumes_of(&records, leaving);
            compare("volume", &expected, &found, &mut problems);
            compare("container", &servers_of(&records), &containers(sandbox), &mut problems);
            problems.extend(dangling_images(sandbox));
        }
        On::Native => {
            let store = sandbox.store();
            let expected =
                &paths_of(&records, &store) | &generation_paths(&records, generations_of);
            let found = &paths(&store) - &generation_paths(&records, leaving);
            compare("path", &expected, &found, &mut problems);
            compare("process", &processes_of(&records), &processes(&store), &mut problems);
        }
    }
    problems
}

fn compare(
    what: &str,
    expected: &BTreeSet<String>,
    found: &BTreeSet<String>,
    problems: &mut BTreeSet<String>,
) {
    let strays = found.difference(expected).map(|one| format!("{what} without an owner: {one}"));
    problems.extend(strays);
    let missing = expected.difference(found).map(|one| format!("{what} is gone: {one}"));
    problems.extend(missing);
}

/// Everything that helps to understand a broken round.
pub fn describe(sandbox: &Sandbox) -> String {
    let mut text: String = records(sandbox, &mut BTreeSet::new())
        .iter_mut()
        .map(|record| {
            record["password"] = Value::Null;
            format!("{record:#}\n")
        })
        .collect();
    text.push_str(&match sandbox.on {
        On::Docker => {
            let filter = developer(sandbox);
            let format = "{{.ID}} {{.Names}} {{.Image}} {{.Status}} {{.Command}}";
            let ps = ["ps", "-a", "--filter", &filter, "--format", format];
            sandbox.docker(&ps) + &sandbox.docker(&["volume", "ls", "--filter", &filter])
        }
        On::Native => format!("{:#?}\n{:#?}", paths(&sandbox.store()), processes(&sandbox.store())),
    });
    text
}

/// Removes the golden states that the test made.
pub fn remove_golden_states(sandbox: &Sandbox) {
    if sandbox.on == On::Docker {
        for (id, _) in sandbox.golden_images(&[]) {
            sandbox.docker(&["rmi", "-f", &id]);
        }
    }
}

fn records(sandbox: &Sandbox, problems: &mut BTreeSet<String>) -> Vec<Value> {
    let mut records = Vec::new();
    for name in names(&sandbox.data_dir().join("instances")) {
        let file = sandbox.data_dir().join("instances").join(&name);
        match name.ends_with(".json") {
            true => records.push(serde_json::from_slice(&fs::read(&file).unwrap()).unwrap()),
            false => drop(problems.insert(format!("file without an owner: {}", file.display()))),
        }
    }
    records
}

/// What a command that was cut short left in devdb's own directory.
fn half_made(sandbox: &Sandbox) -> BTreeSet<String> {
    let data = sandbox.data_dir();
    let below = names(&data).into_iter().filter(|name| !LOOKED_AT.contains(&name.as_str()));
    let directories = below.map(|name| data.join(name)).chain([data.clone()]);
    let all = directories
        .flat_map(|directory| names(&directory).into_iter().map(move |name| directory.join(name)));
    all.filter(|path| is_half_made(path))
        .map(|path| format!("file without an owner: {}", path.display()))
        .collect()
}

/// Whether something is being made, fetched or removed, as its name tells.
fn is_half_made(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    [".new-", ".pull-", ".trash-"].iter().any(|begin| name.starts_with(begin))
        || name.ends_with(".draft")
}

/// The ids of a record's generations, with the copy made ahead.
fn generations_of(record: &Value) -> Vec<u64> {
    let all = record["generations"].as_array().unwrap().iter().map(|one| &one["id"]);
    ids(all.chain([&record["spare"]["id"]]))
}

fn ids<'a>(values: impl Iterator<Item = &'a Value>) -> Vec<u64> {
    values.filter_map(Value::as_u64).collect()
}

fn servers_of(records: &[Value]) -> BTreeSet<String> {
    records.iter().filter_map(|record| record["server"].as_str().map(str::to_owned)).collect()
}

fn developer(sandbox: &Sandbox) -> String {
    format!("label=devdb.developer={}", sandbox.developer())
}

fn lines(text: &str) -> BTreeSet<String> {
    text.lines().map(str::to_owned).collect()
}

fn containers(sandbox: &Sandbox) -> BTreeSet<String> {
    let filter = developer(sandbox);
    let list = ["ps", "-aq", "--no-trunc", "--filter", &filter];
    let mut listed = lines(&sandbox.docker(&list));
    // One holds the volumes that no server mounts, and is in no record.
    let holders = [&list[..], &["--filter", "label=devdb.holds"]].concat();
    listed = &listed - &lines(&sandbox.docker(&holders));
    // A daemon that died while it removed one goes on listing it: dead, without a name, and not
    // there for whoever asks.
    for dead in lines(&sandbox.docker(&[&list[..], &["--filter", "status=dead"]].concat())) {
        if sandbox.docker(&["inspect", "--format", "{{.Id}}", &dead]).trim() != dead {
            listed.remove(&dead);
        }
    }
    listed
}

fn volumes(sandbox: &Sandbox) -> BTreeSet<String> {
    let format = concat!(
        r#"{{.Label "devdb.instance"}} {{.Label "devdb.generation"}}"#,
        r#"{{.Label "devdb.snapshot"}}"#
    );
    lines(&sandbox.docker(&["volume", "ls", "--filter", &developer(sandbox), "--format", format]))
}

fn volumes_of(records: &[Value], numbers: fn(&Value) -> Vec<u64>) -> BTreeSet<String> {
    let of = |record: &Value| {
        let instance = instance_of(record).to_owned();
        numbers(record).into_iter().map(move |number| format!("{instance} {number}"))
    };
    records.iter().flat_map(of).collect()
}

fn instance_of(record: &Value) -> &str {
    record["owner"]["instance"].as_str().unwrap()
}

/// The volumes of snapshots that are whole, of instances that are there, as [`volumes`] has them.
fn whole_snapshots(sandbox: &Sandbox, records: &[Value]) -> BTreeSet<String> {
    let format =
        concat!(r#"{{.Label "devdb.instance"}} {{.Label "devdb.snapshot"}}"#, "\t{{.Mountpoint}}");
    let developer = developer(sandbox);
    let filters = ["--filter", &developer, "--filter", "label=devdb.snapshot"];
    let listed = sandbox.docker(&[&["volume", "ls", "--format", format], &filters[..]].concat());
    let is_there = |name: &str| {
        let made = records.iter().filter(|record| !record["current"].is_null());
        made.map(instance_of).any(|instance| name.split(' ').next() == Some(instance))
    };
    let whole = |line: &str| {
        let (name, directory) = line.split_once('\t')?;
        (is_whole(Path::new(directory)) && is_there(name)).then(|| name.to_owned())
    };
    listed.lines().filter_map(whole).collect()
}

/// Whether a snapshot has its manifest, which is written last.
fn is_whole(snapshot: &Path) -> bool {
    snapshot.join("snapshot.json").is_file()
}

fn dangling_images(sandbox: &Sandbox) -> impl Iterator<Item = String> {
    let dangling = sandbox.golden_images(&["--filter", "dangling=true"]);
    dangling.into_iter().map(|(id, _)| format!("image without a name: {id}"))
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// What of the records is in a store, but for their generations; nothing else may be.
fn paths_of(records: &[Value], store: &Path) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for home in records.iter().filter_map(home_of) {
        let snapshots = home.join("snapshots");
        let all = names(&snapshots).into_iter().map(|name| snapshots.join(name));
        paths.extend(all.filter(|snapshot| is_whole(snapshot)));
        paths.insert(store.join("s").join(home.file_name().unwrap()));
    }
    shown(paths)
}

/// Where generations of the records are.
fn generation_paths(records: &[Value], ids: fn(&Value) -> Vec<u64>) -> BTreeSet<String> {
    let of = |record: &Value| {
        let ids = home_of(record).map(|home| (home, ids(record)));
        ids.into_iter()
            .flat_map(|(home, ids)| ids.into_iter().map(move |id| home.join(format!("g{id}"))))
    };
    shown(records.iter().flat_map(of).collect())
}

/// Where everything of an instance is; none when it is down.
fn home_of(record: &Value) -> Option<PathBuf> {
    record["server"].as_str().map(|handle| Path::new(handle).parent().unwrap().to_owned())
}

fn shown(paths: BTreeSet<PathBuf>) -> BTreeSet<String> {
    paths.into_iter().map(|path| path.display().to_string()).collect()
}

/// The generations in a store, and what is in it that does not belong there.
fn paths(store: &Path) -> BTreeSet<String> {
    let inside = |path: PathBuf| names(&path).into_iter().map(move |name| path.join(name));
    let mut paths = BTreeSet::new();
    for directory in inside(store.to_owned()).filter(|path| path.is_dir()) {
        if is_half_made(&directory) {
            paths.insert(directory);
            continue;
        }
        // Empty files, for which a command waits.
        if directory.ends_with("locks") {
            continue;
        }
        let is_golden = directory.ends_with("golden");
        let is_pool = directory.ends_with("pool");
        for one in inside(directory) {
            let name = one.file_name().unwrap().to_string_lossy().into_owned();
            if is_pool {
                let is_whole = one.join("pgdata").is_dir() && one.join("made").is_file();
                paths.extend((!is_whole).then_some(one));
                continue;
            }
            if is_golden {
                let is_whole = !name.starts_with('.') && one.join("golden.json").is_file();
                paths.extend((!is_whole).then_some(one));
                continue;
            }
            let allowed = |path: &PathBuf| OF_A_GENERATION.iter().any(|name| path.ends_with(name));
            if name == "snapshots" {
                paths.extend(inside(one));
                continue;
            }
            if name.starts_with('g') {
                paths.extend(inside(one.clone()).filter(|path| !allowed(path)));
            }
            paths.insert(one);
        }
    }
    shown(paths)
}

/// The data directory of each server that should run.
fn processes_of(records: &[Value]) -> BTreeSet<String> {
    servers_of(records).into_iter().map(|handle| format!("{handle}/pgdata")).collect()
}

/// What works below a store: by the data directory of each process.
fn processes(store: &Path) -> BTreeSet<String> {
    let store = store.display().to_string();
    let of = |pid: String| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let arguments: Vec<String> = line
            .split(|byte| *byte == 0)
            .map(|a| String::from_utf8_lossy(a).into_owned())
            .collect();
        let at = arguments.iter().position(|argument| argument == "-D")?;
        let data = arguments.get(at + 1).filter(|data| data.starts_with(&store))?;
        let is_server = arguments[0].ends_with("postgres") && arguments[1] == "-D";
        Some(if is_server { data.clone() } else { arguments.join(" ") })
    };
    names(Path::new("/proc")).into_iter().filter_map(of).collect()
}
