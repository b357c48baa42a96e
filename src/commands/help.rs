//! `devdb help`: shows the pages of the manual. clap shows the help of a command (see
//! `cli::parse`).

use clap::Args;

use crate::cli::{Global, HelpArgs, command};
use crate::error::{Error, Kind, Result, nearest};
use crate::manual::{command_for, pages};
use crate::outcome::{Outcome, PageReport, Report, TopicRow, TopicsReport};

/// The page that devdb generates from the types of the command line.
const OPTIONS: (&str, &str) = ("options", "The options that every command takes");

/// `devdb help`
pub fn run(args: HelpArgs) -> Result<Outcome> {
    let report = match args.topic.join(" ").as_str() {
        "" => Report::Topics(topics()),
        "options" => Report::Verbatim(options()),
        topic => page(topic)?,
    };
    Ok(Outcome { command: "help", report, exit: 0 })
}

fn topics() -> TopicsReport {
    let row = |name: &str, title: &str| TopicRow {
        name: name.to_owned(),
        title: title.to_owned(),
        command: command_for(name),
    };
    let mut topics: Vec<_> = pages().iter().map(|page| row(page.name, page.title)).collect();
    topics.push(row(OPTIONS.0, OPTIONS.1));
    TopicsReport { topics }
}

fn options() -> String {
    let only_options = clap::Command::new("devdb").disable_help_flag(true).max_term_width(80);
    Global::augment_args(only_options).help_template("{all-args}\n").render_help().to_string()
}

fn page(topic: &str) -> Result<Report> {
    let pages = pages();
    if let Some(page) = pages.iter().find(|page| page.name == topic) {
        return Ok(Report::Page(PageReport {
            name: page.name.to_owned(),
            title: page.title.to_owned(),
            markdown: page.markdown.to_owned(),
        }));
    }
    let command = command();
    let commands = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    let names = commands.map(clap::Command::get_name).chain(pages.iter().map(|page| page.name));
    let error = Error::new(
        Kind::Usage,
        format!("the manual has no page \"{topic}\", and devdb has no such command"),
    );
    Err(match nearest(topic, names.chain([OPTIONS.0])) {
        Some(near) => error.hint(format!("devdb help {near}")),
        None => error,
    }
    .hint("devdb help   lists the pages of the manual")
    .hint("devdb --help   lists the commands"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manual::NAMED_AS_COMMANDS;

    #[test]
    fn pages_that_are_named_as_commands_are_known() {
        let commands = command();
        let both: Vec<_> = pages()
            .iter()
            .map(|page| page.name)
            .filter(|name| commands.find_subcommand(name).is_some())
            .collect();
        for name in both {
            assert!(NAMED_AS_COMMANDS.contains(&name), "{name}");
        }
    }

    #[test]
    fn an_unknown_topic_is_a_usage_error_with_the_nearest_one() {
        let ask = |topic: &str| run(HelpArgs { topic: vec![topic.to_owned()], page: false });
        let error = ask("snapshto").unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert_eq!(error.hints()[0], "devdb help snapshot");
        assert!(matches!(ask("start").unwrap().report, Report::Page(_)));
        assert!(options().contains("--developer <NAME>"));
    }
}
