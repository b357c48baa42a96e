//! Golden states, as text for people.

use std::fmt::Write as _;

use indicatif::HumanBytes;

use super::Style;
use super::human::{count, plain_table, seconds, trimmed};
use super::kept::moment;

use crate::outcome::{
    CacheReport, Cached, CachedState, PruneReport, StatusGolden, TransferReport, Wanted,
};

/// `devdb cache list`
pub fn list(report: &CacheReport, style: Style) -> String {
    let mut text = String::new();
    if report.states.is_empty() {
        let whose = match &report.project {
            Some(project) => {
                format!(" of {project} (devdb cache list --all shows every project's)")
            }
            None => String::new(),
        };
        _ = writeln!(text, "there are no golden states{whose}");
    } else {
        let header =
            ["", "STATE", "PROJECT", "ENGINE", "HOLDS", "FOR", "SIZE", "MADE", "LAST USED"];
        let mut table = plain_table(&header);
        for state in &report.states {
            table.add_row(vec![
                match state.wanted {
                    Some(Wanted::Whole) => "*".into(),
                    Some(Wanted::Part) => "+".into(),
                    None => String::new(),
                },
                short(&state.fingerprint).to_owned(),
                state.project.clone(),
                state.engine.to_string(),
                holds(state),
                purpose(state).to_owned(),
                HumanBytes(state.bytes).to_string(),
                moment(state.created),
                moment(state.last_used),
            ]);
        }
        _ = writeln!(text, "{}", trimmed(&table));
        let legend = "* what this directory's files make, + a beginning of that";
        _ = writeln!(text, "{}", style.dim(legend));
    }
    for damaged in &report.damaged {
        let (mark, handle) = (style.red("damaged"), &damaged.handle);
        _ = writeln!(
            text,
            "{mark} {handle}: {}; it is never used (devdb cache prune removes it)",
            damaged.why
        );
    }
    for trouble in &report.troubles {
        _ = writeln!(text, "{} {trouble}", style.yellow("warning:"));
    }
    text
}

fn holds(state: &CachedState) -> String {
    match (state.migrations, state.seeds) {
        (0, 0) => "an empty database".to_owned(),
        (migrations, 0) => count(migrations, "migration"),
        (0, seeds) => count(seeds, "seed file"),
        (migrations, seeds) => {
            format!("{}, {}", count(migrations, "migration"), count(seeds, "seed file"))
        }
    }
}

fn purpose(state: &CachedState) -> &'static str {
    match (state.clean, state.local) {
        (false, _) => "baking on",
        (true, false) => "databases",
        (true, true) => "databases here",
    }
}

/// `devdb cache prune`, `devdb cache clear`
pub fn pruned(report: &PruneReport, style: Style) -> String {
    let mut text = String::new();
    for handle in report.removed.iter().chain(&report.damaged) {
        _ = writeln!(text, "{} {handle}", style.green("removed"));
    }
    for handle in &report.in_use {
        _ = writeln!(text, "{} {handle}: it is in use", style.yellow("kept"));
    }
    let number = report.removed.len() + report.damaged.len();
    match number {
        0 => text.push_str("there is nothing to remove\n"),
        _ => {
            let states = count(number, "golden state");
            _ = writeln!(text, "{states} removed, {}", HumanBytes(report.bytes));
        }
    }
    text
}

/// `devdb cache push`
pub fn pushed(report: &TransferReport, style: Style) -> String {
    let TransferReport { reference, engine, fingerprint, took_ms, .. } = report;
    let took = style.dim(&seconds(*took_ms));
    format!("{reference} has the golden state {} ({engine}) {took}\n", short(fingerprint))
}

/// `devdb cache pull`
pub fn pulled(report: &TransferReport, style: Style) -> String {
    let TransferReport { reference, engine, fingerprint, took_ms, changed, .. } = report;
    let (state, took) = (short(fingerprint), style.dim(&seconds(*took_ms)));
    match changed {
        true => format!("{engine} has the golden state {state} from {reference} {took}\n"),
        false => {
            format!("{engine} had the golden state {state} already; nothing was fetched {took}\n")
        }
    }
}

/// Of `devdb status -v`.
pub fn golden(golden: &StatusGolden) -> String {
    let cached = match golden.cached {
        Cached::Hit => "hit: it is in the cache",
        Cached::Prefix => "prefix: some of its migrations are in the cache",
        Cached::Miss => "miss: it is not in the cache",
    };
    match &golden.fingerprint {
        Some(fingerprint) => format!("{} ({cached})", short(fingerprint)),
        None => format!("not known before there is a key ({cached})"),
    }
}

/// As the engines' names of it begin.
fn short(fingerprint: &str) -> &str {
    fingerprint.get(..12).unwrap_or(fingerprint)
}
