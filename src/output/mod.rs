//! The only place that prints. Results go to stdout, everything else to stderr; human text and
//! JSON are two renderings of the same outcome.

mod cache;
mod database;
mod doctor;
mod ephemeral;
mod gc;
mod generations;
mod human;
mod list;
mod manual;
mod progress;
mod project;
mod snapshot;
mod status;
mod style;
mod text;
mod typed;

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use serde_json::json;

use crate::cli::Format;
use crate::error::Error;
use crate::event::Events;
use crate::outcome::{Outcome, Report};

pub use style::{Style, Terminal};
pub use typed::Typed;

/// The version of the JSON documents' layout.
const SCHEMA: u32 = 1;

/// How things are printed in this run.
#[derive(Clone)]
pub struct Output {
    format: Format,
    quiet: bool,
    style: Style,
    typed: Typed,
    progress: progress::Progress,
}

/// How much devdb prints while it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// What was asked for, warnings and errors.
    Quiet,
    /// What happened.
    Normal,
    /// Every step.
    Verbose,
}

impl Output {
    /// An output for this run. `typed` has the options that chose the database.
    pub fn new(format: Format, verbosity: Verbosity, terminal: Terminal, typed: Typed) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let quiet = verbosity == Verbosity::Quiet;
        let verbosity = if format == Format::Json { Verbosity::Quiet } else { verbosity };
        Output {
            format,
            quiet,
            style: Style { color: io::stdout().is_terminal() && terminal.color },
            progress: progress::Progress::new(
                verbosity,
                is_terminal && terminal.motion && format == Format::Human,
                Style { color: is_terminal && terminal.color },
                typed.clone(),
            ),
            typed,
        }
    }

    /// Where events go.
    pub fn events(&self) -> Events {
        let progress = self.progress.clone();
        Events::new(move |event| progress.show(&event))
    }

    /// Prints what a command came to.
    ///
    /// # Errors
    /// When stdout cannot be written; a closed pipe is no error.
    pub fn outcome(&self, outcome: &Outcome) -> io::Result<()> {
        self.progress.clear();
        let written = self.write_result(outcome);
        self.progress.show_what_follows();
        written
    }

    fn write_result(&self, outcome: &Outcome) -> io::Result<()> {
        let text = match (self.format, &outcome.report) {
            // A script or a key has one form, whatever was asked for.
            (_, Report::Verbatim(text)) => text.clone(),
            // Another program has printed all there is.
            (_, Report::Nothing | Report::Signal(_)) => return Ok(()),
            (Format::Human, report) if self.quiet && report.is_confirmation() => return Ok(()),
            // The manual is about no database.
            (Format::Human, Report::Page(_) | Report::Topics(_)) => {
                human::render(&outcome.report, self.style)
            }
            (Format::Human, report) => self.typed.add(&human::render(report, self.style)),
            (Format::Json, report) => document(&json!({
                "schema": SCHEMA, "command": outcome.command, "exit": outcome.exit,
                "result": report,
            })),
        };
        write(&mut io::stdout().lock(), &text)
    }

    /// Prints a failure: on stderr for people, on stdout as the one JSON document.
    ///
    /// # Errors
    /// When it cannot be written; a closed pipe is no error.
    pub fn error(&self, error: &Error) -> io::Result<()> {
        self.progress.clear();
        let written = self.write_error(error);
        self.progress.show_what_follows();
        written
    }

    fn write_error(&self, error: &Error) -> io::Result<()> {
        match self.format {
            Format::Human => {
                let color = self.progress.style();
                let text = self.typed.add(&human::failure(error, color));
                write(&mut io::stderr().lock(), &text)
            }
            Format::Json => {
                let typed = |lines: &[String]| -> Vec<String> {
                    lines.iter().map(|line| self.typed.add(line)).collect()
                };
                let text = document(&json!({
                    "schema": SCHEMA,
                    "error": {
                        "code": error.kind().code(), "exit": error.kind().exit_code(),
                        "message": error.message(), "causes": error.causes(),
                        "excerpt": error.excerpt_text(), "notes": typed(error.notes()),
                        "hints": typed(error.hints()),
                    },
                }));
                write(&mut io::stdout().lock(), &text)
            }
        }
    }
}

fn document(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

fn write(to: &mut impl Write, text: &str) -> io::Result<()> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        // `devdb list | head -1`: the reader has what it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
