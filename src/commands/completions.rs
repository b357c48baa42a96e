//! `devdb completions`, `devdb man`: generated from the same types as the help.

use clap::CommandFactory;

use crate::cli::{Cli, CompletionsArgs};
use crate::error::{Kind, Result, ResultExt};
use crate::outcome::{Outcome, Report};

/// `devdb completions SHELL`
pub fn completions(args: CompletionsArgs) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "devdb", &mut script);
    verbatim("completions", script)
}

/// `devdb man`: one page, every command in it.
pub fn man() -> Result<Outcome> {
    let mut page = Vec::new();
    let failed = || "cannot write the manual page".to_owned();
    let mut command = Cli::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut page).or_fail(Kind::Unexpected, failed)?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let man = clap_mangen::Man::new(sub.clone());
        man.render_synopsis_section(&mut page).or_fail(Kind::Unexpected, failed)?;
        man.render_description_section(&mut page).or_fail(Kind::Unexpected, failed)?;
        man.render_options_section(&mut page).or_fail(Kind::Unexpected, failed)?;
    }
    verbatim("man", page)
}

fn verbatim(command: &'static str, text: Vec<u8>) -> Result<Outcome> {
    let text = String::from_utf8(text).or_fail(Kind::Unexpected, || "generated text".into())?;
    Ok(Outcome { command, report: Report::Verbatim(text), exit: 0 })
}
