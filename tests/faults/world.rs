//! What an engine and the disk have, against what the records say.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::sandbox::{On, Sandbox};

/// What may be beside a native data directory.
const OF_A_GENERATION: &[&str] =
    &["generation.json", "pgdata", "log", "server.json", "complete", "aside.json"];

/// What is there that no record names, and what a record names that is not there. Empty when the
/// two are the same.
pub fn without_an_owner(sandbox: &Sandbox) -> BTreeSet<String> {
    let mut problems = BTreeSet::new();
    let records = records(sandbox, &mut problems);
    for record in &records {
        if !record["under_way"].is_null() {
            problems.insert(format!("{} is under way", record["under_way"]));
        }
    }
    match sandbox.on {
        On::Docker => {
            let found = volumes(sandbox);
            // Asked afterwards: it removes what a save that was cut short left.
            let expected = &volumes_of(&records) | &snapshots(sandbox, &records, "name");
            compare("volume", &expected, &found, &mut problems);
            compare("container", &servers_of(&records), &containers(sandbox), &mut problems);
            problems.extend(dangling_images(sandbox));
        }
        On::Native => {
            let store = sandbox.store();
            let found = paths(&store);
            let expected = &paths_of(&records, &store) | &snapshots(sandbox, &records, "handle");
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

/// The numbers of a record's generations, with the copy made ahead.
fn generations_of(record: &Value) -> Vec<u64> {
    let all = record["generations"].as_array().unwrap().iter().map(|one| &one["number"]);
    all.chain([&record["spare"]["number"]]).filter_map(Value::as_u64).collect()
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

fn volumes_of(records: &[Value]) -> BTreeSet<String> {
    let of = |record: &Value| {
        let instance = record["owner"]["instance"].as_str().unwrap().to_owned();
        generations_of(record).into_iter().map(move |number| format!("{instance} {number}"))
    };
    records.iter().flat_map(of).collect()
}

/// The snapshots of the instances: docker, as [`volumes`] has them; native, their directories.
fn snapshots(sandbox: &Sandbox, records: &[Value], field: &str) -> BTreeSet<String> {
    // One that could not be brought up has none, and the round says so.
    let made = records.iter().filter(|record| !record["current"].is_null());
    let of = |record: &Value| {
        let instance = record["owner"]["instance"].as_str().unwrap().to_owned();
        let list =
            sandbox.run(&["--instance", &instance, "snapshot", "list", "--json"]).ok().json();
        let all = list["result"]["snapshots"].as_array().unwrap().clone();
        all.into_iter().map(move |snapshot| match field {
            "name" => format!("{instance} {}", snapshot[field].as_str().unwrap()),
            _ => snapshot[field].as_str().unwrap().to_owned(),
        })
    };
    made.flat_map(of).collect()
}

fn dangling_images(sandbox: &Sandbox) -> impl Iterator<Item = String> {
    let dangling = sandbox.golden_images(&["--filter", "dangling=true"]);
    dangling.into_iter().map(|(id, _)| format!("image without a name: {id}"))
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Where the generations of the records are, and nothing else may be.
fn paths_of(records: &[Value], store: &Path) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for record in records {
        let Some(handle) = record["server"].as_str() else { continue };
        let home = Path::new(handle).parent().unwrap();
        let numbers = generations_of(record);
        paths.extend(numbers.into_iter().map(|number| home.join(format!("g{number}"))));
        paths.insert(store.join("s").join(home.file_name().unwrap()));
    }
    paths.into_iter().map(|path| path.display().to_string()).collect()
}

/// The generations in a store, and what is in it that does not belong there.
fn paths(store: &Path) -> BTreeSet<String> {
    let inside = |path: PathBuf| names(&path).into_iter().map(move |name| path.join(name));
    let mut paths = BTreeSet::new();
    for directory in inside(store.to_owned()).filter(|path| path.is_dir()) {
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
    paths.into_iter().map(|path| path.display().to_string()).collect()
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
