//! The manual as text for people.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};

use super::Style;
use crate::manual;
use crate::outcome::{PageReport, TopicsReport};

/// How wide a page is where there is no terminal, and at most.
const WIDTH: usize = 80;

/// `devdb help`
pub fn topics(report: &TopicsReport, style: Style) -> String {
    let mut text = "The pages of the manual:\n".to_owned();
    let width = report.topics.iter().map(|topic| topic.command.len()).max().unwrap_or_default();
    for topic in &report.topics {
        let padding = " ".repeat(width - topic.command.len());
        _ = writeln!(text, "  {}{padding}   {}", style.bold(&topic.command), topic.title);
    }
    text.push_str("\ndevdb --help lists the commands. devdb help COMMAND shows the help of one.\n");
    text
}

/// `devdb help TOPIC`
pub fn page(report: &PageReport, style: Style) -> String {
    let terminal = io::stdout().is_terminal().then(|| rustix::termios::tcgetwinsize(io::stdout()));
    let width = match terminal {
        Some(Ok(size)) if size.ws_col > 0 => usize::from(size.ws_col).min(WIDTH),
        _ => WIDTH,
    };
    manual::text(&report.markdown, width, style.color)
}
