//! A project's settings and files, as text for people.

use std::fmt::Write as _;

use super::Style;
use super::text::{lines, table};
use crate::outcome::{ConfigReport, InitReport};

/// `devdb config`
pub fn config(report: &ConfigReport, style: Style) -> String {
    let mut table = table(&["SETTING", "VALUE", "FROM"]);
    for row in &report.settings {
        let value = if row.value.is_empty() { "none" } else { &row.value };
        table.add_row(vec![&row.key, value, &row.origin]);
    }
    let place = match &report.directory {
        Some(directory) => directory.display().to_string(),
        None => "the sample project (there is no devdb.yaml here or in a directory above)".into(),
    };
    format!("{} {place}\n{}", style.dim("project"), lines(&table))
}

/// `devdb init`
pub fn init(report: &InitReport, style: Style) -> String {
    let mut text = String::new();
    for file in &report.written {
        _ = writeln!(text, "{} {}", style.green("wrote"), file.display());
    }
    for file in &report.kept {
        _ = writeln!(text, "{}  {} (it existed already)", style.dim("kept"), file.display());
    }
    _ = writeln!(text, "next: {}", report.next);
    text
}
