//! Places in a YAML file, and errors that show them.

use saphyr::{MarkedYaml, YamlData};

use crate::error::{Error, Kind};

/// A stretch of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Counted from 1.
    pub line: usize,
    /// Counted in characters, from 1.
    pub column: usize,
    /// Counted in characters, at least 1.
    pub width: usize,
}

impl Place {
    /// The place of one character.
    pub fn at(line: usize, column: usize) -> Self {
        Place { line: line.max(1), column: column.max(1), width: 1 }
    }
}

/// A file's text under the name to show.
#[derive(Debug, Clone)]
pub struct Source {
    /// The path as shown to people.
    pub shown: String,
    /// The text, without a byte order mark.
    pub text: String,
}

impl Source {
    /// An error at a place: `file:line:column: what`, with the line and a caret below.
    pub fn error(&self, place: Place, what: &str) -> Error {
        let Place { line, column, .. } = place;
        Error::new(Kind::Config, format!("{}:{line}:{column}: {what}", self.shown))
            .excerpt(self.excerpt(place))
    }

    fn excerpt(&self, place: Place) -> String {
        let line = self.text.lines().nth(place.line - 1).unwrap_or_default();
        // A tab would move the caret, so each is shown as one space.
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let number = place.line.to_string();
        let room = (line.chars().count() + 1).saturating_sub(place.column).max(1);
        format!(
            "{number} | {line}\n{:gutter$} | {:indent$}{}",
            "",
            "",
            "^".repeat(place.width.clamp(1, room)),
            gutter = number.len(),
            indent = place.column - 1,
        )
    }
}

/// The place of a node.
pub fn of(node: &MarkedYaml<'_>) -> Place {
    let (start, end) = (node.span.start, node.span.end);
    let mut width =
        if end.line() == start.line() { end.col().saturating_sub(start.col()) } else { 1 };
    if width > 1 && matches!(node.data, YamlData::Sequence(_) | YamlData::Mapping(_)) {
        // The parser's span ends before the closing bracket.
        width += 1;
    }
    Place { line: start.line(), column: start.col() + 1, width: width.max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_points_at_the_place() {
        let source = Source { shown: "devdb.yaml".into(), text: "a: 1\n\tb: äöü x\n".into() };
        let error = source.error(Place { line: 2, column: 5, width: 3 }, "no");
        assert_eq!(error.message(), "devdb.yaml:2:5: no");
        assert_eq!(error.excerpt_text(), Some("2 |  b: äöü x\n  |     ^^^"));
        // Past the end of the line and of the file there is still one caret.
        source.error(Place { line: 9, column: 9, width: 9 }, "no");
    }
}
