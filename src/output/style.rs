//! Colours, or none.

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
