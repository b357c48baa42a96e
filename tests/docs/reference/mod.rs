//! docs/reference.md, as far as it is made from the code.
//!
//! What stands between `<!-- generated: NAME -->` and `<!-- end -->` is compared with what the code
//! says, or written anew with `DEVDB_DOCS_UPDATE=1`.

mod commands;
mod exit_codes;
mod json;
mod keys;
mod schema;
mod variables;

use std::ops::Range;

use crate::{EDITING, root, say, updating};

const PAGE: &str = "docs/reference.md";
const END: &str = "<!-- end -->";

/// A part of the page, and what makes it.
type Section = (&'static str, fn() -> String);

const SECTIONS: &[Section] = &[
    ("commands", commands::markdown),
    ("keys", keys::markdown),
    ("variables", variables::markdown),
    ("exit codes", exit_codes::markdown),
    ("json", json::markdown),
];

#[test]
fn reference() {
    let _editing = EDITING.lock().unwrap();
    let path = root().join(PAGE);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{PAGE}: {error}"));
    let (renewed, differing) = renew(&text, SECTIONS).unwrap_or_else(|why| panic!("{PAGE}: {why}"));
    if differing.is_empty() {
        return;
    }
    if updating() {
        std::fs::write(&path, renewed).unwrap();
        say(&format!("{PAGE} was rewritten: {}", names(&differing)));
        return;
    }
    let differences: String = differing.iter().map(|one| one.difference.as_str()).collect();
    panic!(
        "\n{PAGE} is not what the code says: {}\n{differences}\nThis writes it anew:\n  \
         DEVDB_DOCS_UPDATE=1 cargo test --test docs reference\n",
        names(&differing)
    );
}

fn names(differing: &[Differing]) -> String {
    differing.iter().map(|one| one.name).collect::<Vec<_>>().join(", ")
}

/// A section that is not as the code has it.
struct Differing {
    name: &'static str,
    /// Its first line that differs, on the page and as it should be.
    difference: String,
}

/// The page with every section as the code has it, and those that were not.
fn renew(page: &str, sections: &[Section]) -> Result<(String, Vec<Differing>), String> {
    let markers = page.matches("<!-- generated: ").count();
    if markers != sections.len() {
        return Err(format!(
            "it has {markers} generated sections, and {} are made",
            sections.len()
        ));
    }
    let mut text = page.to_owned();
    let mut differing = Vec::new();
    for (name, make) in sections {
        let at = section(&text, name)?;
        let made = format!("\n{}\n\n", make().trim());
        if text[at.clone()] != made {
            let (old, new) = (&text[at.clone()], &made);
            differing.push(Differing { name, difference: first_difference(name, old, new) });
            text.replace_range(at, &made);
        }
    }
    Ok((text, differing))
}

/// Where a section's text is: from the line after its marker to its end.
fn section(page: &str, name: &str) -> Result<Range<usize>, String> {
    let marker = format!("<!-- generated: {name} -->\n");
    let start = page.find(&marker).ok_or_else(|| format!("it has no line {:?}", marker.trim()))?;
    let start = start + marker.len();
    let length = page[start..].find(END).ok_or_else(|| format!("{name} has no {END:?}"))?;
    Ok(start..start + length)
}

fn first_difference(name: &str, old: &str, new: &str) -> String {
    let (mut old, mut new) = (old.trim().lines(), new.trim().lines());
    loop {
        let (page, code) = (old.next(), new.next());
        if page != code {
            let shown = |line: Option<&str>| line.unwrap_or("(nothing)").to_owned();
            return format!("{name}\n  the page: {}\n  the code: {}\n", shown(page), shown(code));
        }
    }
}

/// A markdown table.
fn table<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    let line = |cells: [&str; N]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(heads) + &line(["---"; N]);
    for row in rows {
        let cells = row.each_ref().map(|cell| one_line(cell).replace('|', "\\|"));
        text.push_str(&line(cells.each_ref().map(String::as_str)));
    }
    text
}

/// Text that was broken into lines for its source, in one.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// With a full stop, as in a sentence.
fn sentence(text: &str) -> String {
    let text = one_line(text);
    if text.is_empty() || text.ends_with(['.', '!', '?', ':']) { text } else { text + "." }
}

/// `a`, `b` or `c`.
fn one_of(values: &[String]) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
    match values.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => values.concat(),
    }
}

#[test]
fn a_section_that_differs_is_found_and_renewed() {
    let page = "Text.\n<!-- generated: a -->\nold\n<!-- end -->\nMore.\n<!-- generated: b -->\n\nb\n\n<!-- end -->\n";
    let sections: &[Section] = &[("a", || "new\n".into()), ("b", || "b".into())];
    let (renewed, differing) = renew(page, sections).unwrap();
    assert_eq!(names(&differing), "a");
    assert!(differing[0].difference.contains("the page: old\n  the code: new"));
    assert!(renewed.contains("Text.\n<!-- generated: a -->\n\nnew\n\n<!-- end -->\nMore."));
    assert!(renew(&renewed, sections).unwrap().1.is_empty());
}

#[test]
fn a_page_without_a_section_or_with_an_unknown_one_is_refused() {
    let page = "<!-- generated: a -->\n<!-- end -->\n";
    let why = |sections: &[Section]| renew(page, sections).err().unwrap();
    assert!(why(&[("b", String::new)]).contains("no line \"<!-- generated: b -->\""));
    assert!(why(&[]).contains("1 generated sections, and 0 are made"));
    assert!(why(&[("a", String::new), ("b", String::new)]).contains("and 2 are made"));
}

#[test]
fn nothing_of_the_code_is_left_out() {
    let commands = commands::markdown();
    for expected in ["### devdb up\n", "### devdb snapshot restore\n", "`--no-migrate`", "`-C`"] {
        assert!(commands.contains(expected), "{expected} is not in\n{commands}");
    }
    assert!(!commands.contains("watch-run"), "it is hidden");
    let keys = keys::markdown();
    for expected in ["`project`", "`postgres.settings`", "`migrations.inputs`", "`cache.size`"] {
        assert!(keys.contains(expected), "{expected} is not in\n{keys}");
    }
    let codes = exit_codes::markdown();
    assert!(codes.contains("| 20 | `migration` |"), "{codes}");
    let json = json::markdown();
    for expected in ["### `up`, `start`", "| `took_ms` |", "### Owner\n", "| `trouble` |"] {
        assert!(json.contains(expected), "{expected} is not in\n{json}");
    }
    assert!(variables::markdown().contains("`DEVDB_DATA_DIR`"));
}
