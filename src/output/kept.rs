//! What is kept and what is not, as text for people: generations, garbage.

use std::fmt::Write as _;

use chrono::{DateTime, Local, Utc};
use indicatif::HumanBytes;

use super::Style;
use super::human::{count, plain_table, trimmed, who};

use crate::outcome::{
    EphemeralsReport, Found, GcReport, GenerationRow, GenerationsReport, Reason, Skipped,
    WhySkipped,
};
use crate::state::Why;

/// `devdb generations`
pub fn generations(report: &GenerationsReport, style: Style) -> String {
    let mut table =
        plain_table(&["", "GENERATION", "MADE", "BY", "REPLACED", "SIZE", "WRITTEN TO", "KEPT"]);
    for row in &report.generations {
        table.add_row(vec![
            if row.current { "*".into() } else { String::new() },
            row.number.to_string(),
            moment(row.created),
            by(row.why).to_owned(),
            row.replaced.map(moment).unwrap_or_default(),
            row.bytes.map(|bytes| HumanBytes(bytes).to_string()).unwrap_or_default(),
            match row.written {
                Some(true) => "yes".into(),
                Some(false) => "no".into(),
                None => String::new(),
            },
            kept(row),
        ]);
    }
    let mut text =
        format!("{} ({})\n{}\n", style.bold(&who(&report.owner)), report.engine, trimmed(&table));
    for trouble in &report.troubles {
        _ = writeln!(text, "{} {trouble}", style.yellow("warning:"));
    }
    text
}

/// `devdb ephemeral list`
pub fn ephemerals(report: &EphemeralsReport, style: Style) -> String {
    if report.ephemerals.is_empty() {
        return "no ephemeral database is there; devdb ephemeral start makes one\n".into();
    }
    let mut table = plain_table(&["ID", "WHOSE", "ENGINE", "WHERE", "UNTIL"]);
    for one in &report.ephemerals {
        table.add_row(vec![
            style.bold(&one.id),
            format!("{} for {}", one.owner.project, one.owner.developer),
            one.engine.to_string(),
            one.location.url.clone(),
            moment(one.until),
        ]);
    }
    format!("{}\n", trimmed(&table))
}

fn by(why: Why) -> &'static str {
    match why {
        Why::Up => "up",
        Why::Reset => "reset",
        Why::Restore => "restore",
        Why::Found => "found",
    }
}

fn kept(row: &GenerationRow) -> String {
    match row.kept_until {
        None => String::new(),
        Some(end) if end <= Utc::now() => "until the next command".into(),
        Some(end) => format!("until {}", moment(end)),
    }
}

pub(super) fn moment(time: DateTime<Utc>) -> String {
    time.with_timezone(&Local).format("%Y-%m-%d %H:%M").to_string()
}

/// `devdb gc`
pub fn gc(report: &GcReport, style: Style) -> String {
    let mut text = String::new();
    for found in &report.found {
        _ = writeln!(text, "{}", self::found(found, report.yes, style));
    }
    for skipped in &report.skipped {
        let (who, why) = (who(&skipped.owner), why_skipped(skipped));
        _ = writeln!(text, "{} {who}: {why}", style.dim("skipped"));
    }
    for trouble in &report.troubles {
        _ = writeln!(text, "{} {trouble}", style.yellow("warning:"));
    }
    match (report.found.is_empty(), report.yes) {
        (true, _) => text.push_str("there is nothing to remove\n"),
        (false, false) => {
            text.push_str("nothing is removed yet: devdb gc --yes removes it, for good\n");
        }
        (false, true) => {}
    }
    text
}

fn why_skipped(skipped: &Skipped) -> String {
    match &skipped.why {
        WhySkipped::Locked => "another devdb works on it".into(),
        WhySkipped::NotMounted { directory } => {
            format!("{} is on a file system that is not mounted", directory.display())
        }
        WhySkipped::Renamed { to, directory } => {
            let name = &skipped.owner.instance;
            format!(
                "its branch is called {to} now; in {}:\n  devdb up --from {name}   on {to}, takes the data along \
                 (devdb down --purge first, where {to} has a database)\n  \
                 devdb down --purge --instance {name}   removes it",
                directory.display()
            )
        }
    }
}

fn found(found: &Found, yes: bool, style: Style) -> String {
    let verb = match (yes, found.left.is_empty()) {
        (false, _) => style.yellow("would remove"),
        (true, true) => style.green("removed"),
        (true, false) => style.red("still there"),
    };
    let numbers: Vec<String> = found.generations.iter().map(u32::to_string).collect();
    let directory = found.directory.as_deref().unwrap_or_else(|| "".as_ref()).display();
    let what = match found.reason {
        Reason::BranchGone => format!("with all its data: its branch is gone from {directory}"),
        Reason::DirectoryGone => format!(
            "with all its data: its directory {directory} is gone (moved? then devdb up there first)"
        ),
        Reason::CheckoutGone => format!(
            "with all its data: another checkout is in {directory} now (moved? then devdb up there \
             first)"
        ),
        Reason::Expired => format!("generation {}: past its time", numbers.join(", ")),
        Reason::CutShort => {
            format!("{} of a command that was cut short", count(found.objects.len(), "leftover"))
        }
    };
    let bytes = found.bytes.filter(|_| !found.generations.is_empty());
    let size = bytes.map(|bytes| format!(", {}", HumanBytes(bytes))).unwrap_or_default();
    let mut text =
        format!("{verb} {} ({}{size})\n  {what}", style.bold(&who(&found.owner)), found.engine);
    if !found.snapshots.is_empty() {
        let number = count(found.snapshots.len(), "snapshot");
        _ = write!(text, "\n  and {number}: {}", found.snapshots.join(", "));
    }
    for name in &found.left {
        _ = write!(text, "\n  {} {name}", style.red("still there:"));
    }
    text
}
