//! Checks the files that are about to be applied, and only these. devdb refuses what no server can
//! run. What sqlx would apply, devdb applies, too, and says what it risks.

use super::MigrationFile;
use crate::db::place::Place;
use crate::db::psql;
use crate::db::sql_scan::{self, Scan, Statement};
use crate::error::{Error, Kind, Result};

/// The first characters of a file that sqlx runs without a transaction.
pub(super) const NO_TRANSACTION: &str = "-- no-transaction";

/// Refuses files that no server can run.
///
/// # Errors
/// `Config`, with the place in each of these files.
pub(super) fn check(files: &[&MigrationFile]) -> Result<()> {
    let failures = files.iter().flat_map(|file| defects(file)).collect();
    let joined = Error::joined(|count| format!("migrations have {count} faults"), failures);
    joined.map_or(Ok(()), Err)
}

fn defects(file: &MigrationFile) -> Vec<Error> {
    let (label, text) = (&file.source.label, file.source.text.as_str());
    if text.starts_with('\u{feff}') {
        return vec![
            Error::new(Kind::Config, format!("{label} begins with a byte order mark"))
                .because("PostgreSQL reads it as a part of the first statement")
                .hint("save the file as UTF-8 without BOM"),
        ];
    }
    if let Some(offset) = text.find('\0') {
        let place = Place::of_byte(text, offset);
        return vec![
            Error::new(Kind::Config, format!("{label}:{place}: a NUL character"))
                .because("PostgreSQL reads it as the end of the file"),
        ];
    }
    psql::refused(&file.source, Kind::Config, &sql_scan::scan(text))
}

/// What sqlx does with some of these files, and a person may not expect: one line for each kind.
pub(super) fn warnings(files: &[&MigrationFile]) -> Vec<String> {
    let mut lines = Vec::new();
    let scans: Vec<(&MigrationFile, Scan<'_>)> =
        files.iter().map(|file| (*file, sql_scan::scan(&file.source.text))).collect();
    let mut warn = |is_meant: &dyn Fn(&MigrationFile, &Scan<'_>) -> bool, one: &str, many: &str| {
        let names: Vec<&str> = scans
            .iter()
            .filter(|(file, scan)| is_meant(file, scan))
            .map(|(file, _)| file.name())
            .collect();
        if !names.is_empty() {
            let what = if names.len() == 1 { one } else { many };
            lines.push(format!("{} {what}", names.join(", ")));
        }
    };
    warn(
        &|_, scan| scan.statements.is_empty(),
        "has no SQL statement and counts as applied: SQL that is added to it later does not run",
        "have no SQL statement and count as applied: SQL that is added to them later does not run",
    );
    warn(
        &|file, scan| ends_transaction(file, scan),
        "commits by itself: if it fails or is interrupted after its COMMIT, its changes stay in the \
         database, but it does not count as applied",
        "commit by themselves: if one fails or is interrupted after its COMMIT, its changes stay in \
         the database, but it does not count as applied",
    );
    warn(
        &|file, scan| !file.migration.no_tx && scan.statements.iter().any(Statement::rolls_back),
        "undoes its changes with a ROLLBACK, and counts as applied",
        "undo their changes with a ROLLBACK, and count as applied",
    );
    warn(
        &|file, scan| file.migration.no_tx && leaves_open(scan),
        "begins a transaction and does not end it: devdb commits it",
        "begin a transaction and do not end it: devdb commits it",
    );
    lines.extend(scans.iter().filter_map(|(file, scan)| near_miss(file, scan)));
    lines
}

/// Whether a transaction that the file itself has begun is open at its end.
fn leaves_open(scan: &Scan<'_>) -> bool {
    let control = scan.statements.iter().rev().find(|statement| statement.controls_transaction());
    control.is_some_and(Statement::begins_transaction)
}

/// Whether the file ends the transaction that it is run in, and keeps its changes.
pub(super) fn ends_transaction(file: &MigrationFile, scan: &Scan<'_>) -> bool {
    !file.migration.no_tx && scan.statements.iter().any(Statement::ends_transaction)
}

/// What looks like the marker `-- no-transaction` and is none, or is one by accident.
fn near_miss(file: &MigrationFile, scan: &Scan<'_>) -> Option<String> {
    let text = file.source.text.as_str();
    if let Some(rest) = text.strip_prefix(NO_TRANSACTION) {
        let is_word_longer = rest.starts_with(|c: char| c.is_alphanumeric() || "-_".contains(c));
        return is_word_longer.then(|| {
            let line = text.lines().next().unwrap_or_default().trim_end();
            format!(
                "{} runs without a transaction, because its first line, `{line}`, begins with \
                 `{NO_TRANSACTION}`",
                file.name()
            )
        });
    }
    let comments_end = scan.statements.first().map_or(text.len(), |statement| statement.start);
    let mut offset = 0;
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let words = marker_words(line);
        let is_near = match offset < comments_end {
            true => words.starts_with("notransaction"),
            false => line.trim_start().starts_with("--") && words == "notransaction",
        };
        if is_near {
            return Some(format!(
                "{} runs in a transaction, although its line {number} is `{}`: only a file that \
                 begins with `{NO_TRANSACTION}`, in exactly this form, runs without one",
                file.name(),
                line.trim()
            ));
        }
        offset += line.len();
    }
    None
}

/// The letters of a comment line, in lower case.
fn marker_words(line: &str) -> String {
    let is_comment = line.trim_start().starts_with(['-', '/', '#', '*']);
    let letters = line.chars().filter(|c| is_comment && c.is_ascii_alphabetic());
    letters.map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
