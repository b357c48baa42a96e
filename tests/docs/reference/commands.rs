//! Commands, their arguments and options, from what parses them.

use std::fmt::Write;

use clap::{Arg, Command, CommandFactory};
use devdb::cli::Cli;

use super::{one_line, one_of, sentence, table};

/// Every command, and before them what each of them takes.
pub fn markdown() -> String {
    let mut root = Cli::command();
    root.build();
    let mut text = String::from("### Global options\n\n");
    let global: Vec<&Arg> = root.get_arguments().filter(|argument| is_shown(argument)).collect();
    text.push_str(&options(&global));
    for command in root.get_subcommands() {
        describe(command, "devdb", &mut text);
    }
    text
}

fn describe(command: &Command, parent: &str, text: &mut String) {
    if command.is_hide_set() || command.get_name() == "help" {
        return;
    }
    let name = format!("{parent} {}", command.get_name());
    writeln!(text, "\n### {name}\n").unwrap();
    let about = command.get_long_about().or_else(|| command.get_about());
    writeln!(text, "{}", sentence(&plain(about))).unwrap();
    let usage = command.clone().render_usage().to_string();
    let usage = one_line(usage.trim_start_matches("Usage: "));
    writeln!(text, "\n```text\n{usage}\n```").unwrap();
    let own: Vec<&Arg> = command
        .get_arguments()
        .filter(|argument| is_shown(argument) && !argument.is_global_set())
        .collect();
    if !own.is_empty() {
        writeln!(text, "\n{}", options(&own).trim_end()).unwrap();
    }
    if let Some(help) = command.get_after_long_help().or_else(|| command.get_after_help()) {
        writeln!(text, "\n```text\n{}\n```", help.to_string().trim_end()).unwrap();
    }
    for sub in command.get_subcommands() {
        describe(sub, &name, text);
    }
}

/// `help` and `version` are every program's.
fn is_shown(argument: &Arg) -> bool {
    !argument.is_hide_set() && !matches!(argument.get_id().as_str(), "help" | "version")
}

fn options(arguments: &[&Arg]) -> String {
    let rows: Vec<[String; 2]> =
        arguments.iter().map(|argument| [written(argument), meaning(argument)]).collect();
    table(["option", "meaning"], &rows)
}

/// How it is written: `-n`, `--lines N`.
fn written(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    let takes_value = argument.get_action().takes_values();
    let value = names.iter().map(|name| name.to_string()).collect::<Vec<_>>().join(" ");
    if argument.is_positional() {
        return format!("`{value}`");
    }
    let mut forms = Vec::new();
    if let Some(short) = argument.get_short() {
        forms.push(format!("`-{short}`"));
    }
    if let Some(long) = argument.get_long() {
        let value = if takes_value { format!(" {value}") } else { String::new() };
        forms.push(format!("`--{long}{value}`"));
    }
    forms.join(", ")
}

fn meaning(argument: &Arg) -> String {
    let help = argument.get_long_help().or_else(|| argument.get_help());
    let help = one_line(&plain(help));
    // Where the default is not the parser's, the help says it in the parser's way.
    let mut text = match help.strip_suffix(']').and_then(|help| help.split_once(" [default: ")) {
        Some((help, default)) => format!("{} Default: {default}.", sentence(help)),
        None => sentence(&help),
    };
    let takes_value = argument.get_action().takes_values();
    let values: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|value| takes_value && !value.is_hide_set())
        .map(|value| value.get_name().to_owned())
        .collect();
    if !values.is_empty() && !argument.is_hide_possible_values_set() {
        write!(text, " One of {}.", one_of(&values)).unwrap();
    }
    let defaults = argument.get_default_values();
    if takes_value && !defaults.is_empty() && !argument.is_hide_default_value_set() {
        let defaults: Vec<_> = defaults.iter().map(|value| value.to_string_lossy()).collect();
        write!(text, " Default: `{}`.", defaults.join(" ")).unwrap();
    }
    text
}

fn plain(help: Option<&clap::builder::StyledStr>) -> String {
    help.map(ToString::to_string).unwrap_or_default()
}
