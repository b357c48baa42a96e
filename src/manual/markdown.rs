//! Markdown, as far as the manual uses it, as a flat list of blocks. Both renderings start from it.

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::command_for;

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    /// Plain words.
    Text(String),
    /// Words to stress.
    Strong(String),
    /// Something to type, or a name from a file.
    Code(String),
    /// The end of a line.
    Break,
}

/// A paragraph, or something else with lines of its own.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// In how many lists and quotes it is.
    pub depth: usize,
    /// The sign before an item's first block: `-`, `1.`.
    pub marker: Option<String>,
    /// What it holds.
    pub content: Content,
}

/// What a block holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    /// A heading and its level: 1, 2, 3.
    Heading(u8, Vec<Span>),
    /// A paragraph.
    Paragraph(Vec<Span>),
    /// Lines that stay as they are.
    Code(String),
    /// Rows of cells; the first row is the header.
    Table(Vec<Vec<String>>),
}

/// The blocks of a page.
pub fn parse(markdown: &str) -> Vec<Block> {
    let mut reader = Reader::default();
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        reader.take(event);
    }
    reader.blocks
}

#[derive(Default)]
struct Reader {
    blocks: Vec<Block>,
    spans: Vec<Span>,
    /// The next number of every list that is open; none for a list of bullets.
    lists: Vec<Option<u64>>,
    quotes: usize,
    marker: Option<String>,
    stressed: usize,
    /// Where the open link leads, and how many spans there were before it.
    link: Option<(String, usize)>,
    code: Option<String>,
    rows: Vec<Vec<String>>,
}

impl Reader {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => match &mut self.code {
                Some(code) => code.push_str(&text),
                None if self.stressed > 0 => self.spans.push(Span::Strong(text.to_string())),
                None => self.spans.push(Span::Text(text.to_string())),
            },
            Event::Code(code) => self.spans.push(Span::Code(code.to_string())),
            Event::SoftBreak => self.spans.push(Span::Text(" ".to_owned())),
            Event::HardBreak => self.spans.push(Span::Break),
            // Comments, which mark the blocks that tests run.
            _ => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::List(first) => {
                self.flush();
                self.lists.push(first);
            }
            Tag::Item => {
                self.marker = Some(match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{}.", *number - 1)
                    }
                    _ => "-".to_owned(),
                });
            }
            Tag::BlockQuote(_) => self.quotes += 1,
            Tag::CodeBlock(CodeBlockKind::Fenced(_) | CodeBlockKind::Indented) => {
                self.flush();
                self.code = Some(String::new());
            }
            Tag::Strong => self.stressed += 1,
            Tag::Link { dest_url, .. } => {
                self.link = Some((dest_url.to_string(), self.spans.len()))
            }
            Tag::TableHead | Tag::TableRow => self.rows.push(Vec::new()),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph | TagEnd::Item => self.flush(),
            TagEnd::Heading(level) => {
                let spans = std::mem::take(&mut self.spans);
                self.push(Content::Heading(number(level), spans));
            }
            TagEnd::List(_) => {
                self.lists.pop();
            }
            TagEnd::BlockQuote(_) => self.quotes -= 1,
            TagEnd::CodeBlock => {
                if let Some(code) = self.code.take() {
                    self.push(Content::Code(code));
                }
            }
            TagEnd::Strong => self.stressed -= 1,
            TagEnd::Link => self.end_link(),
            TagEnd::TableCell => {
                let cell = plain(&std::mem::take(&mut self.spans));
                if let Some(row) = self.rows.last_mut() {
                    row.push(cell);
                }
            }
            TagEnd::Table => {
                let rows = std::mem::take(&mut self.rows);
                self.push(Content::Table(rows));
            }
            _ => {}
        }
    }

    /// A reader at a terminal cannot follow a link, and types what it leads to.
    fn end_link(&mut self) {
        let Some((target, before)) = self.link.take() else { return };
        let text = plain(&self.spans[before..]);
        let file = target.split('#').next().unwrap_or_default();
        if let Some(page) = file.strip_suffix(".md").filter(|page| !page.contains('/')) {
            self.spans.push(Span::Text(" (".to_owned()));
            self.spans.push(Span::Code(command_for(page)));
            self.spans.push(Span::Text(")".to_owned()));
        } else if target.starts_with("http") && text != target {
            self.spans.push(Span::Text(format!(" ({target})")));
        }
    }

    fn flush(&mut self) {
        let spans = std::mem::take(&mut self.spans);
        if !spans.is_empty() {
            self.push(Content::Paragraph(spans));
        }
    }

    fn push(&mut self, content: Content) {
        let depth = self.lists.len() + self.quotes;
        self.blocks.push(Block { depth, marker: self.marker.take(), content });
    }
}

fn number(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        _ => 3,
    }
}

/// Spans as text, with backticks around code.
pub fn plain(spans: &[Span]) -> String {
    spans
        .iter()
        .map(|span| match span {
            Span::Text(text) | Span::Strong(text) => text.clone(),
            Span::Code(code) => format!("`{code}`"),
            Span::Break => " ".to_owned(),
        })
        .collect()
}
