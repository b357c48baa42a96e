//! Colours, or none.

use crate::config::environment::Environment;

/// What a person's terminal can show, where output goes to a terminal.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// Colours.
    pub color: bool,
    /// Bars that move, and a spinner.
    pub motion: bool,
}

impl Terminal {
    /// Only lines of text.
    pub const PLAIN: Terminal = Terminal { color: false, motion: false };
}

impl From<&Environment> for Terminal {
    fn from(environment: &Environment) -> Self {
        Terminal { color: !environment.no_color(), motion: !environment.has_dumb_terminal() }
    }
}

/// Colours, or none.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Whether there are colours.
    pub(super) color: bool,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
    pub(super) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }
    pub(super) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }
    pub(super) fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }
    pub(super) fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }
    pub(super) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }
}
