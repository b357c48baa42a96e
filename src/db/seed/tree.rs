//! Reads a YAML document as a tree. It keeps the text of each value as written, its tag and its
//! place. (Typed readers turn `007` into 7 and do not keep its place.)

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::core;
use crate::db::files::SourceText;
use crate::db::place::Place;
use crate::error::{Error, Kind, Result};

/// The deepest nesting that devdb reads.
const DEPTH_MAX: usize = 64;

/// The number of nodes that aliases may add. Otherwise a few lines of nested aliases could fill the
/// memory.
const ALIASED_NODES_MAX: usize = 100_000;

/// A value in a document.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub place: Place,
    /// The tag with its `!`. Of YAML's own tags only `!!binary` occurs here; the others are part of
    /// the content.
    pub tag: Option<String>,
    pub content: NodeContent,
}

#[derive(Debug, Clone)]
pub(super) enum NodeContent {
    Scalar {
        text: String,
        /// Whether it is not quoted, so that `null` and `5` are more than text.
        plain: bool,
    },
    Sequence(Vec<Node>),
    /// Keys and values in the order of the file. A key may occur twice.
    Mapping(Vec<(Name, Node)>),
}

/// A key of a mapping: the name of a table, a row or a column.
#[derive(Debug, Clone)]
pub(super) struct Name {
    pub place: Place,
    pub text: String,
}

impl Node {
    /// Whether it is YAML's null: nothing, `~` or `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.content, NodeContent::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The kind of value, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.content {
            NodeContent::Scalar { .. } if self.is_null() => "nothing",
            NodeContent::Scalar { .. } => "a single value",
            NodeContent::Sequence(_) => "a list",
            NodeContent::Mapping(_) => "a mapping",
        }
    }

    fn size(&self) -> usize {
        1 + match &self.content {
            NodeContent::Scalar { .. } => 0,
            NodeContent::Sequence(items) => items.iter().map(Node::size).sum(),
            NodeContent::Mapping(pairs) => pairs.iter().map(|(_, value)| 1 + value.size()).sum(),
        }
    }
}

/// The first key that occurs twice, with the place of its first occurrence.
pub(super) fn duplicate(pairs: &[(Name, Node)]) -> Option<(&Name, Place)> {
    let mut seen: HashMap<&str, Place> = HashMap::new();
    pairs.iter().find_map(|(key, _)| seen.insert(&key.text, key.place).map(|first| (key, first)))
}

/// Reads the document of a file; none when the file has only comments.
///
/// # Errors
/// `Seed`, with the place, when the file is not YAML, has several documents, or has a key that is
/// not a single value.
pub(super) fn parse(source: &SourceText) -> Result<Option<Node>> {
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
    let mut builder =
        Builder { source, events: Parser::new_from_str(text), anchors: HashMap::new(), aliased: 0 };
    let mut document = None;
    loop {
        let (event, span) = builder.next()?;
        match event {
            Event::StreamEnd => return Ok(document),
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            _ if document.is_some() => {
                return Err(builder.error(place(span.start), "a second document begins here"));
            }
            event => document = Some(builder.node(event, span, 0)?),
        }
    }
}

struct Builder<'a> {
    source: &'a SourceText,
    events: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    aliased: usize,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span)> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn error(&self, place: Place, message: &str) -> Error {
        self.source.error_at(Kind::Seed, place, message)
    }

    fn syntax(&self, error: &ScanError) -> Error {
        self.error(place(*error.marker()), "this is not YAML").because(error.info())
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node> {
        let place = place(span.start);
        if depth > DEPTH_MAX {
            return Err(self.error(place, "this value is nested too deeply"));
        }
        let (content, tag, anchor) = match event {
            Event::Alias(anchor) => return self.alias(anchor, place),
            Event::Scalar(text, style, anchor, tag) => {
                let plain = match yaml_type(tag.as_deref()) {
                    None => style == ScalarStyle::Plain,
                    Some(name) => {
                        let plain = core::is_plain(name, &text);
                        plain.map_err(|message| self.error(place, &message))?
                    }
                };
                (NodeContent::Scalar { text: text.into_owned(), plain }, tag, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_collection(tag.as_deref(), "seq", "a list", place)?;
                (self.sequence(depth)?, tag, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                self.check_collection(tag.as_deref(), "map", "a mapping", place)?;
                (self.mapping(depth)?, tag, anchor)
            }
            _ => return Err(self.error(place, "a value is missing here")),
        };
        let tag = match yaml_type(tag.as_deref()) {
            None => tag.map(|tag| tag.to_string()),
            Some(name) => (name == core::BINARY).then(|| format!("!!{name}")),
        };
        let node = Node { place, tag, content };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// Checks that a tag of YAML's own on a list or mapping is the tag of that collection.
    fn check_collection(
        &self,
        tag: Option<&Tag>,
        own: &str,
        kind: &str,
        place: Place,
    ) -> Result<()> {
        match yaml_type(tag) {
            Some(name) if name != own => {
                Err(self.error(place, &format!("{kind} cannot have the tag !!{name}")))
            }
            _ => Ok(()),
        }
    }

    fn sequence(&mut self, depth: usize) -> Result<NodeContent> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(NodeContent::Sequence(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<NodeContent> {
        let mut pairs = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(NodeContent::Mapping(pairs));
            }
            let key = self.node(event, span, depth + 1)?;
            let NodeContent::Scalar { text, .. } = key.content else {
                return Err(self.error(key.place, "a key must be a single value"));
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            pairs.push((Name { place: key.place, text }, value));
        }
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<Node> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(self.error(place, "this alias is inside of the value that it repeats"));
        };
        self.aliased += node.size();
        if self.aliased > ALIASED_NODES_MAX {
            return Err(self.error(place, "aliases repeat too many values"));
        }
        Ok(node.clone())
    }
}

/// The name of a tag of YAML's own: `str` for `!!str`.
fn yaml_type(tag: Option<&Tag>) -> Option<&str> {
    tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str())
}

fn place(marker: Marker) -> Place {
    Place { line: marker.line().max(1), column: marker.col() + 1 }
}
