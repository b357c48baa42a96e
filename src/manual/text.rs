//! A page of the manual for a terminal, or as plain text.

use comfy_table::presets::{ASCII_HORIZONTAL_ONLY, NOTHING};
use comfy_table::{ContentArrangement, Table, TableStyle};
use unicode_width::UnicodeWidthStr;

use super::markdown::{Block, Content, Span, parse, plain};

/// The page as text of at most `width` columns. Code blocks keep their lines, however long.
pub fn text(markdown: &str, width: usize, color: bool) -> String {
    let mut text = String::new();
    let mut depth_before = 0;
    for block in parse(markdown) {
        let goes_on = block.depth > 0 && depth_before > 0 && block.marker.is_some();
        if !text.is_empty() && !goes_on {
            text.push('\n');
        }
        depth_before = block.depth;
        for line in lines(&block, width, color) {
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text
}

fn lines(block: &Block, width: usize, color: bool) -> Vec<String> {
    let sign = block.marker.as_ref().map_or(2, |marker| marker.width() + 1);
    let indent = match block.depth {
        0 => 0,
        depth => 2 * (depth - 1) + sign,
    };
    let room = width.saturating_sub(indent).max(20);
    let mut lines = match &block.content {
        Content::Heading(level, spans) => heading(*level, spans, color),
        Content::Paragraph(spans) => wrapped(spans, room, color),
        Content::Code(code) => code.lines().map(|line| format!("    {line}")).collect(),
        Content::Table(rows) => table(rows, room),
    };
    for (number, line) in lines.iter_mut().enumerate() {
        let before = match &block.marker {
            Some(marker) if number == 0 => format!("{}{marker} ", " ".repeat(indent - sign)),
            _ => " ".repeat(indent),
        };
        line.insert_str(0, &before);
    }
    lines
}

fn heading(level: u8, spans: &[Span], color: bool) -> Vec<String> {
    let title = plain(spans).replace('`', "");
    let line = match level {
        1 => Some("=".repeat(title.width())),
        2 => Some("-".repeat(title.width())),
        _ => None,
    };
    let title = if color { format!("\x1b[1m{title}\x1b[0m") } else { title };
    [Some(title), line].into_iter().flatten().collect()
}

/// Lines of whole words. Codes for colours do not count as width.
fn wrapped(spans: &[Span], room: usize, color: bool) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for (word, width) in words(spans, color) {
        let Some(line) = lines.last_mut() else { break };
        if word == "\n" || used > 0 && used + 1 + width > room {
            used = 0;
            lines.push(if word == "\n" { String::new() } else { word });
        } else {
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            line.push_str(&word);
        }
        used += width;
    }
    lines
}

/// Words as they are printed, with their width. A comma after code belongs to the code's last word.
fn words(spans: &[Span], color: bool) -> Vec<(String, usize)> {
    let mut words = vec![(String::new(), 0)];
    for span in spans {
        let (text, paint) = match span {
            Span::Break => {
                words.extend([("\n".to_owned(), 0), (String::new(), 0)]);
                continue;
            }
            Span::Code(code) if !color => (format!("`{code}`"), ""),
            Span::Code(code) => (code.clone(), "\x1b[36m"),
            Span::Strong(text) => (text.clone(), if color { "\x1b[1m" } else { "" }),
            Span::Text(text) => (text.clone(), ""),
        };
        for (number, piece) in text.split(' ').enumerate() {
            if number > 0 {
                words.push((String::new(), 0));
            }
            if let Some((word, width)) = words.last_mut()
                && !piece.is_empty()
            {
                *width += piece.width();
                match paint {
                    "" => word.push_str(piece),
                    paint => word.push_str(&format!("{paint}{piece}\x1b[0m")),
                }
            }
        }
    }
    words.retain(|(word, _)| !word.is_empty());
    words
}

/// A table of this width. Where a cell takes more than one line, rules part the rows.
pub(super) fn table(rows: &[Vec<String>], width: usize) -> Vec<String> {
    let laid_out = |style: TableStyle| -> Vec<String> {
        let mut table = Table::new();
        table.load_style(style).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(width).unwrap_or(80));
        let mut rows = rows.iter();
        if let Some(header) = rows.next() {
            table.set_header(header);
        }
        table.add_rows(rows);
        table.lines().map(|line| line.trim_end().to_owned()).collect()
    };
    let plain = laid_out(NOTHING);
    if plain.len() > rows.len() { laid_out(ASCII_HORIZONTAL_ONLY) } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# Seeds\n\nSeed files *are* **applied** in name order; see [The cache](cache.md) \
        or <https://devdb.example> or [Reference](reference.md#flags).\n\n<!-- run -->\n```console\n$ devdb up\n\
        new\n```\n\n## Profiles\n\n- one\n- two with `code`\n  - nested\n\n1. first\n2. second\n\n\
        | flag | meaning |\n|---|---|\n| `--json` | print one JSON document and nothing else, whatever the \
        command is and however long its results are |\n| `-q` | quiet |\n";

    #[test]
    fn a_page_is_readable_at_eighty_columns() {
        let text = text(PAGE, 80, false);
        for line in text.lines() {
            assert!(line.width() <= 80, "{line}");
        }
        insta::assert_snapshot!(text, @r"
        Seeds
        =====

        Seed files are applied in name order; see The cache (`devdb help --page cache`)
        or https://devdb.example or Reference (`devdb help reference`).

            $ devdb up
            new

        Profiles
        --------

        - one
        - two with `code`
          - nested
        1. first
        2. second

        --------------------------------------------------------------------------------
         flag       meaning
        ================================================================================
         `--json`   print one JSON document and nothing else, whatever the command is
                    and however long its results are
        --------------------------------------------------------------------------------
         `-q`       quiet
        --------------------------------------------------------------------------------
        ");
    }

    #[test]
    fn every_page_of_the_manual_fits_a_terminal() {
        for page in crate::manual::pages() {
            let text = text(page.markdown, 80, false);
            assert!(text.starts_with(page.title), "{} has no heading", page.name);
            // Code keeps its lines.
            for line in text.lines().filter(|line| !line.starts_with("    ")) {
                assert!(line.width() <= 80, "{}: {line}", page.name);
            }
        }
    }

    #[test]
    fn there_are_colours_only_where_they_are_asked_for() {
        assert!(text(PAGE, 80, true).contains("\x1b[1mSeeds\x1b[0m"));
        assert!(!text(PAGE, 80, false).contains('\x1b'));
    }
}
