//! Places in files, and excerpts with a caret under a place.

use unicode_width::UnicodeWidthChar;

/// A line and a column, both from 1. Columns are characters, as PostgreSQL counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub line: usize,
    pub column: usize,
}

impl Place {
    /// The place of a byte offset, which must be a character boundary.
    pub fn of_byte(text: &str, offset: usize) -> Self {
        let before = &text[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The longest line of an excerpt, in terminal columns. Longer lines are cut around the caret.
const WIDTH: usize = 100;

/// The number of lines that an excerpt shows before and after the place.
const NEIGHBOURS: usize = 2;

/// The line at `place` and its neighbours, with line numbers and a caret under the place.
pub(super) fn excerpt(text: &str, place: Place) -> String {
    let first = place.line.saturating_sub(NEIGHBOURS).max(1);
    let last = place.line + NEIGHBOURS;
    let gutter = last.to_string().len();
    let mut rows: Vec<String> = Vec::new();
    for (number, line) in (1..).zip(text.lines()).skip(first - 1).take(last + 1 - first) {
        let column = if number == place.line { place.column - 1 } else { 0 };
        let (shown, caret) = cut(line.trim_end_matches('\r'), column);
        rows.push(format!("{number:gutter$} | {shown}").trim_end().to_owned());
        if number == place.line {
            rows.push(format!("{:gutter$} | {:caret$}^", "", ""));
        }
    }
    // Drop empty lines at the end.
    while rows.last().is_some_and(|row| row.ends_with(" |")) {
        rows.pop();
    }
    rows.join("\n")
}

/// Returns the line for an excerpt (four blanks for a tab; cut if it is long) and the column of the
/// caret, in terminal columns.
fn cut(line: &str, column: usize) -> (String, usize) {
    let cells: Vec<(String, usize)> = line
        .chars()
        .map(|c| match c {
            '\t' => ("    ".to_owned(), 4),
            c => (c.to_string(), c.width().unwrap_or(0)),
        })
        .collect();
    let caret: usize = cells.iter().take(column).map(|(_, width)| width).sum();
    let total: usize = cells.iter().map(|(_, width)| width).sum();
    let skip = if total <= WIDTH || caret <= WIDTH * 2 / 3 { 0 } else { caret - WIDTH / 2 };
    let mut shown = String::new();
    let (mut at, mut skipped, mut used) = (0, 0, 0);
    for (cell, width) in &cells {
        if at < skip {
            skipped += width;
        } else if used + width <= WIDTH {
            shown.push_str(cell);
            used += width;
        } else {
            shown.push('…');
            break;
        }
        at += width;
    }
    if skipped == 0 { (shown, caret) } else { (format!("…{shown}"), caret - skipped + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_with_either_line_ending() {
        let text = "sélect\r\n  ñ\n";
        assert_eq!(Place::of_byte(text, 0), Place { line: 1, column: 1 });
        assert_eq!(Place::of_byte(text, 4), Place { line: 1, column: 4 });
        assert_eq!(Place::of_byte(text, 11), Place { line: 2, column: 3 });
        assert_eq!(Place::of_byte(text, text.len()), Place { line: 3, column: 1 });
    }

    #[test]
    fn the_caret_is_under_the_place() {
        let text = "create table t (\r\n\tid uid,\r\n  名 text\r\n);\r\n";
        insta::assert_snapshot!(excerpt(text, Place { line: 2, column: 5 }), @r"
        1 | create table t (
        2 |     id uid,
          |        ^
        3 |   名 text
        4 | );
        ");
        insta::assert_snapshot!(excerpt(text, Place { line: 3, column: 5 }), @r"
        1 | create table t (
        2 |     id uid,
        3 |   名 text
          |      ^
        4 | );
        ");
    }

    #[test]
    fn long_lines_are_cut_around_the_caret() {
        let text = format!("{}here{}", "a".repeat(300), "b".repeat(300));
        let shown = excerpt(&text, Place { line: 1, column: 301 });
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0].chars().count(), 4 + 102);
        let caret = lines[1].find('^').unwrap();
        assert!(lines[0].chars().skip(caret).collect::<String>().starts_with("here"));
    }
}
