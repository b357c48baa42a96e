//! `migrations.command` and `seeds.command`: another tool that takes the place of devdb's own
//! files. Each needs `inputs`, the files that the tool reads.

use std::path::Path;

use super::layers::{Layers, List};
use super::values::{self, Problem};
use crate::error::Result;
use crate::spec::ToolCommand;

/// The keys of a section that may name a command.
pub(super) struct Section {
    command: &'static str,
    inputs: &'static str,
    /// The setting that a command takes the place of.
    path: &'static str,
    /// The setting that has no effect beside a command.
    without_effect: &'static str,
}

pub(super) const MIGRATIONS: Section = Section {
    command: "migrations.command",
    inputs: "migrations.inputs",
    path: "migrations.path",
    without_effect: "migrations.out_of_order",
};

pub(super) const SEEDS: Section = Section {
    command: "seeds.command",
    inputs: "seeds.inputs",
    path: "seeds.path",
    without_effect: "seeds.profile",
};

/// The command of a section, if it names one.
pub(super) fn decide(
    layers: &mut Layers<'_>,
    section: &Section,
    root: &Path,
) -> Result<Option<ToolCommand>> {
    let (command, inputs) = match (layers.list(section.command), layers.list(section.inputs)) {
        (None, None) => return Ok(None),
        (Some(command), Some(inputs)) => (command, inputs),
        (Some(command), None) => return Err(command.error(&without_inputs(section.inputs))),
        (None, Some(inputs)) => return Err(inputs.error(&without_command(section.command))),
    };
    if let Some(path) = layers.given(section.path) {
        return Err(command.error(&Problem {
            what: format!("{} says where the files are ({})", section.path, path.origin()),
            hint: "keep one of the two: a command takes the place of devdb's own files".to_owned(),
        }));
    }
    if let Some(setting) = layers.given(section.without_effect) {
        let origin = setting.origin();
        let (setting, command) = (section.without_effect, section.command);
        layers.warnings.push(format!("{setting} ({origin}) means nothing to {command}"));
    }
    refuse_empty(&command, "one word an item: [npm, run, \"db:migrate\"]")?;
    refuse_empty(&inputs, "one glob an item: [\"migrations/**\"]")?;
    let words = command.check(values::word_of_command)?;
    if words[0].trim().is_empty() {
        let hint = "the first item is the program's name".to_owned();
        return Err(command.error(&Problem { what: "the program has no name".to_owned(), hint }));
    }
    let foreign = ToolCommand {
        argv: words,
        inputs: inputs.check(values::input)?,
        directory: root.to_owned(),
    };
    layers.record(section.command, &foreign.to_string(), command.origin());
    layers.record(section.inputs, &foreign.inputs.join(", "), inputs.origin());
    Ok(Some(foreign))
}

fn without_inputs(inputs: &str) -> Problem {
    Problem {
        what: format!("a command needs {inputs} beside it"),
        hint: "name the files that the command reads, so that devdb sees when they change: \
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
