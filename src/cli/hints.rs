//! What hints say to type, and which of them are left to try after a command has failed.

use std::ffi::OsString;

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::{command, psql_words};

/// The command of devdb that a hint says to type, in words. None when it says something else.
///
/// Two blanks or more stand between what is to type and the reason for it: `devdb up   creates it`.
pub fn typed(hint: &str) -> Option<Vec<String>> {
    let line = hint.split("  ").next()?;
    let words = words(line);
    (words.first()? == "devdb").then_some(words)
}

/// The names of the commands that can be about one database.
pub fn commands_of_databases() -> Vec<String> {
    let others = ["help", "completions", "man"];
    let all = command();
    let names = all.get_subcommands().map(clap::Command::get_name);
    names.filter(|name| !others.contains(name)).map(str::to_owned).collect()
}

/// Splits a line as a shell does, as far as hints need it: blanks and single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        match index % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

/// Whether a hint may help after the command line `tried` has failed. It cannot help when it says
/// to type what was just typed, or an option that the command does not have.
pub fn may_help(hint: &str, tried: &[OsString]) -> bool {
    let Some(tried) = Given::read(tried.to_vec()) else { return true };
    if hint.starts_with("--") {
        let line: Vec<OsString> = words(hint.split("  ").next().unwrap_or(hint))
            .iter()
            .map(|word| word.trim_end_matches(',').into())
            .collect();
        return tried.has_option(&line) && !tried.has_given(&line);
    }
    let said = typed(hint).and_then(|words| Given::read(words.iter().map(Into::into).collect()));
    said.is_none_or(|said| !tried.covers(&said))
}

/// A command line that clap has read: the command, and what was given to it.
struct Given {
    /// The names of the command and its subcommands.
    path: Vec<String>,
    matches: ArgMatches,
}

impl Given {
    fn read(line: Vec<OsString>) -> Option<Given> {
        let mut command = command();
        let line = psql_words::separate(&command, line);
        let mut matches = command.try_get_matches_from_mut(line).ok()?;
        let mut path = Vec::new();
        while let Some((name, below)) = matches.remove_subcommand() {
            path.push(name);
            matches = below;
        }
        Some(Given { path, matches })
    }

    /// The options and arguments that were given, with their values.
    fn given(&self) -> Vec<(&str, Vec<OsString>)> {
        let ids = self.matches.ids().map(clap::Id::as_str);
        let given =
            ids.filter(|id| self.matches.value_source(id) == Some(ValueSource::CommandLine));
        let values = |id: &str| {
            let raw = self.matches.try_get_raw(id).ok().flatten();
            raw.into_iter().flatten().map(ToOwned::to_owned).collect()
        };
        given.map(|id| (id, values(id))).collect()
    }

    /// Whether this is the same command, with at least what `said` gives to it.
    fn covers(&self, said: &Given) -> bool {
        let given = self.given();
        self.path == said.path && said.given().iter().all(|one| given.contains(one))
    }

    /// Whether the command has the option that `line` begins with.
    fn has_option(&self, line: &[OsString]) -> bool {
        let command = command();
        let mut found = &command;
        for name in &self.path {
            match found.find_subcommand(name) {
                Some(below) => found = below,
                None => return false,
            }
        }
        let name = line.first().and_then(|word| word.to_str()?.strip_prefix("--"));
        let name = name.map(|name| name.split('=').next().unwrap_or(name));
        name.is_none_or(str::is_empty) || found.get_arguments().any(|one| one.get_long() == name)
    }

    /// Whether the option was already given, with the same value.
    fn has_given(&self, line: &[OsString]) -> bool {
        let path = ["devdb".to_owned()].into_iter().chain(self.path.iter().cloned());
        let whole = path.map(OsString::from).chain(line.iter().cloned()).collect();
        Given::read(whole).is_some_and(|said| self.covers(&said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_not_what_was_just_tried() {
        for (tried, hint, helps) in [
            ("devdb up", "devdb up   makes it again", false),
            ("devdb up -v", "devdb up   makes it again", false),
            ("devdb -C x up --profile demo", "devdb up   makes it again", false),
            ("devdb reset", "devdb up   makes it again", true),
            ("devdb up", "devdb up --engine native   needs no image", true),
            ("devdb up --engine docker", "devdb up --engine native   needs no image", true),
            ("devdb up --engine native", "devdb up --engine native   needs no image", false),
            ("devdb up --engine=native -q", "devdb up --engine native   needs no image", false),
            ("devdb reset --wipe -y", "devdb reset   makes a new one", false),
            ("devdb reset", "devdb reset --postgres 14   makes a new one", true),
            ("devdb snapshot restore x", "devdb snapshot restore NAME   restores it", true),
            ("devdb snapshot list", "devdb snapshot list   shows all snapshots", false),
            ("devdb psql -l", "devdb psql -d postgres   shows the databases", true),
            ("devdb doctor", "devdb doctor   shows what was looked for", false),
            ("devdb status", "--timeout 3m   waits longer", false),
            ("devdb up", "--timeout 3m   waits longer", true),
            ("devdb up --timeout 3m", "--timeout 3m   waits longer", false),
            ("devdb up --timeout 1m", "--timeout 3m   waits longer", true),
            ("devdb migrate -v", "--verbose   shows the whole output", false),
            ("devdb migrate", "--verbose   shows the whole output", true),
            ("devdb reset", "--engine native   needs no image", false),
            ("devdb up", "devdb reads only one document: remove ---", true),
            ("devdb up", "correct the file, then run the command again", true),
        ] {
            let words: Vec<OsString> = tried.split(' ').map(Into::into).collect();
            assert_eq!(may_help(hint, &words), helps, "{tried}: {hint}");
        }
    }
}
