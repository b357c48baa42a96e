//! Outcomes as text for people.

use std::fmt::Write as _;

use chrono::Utc;
use comfy_table::Table;
use comfy_table::presets::NOTHING;

use super::{Style, cached, kept, snapshot};
use crate::error::{Error, Kind};

use crate::outcome::{
    Applied, Cached, ConfigReport, DoctorReport, Fate, How, InitReport, ListReport,
    MigrationsReport, Report, ResetReport, SeedsReport, StatusReport, UpReport, Verdict,
};
use crate::spec::Owner;

/// The text of a report, empty or ending with a line break.
pub fn render(report: &Report, style: Style) -> String {
    match report {
        Report::Nothing | Report::Signal(_) => String::new(),
        Report::Verbatim(text) => text.clone(),
        Report::Said(said) => format!("{}\n", said.message),
        Report::Up(up) => self::up(up, style),
        Report::Reset(reset) => self::reset(reset, style),
        Report::Saved(saved) => snapshot::saved(saved, style),
        Report::Snapshots(list) => snapshot::list(list, style),
        Report::Snapshot(one) => snapshot::show(one, style),
        Report::Restored(restored) => {
            format!("restored {}\n{}", restored.snapshot, reset(&restored.swap, style))
        }
        Report::Exported(exported) => snapshot::exported(exported, style),
        Report::Status(status) => self::status(status, style),
        Report::List(list) => self::list(list, style),
        Report::Generations(report) => kept::generations(report, style),
        Report::Gc(report) => kept::gc(report, style),
        Report::Cache(report) => cached::list(report, style),
        Report::Prune(report) => cached::pruned(report, style),
        Report::Pushed(report) => cached::pushed(report, style),
        Report::Pulled(report) => cached::pulled(report, style),
        Report::Ephemerals(report) => kept::ephemerals(report, style),
        Report::Url(url) => format!("{}\n", url.url),
        Report::Migrations(migrations) => self::migrations(migrations, style),
        Report::Config(config) => self::config(config, style),
        Report::Init(init) => self::init(init, style),
        Report::Doctor(doctor) => self::doctor(doctor, style),
    }
}

/// A failure: what, why, where, what next.
pub fn failure(error: &Error, style: Style) -> String {
    if error.kind() == Kind::Interrupted {
        return format!("{}\n", error.message());
    }
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
    for hint in error.hints() {
        _ = writeln!(text, "  {} {hint}", style.green("try:"));
    }
    text
}

pub(super) fn who(owner: &Owner) -> String {
    match owner.instance.as_str() {
        "main" => format!("{} for {}", owner.project, owner.developer),
        name => format!("{} for {}, instance {name}", owner.project, owner.developer),
    }
}

fn up(report: &UpReport, style: Style) -> String {
    let state = match report.how {
        How::Unchanged => "is running",
        How::Created => "is new and running",
        How::Started => "is running again",
        How::Relaunched => "is running with its new settings",
    };
    let version = report.server_version.as_ref().map(|version| format!(", PostgreSQL {version}"));
    let mut text = format!(
        "{} {state} ({}{}) {}\n",
        style.bold(&who(&report.owner)),
        report.engine,
        version.unwrap_or_default(),
        style.dim(&seconds(report.took_ms)),
    );
    _ = writeln!(text, "  {}", report.location.url);
    applied(&mut text, &report.applied, style);
    match &report.env_file {
        Some(file) => _ = writeln!(text, "  DATABASE_URL is in {}", file.display()),
        None => {
            _ = writeln!(
                text,
                "  {}",
                style.dim("devdb url prints the password; devdb psql opens it")
            );
        }
    }
    text
}

fn reset(report: &ResetReport, style: Style) -> String {
    let mut text = format!(
        "{} is at generation {} ({}) {}\n  {}\n",
        style.bold(&who(&report.owner)),
        report.generation,
        report.engine,
        style.dim(&seconds(report.took_ms)),
        report.location.url,
    );
    applied(&mut text, &report.applied, style);
    let former = report.former_generation;
    let fate = match report.former {
        Fate::Kept => {
            let days = count(report.kept_days.into(), "day");
            let differs = match report.former_differs.join(", ") {
                none if none.is_empty() => none,
                some => format!(" once this is set back: {some}"),
            };
            format!("is kept for {days} (devdb undo goes back{differs})")
        }
        Fate::Wiped => "is removed, as was asked for".into(),
        Fate::Unwritten => "is removed: nobody had written to it".into(),
        Fate::NotWanted => "is removed: generations in devdb.yaml keeps none".into(),
    };
    _ = writeln!(text, "  generation {former} {fate}");
    text
}

fn applied(text: &mut String, applied: &Applied, style: Style) {
    let mut done: Vec<String> =
        applied.commands_run.iter().map(|command| format!("{command} ran")).collect();
    if !applied.migrations_applied.is_empty() {
        done.push(format!("{} applied", count(applied.migrations_applied.len(), "migration")));
    }
    if !applied.seeds_applied.is_empty() {
        done.push(format!("{} applied", count(applied.seeds_applied.len(), "seed file")));
    }
    if !done.is_empty() {
        let origin = match applied.golden.as_ref().map(|golden| golden.cached) {
            Some(Cached::Hit) => ", all from the cache",
            Some(Cached::Prefix) => ", the first of them from the cache",
            Some(Cached::Miss) | None => "",
        };
        _ = writeln!(text, "  {}{origin}", done.join(", "));
    }
    let left = [
        (&applied.migrations_pending, "not applied", "devdb migrate applies it"),
        (&applied.seeds_pending, "not applied", "devdb seed applies it"),
        (&applied.seeds_changed, "changed since it was applied", "devdb reset applies it"),
    ];
    for (files, state, advice) in left {
        for file in files {
            _ = writeln!(text, "  {} {file}: {state} ({advice})", style.yellow("pending:"));
        }
    }
}

fn status(report: &StatusReport, style: Style) -> String {
    let state = match report.state {
        "running" => style.green("running"),
        "absent" => "not there yet (devdb up makes it)".to_owned(),
        "down" => "down, its data is kept (devdb up brings it back)".to_owned(),
        other => style.yellow(other),
    };
    let mut rows: Vec<(&str, String)> =
        vec![("database", style.bold(&who(&report.owner))), ("state", state)];
    if let Some(health) = &report.health {
        rows.push(("health", health.clone()));
    }
    if let Some(trouble) = &report.trouble {
        rows.push(("trouble", style.red(trouble)));
    }
    if let Some(engine) = report.engine {
        rows.push(("engine", engine.to_string()));
    }
    if let Some(version) = &report.server_version {
        rows.push(("server", format!("PostgreSQL {version}")));
    }
    if let Some(place) = &report.location {
        rows.push(("url", place.url.clone()));
        rows.push(("port", place.port.to_string()));
    }
    if let Some(started) = report.started {
        let up = (Utc::now() - started).to_std().unwrap_or_default().as_secs();
        rows.push((
            "uptime",
            humantime::format_duration(std::time::Duration::from_secs(up)).to_string(),
        ));
    }
    if let Some(bytes) = report.database_bytes {
        rows.push(("size", indicatif::HumanBytes(bytes).to_string()));
    }
    if let Some(generation) = report.generation {
        let kept = match report.kept_generations.len() {
            0 => String::new(),
            kept => format!(", {} kept", count(kept, "former one")),
        };
        rows.push(("generation", format!("{generation}{kept}")));
    }
    if report.snapshots > 0 {
        rows.push(("snapshots", report.snapshots.to_string()));
    }
    if let Some(golden) = &report.golden {
        rows.push(("golden", cached::golden(golden)));
    }
    let mut text = String::new();
    for (name, value) in rows {
        _ = writeln!(text, "{} {value}", style.dim(&format!("{name:<11}")));
    }
    if let Some(migrations) = &report.migrations {
        _ = writeln!(
            text,
            "{} {}",
            style.dim(&format!("{:<11}", "migrations")),
            summary(migrations)
        );
        stand_out(&mut text, migrations, style);
    }
    if let Some(seeds) = &report.seeds {
        self::seeds(&mut text, seeds, style);
    }
    text
}

fn seeds(text: &mut String, seeds: &SeedsReport, style: Style) {
    _ = writeln!(
        text,
        "{} {} applied, {} pending (profile {})",
        style.dim(&format!("{:<11}", "seeds")),
        seeds.applied.len(),
        seeds.pending.len(),
        seeds.profile,
    );
    for file in &seeds.pending {
        _ = writeln!(text, "  {} {file}", style.yellow("pending"));
    }
    for file in &seeds.changed {
        _ = writeln!(text, "  {} {file} (devdb reset applies it)", style.yellow("changed"));
    }
}

fn summary(report: &MigrationsReport) -> String {
    format!("{} applied, {} pending", report.applied.len(), report.pending.len())
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

fn migrations(report: &MigrationsReport, style: Style) -> String {
    let mut text = String::new();
    for file in &report.applied {
        _ = writeln!(text, "  {}      {file}", style.green("applied"));
    }
    stand_out(&mut text, report, style);
    _ = writeln!(text, "{}", summary(report));
    text
}

fn list(report: &ListReport, style: Style) -> String {
    let mut text = String::new();
    if report.instances.is_empty() {
        text.push_str("no instances; devdb up makes one\n");
    } else {
        let mut table = plain_table(&[
            "",
            "PROJECT",
            "DEVELOPER",
            "INSTANCE",
            "ENGINE",
            "STATE",
            "PORT",
            "SERVER",
            "DIRECTORY",
        ]);
        for listed in &report.instances {
            let directory = match (&listed.directory, listed.recorded) {
                (Some(directory), _) => directory.display().to_string(),
                (None, _) if listed.owner.is_ephemeral() => "(ephemeral)".into(),
                (None, true) => "(sample project)".into(),
                (None, false) => "(no record here)".into(),
            };
            table.add_row(vec![
                if listed.current { "*".into() } else { String::new() },
                listed.owner.project.clone(),
                listed.owner.developer.clone(),
                listed.owner.instance.clone(),
                listed.engine.to_string(),
                listed.state.to_owned(),
                listed.port.map(|port| port.to_string()).unwrap_or_default(),
                listed.image.clone().unwrap_or_default(),
                directory,
            ]);
        }
        _ = writeln!(text, "{}", trimmed(&table));
    }
    for trouble in &report.troubles {
        _ = writeln!(text, "{} {trouble}", style.yellow("warning:"));
    }
    text
}

fn config(report: &ConfigReport, style: Style) -> String {
    let mut table = plain_table(&["SETTING", "VALUE", "FROM"]);
    for row in &report.settings {
        table.add_row(vec![row.key.clone(), row.value.clone(), row.origin.clone()]);
    }
    let place = match &report.directory {
        Some(directory) => directory.display().to_string(),
        None => "the sample project (no devdb.yaml here or above)".into(),
    };
    format!("{} {place}\n{}\n", style.dim("project"), trimmed(&table))
}

fn init(report: &InitReport, style: Style) -> String {
    let mut text = String::new();
    for file in &report.written {
        _ = writeln!(text, "{} {}", style.green("wrote"), file.display());
    }
    for file in &report.kept {
        _ = writeln!(text, "{}  {} (was there)", style.dim("kept"), file.display());
    }
    _ = writeln!(text, "next: {}", report.next);
    text
}

fn doctor(report: &DoctorReport, style: Style) -> String {
    let mut text = String::new();
    for check in &report.checks {
        let mark = match check.verdict {
            Verdict::Good => style.green("ok  "),
            Verdict::Absent => style.dim("-   "),
            Verdict::Warning => style.yellow("warn"),
            Verdict::Bad => style.red("bad "),
        };
        _ = writeln!(text, "{mark} {}: {}", check.what, check.found);
        if let Some(advice) = &check.advice {
            _ = writeln!(text, "     {advice}");
        }
    }
    text
}

pub(super) fn plain_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header.to_vec());
    table
}

/// Without the blanks that pad every line to the table's width.
pub(super) fn trimmed(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

pub(super) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

pub(super) fn seconds(millis: u64) -> String {
    format!("in {:.2} s", std::time::Duration::from_millis(millis).as_secs_f64())
}
