//! `devdb man`: makes one page for man. The commands come from the same types as the help, the rest
//! from the pages of the manual.

use std::io::{self, Write};

use clap::CommandFactory;
use roff::{Roff, bold, roman};

use crate::cli::{self, Cli};
use crate::error::{Kind, Result, ResultExt};
use crate::manual;
use crate::outcome::{Outcome, Report};

/// `devdb man`
pub fn run() -> Result<Outcome> {
    let mut page = Vec::new();
    write(&mut page).or_fail(Kind::Unexpected, || "cannot write the manual page".into())?;
    let page = String::from_utf8(page)
        .or_fail(Kind::Unexpected, || "the manual page is not text".into())?;
    Ok(Outcome { command: "man", report: Report::Verbatim(page), exit: 0 })
}

fn write(page: &mut Vec<u8>) -> io::Result<()> {
    let mut root = Cli::command();
    root.build();
    let man = clap_mangen::Man::new(root.clone());
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    writeln!(page, ".SH EXAMPLES AND EXIT CODES")?;
    after(&root).to_writer(page)?;
    writeln!(page, ".SH COMMANDS")?;
    for command in cli::command().get_subcommands() {
        self::command(page, command, "devdb")?;
    }
    for chapter in manual::pages() {
        write!(page, "{}", manual::roff(chapter.markdown))?;
    }
    man.render_version_section(page)
}

/// Writes a command and its subcommands, each as a subsection.
fn command(page: &mut Vec<u8>, command: &clap::Command, above: &str) -> io::Result<()> {
    if command.is_hide_set() {
        return Ok(());
    }
    let path = format!("{above} {}", command.get_name());
    let mut text = Roff::new();
    text.control("SS", [path.as_str()]);
    if let Some(about) = command.get_about() {
        text.text([roman(about.to_string())]);
    }
    let usage = command.clone().render_usage().to_string();
    text.control("PP", []).control("nf", []);
    for line in usage.trim_start_matches("Usage:").lines() {
        text.text([bold(line.trim())]);
    }
    text.control("fi", []);
    text.to_writer(page)?;

    let own = command.clone().mut_arg("help", |help| help.hide(true));
    if own.get_arguments().any(|option| !option.is_hide_set()) {
        let mut options = Vec::new();
        clap_mangen::Man::new(own).render_options_section(&mut options)?;
        // The options follow the usage without a heading.
        let options = String::from_utf8_lossy(&options).replace(".SH OPTIONS\n", "");
        page.write_all(options.as_bytes())?;
    }
    after(command).to_writer(page)?;
    command.get_subcommands().try_for_each(|below| self::command(page, below, &path))
}

/// The paragraphs and examples that follow the options. Global options have a section of their own.
fn after(command: &clap::Command) -> Roff {
    let mut text = Roff::new();
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let paragraphs =
        help.split("\n\n").filter(|paragraph| !paragraph.starts_with("Global options"));
    for paragraph in paragraphs {
        text.control("PP", []);
        match paragraph.contains("\n  ") {
            false => {
                text.text([roman(paragraph)]);
            }
            true => {
                text.control("nf", []);
                for line in paragraph.lines() {
                    text.text([roman(line)]);
                }
                text.control("fi", []);
            }
        }
    }
    text
}
