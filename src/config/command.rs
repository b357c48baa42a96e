//! `migrations.command` and `seeds.command`, with the `inputs` that each needs: another tool in
//! place of devdb's own files.

use std::path::Path;

use super::file::Document;
use super::layers::{Layers, List};
use super::values::{self, Problem};
use crate::error::Result;
use crate::spec::ForeignCommand;

type InFile = fn(&Document) -> Option<&Vec<super::file::Text>>;

/// The keys of a section that may name a command.
pub(super) struct Section {
    command: (&'static str, InFile),
    inputs: (&'static str, InFile),
    /// The setting that a command takes the place of.
    path: &'static str,
    /// The setting that a command has no use for.
    useless: &'static str,
}

pub(super) const MIGRATIONS: Section = Section {
    command: ("migrations.command", |d| d.migrations.as_ref()?.command.as_ref()),
    inputs: ("migrations.inputs", |d| d.migrations.as_ref()?.inputs.as_ref()),
    path: "migrations.path",
    useless: "migrations.out_of_order",
};

pub(super) const SEEDS: Section = Section {
    command: ("seeds.command", |d| d.seeds.as_ref()?.command.as_ref()),
    inputs: ("seeds.inputs", |d| d.seeds.as_ref()?.inputs.as_ref()),
    path: "seeds.path",
    useless: "seeds.profile",
};

/// The command of a section, none when it has none.
pub(super) fn decide(
    layers: &mut Layers<'_>,
    section: &Section,
    root: &Path,
    warnings: &mut Vec<String>,
) -> Result<Option<ForeignCommand>> {
    let (command_key, in_file) = section.command;
    let command = layers.list(command_key, in_file);
    let (inputs_key, in_file) = section.inputs;
    let inputs = layers.list(inputs_key, in_file);
    let (command, inputs) = match (command, inputs) {
        (None, None) => return Ok(None),
        (Some(command), Some(inputs)) => (command, inputs),
        (Some(command), None) => return Err(command.error(&without_inputs(inputs_key))),
        (None, Some(inputs)) => return Err(inputs.error(&without_command(command_key))),
    };
    if let Some(path) = layers.given(section.path) {
        return Err(command.error(&Problem {
            what: format!("{} says where the files are ({})", section.path, path.origin()),
            hint: "keep one of the two: a command takes the place of devdb's own files".to_owned(),
        }));
    }
    if let Some(useless) = layers.given(section.useless) {
        let origin = useless.origin();
        warnings.push(format!("{} ({origin}) means nothing to {command_key}", section.useless));
    }
    refuse_empty(&command, "one word an item: [npm, run, \"db:migrate\"]")?;
    refuse_empty(&inputs, "one glob an item: [\"migrations/**\"]")?;
    let command_words = command.check(values::word_of_command)?;
    if command_words[0].trim().is_empty() {
        let hint = "the first item is the program's name".to_owned();
        return Err(command.error(&Problem { what: "the program has no name".to_owned(), hint }));
    }
    let foreign = ForeignCommand {
        argv: command_words,
        inputs: inputs.check(values::input)?,
        directory: root.to_owned(),
    };
    layers.record(command_key, &foreign.to_string(), command.origin());
    layers.record(inputs_key, &foreign.inputs.join(", "), inputs.origin());
    Ok(Some(foreign))
}

fn without_inputs(inputs: &str) -> Problem {
    Problem {
        what: format!("a command needs {inputs} beside it"),
        hint: "name the files that it reads, so that devdb sees a change: \
               inputs: [\"migrations/**\"]"
            .to_owned(),
    }
}

fn without_command(command: &str) -> Problem {
    Problem {
        what: format!("there is no {command} that reads them"),
        hint: format!("add {command}, or remove this: devdb finds its own files by `path`"),
    }
}

fn refuse_empty(list: &List<'_>, hint: &str) -> Result<()> {
    if list.is_empty() {
        let what = "the list is empty".to_owned();
        return Err(list.error(&Problem { what, hint: hint.to_owned() }));
    }
    Ok(())
}
