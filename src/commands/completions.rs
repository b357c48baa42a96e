//! `devdb completions`: generates the script from the same types as the help.

use clap::CommandFactory;

use crate::cli::{Cli, CompletionsArgs};
use crate::error::{Kind, Result, ResultExt};
use crate::outcome::{Outcome, Report};

/// `devdb completions SHELL`
pub fn run(args: CompletionsArgs) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "devdb", &mut script);
    let script = String::from_utf8(script)
        .or_fail(Kind::Unexpected, || "the completion script is not text".into())?;
    Ok(Outcome { command: "completions", report: Report::Verbatim(script), exit: 0 })
}
