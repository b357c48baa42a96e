//! What `devdb gc` finds and removes, as text for people.

use std::fmt::Write as _;

use super::Style;
use super::text::{count, size, troubles};
use crate::error::shell_word;
use crate::outcome::{Found, GcReport, Reason, Skipped, WhySkipped};

/// `devdb gc`
pub fn render(report: &GcReport, style: Style) -> String {
    let mut text = String::new();
    for found in &report.found {
        _ = writeln!(text, "{}", self::found(found, report.yes, style));
    }
    for skipped in &report.skipped {
        let (who, why) = (skipped.owner.in_words(), why_skipped(skipped));
        _ = writeln!(text, "{} {who}: {why}", style.dim("skipped"));
    }
    troubles(&mut text, &report.troubles, style);
    match (report.found.is_empty(), report.yes) {
        (true, _) => text.push_str("there is nothing to remove\n"),
        (false, false) => {
            text.push_str("nothing is removed yet; devdb gc --yes removes all of this, for good\n");
        }
        (false, true) => {}
    }
    text
}

fn why_skipped(skipped: &Skipped) -> String {
    match &skipped.why {
        WhySkipped::Locked => "another devdb is working on it".into(),
        WhySkipped::NotMounted { directory } => {
            format!("{} is on a file system that is not mounted", directory.display())
        }
        WhySkipped::OnBranch { branch, directory } => {
            format!("{} is not there now, but the branch {branch} has it", directory.display())
        }
        WhySkipped::Renamed { to, directory } => {
            // Typed anywhere, they are about that directory and that database.
            let devdb = format!("devdb -C {}", shell_word(&directory.display().to_string()));
            let (name, other) = (shell_word(&skipped.owner.instance), shell_word(to));
            format!(
                "its branch is called {to} now. One of these helps:\n  \
                 {devdb} up --from {name}   on {to}: start a database from this data\n      \
                 (if {to} has a database already, {devdb} down --purge --instance {other} first)\n  \
                 {devdb} down --purge --instance {name}   remove this data"
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
    let bytes = found.bytes.filter(|bytes| *bytes > 0);
    let bytes = bytes.map(|bytes| format!(", {}", size(bytes))).unwrap_or_default();
    let mut text = format!(
        "{verb} {} ({}{bytes})\n  {}",
        style.bold(&found.owner.in_words()),
        found.engine,
        what_and_why(found)
    );
    if !found.snapshots.is_empty() {
        let number = count(found.snapshots.len(), "snapshot");
        _ = write!(text, "\n  and {number}: {}", found.snapshots.join(", "));
    }
    for name in &found.left {
        _ = write!(text, "\n  {} {name}", style.red("still there:"));
    }
    text
}

fn what_and_why(found: &Found) -> String {
    let numbers: Vec<String> = found.generations.iter().map(u32::to_string).collect();
    let directory = found.directory.as_deref().unwrap_or_else(|| "".as_ref()).display();
    match found.reason {
        Reason::BranchGone => format!("all its data: its branch is gone from {directory}"),
        Reason::OnBranchAgain => format!(
            "all its data: it was made for detached heads, and {directory} is on a branch again"
        ),
        Reason::DirectoryGone => format!(
            "all its data: the directory {directory} is gone\n  \
             (if you moved the directory, run devdb -C NEW_DIRECTORY up first)"
        ),
        Reason::CheckoutGone => format!(
            "all its data: another checkout is in {directory} now\n  \
             (if you moved the earlier checkout, run devdb -C NEW_DIRECTORY up first)"
        ),
        Reason::Expired if numbers.is_empty() => "generations that were being removed".into(),
        Reason::Expired => format!("generation {}: past its time", numbers.join(", ")),
        Reason::CutShort => {
            format!("{} of a command that was interrupted", count(found.objects.len(), "leftover"))
        }
    }
}
