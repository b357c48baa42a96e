//! `devdb man`: one page for man. The commands come from the types that the help comes from, the
//! rest from the pages of the manual.

use std::io::{self, Write};

use clap::CommandFactory;

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
    let man = clap_mangen::Man::new(root);
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    writeln!(page, ".SH COMMANDS")?;
    for command in cli::command().get_subcommands() {
        self::command(page, command, "devdb")?;
    }
    for chapter in manual::pages() {
        write!(page, "{}", manual::roff(chapter.markdown))?;
    }
    man.render_version_section(page)
}

/// A command and those below it, each a subsection.
fn command(page: &mut Vec<u8>, command: &clap::Command, above: &str) -> io::Result<()> {
    if command.is_hide_set() {
        return Ok(());
    }
    let path = format!("{above} {}", command.get_name());
    writeln!(page, ".SS \"{path}\"")?;
    let man = clap_mangen::Man::new(command.clone());
    let mut parts = Vec::new();
    man.render_description_section(&mut parts)?;
    man.render_synopsis_section(&mut parts)?;
    if command.get_arguments().any(|option| !option.is_hide_set() && option.get_id() != "help") {
        man.render_options_section(&mut parts)?;
    }
    man.render_extra_section(&mut parts)?;
    // Within a subsection the parts need no headings; a rule between them is enough.
    for line in String::from_utf8_lossy(&parts).lines() {
        match line.starts_with(".SH") {
            true => writeln!(page, ".PP")?,
            false => writeln!(page, "{line}")?,
        }
    }
    command.get_subcommands().try_for_each(|below| self::command(page, below, &path))
}
