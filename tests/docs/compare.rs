//! What a page says that a command prints, beside what it printed.

use std::fmt::Write;

use crate::redact;

/// The line that stands for any number of lines.
const ANY: &str = "...";

fn is_any(line: &str) -> bool {
    line.trim() == ANY
}

fn redacted(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| redact::line(line)).collect()
}

/// Whether the output is as the page says.
pub fn matches(expected: &[String], actual: &[String]) -> bool {
    fits(&redacted(expected), &redacted(actual))
}

fn fits(expected: &[String], actual: &[String]) -> bool {
    match expected.split_first() {
        None => actual.is_empty(),
        Some((first, rest)) if is_any(first) => {
            (0..=actual.len()).any(|skipped| fits(rest, &actual[skipped..]))
        }
        Some((first, rest)) => {
            actual.first().is_some_and(|line| line == first) && fits(rest, &actual[1..])
        }
    }
}

/// Both in two columns, with a mark where a line of one is not in the other.
pub fn side_by_side(expected: &[String], actual: &[String]) -> String {
    let rows = aligned(expected, actual);
    let widths = rows.iter().map(|(left, _)| left.map_or(0, |line| line.chars().count()));
    let width = widths.max().unwrap_or(0).clamp("expected".len(), 100);
    let mut text = format!("    {:width$}   actual\n", "expected");
    let mut below_any = false;
    for (left, right) in rows {
        below_any = left.map_or(below_any, is_any);
        let mark = match (left, right) {
            _ if below_any => ' ',
            (Some(left), Some(right)) if redact::line(left) == redact::line(right) => ' ',
            _ => '!',
        };
        let (left, right) = (left.unwrap_or_default(), right.unwrap_or_default());
        let row = format!("  {mark} {left:width$} | {right}");
        writeln!(text, "{}", row.trim_end()).unwrap();
    }
    text
}

type Row<'a> = (Option<&'a str>, Option<&'a str>);

/// Puts equal lines beside each other: the longest common subsequence.
fn aligned<'a>(expected: &'a [String], actual: &'a [String]) -> Vec<Row<'a>> {
    let (left, right) = (redacted(expected), redacted(actual));
    let mut common = vec![vec![0; right.len() + 1]; left.len() + 1];
    for (i, one) in left.iter().enumerate().rev() {
        for (j, other) in right.iter().enumerate().rev() {
            common[i][j] = match one == other {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut rows: Vec<Row<'a>> = Vec::new();
    while i < left.len() || j < right.len() {
        let both = i < left.len() && j < right.len();
        let equal = both && left[i] == right[j];
        // Two lines that differ in the same place are shown in one row.
        let instead = both && common[i][j] == common[i + 1][j + 1];
        let (take_left, take_right) = if equal || (instead && !is_any(&expected[i])) {
            (true, true)
        } else if !both {
            (i < left.len(), j < right.len())
        } else {
            let from_left = common[i + 1][j] >= common[i][j + 1];
            (from_left, !from_left)
        };
        rows.push((
            take_left.then(|| expected[i].as_str()),
            take_right.then(|| actual[j].as_str()),
        ));
        i += usize::from(take_left);
        j += usize::from(take_right);
    }
    rows
}

/// What the page is to say instead: the output, with the page's own values where only these differ
/// and its `...` where the lines around it are still there.
pub fn refreshed(expected: &[String], actual: &[String]) -> Vec<String> {
    let found = redacted(actual);
    let position = |line: &String, from: usize| {
        let wanted = redact::line(line);
        found[from..].iter().position(|line| *line == wanted).map(|at| from + at)
    };
    let mut lines = Vec::new();
    let mut next = 0;
    for (index, line) in expected.iter().enumerate() {
        if !is_any(line) {
            continue;
        }
        let before = match index.checked_sub(1) {
            None => Some(next),
            Some(before) if is_any(&expected[before]) => None,
            Some(before) => position(&expected[before], next).map(|at| at + 1),
        };
        let Some(before) = before else { continue };
        let after = match expected.get(index + 1) {
            None => Some(actual.len()),
            Some(after) => position(after, before),
        };
        let Some(after) = after else { continue };
        lines.extend_from_slice(&actual[next..before]);
        lines.push(ANY.to_owned());
        next = after;
    }
    lines.extend_from_slice(&actual[next..]);
    let mut known: Vec<&String> = expected.iter().collect();
    for line in &mut lines {
        let same = |known: &&String| redact::line(known) == redact::line(line);
        if let Some(index) = known.iter().position(same) {
            known.remove(index).clone_into(line);
        }
    }
    lines
}
