//! Outcomes as text for people: which file renders which report, and failures.

use std::fmt::Write as _;

use super::{
    Style, cache, database, doctor, ephemeral, gc, generations, list, manual, project, snapshot,
    status,
};
use crate::error::{Error, Kind};
use crate::outcome::Report;

/// The text of a report, empty or ending with a line break.
pub fn render(report: &Report, style: Style) -> String {
    match report {
        Report::Nothing | Report::Signal(_) => String::new(),
        Report::Verbatim(text) => text.clone(),
        Report::Said(said) => format!("{}\n", said.message),
        Report::Up(report) => database::up(report, style),
        Report::Reset(report) => database::reset(report, style),
        Report::Restored(report) => database::restored(report, style),
        Report::Url(report) => format!("{}\n", report.url),
        // `env` gives its text as it is, in the format that the person chose.
        Report::Env(_) => String::new(),
        Report::Saved(report) => snapshot::saved(report, style),
        Report::Snapshots(report) => snapshot::list(report, style),
        Report::Snapshot(report) => snapshot::show(report, style),
        Report::Exported(report) => snapshot::exported(report, style),
        Report::Status(report) => status::status(report, style),
        Report::Migrations(report) => status::migrations(report, style),
        Report::List(report) => list::render(report, style),
        Report::Generations(report) => generations::render(report, style),
        Report::Gc(report) => gc::render(report, style),
        Report::Ephemerals(report) => ephemeral::render(report, style),
        Report::Cache(report) => cache::list(report, style),
        Report::Prune(report) => cache::pruned(report, style),
        Report::Pushed(report) => cache::pushed(report, style),
        Report::Pulled(report) => cache::pulled(report, style),
        Report::Config(report) => project::config(report, style),
        Report::Init(report) => project::init(report, style),
        Report::Doctor(report) => doctor::render(report, style),
        Report::Topics(report) => manual::topics(report, style),
        Report::Page(report) => manual::page(report, style),
    }
}

/// A failure: what, why, where, what next.
pub fn failure(error: &Error, style: Style) -> String {
    let mut text = match error.kind() {
        // The person knows why. What follows is what they may not know.
        Kind::Interrupted => format!("{}\n", error.message()),
        _ => what_failed(error, style),
    };
    for note in error.notes() {
        _ = writeln!(text, "  {} {note}", style.dim("note:"));
    }
    for hint in error.hints() {
        // A question is nothing to type.
        let label = if hint.ends_with('?') { "" } else { "try: " };
        _ = writeln!(text, "  {}{hint}", style.green(label));
    }
    text
}

fn what_failed(error: &Error, style: Style) -> String {
    let mut text = format!("{} {}\n", style.red("error:"), error.message());
    for cause in error.causes() {
        let cause = cause.trim_end().replace('\n', "\n         ");
        _ = writeln!(text, "  {} {cause}", style.dim("why:"));
    }
    if let Some(excerpt) = error.excerpt_text() {
        for line in excerpt.lines() {
            _ = writeln!(text, "  {} {line}", style.dim("|"));
        }
    }
    text
}
