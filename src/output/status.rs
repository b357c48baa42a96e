//! Where a database, its migrations and its seeds stand, as text for people.

use std::fmt::Write as _;

use chrono::Utc;

use super::Style;
use super::text::{count, row, short, size};
use crate::outcome::{Cached, MigrationsReport, SeedsReport, StatusGolden, StatusReport};
use crate::plan::ByTool;

/// `devdb status`
pub fn status(report: &StatusReport, style: Style) -> String {
    let mut text = String::new();
    let mut say = |name: &str, value: String| row(&mut text, name, value, style);
    say("database", style.bold(&report.owner.in_words()));
    say("state", state(report, style));
    if let Some(health) = &report.health {
        say("health", health.clone());
    }
    if let Some(trouble) = &report.trouble {
        say("trouble", style.red(trouble));
    }
    for line in &report.go_back {
        say("", line.clone());
    }
    if let Some(engine) = report.engine {
        say("engine", engine.to_string());
    }
    if let Some(version) = &report.server_version {
        say("server", format!("PostgreSQL {version}"));
    }
    if let Some(place) = &report.location {
        say("url", place.shown.clone());
        say("port", place.port.to_string());
    }
    if let Some(started) = report.started {
        let up = (Utc::now() - started).to_std().unwrap_or_default().as_secs();
        let up = std::time::Duration::from_secs(up);
        say("uptime", humantime::format_duration(up).to_string());
    }
    if let Some(bytes) = report.database_bytes {
        say("size", format!("{}, without the server's own files", size(bytes)));
    }
    if let Some(generation) = report.generation {
        let kept = match report.kept_generations.len() {
            0 => String::new(),
            number => format!(" ({} kept)", count(number, "other generation")),
        };
        say("generation", format!("{generation}{kept}"));
    }
    if report.snapshots > 0 {
        say("snapshots", report.snapshots.to_string());
    }
    if let Some(golden) = &report.golden {
        say("golden", self::golden(golden));
    }
    if let Some(migrations) = &report.migrations {
        say("migrations", summary(migrations));
        stand_out(&mut text, migrations, style);
    }
    if let Some(seeds) = &report.seeds {
        self::seeds(&mut text, seeds, style);
    }
    text
}

fn state(report: &StatusReport, style: Style) -> String {
    match report.state {
        "running" => style.green("running"),
        "absent" => "not there yet (devdb up creates it)".to_owned(),
        "down" if report.trouble.is_none() => {
            "down; its data is kept (devdb up starts it again)".to_owned()
        }
        other => style.yellow(other),
    }
}

fn golden(golden: &StatusGolden) -> String {
    let cached = match golden.cached {
        Cached::Hit => "in the cache",
        Cached::Prefix => "some of its migrations are in the cache",
        Cached::Miss => "not in the cache",
    };
    match &golden.fingerprint {
        Some(fingerprint) => format!("{} ({cached})", short(fingerprint)),
        None => format!("not known before there is a key ({cached})"),
    }
}

fn seeds(text: &mut String, seeds: &SeedsReport, style: Style) {
    let summary = format!(
        "{} applied, {} pending (seed profile {})",
        seeds.applied.len(),
        seeds.pending.len(),
        seeds.profile,
    );
    row(text, "seeds", summary, style);
    for file in &seeds.pending {
        _ = writeln!(text, "  {} {file}", style.yellow("pending"));
    }
    for file in &seeds.changed {
        _ = writeln!(text, "  {} {file} (devdb reset applies it)", style.yellow("changed"));
    }
    for file in &seeds.missing {
        _ = writeln!(text, "  {} {file} (devdb reset starts without it)", style.yellow("missing"));
    }
}

fn summary(report: &MigrationsReport) -> String {
    if let Some(tool) = &report.tool {
        return by_tool(tool, report);
    }
    format!("{} applied, {} pending", report.applied.len(), report.pending.len())
}

fn by_tool(tool: &ByTool, report: &MigrationsReport) -> String {
    let ByTool { command, has_run, is_counted, at, taken_back } = tool;
    let stands = match at {
        _ if *is_counted => format!("{} applied by {command}", report.applied.len()),
        Some(version) => format!("at version {version}, by {command}"),
        None if *has_run => format!("{command} has run"),
        None => format!("{command} has not run"),
    };
    if !taken_back.is_empty() {
        let what = taken_back.join(", ");
        return format!("{stands}; taken back since: {what} (devdb migrate applies it again)");
    }
    let has_drifted = !(report.changed.is_empty() && report.missing.is_empty());
    match *has_run {
        true if has_drifted => format!(
            "{stands}; files of applied migrations have changed since (devdb reset applies the \
             present ones)"
        ),
        true if !report.pending.is_empty() => {
            format!("{stands}; the files that it reads have changed since")
        }
        _ => stands,
    }
}

/// The migrations that need a person's attention.
fn stand_out(text: &mut String, report: &MigrationsReport, style: Style) {
    let groups = [
        (&report.pending, "pending", style.yellow("pending")),
        (&report.out_of_order, "out of order", style.yellow("out of order")),
        (&report.changed, "changed", style.red("changed")),
        (&report.missing, "missing", style.red("missing")),
        (&report.dirty, "unfinished", style.red("unfinished")),
    ];
    for (files, name, painted) in groups {
        let pad = " ".repeat(12_usize.saturating_sub(name.len()));
        for file in files.iter() {
            _ = writeln!(text, "  {painted}{pad} {file}");
        }
    }
}

/// `devdb migrate status`
pub fn migrations(report: &MigrationsReport, style: Style) -> String {
    let mut text = String::new();
    for file in &report.applied {
        _ = writeln!(text, "  {}      {file}", style.green("applied"));
    }
    stand_out(&mut text, report, style);
    _ = writeln!(text, "{}", summary(report));
    text
}
