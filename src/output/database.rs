//! A database that was created, started, replaced or filled, as text for people.

use std::fmt::Write as _;

use super::Style;
use super::text::{count, took};
use crate::error::shell_word;
use crate::outcome::{Applied, Cached, Fate, How, ResetReport, RestoredReport, UpReport};

/// `devdb up`, `start`, `migrate`, `seed`
pub fn up(report: &UpReport, style: Style) -> String {
    let who = style.bold(&report.owner.in_words());
    let version = report.server_version.as_ref().map(|version| format!(", PostgreSQL {version}"));
    let server = format!("({}{})", report.engine, version.unwrap_or_default());
    let took = style.dim(&took(report.took_ms));
    let mut text = match report.how {
        How::Unchanged if report.applied.is_something() => {
            format!("updated {who} {server} {took}\n")
        }
        How::Unchanged => format!("{who} is running {server}, checked {took}\n"),
        How::Created => format!("created and started {who} {server} {took}\n"),
        How::Started => format!("started {who} {server} {took}\n"),
        How::Renewed => format!("made {who} anew for this commit {server} {took}\n"),
        How::Relaunched => format!("restarted {who} with its new settings {server} {took}\n"),
    };
    _ = writeln!(text, "  {}", report.location.shown);
    applied(&mut text, &report.applied, style);
    let advice = match &report.env_file {
        Some(file) => format!("DATABASE_URL is in {}", file.display()),
        None => {
            style.dim("devdb url    prints the URL with the password\n  devdb psql   opens psql")
        }
    };
    _ = writeln!(text, "  {advice}");
    text
}

/// `devdb reset`, `undo`
pub fn reset(report: &ResetReport, style: Style) -> String {
    let mut text = format!(
        "switched {} to generation {} ({}) {}\n  {}\n",
        style.bold(&report.owner.in_words()),
        report.generation,
        report.engine,
        style.dim(&took(report.took_ms)),
        report.location.shown,
    );
    applied(&mut text, &report.applied, style);
    _ = writeln!(
        text,
        "  the previous database, generation {}, {}",
        report.former_generation,
        fate(report)
    );
    text
}

/// `devdb snapshot restore`
pub fn restored(report: &RestoredReport, style: Style) -> String {
    format!("restored snapshot {}\n{}", report.snapshot, reset(&report.swap, style))
}

fn fate(report: &ResetReport) -> String {
    match report.former {
        Fate::Kept | Fate::UntilSwap | Fate::ForGood => {
            let time = match report.former {
                Fate::ForGood => "for good".to_owned(),
                Fate::UntilSwap => "until the next reset, because nobody changed it".to_owned(),
                _ => format!("for up to {}", count(report.kept_days.into(), "day")),
            };
            let condition = match report.former_differs.join(", ") {
                none if none.is_empty() => none,
                some => format!(", after you set this back: {some}"),
            };
            format!("is kept {time}\n  devdb undo   switches to it{condition}")
        }
        Fate::Wiped => "is removed, as --wipe asks".into(),
        Fate::Unwritten => "is removed, because nobody had written to it".into(),
        Fate::NotWanted => "is removed, because the settings keep no former generation".into(),
        Fate::Gone => "is gone: another program had removed its data".into(),
    }
}

fn applied(text: &mut String, applied: &Applied, style: Style) {
    let cached = applied.golden.as_ref().map(|golden| golden.cached);
    let origin = match cached {
        Some(Cached::Hit) => " (copied from the cache)",
        Some(Cached::Prefix) => " (the first migrations copied from the cache)",
        Some(Cached::Miss) | None => "",
    };
    if !applied.commands_run.is_empty() {
        _ = writeln!(text, "  ran {}{origin}", applied.commands_run.join(" and "));
    }
    let mut files = Vec::new();
    if !applied.migrations_applied.is_empty() {
        files.push(count(applied.migrations_applied.len(), "migration"));
    }
    if !applied.seeds_applied.is_empty() {
        files.push(count(applied.seeds_applied.len(), "seed file"));
    }
    if !files.is_empty() {
        _ = writeln!(text, "  applied {}{origin}", files.join(" and "));
    }
    if let Some(number) = applied.kept_before {
        _ = writeln!(
            text,
            "  generation {number} is a copy from before this change (devdb undo switches to it)"
        );
    }
    let seed = match &applied.seeds_profile {
        Some(profile) => format!("devdb seed --profile {} applies it", shell_word(profile)),
        None => "devdb seed applies it".to_owned(),
    };
    let left = [
        ("pending:", &applied.migrations_pending, "not applied", "devdb migrate applies it"),
        ("pending:", &applied.seeds_pending, "not applied", seed.as_str()),
        (
            "pending:",
            &applied.seeds_changed,
            "changed since it was applied",
            "devdb reset applies it",
        ),
        (
            "missing:",
            &applied.seeds_missing,
            "its rows are still here",
            "devdb reset starts without it",
        ),
    ];
    for (word, files, state, advice) in left {
        for file in files {
            _ = writeln!(text, "  {} {file}: {state} ({advice})", style.yellow(word));
        }
    }
}
