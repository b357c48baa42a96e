//! The generations of a database, as text for people.

use super::Style;
use super::text::{lines, moment, size, table, troubles};
use crate::outcome::{GenerationRow, GenerationsReport, Keeping};
use crate::state::Why;

/// `devdb generations`
pub fn render(report: &GenerationsReport, style: Style) -> String {
    let mut table = table(&["", "GENERATION", "CREATED", "BY", "ON DISK", "EDITED", "KEPT UNTIL"]);
    for row in &report.generations {
        table.add_row(vec![
            if row.current { "*".into() } else { String::new() },
            row.number.to_string(),
            moment(row.created),
            by(row.why).to_owned(),
            row.bytes.map(size).unwrap_or_default(),
            match row.written {
                Some(true) => "yes".into(),
                Some(false) => "no".into(),
                None => String::new(),
            },
            kept_until(row),
        ]);
    }
    let mut text =
        format!("{} ({})\n{}", style.bold(&report.owner.in_words()), report.engine, lines(&table));
    troubles(&mut text, &report.troubles, style);
    text
}

fn by(why: Why) -> &'static str {
    match why {
        Why::Up => "up",
        Why::Reset => "reset",
        Why::Restore => "restore",
        Why::BeforeMigrate => "before a change",
        Why::Found => "found",
    }
}

fn kept_until(row: &GenerationRow) -> String {
    let end = row.kept_until.map(moment).unwrap_or_default();
    match row.state {
        Keeping::Current => String::new(),
        Keeping::Kept => end,
        Keeping::UntilSwap => "next reset".into(),
        Keeping::NoRoom => format!("next reset after {end}"),
        Keeping::ForGood => "for good".into(),
        Keeping::Leaving => "next command".into(),
        Keeping::Gone => "gone: another program removed it".into(),
    }
}
