//! From the words of a command line to [`Cli`].

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, FromArgMatches};

use super::{Cli, Command, HelpArgs, psql_words};

/// What stands in the help of a command in place of the global options.
const GLOBAL_OPTIONS: &str =
    "Global options: -C, --developer, --instance, --json, -q, -v (devdb help options)";

/// The command line as clap reads it. Global options work after every command, but only
/// `devdb --help` and `devdb help options` explain them: seven options in the help of thirty
/// commands hide the two that the command has.
pub fn command() -> clap::Command {
    let mut command = Cli::command();
    command.build();
    command.mut_subcommands(shorten_help)
}

fn shorten_help(command: clap::Command) -> clap::Command {
    let help = match command.get_after_help() {
        Some(examples) => format!("{examples}\n\n{GLOBAL_OPTIONS}"),
        None => GLOBAL_OPTIONS.to_owned(),
    };
    command
        .after_help(help)
        .mut_args(|option| match option.is_global_set() || option.get_id() == "version" {
            true => option.hide(true),
            false => option,
        })
        .mut_subcommands(shorten_help)
}

/// Reads a command line. `devdb help COMMAND` reads as `devdb COMMAND --help`.
///
/// # Errors
/// clap's own, which also carry the text of a help or a version.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut command = command();
    let words = psql_words::separate(&command, words.into_iter().collect());
    let cli = read(&mut command, words)?;
    match &cli.command {
        Command::Help(HelpArgs { topic, page: false }) if names_a_command(&command, topic) => {
            let program = command.get_name().to_owned();
            let words = [&program].into_iter().chain(topic).map(OsString::from);
            let words: Vec<OsString> = words.chain(["--help".into()]).collect();
            read(&mut command, words)
        }
        _ => Ok(cli),
    }
}

fn read(
    command: &mut clap::Command,
    words: impl IntoIterator<Item = OsString>,
) -> Result<Cli, clap::Error> {
    let matches = command.try_get_matches_from_mut(words);
    let mut matches = matches.map_err(|error| with_nested(command, error))?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(command))
}

/// Suggests `snapshot restore` for `restore`: the commands below others that have the unknown name.
fn with_nested(command: &clap::Command, mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidSubcommand) else {
        return error;
    };
    let groups = command.get_subcommands().filter(|group| !group.is_hide_set());
    let nested = groups.filter_map(|group| {
        let sub = group.find_subcommand(unknown).filter(|_| group.get_name() != "help")?;
        Some(format!("{} {}", group.get_name(), sub.get_name()))
    });
    let nested: Vec<String> = nested.collect();
    if !nested.is_empty() {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(nested));
    }
    error
}

/// Whether the words are the path to a command: `migrate`, `migrate new`.
fn names_a_command(command: &clap::Command, words: &[String]) -> bool {
    let mut found = command;
    for word in words {
        match found.find_subcommand(word) {
            Some(sub) => found = sub,
            None => return false,
        }
    }
    !words.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    /// The command and every one below it, with its path.
    fn all(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            let path = format!("{path} {}", sub.get_name());
            found.push((path.clone(), sub.clone()));
            all(sub, &path, found);
        }
    }

    #[test]
    fn every_command_has_an_example_and_names_the_global_options_in_one_line() {
        let mut commands = Vec::new();
        all(&command(), "devdb", &mut commands);
        assert!(commands.len() > 40, "{} commands", commands.len());
        for (path, mut command) in commands {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Example"), "{path} has no example:\n{help}");
            let examples = help.rsplit("Example").next().unwrap();
            assert!(examples.contains(&path), "{help}");
            assert!(help.trim_end().ends_with(GLOBAL_OPTIONS), "{help}");
            assert!(!help.contains("--developer <NAME>"), "{help}");
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{path}: {line}");
            }
        }
    }

    #[test]
    fn global_options_work_after_every_command() {
        let cli = parse(words("devdb snapshot list --json --developer anna -C /tmp -v")).unwrap();
        assert!(cli.global.json && cli.global.verbose);
        assert_eq!(cli.global.developer.as_deref(), Some("anna"));
        assert!(command().render_long_help().to_string().contains("--developer <NAME>"));
    }

    #[test]
    fn a_command_below_another_one_is_suggested() {
        for (line, suggested) in [
            ("devdb restore nightly", "snapshot restore"),
            ("devdb save", "snapshot save"),
            ("devdb push x", "cache push"),
            ("devdb encrypt", "secret encrypt"),
            ("devdb strat", "start"),
        ] {
            let error = parse(words(line)).unwrap_err().to_string();
            assert!(error.contains(&format!("'{suggested}'")), "{error}");
        }
    }

    #[test]
    fn help_of_a_command_is_that_commands_help() {
        for (line, usage) in [
            ("devdb help up", "Usage: devdb up"),
            ("devdb help migrate new", "Usage: devdb migrate new"),
            ("devdb help cache", "Usage: devdb cache"),
        ] {
            let error = parse(words(line)).unwrap_err();
            assert_eq!(error.kind(), clap::error::ErrorKind::DisplayHelp);
            assert!(error.to_string().contains(usage), "{error}");
        }
        for line in ["devdb help", "devdb help glossary", "devdb help --page cache"] {
            assert!(matches!(parse(words(line)).unwrap().command, Command::Help(_)));
        }
    }

    #[test]
    fn a_value_that_is_not_listed_is_a_usage_error_that_lists_them() {
        for line in [
            "devdb up --engine dokcer",
            "devdb run --engine dokcer -- true",
            "devdb cache push x.tar.zst --engine dokcer",
            "devdb list --output xml",
            "devdb env --format xml",
            "devdb init --ci jenkins",
            "devdb completions tcsh",
        ] {
            let error = parse(words(line)).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains("possible values"), "{error}");
        }
    }
}
