//! A page of the manual for man.

use roff::{Inline, Roff, bold, roman};

use super::markdown::{Content, Span, parse};
use super::text::table;

/// How wide tables are: man indents them, and a terminal has 80 columns.
const TABLE_WIDTH: usize = 70;

/// The page as a section of a manual page; headings below the first are subsections.
pub fn roff(markdown: &str) -> String {
    let mut page = Roff::new();
    for block in parse(markdown) {
        match block.content {
            Content::Heading(1, spans) => {
                page.control("SH", [words(&spans).to_uppercase().as_str()]);
            }
            Content::Heading(_, spans) => {
                page.control("SS", [words(&spans).as_str()]);
            }
            Content::Paragraph(spans) => {
                match &block.marker {
                    Some(marker) => page.control("IP", [marker.as_str(), "3"]),
                    None if block.depth > 0 => page.control("IP", ["", "3"]),
                    None => page.control("PP", []),
                };
                page.text(inlines(&spans));
            }
            Content::Code(code) => {
                preformatted(&mut page, code.lines());
            }
            Content::Table(rows) => {
                let lines = table(&rows, TABLE_WIDTH);
                preformatted(&mut page, lines.iter().map(String::as_str));
            }
        }
    }
    page.to_roff()
}

fn preformatted<'a>(page: &mut Roff, lines: impl Iterator<Item = &'a str>) {
    page.control("PP", []).control("RS", ["4"]).control("nf", []);
    for line in lines {
        page.text([roman(line)]);
    }
    page.control("fi", []).control("RE", []);
}

fn words(spans: &[Span]) -> String {
    super::markdown::plain(spans).replace('`', "")
}

fn inlines(spans: &[Span]) -> Vec<Inline> {
    spans
        .iter()
        .map(|span| match span {
            Span::Text(text) => roman(text),
            Span::Strong(text) | Span::Code(text) => bold(text),
            Span::Break => Inline::LineBreak,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_a_section_and_its_text_is_no_request() {
        let page =
            roff("# Seeds\n\n## Files\n\n.env holds `KEY`.\n\n- one\n\n```console\n.x\n```\n");
        for part in [".SH SEEDS\n", ".SS Files\n", "\\&.env holds ", ".IP - 3\n", "\\&.x\n"] {
            assert!(page.contains(part), "{part} is not in\n{page}");
        }
    }
}
