//! What several reports share: tables, rows, sizes, times, names.

use std::fmt::Write as _;

use chrono::{DateTime, Local, TimeDelta, Utc};
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use indicatif::DecimalBytes;

use super::Style;

/// With fewer columns a table would be a heap of letters. A terminal that does not know its size
/// says 0, as those of CI systems do.
const NARROWEST: u16 = 40;

/// A table without lines. On a terminal that is too narrow for it, cells wrap; elsewhere every row
/// is one line, so that other programs can read it.
pub fn table(header: &[&str]) -> Table {
    let columns = rustix::termios::tcgetwinsize(std::io::stdout()).map(|size| size.ws_col);
    table_within(columns.ok(), header)
}

/// A table for a terminal of so many columns; none when the output goes elsewhere.
fn table_within(columns: Option<u16>, header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header.to_vec());
    match columns.filter(|columns| *columns >= NARROWEST) {
        Some(columns) => {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns)
        }
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    table
}

/// A table as lines, without the blanks that pad every line to the table's width.
pub fn lines(table: &Table) -> String {
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// One fact a line: its name, then its value.
pub fn row(text: &mut String, name: &str, value: impl std::fmt::Display, style: Style) {
    _ = writeln!(text, "{} {value}", style.dim(&format!("{name:<11}")));
}

/// What could not be found out, one line each.
pub fn troubles(text: &mut String, troubles: &[String], style: Style) {
    for trouble in troubles {
        _ = writeln!(text, "{} {trouble}", style.yellow("warning:"));
    }
}

/// `1 migration`, `2 migrations`.
pub fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// `28.15 MB`, in the units that settings and flags are read in.
pub fn size(bytes: u64) -> String {
    DecimalBytes(bytes).to_string()
}

/// `in 0.83 s`.
pub fn took(millis: u64) -> String {
    format!("in {:.2} s", std::time::Duration::from_millis(millis).as_secs_f64())
}

/// A time in the person's own time zone, to the minute.
pub fn moment(time: DateTime<Utc>) -> String {
    time.with_timezone(&Local).format("%Y-%m-%d %H:%M").to_string()
}

/// A length of time, in one unit: `5 min`.
pub fn age(age: TimeDelta) -> String {
    match (age.num_minutes(), age.num_hours(), age.num_days()) {
        (..1, ..) => "< 1 min".to_owned(),
        (minutes, 0, _) => format!("{minutes} min"),
        (_, hours @ 1..48, _) => format!("{hours} h"),
        (_, _, days) => format!("{days} days"),
    }
}

/// The beginning of a fingerprint, as the engines' names of golden states have it.
pub fn short(fingerprint: &str) -> &str {
    fingerprint.get(..12).unwrap_or(fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_one_number_and_one_unit() {
        let ages = [-60, 59, 60, 3599, 3600, 47 * 3600, 49 * 3600]
            .map(|seconds| age(TimeDelta::seconds(seconds)));
        let expected = ["< 1 min", "< 1 min", "1 min", "59 min", "1 h", "47 h", "2 days"];
        assert_eq!(ages, expected);
    }

    #[test]
    fn a_table_fits_its_terminal_and_is_one_line_a_row_elsewhere() {
        let text = |columns| {
            let mut table = table_within(columns, &["NAME", "DIRECTORY"]);
            table.add_row(vec!["shop", &"/home/anna/a long way".repeat(4)]);
            lines(&table)
        };
        assert!(text(Some(80)).lines().all(|line| line.chars().count() <= 80));
        assert!(text(Some(80)).lines().count() > 2);
        for columns in [None, Some(0), Some(200)] {
            assert_eq!(text(columns).lines().count(), 2, "{columns:?}");
        }
    }

    #[test]
    fn one_thing_is_singular() {
        assert_eq!([count(1, "day"), count(0, "day")], ["1 day", "0 days"]);
    }
}
