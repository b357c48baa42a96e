//! Golden states, as text for people.

use std::fmt::Write as _;

use chrono::Utc;

use super::Style;
use super::text::{age, count, lines, short, size, table, took, troubles};
use crate::outcome::{CacheReport, CachedState, PruneReport, TransferReport, Wanted};

/// `devdb cache list`
pub fn list(report: &CacheReport, style: Style) -> String {
    let mut text = match (report.states.is_empty(), &report.project) {
        (false, _) => states(&report.states, style),
        (true, None) => "there are no golden states\n".to_owned(),
        (true, Some(project)) => format!(
            "there are no golden states of {project} (devdb cache list --all shows those of every \
             project)\n"
        ),
    };
    for damaged in &report.damaged {
        _ = writeln!(
            text,
            "{} {}: {}; devdb never uses it (devdb cache prune removes it)",
            style.red("damaged"),
            damaged.handle,
            damaged.why
        );
    }
    troubles(&mut text, &report.troubles, style);
    text
}

fn states(states: &[CachedState], style: Style) -> String {
    let mut table = table(&["", "ID", "PROJECT", "ENGINE", "CONTAINS", "USE", "SIZE", "LAST USED"]);
    let now = Utc::now();
    for state in states {
        table.add_row(vec![
            match state.wanted {
                Some(Wanted::Whole) => "*".into(),
                Some(Wanted::Part) | None => String::new(),
            },
            state.fingerprint.chars().take(8).collect(),
            state.project.clone(),
            state.engine.to_string(),
            holds(state),
            purpose(state).to_owned(),
            size(state.bytes),
            format!("{} ago", age(now - state.last_used)),
        ]);
    }
    let legend = "* made from the files of this directory   devdb cache list --help explains USE";
    format!("{}{}\n", lines(&table), style.dim(legend))
}

fn holds(state: &CachedState) -> String {
    let migrations = match state.by_tool {
        true => "another tool's migrations".to_owned(),
        false => count(state.migrations, "migration"),
    };
    match (state.migrations, state.seeds) {
        (0, 0) => "no migrations".to_owned(),
        (_, 0) => migrations,
        (0, seeds) => count(seeds, "seed"),
        (_, seeds) => format!("{migrations}, {}", count(seeds, "seed")),
    }
}

/// What devdb does with it. The help of `devdb cache list` explains the words.
fn purpose(state: &CachedState) -> &'static str {
    match (state.clean, state.local) {
        (false, _) => "step",
        (true, false) => "final",
        (true, true) => "final, local",
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
    match report.removed.len() + report.damaged.len() {
        0 => text.push_str("there is nothing to remove\n"),
        number => {
            let states = count(number, "golden state");
            _ = writeln!(text, "{states} removed, {} free again", size(report.bytes));
        }
    }
    text
}

/// `devdb cache push`
pub fn pushed(report: &TransferReport, style: Style) -> String {
    let TransferReport { reference, engine, fingerprint, took_ms, .. } = report;
    let time = style.dim(&took(*took_ms));
    format!("sent golden state {} of {engine} to {reference} {time}\n", short(fingerprint))
}

/// `devdb cache pull`
pub fn pulled(report: &TransferReport, style: Style) -> String {
    let TransferReport { reference, engine, fingerprint, took_ms, changed, .. } = report;
    let (state, time) = (short(fingerprint), style.dim(&took(*took_ms)));
    match changed {
        true => format!("fetched golden state {state} for {engine} from {reference} {time}\n"),
        false => {
            format!("{engine} already has golden state {state}; devdb fetched nothing {time}\n")
        }
    }
}
