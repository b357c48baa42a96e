//! Reads a YAML seed: table → label → column → value.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::tree::{self, Name, Node, NodeContent, duplicate};
use crate::db::files::SourceText;
use crate::db::place::Place;
use crate::error::{Error, Kind, Result, nearest};

/// The rows of a table in a file.
#[derive(Debug, Clone)]
pub(super) struct TableRows {
    /// The table's name as written; it may begin with a schema.
    pub table: Name,
    pub rows: Vec<Row>,
}

#[derive(Debug, Clone)]
pub(super) struct Row {
    /// The name by which other rows refer to it.
    pub label: Name,
    pub values: Vec<(Name, Value)>,
}

#[derive(Debug, Clone)]
pub(super) struct Value {
    pub place: Place,
    pub content: ValueContent,
}

#[derive(Debug, Clone)]
pub(super) enum ValueContent {
    Null,
    /// The text of a single value, as written.
    Text(String),
    /// A list or mapping.
    Nested(Node),
    /// `!ref label`, `!ref table.label`.
    Reference(Reference),
    /// `!encrypt text`.
    Encrypt(String),
    /// `!sql expression`.
    Sql(String),
    /// `!!binary base64`.
    Binary(Vec<u8>),
}

#[derive(Debug, Clone)]
pub(super) struct Reference {
    /// The table, if it is named. Otherwise the column's foreign key tells the table.
    pub table: Option<String>,
    pub label: String,
}

/// The tags that a value may have.
const TAGS: &[&str] = &["!ref", "!encrypt", "!sql"];

/// YAML's own tag for bytes in base64.
const BINARY_TAG: &str = "!!binary";

/// Reads the tables and rows of a seed file, in the order of the file.
///
/// # Errors
/// `Seed`, with the place, when the file is not YAML or has another shape, a tag is unknown, or two
/// rows have one label.
pub(super) fn parse(source: &SourceText) -> Result<Vec<TableRows>> {
    let Some(document) = tree::parse(source)? else { return Ok(Vec::new()) };
    let reader = Reader { source };
    let tables = reader.mapping(document, "a seed file", "table names, each with its rows")?;
    if let Some((key, first)) = duplicate(&tables) {
        return Err(reader.error(
            key.place,
            format!("the table {:?} occurs twice, first on line {}", key.text, first.line),
        ));
    }
    tables.into_iter().map(|(table, rows)| reader.table(table, rows)).collect()
}

struct Reader<'a> {
    source: &'a SourceText,
}

impl Reader<'_> {
    fn error(&self, place: Place, message: impl std::fmt::Display) -> Error {
        self.source.error_at(Kind::Seed, place, message)
    }

    /// The pairs of a mapping. A null counts as an empty mapping.
    fn mapping(&self, node: Node, what: &str, holds: &str) -> Result<Vec<(Name, Node)>> {
        if let Some(tag) = &node.tag {
            return Err(self.error(node.place, format!("{what} cannot have the tag {tag}")));
        }
        let kind = node.kind();
        match node.content {
            NodeContent::Mapping(pairs) => Ok(pairs),
            _ if node.is_null() => Ok(Vec::new()),
            _ => Err(self
                .error(node.place, format!("{what} is a mapping of {holds}; this is {kind}"))
                .hint("organizations:\n  acme:\n    name: ACME")),
        }
    }

    fn table(&self, table: Name, node: Node) -> Result<TableRows> {
        let rows = self.mapping(node, "a table", "labels, each with its row")?;
        if let Some((key, first)) = duplicate(&rows) {
            return Err(self.error(
                key.place,
                format!(
                    "two rows of {} have the label {:?}, the first on line {}",
                    table.text, key.text, first.line
                ),
            ));
        }
        let rows =
            rows.into_iter().map(|(label, row)| self.row(label, row)).collect::<Result<_>>()?;
        Ok(TableRows { table, rows })
    }

    fn row(&self, label: Name, node: Node) -> Result<Row> {
        if label.text.is_empty() || label.text.contains('.') {
            return Err(self
                .error(
                    label.place,
                    format!("the label {:?} is empty or contains a dot", label.text),
                )
                .hint(
                    "choose a label without a dot; in `!ref table.label` the dot ends the table",
                ));
        }
        let columns = self.mapping(node, "a row", "column names, each with its value")?;
        if let Some((key, first)) = duplicate(&columns) {
            return Err(self.error(
                key.place,
                format!("the column {:?} occurs twice, first on line {}", key.text, first.line),
            ));
        }
        let values = columns
            .into_iter()
            .map(|(column, node)| Ok((column, self.value(node)?)))
            .collect::<Result<_>>()?;
        Ok(Row { label, values })
    }

    fn value(&self, node: Node) -> Result<Value> {
        let place = node.place;
        let content = match node.tag.as_deref() {
            None if node.is_null() => ValueContent::Null,
            None => match node.content {
                NodeContent::Scalar { text, .. } => ValueContent::Text(text),
                NodeContent::Sequence(_) | NodeContent::Mapping(_) => ValueContent::Nested(node),
            },
            Some(tag) => self.tagged(tag, &node)?,
        };
        Ok(Value { place, content })
    }

    fn tagged(&self, tag: &str, node: &Node) -> Result<ValueContent> {
        if let (BINARY_TAG, NodeContent::Scalar { text, .. }) = (tag, &node.content) {
            return self.binary(node.place, text);
        }
        if !TAGS.contains(&tag) {
            let failure = self.error(node.place, format!("unknown tag {tag}"));
            return Err(match nearest(tag, TAGS.iter().copied()) {
                Some(near) => failure.hint(format!("did you mean {near}?")),
                None => failure.hint(format!("use one of the tags {}", TAGS.join(", "))),
            });
        }
        let NodeContent::Scalar { text, .. } = &node.content else {
            return Err(self.error(
                node.place,
                format!("{tag} needs a single value; this is {}", node.kind()),
            ));
        };
        if tag == "!encrypt" {
            return Ok(ValueContent::Encrypt(text.clone()));
        }
        let text = text.trim();
        if text.is_empty() {
            return Err(self.error(node.place, format!("{tag} needs a value")));
        }
        if tag == "!sql" {
            return Ok(ValueContent::Sql(text.to_owned()));
        }
        Ok(ValueContent::Reference(match text.rsplit_once('.') {
            Some((table, label)) => {
                Reference { table: Some(table.to_owned()), label: label.to_owned() }
            }
            None => Reference { table: None, label: text.to_owned() },
        }))
    }

    /// Bytes in base64, in which line breaks and blanks do not count.
    fn binary(&self, place: Place, text: &str) -> Result<ValueContent> {
        let base64: String = text.split_whitespace().collect();
        let bytes = STANDARD.decode(base64);
        bytes.map(ValueContent::Binary).map_err(|error| {
            self.error(place, format!("{BINARY_TAG} needs bytes in base64")).because(error)
        })
    }
}
