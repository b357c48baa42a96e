//! The order of rooms: which part of `src/` may import which.
//!
//! A room is a file or directory of `src/`. It imports only rooms above it in [`ORDER`], and there
//! are no circles. The test reads the sources: `use crate::…`, inline `crate::…` paths, and `super`
//! where it leads out of a room. Comments, strings and tests do not count.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The rooms from the ground up. A room may import those of the rows before its own.
const ORDER: &[&[&str]] = &[
    &["disk", "spec", "error", "event", "embedded", "interrupt", "process_group"],
    &["db", "config", "archive", "manual"],
    &["engine", "secret"],
    &["state", "plan"],
    &["outcome", "context"],
    &["populate"],
    &["golden"],
    &["instance", "ephemeral", "pool"],
    &["cli"],
    &["output", "commands"],
    &["lib"],
];

/// Imports between rooms of one row. Each is one way.
const BESIDE: &[(&str, &str)] = &[
    ("disk", "error"),
    ("disk", "spec"),
    ("interrupt", "error"),
    ("ephemeral", "instance"),
    ("pool", "ephemeral"),
    ("pool", "instance"),
];

/// Crates that one part of the program knows alone.
const KNOWN_ALONE: &[(&str, &[&str])] = &[
    ("bollard", &["engine/docker/", "engine/docker.rs"]),
    ("sqlx", &["db/", "db.rs"]),
    ("clap", CLAP),
    ("clap_complete", CLAP),
    ("clap_mangen", CLAP),
];

const CLAP: &[&str] =
    &["cli/", "cli.rs", "commands/completions.rs", "commands/help.rs", "commands/man.rs", "lib.rs"];

/// Where a source's kind may be asked for: what it means, and what makes it.
const KNOWS_KINDS: &[&str] = &["plan/", "plan.rs", "spec.rs", "config/"];

/// The enums that say of which kind a source is.
const KINDS: &[&str] = &["Source", "SourceSpec"];

#[test]
fn rooms() {
    let violations = violations(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(
        violations.is_empty(),
        "\n{}\n{} in all. The order is in tests/rooms.rs and ARCHITECTURE.md.\n",
        violations.join("\n"),
        violations.len()
    );
}

/// A reader who follows ARCHITECTURE.md to a file finds it.
#[test]
fn every_path_in_architecture_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = 0;
    for page in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = std::fs::read_to_string(root.join(page)).unwrap();
        // Every second part is code.
        for code in text.split('`').skip(1).step_by(2) {
            if ["src/", "tests/", "docs/", "templates/"].iter().any(|top| code.starts_with(top)) {
                let path = code.split_whitespace().next().unwrap();
                assert!(root.join(path).exists(), "{page}: there is no {path}");
                paths += 1;
            }
        }
    }
    assert!(paths > 30, "only {paths} paths were found");
}

/// What stands in `source` against the rules, in the order of files.
fn violations(source: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for name in files(source, "") {
        let text = std::fs::read_to_string(source.join(&name)).unwrap();
        let code = without_tests(&without_words(&text));
        let here = Place { name: &name, code: &code };
        let room = room_of(&name);
        for (at, import) in here.imports() {
            if import == room {
                continue;
            }
            if let Some(why) = forbidden(&room, &import) {
                found.push(here.says(at, &format!("`{import}`: {why}")));
            }
            arrows.entry(room.clone()).or_default().insert(import);
        }
        found.extend(here.foreign_crates());
        found.extend(here.matches_on_kinds());
    }
    found.extend(circle(&arrows));
    found
}

/// The sources below a directory; no tests.
fn files(source: &Path, below: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(source.join(below))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let slash = if entry.file_type().unwrap().is_dir() { "/" } else { "" };
            format!("{below}{}{slash}", entry.file_name().to_str().unwrap())
        })
        .collect();
    names.sort();
    let mut all = Vec::new();
    for name in names {
        match name.strip_suffix(".rs") {
            Some(stem) if stem.ends_with("_tests") || stem.ends_with("/tests") => {}
            Some(_) => all.push(name),
            None if name.ends_with("/tests/") || !name.ends_with('/') => {}
            None => all.extend(files(source, &name)),
        }
    }
    all
}

fn room_of(name: &str) -> String {
    match name.split('/').next().unwrap_or(name).trim_end_matches(".rs") {
        "main" => "lib".to_owned(),
        room => room.to_owned(),
    }
}

fn row(room: &str) -> Option<usize> {
    ORDER.iter().position(|rooms| rooms.contains(&room))
}

/// Why a room may not import another.
fn forbidden(room: &str, import: &str) -> Option<String> {
    let unknown = |room| format!("there is no room `{room}` in the order");
    let Some(mine) = row(room) else { return Some(unknown(room)) };
    let Some(its) = row(import) else { return Some(unknown(import)) };
    match mine.cmp(&its) {
        std::cmp::Ordering::Greater => None,
        std::cmp::Ordering::Equal if BESIDE.contains(&(room, import)) => None,
        std::cmp::Ordering::Equal => {
            Some(format!("`{room}` and `{import}` are side by side and do not know each other"))
        }
        std::cmp::Ordering::Less => Some(format!("`{room}` is below `{import}`")),
    }
}

/// A circle of rooms, where there is one.
fn circle(arrows: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    fn visit<'a>(
        room: &'a str,
        arrows: &'a BTreeMap<String, BTreeSet<String>>,
        path: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> Option<String> {
        if let Some(begin) = path.iter().position(|seen| *seen == room) {
            path.push(room);
            return Some(format!("a circle: {}", path[begin..].join(" → ")));
        }
        if !done.insert(room) {
            return None;
        }
        path.push(room);
        for next in arrows.get(room).into_iter().flatten() {
            if let Some(circle) = visit(next, arrows, path, done) {
                return Some(circle);
            }
        }
        path.pop();
        None
    }
    let mut done = BTreeSet::new();
    arrows.keys().find_map(|room| visit(room, arrows, &mut Vec::new(), &mut done))
}

/// One file's code.
struct Place<'a> {
    /// Its path below `src/`.
    name: &'a str,
    /// Its text, with blanks for whatever is no code.
    code: &'a str,
}

impl Place<'_> {
    fn says(&self, at: usize, what: &str) -> String {
        let line = self.code[..at].matches('\n').count() + 1;
        format!("src/{}:{line}: {what}", self.name)
    }

    fn is_in(&self, places: &[&str]) -> bool {
        let holds = |place: &&str| match place.ends_with('/') {
            true => self.name.starts_with(*place),
            false => self.name == *place,
        };
        places.iter().any(holds)
    }

    /// Every room that is named, and where.
    fn imports(&self) -> Vec<(usize, String)> {
        let mut imports = Vec::new();
        for at in words(self.code, "crate") {
            imports.extend(self.rooms_after(at + "crate".len()));
        }
        // As many as lead to the root from here.
        let outside = "super::".repeat(self.depth());
        for at in words(self.code, "super") {
            let is_first = !self.code[..at].ends_with("super::");
            if is_first && self.code[at..].starts_with(&outside) {
                imports.extend(self.rooms_after(at + outside.len() - "::".len()));
            }
        }
        imports.sort();
        imports
    }

    /// How many modules deep the file is: 1 for `src/a.rs` and `src/a/mod.rs`.
    fn depth(&self) -> usize {
        let parts = self.name.split('/').count();
        if self.name.ends_with("/mod.rs") { parts - 1 } else { parts }
    }

    /// The names after a `::`: one, or those of a group in braces.
    fn rooms_after(&self, at: usize) -> Vec<(usize, String)> {
        let Some(rest) = self.code[at..].strip_prefix("::") else { return Vec::new() };
        let start = at + "::".len();
        if !rest.starts_with('{') {
            return identifier(rest).map(|name| (start, name.to_owned())).into_iter().collect();
        }
        let mut rooms = Vec::new();
        let mut depth = 0;
        let mut expected = false;
        for (offset, c) in rest.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            expected |= depth == 1 && matches!(c, '{' | ',');
            if expected && let Some(name) = identifier(&rest[offset..]) {
                rooms.push((start + offset, name.to_owned()));
                expected = false;
            }
        }
        rooms
    }

    /// Crates that are another room's alone.
    fn foreign_crates(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (library, places) in KNOWN_ALONE {
            let used = words(self.code, library).into_iter().filter(|at| {
                let before = self.code[..*at].trim_end();
                let after = self.code[at + library.len()..].trim_start();
                let is_path = after.starts_with("::") && !before.ends_with("::");
                is_path || (before.ends_with("use") && after.starts_with([';', 'a']))
            });
            if !self.is_in(places) {
                let what = format!("`{library}` is known in src/{} only", places[0]);
                found.extend(used.map(|at| self.says(at, &what)));
            }
        }
        found
    }

    /// Patterns and comparisons that ask for a source's kind.
    fn matches_on_kinds(&self) -> Vec<String> {
        if self.is_in(KNOWS_KINDS) {
            return Vec::new();
        }
        let mut found = Vec::new();
        for kind in KINDS {
            for at in words(self.code, kind) {
                let rest = &self.code[at + kind.len()..];
                let variant = rest.strip_prefix("::").and_then(identifier);
                let Some(variant) = variant.filter(|name| name.starts_with(char::is_uppercase))
                else {
                    continue;
                };
                let end = at + kind.len() + "::".len() + variant.len();
                if self.is_asked(at, end) {
                    let what = format!("`{kind}::{variant}`: only src/plan/ asks for the kind");
                    found.push(self.says(at, &what));
                }
            }
        }
        found
    }

    /// Whether a variant is part of a pattern or compared, rather than made.
    fn is_asked(&self, at: usize, end: usize) -> bool {
        let before = self.code[..at].trim_end().trim_end_matches(['&', '(']).trim_end();
        if before.ends_with("==") || before.ends_with("!=") || before.ends_with(" let") {
            return true;
        }
        let (mut at, mut end) = (at, end);
        loop {
            let rest = self.code[end..].trim_start();
            end = self.code.len() - rest.len();
            if rest.starts_with(['(', '{']) {
                // What the variant holds; or the block after an expression, which is no harm.
                match closing(self.code, end) {
                    Some(close) => end = close + 1,
                    None => return false,
                }
                continue;
            }
            let alone =
                |mark: &str, twice: &str| rest.starts_with(mark) && !rest.starts_with(twice);
            if rest.starts_with("=>") || alone("|", "||") || alone("=", "==") {
                return true;
            }
            if rest.starts_with("if ") || rest.starts_with("==") || rest.starts_with("!=") {
                return true;
            }
            // Inside of something: that may be a pattern.
            let Some(open) = opening(self.code, at) else { return false };
            if self.code[..open].ends_with("matches!") {
                return !self.code[open..at].trim_start_matches('(').trim().is_empty();
            }
            let Some(close) = closing(self.code, open) else { return false };
            let is_inside = self.code[open..].starts_with('(') && rest.starts_with([')', ',']);
            let is_struct =
                self.code[open..].starts_with('{') && !self.code[open..at].contains(['>', ';']);
            if !(is_inside || (is_struct && rest.starts_with(['}', ',']))) {
                return false;
            }
            (at, end) = (open, close + 1);
        }
    }
}

/// Where a word stands alone.
fn words(code: &str, word: &str) -> Vec<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let alone = |(at, _): &(usize, &str)| {
        !code[..*at].ends_with(is_part) && !code[at + word.len()..].starts_with(is_part)
    };
    code.match_indices(word).filter(alone).map(|(at, _)| at).collect()
}

/// The identifier that a text begins with.
fn identifier(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    let name = &text[..end];
    (!name.is_empty() && !matches!(name, "self" | "pub")).then_some(name)
}

/// The bracket that closes the one at `open`.
fn closing(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0;
    for (offset, c) in code[open..].char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(open + offset);
        }
    }
    None
}

/// The bracket that is open at `at`.
fn opening(code: &str, at: usize) -> Option<usize> {
    let mut depth = 0;
    for (offset, c) in code[..at].char_indices().rev() {
        match c {
            ')' | ']' | '}' => depth += 1,
            '(' | '[' | '{' if depth == 0 => return Some(offset),
            '(' | '[' | '{' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The text with blanks for comments, strings and characters; lines stay where they are.
fn without_words(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = comment(rest).or_else(|| literal(rest, &code));
        match length {
            Some(length) => {
                let blank = |c: char| if c == '\n' { '\n' } else { ' ' };
                code.extend(rest[..length].chars().map(blank));
                rest = &rest[length..];
            }
            None => {
                code.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    code
}

fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    Some(text.len())
}

/// The length of a string or character. `before` tells an `r` of a raw string from a name's end.
fn literal(text: &str, before: &str) -> Option<usize> {
    let in_name = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    if let Some(rest) = text.strip_prefix('"') {
        return Some(1 + end_of_string(rest));
    }
    if let Some(rest) = text.strip_prefix('r').filter(|_| !in_name || before.ends_with('b')) {
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        if rest[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = 1 + hashes + 1;
            return Some(text[start..].find(&end).map_or(text.len(), |at| start + at + end.len()));
        }
    }
    let mut chars = text.strip_prefix('\'')?.chars();
    match (chars.next()?, chars.next()?) {
        ('\\', escaped) => {
            let start = 2 + escaped.len_utf8();
            text[start..].find('\'').map(|at| start + at + 1)
        }
        (one, '\'') => Some(2 + one.len_utf8()),
        // A lifetime.
        _ => None,
    }
}

fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The code with blanks for every item under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut left = code.to_owned();
    while let Some(start) = left.find("#[cfg(test)]") {
        let body = start + "#[cfg(test)]".len();
        let end = match left[body..].find(['{', ';']).map(|at| body + at) {
            Some(open) if left[open..].starts_with('{') => {
                closing(&left, open).map_or(left.len(), |close| close + 1)
            }
            Some(semicolon) => semicolon + 1,
            None => left.len(),
        };
        let blank: String =
            left[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        left.replace_range(start..end, &blank);
    }
    left
}

/// A made-up tree's violations.
fn of_tree(files: &[(&str, &str)]) -> Vec<String> {
    let source = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = source.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    violations(source.path())
}

#[test]
fn a_tree_in_order_passes() {
    let golden = r##"
        //! Not [`crate::instance`].
        use crate::{error::{Error, Result}, plan::{self, Plan}};
        use crate::engine::{Engine, golden::Golden};
        /* crate::commands /* crate::output */ crate::cli */
        const TEXT: &str = "crate::cli \" crate::cli";
        const RAW: &str = r#"crate::cli " crate::cli"#;
        const QUOTE: char = '"'; // crate::cli
        fn make<'a>(files: Files) -> Source { f(Source::Files(files), Source::default()) }
        #[cfg(test)]
        mod tests { use crate::instance::x; fn f() { matches!(x, Source::Files(_)) } }
        #[cfg(test)]
        use crate::commands::y;
    "##;
    let found = of_tree(&[
        ("golden/mod.rs", golden),
        ("golden/tests.rs", "use crate::commands;"),
        ("golden/tests/more.rs", "use crate::commands;"),
        ("golden/prune.rs", "use super::super::error::Error; use super::commands;"),
        ("plan/files.rs", "fn f() { match x { Source::Files(_) => 1 } }"),
        ("db/mod.rs", "use sqlx::Row;"),
        ("ephemeral.rs", "use crate::instance;"),
        ("lib.rs", "use clap::Parser; use crate::commands;"),
    ]);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn an_import_against_the_order_is_found() {
    let found = of_tree(&[
        ("plan/mod.rs", "\nuse crate::{error::Error,\n    golden::bake};"),
        ("state/mod.rs", "fn f() -> crate::plan::Plan {}"),
        ("engine/docker/mod.rs", "use super::super::instance::x;"),
        ("spec.rs", "use super::engine::x;"),
        ("attic.rs", "use crate::error::Error;"),
    ]);
    assert_eq!(
        found,
        [
            "src/attic.rs:1: `error`: there is no room `attic` in the order",
            "src/engine/docker/mod.rs:1: `instance`: `engine` is below `instance`",
            "src/plan/mod.rs:3: `golden`: `plan` is below `golden`",
            "src/spec.rs:1: `engine`: `spec` is below `engine`",
            "src/state/mod.rs:1: `plan`: `state` and `plan` are side by side and do not know each other",
        ]
    );
}

#[test]
fn a_circle_is_found() {
    let found = of_tree(&[
        ("golden.rs", "use crate::instance;"),
        ("instance.rs", "use crate::populate;"),
        ("populate.rs", "use crate::golden;"),
    ]);
    let circle = "a circle: golden → instance → populate → golden";
    assert_eq!(found.last().map(String::as_str), Some(circle));
}

#[test]
fn a_library_in_a_foreign_room_is_found() {
    let found = of_tree(&[
        ("commands/up.rs", "use clap::Args;\nfn f(sqlx: u8) -> sqlx::Error {}"),
        ("commands/completions.rs", "use clap::CommandFactory;"),
        ("engine/native.rs", "use bollard::Docker;"),
        ("engine/docker/mod.rs", "use bollard::Docker;"),
    ]);
    assert_eq!(
        found,
        [
            "src/commands/up.rs:2: `sqlx` is known in src/db/ only",
            "src/commands/up.rs:1: `clap` is known in src/cli/ only",
            "src/engine/native.rs:1: `bollard` is known in src/engine/docker/ only",
        ]
    );
}

#[test]
fn asking_for_the_kind_of_a_source_is_found() {
    let asked = [
        "match s { Source::Files(set) => 1, Source::Command(_) => 2 }",
        "match s { Source::Files(set) if set.is_empty() => 1, _ => 2 }",
        "match s { SourceSpec::Files(_) | SourceSpec::Command(_) => 1, _ => 2 }",
        "if let Source::Files(set) = s {}",
        "if let Some(Source::Files(set)) = s {}",
        "let Source::Command(tool) = &plan.migrations else { return };",
        "matches!(&self.seeds, Source::Command(_))",
        "matches!(self.seeds, Source::Files(ref s) if s.needs_key())",
        "match (a, b) { (Source::Files(a), Source::Files(b)) => 1, _ => 2 }",
        "if spec.source == SourceSpec::Files(x) {}",
        "let Spec { source: SourceSpec::Command(command), .. } = spec else { return };",
    ];
    for text in asked {
        let code = format!("fn f() {{ {text} }}");
        assert!(!of_tree(&[("golden.rs", &code)]).is_empty(), "{text}");
    }
    let made = [
        "Source::Files(Set::default())",
        "let s = Source::Command(tool);",
        "run(Source::Files(set), other)",
        "let files = match x { 1 => SourceSpec::Files(x), _ => SourceSpec::Command(y) };",
        "Spec { source: SourceSpec::Files(x), other }",
        "KeySource::Project == x",
    ];
    for text in made {
        let code = format!("fn f() {{ {text} }}");
        assert_eq!(of_tree(&[("golden.rs", &code)]), Vec::<String>::new(), "{text}");
    }
}
