//! Places in a YAML file, and errors that show them.

use std::collections::HashMap;

use saphyr::{LoadableYamlNode, MarkedYaml, ScanError, YamlData};

use crate::error::{Error, Kind};

/// A stretch of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Counted from 1.
    pub line: usize,
    /// Counted in characters, from 1.
    pub column: usize,
    /// In characters, at least 1.
    pub width: usize,
}

impl Place {
    /// One character.
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
        // A tab would move the caret; a space of the same count does not.
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

/// Where a key and its value stand.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    /// The key (of a list's item: the item).
    pub key: Place,
    /// The value.
    pub value: Place,
}

/// Where everything in a file stands, by dotted path: `postgres.port`, `postgres.extensions.0`.
#[derive(Debug, Default)]
pub struct Marks(HashMap<String, Mark>);

impl Marks {
    /// Looks at a file's text.
    ///
    /// # Errors
    /// The parser's own: wrong syntax, or the same key twice.
    pub fn read(text: &str) -> Result<Self, ScanError> {
        let documents = MarkedYaml::load_from_str(text)?;
        let mut marks = Marks::default();
        for document in &documents {
            marks.walk("", document);
        }
        Ok(marks)
    }

    fn walk(&mut self, path: &str, node: &MarkedYaml<'_>) {
        let below =
            |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        match &node.data {
            YamlData::Mapping(mapping) => {
                for (key, value) in mapping {
                    let path = below(key.data.as_str().unwrap_or("?"));
                    self.0.insert(path.clone(), Mark { key: place(key), value: place(value) });
                    self.walk(&path, value);
                }
            }
            YamlData::Sequence(items) => {
                for (index, item) in items.iter().enumerate() {
                    let path = below(&index.to_string());
                    self.0.insert(path.clone(), Mark { key: place(item), value: place(item) });
                    self.walk(&path, item);
                }
            }
            _ => {}
        }
    }

    /// Where `path` stands.
    pub fn get(&self, path: &str) -> Option<Mark> {
        self.0.get(path).copied()
    }

    /// The path whose key begins at this place, and its mark.
    pub fn key_at(&self, line: usize, column: usize) -> Option<(&str, Mark)> {
        self.at(line, column, |mark| mark.key)
    }

    /// The path whose value begins at this place, and its mark.
    pub fn value_at(&self, line: usize, column: usize) -> Option<(&str, Mark)> {
        self.at(line, column, |mark| mark.value)
    }

    fn at(
        &self,
        line: usize,
        column: usize,
        part: impl Fn(&Mark) -> Place,
    ) -> Option<(&str, Mark)> {
        self.0
            .iter()
            .filter(|(_, mark)| part(mark).line == line && part(mark).column == column)
            // A list and its first item begin at the same place; the outer one is meant.
            .min_by_key(|(path, _)| path.len())
            .map(|(path, mark)| (path.as_str(), *mark))
    }
}

fn place(node: &MarkedYaml<'_>) -> Place {
    let (start, end) = (node.span.start, node.span.end);
    let mut width =
        if end.line() == start.line() { end.col().saturating_sub(start.col()) } else { 1 };
    if width > 1 && matches!(node.data, YamlData::Sequence(_) | YamlData::Mapping(_)) {
        // The parser ends a collection before its closing bracket.
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

    #[test]
    fn everything_has_a_place() {
        let marks = Marks::read("a:\r\n  b: 15\r\n  c: [x, yy]\r\n").unwrap();
        let place = |path: &str| marks.get(path).map(|mark| mark.value).unwrap();
        assert_eq!(place("a.b"), Place { line: 2, column: 6, width: 2 });
        assert_eq!(place("a.c.1"), Place { line: 3, column: 10, width: 2 });
        assert_eq!(marks.key_at(2, 3).unwrap().0, "a.b");
    }
}
