//! Every text of the sources that says to type something. The test reads the string literals, and
//! checks that each command, option, key and variable in them exists, with that spelling. Which hints
//! are left out because they were just tried is a test of `cli::may_help`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use devdb::cli;
use devdb::config::KEYS;
use devdb::config::environment::VARIABLES;
use regex_lite::Regex;

/// What follows "devdb" in a sentence that is no command.
const VERBS: &[&str] = &[
    "at",
    "and",
    "already",
    "always",
    "anyway",
    "applies",
    "asks",
    "cannot",
    "changed",
    "chooses",
    "copied",
    "copies",
    "could",
    "decides",
    "deletes",
    "did",
    "does",
    "exits",
    "expects",
    "exported",
    "fetched",
    "finds",
    "gave",
    "had",
    "has",
    "ignores",
    "in",
    "is",
    "keeps",
    "killed",
    "knows",
    "leaves",
    "looked",
    "looks",
    "made",
    "makes",
    "needs",
    "never",
    "of",
    "passes",
    "picks",
    "prepares",
    "prints",
    "ran",
    "reads",
    "removed",
    "removes",
    "reports",
    "runs",
    "saved",
    "says",
    "searches",
    "sees",
    "sends",
    "should",
    "shows",
    "that",
    "to",
    "took",
    "tries",
    "understands",
    "uses",
    "waits",
    "was",
    "were",
    "will",
    "with",
    "would",
    "writes",
    "wrote",
    "refuses",
    "saves",
    "stops",
    "starts",
    "itself",
    "here",
    "there",
    "on",
    "or",
    "only",
    "may",
    "must",
    "stays",
    "sets",
    "can",
    "from",
    "created",
    "publishes",
    "as",
    "applied",
    "commits",
    "rebuilds",
    "found",
    "set",
    "x",
    "connects",
    "gives",
    "gets",
    "takes",
    "names",
    "ends",
    "maps",
];

/// What a hint may say to type of other programs.
const PROGRAMS: &[&str] = &[
    "apt-get install",
    "brew install",
    "chmod",
    "df -h",
    "docker image ls",
    "docker load",
    "docker login",
    "docker logs",
    "docker ps",
    "docker rename",
    "docker rm",
    "docker stop",
    "docker system df",
    "docker volume",
    "git diff",
    "git init",
    "git log",
    "git rm",
    "git mv",
    "ls -ld",
    "mkdir",
    "mv",
    "rm",
    "sudo chown",
    "useradd",
    "ALTER TABLE",
    "DROP INDEX",
    "unset",
    "xxd",
    "pg_restore",
];

/// Files whose texts nobody reads: they are hashed.
const HASHED: &[&str] = &["plan/chain.rs"];

/// Variables of other programs.
const VARIABLES_OF_OTHERS: &[&str] = &[
    "DATABASE_URL",
    "DOCKER_CONTEXT",
    "DOCKER_HOST",
    "ENCRYPTION_KEY",
    "PG_MAJOR",
    "XDG_DATA_HOME",
    "GITHUB_ENV",
];

/// A string literal of the sources.
struct Text {
    place: String,
    text: String,
    /// Whether it is what a person is told to do: the argument of `hint(`, or of something like it.
    is_hint: bool,
}

#[test]
fn whatever_a_text_says_to_type_exists() {
    let texts = texts();
    let hints = texts.iter().filter(|text| text.is_hint).count();
    assert!(hints > 150, "{hints} hints");
    let root = cli::command();
    let mut wrong = Vec::new();
    for text in &texts {
        let mut problems = commands_in_prose(&root, &text.text);
        if text.is_hint {
            for line in text.text.lines() {
                problems.extend(typed_line(&root, line));
            }
            problems.extend(keys(&text.text));
            problems.extend(variables(&text.text));
            problems.extend(options(&root, &text.text));
        }
        wrong.extend(
            problems.iter().map(|problem| format!("{}: {problem}: {}", text.place, text.text)),
        );
    }
    assert!(wrong.is_empty(), "\n{}\n{} in all", wrong.join("\n"), wrong.len());
}

/// The test itself finds what is wrong.
#[test]
fn a_wrong_hint_is_found() {
    let root = cli::command();
    for wrong in [
        "devdb up --engin native   makes it",
        "devdb snapshot remove x   removes it",
        "devdb reset --engine native   makes it",
        "devdb logs shows the log",
        "dokcer ps   shows it",
    ] {
        assert!(typed_line(&root, wrong).is_some(), "{wrong}");
    }
    let right = "devdb down --purge && devdb up   makes a new database";
    assert_eq!(typed_line(&root, right), None);
    assert!(!commands_in_prose(&root, "see devdb chache list").is_empty());
    assert!(keys("set postgres.prot to auto").is_some());
    assert!(variables("set DEVDB_DATADIR").is_some());
    assert!(options(&root, "or use --enginee native").is_some());
}

/// A command that is mentioned in a sentence: `devdb` and a word that is neither a command nor a verb.
fn commands_in_prose(root: &clap::Command, text: &str) -> Vec<String> {
    let mention = Regex::new(r"(?:^|[\s(`])devdb ([a-z][a-z-]*)").unwrap();
    let names = mention.captures_iter(text).map(|found| found[1].to_owned());
    names
        .filter(|name| root.find_subcommand(name).is_none() && !VERBS.contains(&name.as_str()))
        .map(|name| format!("there is no devdb {name}"))
        .collect()
}

/// What a hint says to type stands before two blanks or more, or is the whole line.
fn typed_line(root: &clap::Command, line: &str) -> Option<String> {
    let (typed, is_marked) = match line.split_once("  ") {
        Some((typed, _)) => (typed, true),
        None => (line, false),
    };
    for part in typed.split(" && ") {
        let Some(words) = cli::typed(part) else {
            let is_known = PROGRAMS.iter().any(|known| part.starts_with(known));
            let is_other =
                part.is_empty() || part.starts_with("--") || ["x1", "x1/**"].contains(&part);
            if is_marked && !is_known && !is_other {
                return Some(format!("{part:?} is no known command"));
            }
            continue;
        };
        let is_command = words.get(1).is_some_and(|word| root.find_subcommand(word).is_some());
        if is_command && let Err(error) = cli::parse(words.iter().map(Into::into)) {
            return Some(error.to_string());
        }
    }
    None
}

fn keys(text: &str) -> Option<String> {
    let key = Regex::new(
        r"\b(?:postgres|migrations|seeds|secrets|generations|cache)\.([a-z_]+)\b(?:\.(\w+))?",
    )
    .unwrap();
    key.find_iter(text)
        .map(|found| found.as_str())
        .find(|name| KEYS.iter().all(|key| key.name != *name))
        .map(|name| format!("there is no setting {name}"))
}

fn variables(text: &str) -> Option<String> {
    let variable = Regex::new(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b").unwrap();
    let is_known = |name: &str| {
        VARIABLES_OF_OTHERS.contains(&name) || VARIABLES.iter().any(|known| known.name == name)
    };
    variable
        .find_iter(text)
        .map(|found| found.as_str())
        .find(|name| !is_known(name))
        .map(|name| format!("there is no variable {name}"))
}

/// Options outside of the command lines of other programs exist in some command of devdb.
fn options(root: &clap::Command, text: &str) -> Option<String> {
    let option = Regex::new(r"(?:^|[\s(])--([a-z][a-z-]*)").unwrap();
    if PROGRAMS.iter().any(|program| text.contains(program)) {
        return None;
    }
    let mut known = BTreeSet::new();
    all_options(root, &mut known);
    option
        .captures_iter(text)
        .map(|found| found[1].to_owned())
        .find(|name| !known.contains(name))
        .map(|name| format!("there is no option --{name}"))
}

fn all_options(command: &clap::Command, known: &mut BTreeSet<String>) {
    known.extend(command.get_arguments().filter_map(|one| one.get_long()).map(str::to_owned));
    command.get_subcommands().for_each(|below| all_options(below, known));
}

/// All string literals of the program, without those of its tests and its comments.
fn texts() -> Vec<Text> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut texts = Vec::new();
    for file in files(&root) {
        let source = std::fs::read_to_string(&file).unwrap();
        let source = source.split("#[cfg(test)]\nmod tests").next().unwrap();
        let name = file.strip_prefix(&root).unwrap().display().to_string();
        // The help is checked by the tests of `cli`.
        if !name.starts_with("cli") && !HASHED.contains(&name.as_str()) {
            literals(&name, source, &mut texts);
        }
    }
    texts
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            found.extend(files(&path));
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            found.push(path);
        }
    }
    found
}

fn literals(file: &str, source: &str, texts: &mut Vec<Text>) {
    let mut rest = source;
    let mut before = String::new();
    while let Some(at) = rest.find(['"', '/', '\'']) {
        before.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with("//") {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\''") {
            rest = &rest[rest[1..].find("'").unwrap() + 2..];
            rest = rest.strip_prefix('\'').unwrap_or(rest);
        } else if let Some(literal) = rest.strip_prefix('"') {
            let end = end_of(literal);
            let line = source[..source.len() - rest.len()].matches('\n').count() + 1;
            let is_hint = is_hint(&before);
            let text = unescaped(&literal[..end]);
            texts.push(Text { place: format!("{file}:{line}"), text, is_hint });
            before.push_str("\"\"");
            rest = &literal[end + 1..];
        } else {
            before.push_str(&rest[..1]);
            rest = &rest[1..];
        }
    }
}

fn end_of(literal: &str) -> usize {
    let mut escaped = false;
    for (index, character) in literal.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return index,
            _ => {}
        }
    }
    panic!("a literal without an end: {literal}");
}

/// Whether a literal stands in the call of `hint`, `bad` or `warn`, or in a field `hint`.
fn is_hint(before: &str) -> bool {
    let statement = before.rsplit([';', '}']).next().unwrap();
    let call =
        ["hint(", "hint:", "advice.push("].iter().filter_map(|call| statement.rfind(call)).max();
    let Some(at) = call else { return false };
    let since = &statement[at..];
    let depth = since.matches(['(', '{']).count() as i32 - since.matches([')', '}']).count() as i32;
    depth > 0 || since.starts_with("hint:") && depth == 0 && !since.contains(",\n")
}

/// The text of a literal, with something in place of what is filled in.
fn unescaped(literal: &str) -> String {
    let joined = Regex::new(r"\\\n\s*").unwrap().replace_all(literal, "").into_owned();
    let text = joined.replace("\\n", "\n").replace("\\\"", "\"").replace("\\\\", "\\");
    // ` --instance NAME`, or nothing, follows a command directly.
    let text = Regex::new(r"([a-z])\{[^{} ]*\}").unwrap().replace_all(&text, "$1").into_owned();
    let text = Regex::new(r"--engine \{[^{} ]*\}")
        .unwrap()
        .replace_all(&text, "--engine docker")
        .into_owned();
    let text =
        Regex::new(r"(generations \w+) N\b").unwrap().replace_all(&text, "$1 3").into_owned();
    let text = Regex::new(r"\{setting\}").unwrap().replace_all(&text, "seeds.path").into_owned();
    let text = text.replace("{number}", "1");
    Regex::new(r"\{[^{}]*\}").unwrap().replace_all(&text, "x1").into_owned()
}
