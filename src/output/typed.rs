//! The options with which the person chose the database, added to each command that devdb names.

use crate::cli::{self, Global};
use crate::error::shell_word;

/// Makes commands in devdb's texts work, typed as they are printed, on the database that the
/// present command is about.
#[derive(Debug, Clone, Default)]
pub struct Typed {
    /// The options that come before a command: `-C 'a b'`.
    options: Vec<(&'static str, String)>,
    /// The commands that take them.
    commands: Vec<String>,
}

impl Typed {
    /// The options that were typed. Those of environment variables stay in the person's shell.
    pub fn of(global: &Global) -> Typed {
        let directory = global.directory.as_ref().map(|path| path.display().to_string());
        let given = [
            ("-C", directory),
            ("--developer", global.developer.clone()),
            ("--instance", global.instance.clone()),
        ];
        let options: Vec<_> =
            given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let commands = if options.is_empty() { Vec::new() } else { cli::commands_of_databases() };
        Typed { options, commands }
    }

    /// The text, with the options in each command. A line that has an option already keeps it.
    pub fn add(&self, text: &str) -> String {
        if self.options.is_empty() {
            return text.to_owned();
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(PROGRAM) {
            let (before, after) = (&rest[..at], &rest[at + PROGRAM.len()..]);
            out.push_str(before);
            let begins_a_command = begins_a_word(&out) && self.names_a_command(after);
            out.push_str("devdb");
            if begins_a_command {
                let line = after.lines().next().unwrap_or_default();
                let missing = self.options.iter().filter(|(name, _)| !line.contains(name));
                for (name, value) in missing {
                    out.push_str(&format!(" {name} {}", shell_word(value)));
                }
            }
            out.push(' ');
            rest = after;
        }
        out + rest
    }

    fn names_a_command(&self, text: &str) -> bool {
        let word = text.split(|c: char| !c.is_ascii_lowercase()).next().unwrap_or_default();
        self.commands.iter().any(|command| command == word)
    }
}

const PROGRAM: &str = "devdb ";

/// Whether what follows the text is the beginning of a word: color codes are no part of it.
fn begins_a_word(text: &str) -> bool {
    let after_color = text.rfind('\u{1b}').is_some_and(|at| {
        let code = &text[at + 1..];
        code.ends_with('m') && code.chars().filter(|c| c.is_ascii_alphabetic()).count() == 1
    });
    let last = text.chars().next_back();
    after_color || last.is_none_or(|c| c.is_whitespace() || matches!(c, '`' | '('))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(options: &[(&'static str, &str)]) -> Typed {
        Typed {
            options: options.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
            commands: cli::commands_of_databases(),
        }
    }

    #[test]
    fn a_command_is_about_the_database_that_was_chosen() {
        let exp = typed(&[("--instance", "exp")]);
        for (text, expected) in [
            ("devdb undo   switches to it", "devdb --instance exp undo   switches to it"),
            ("a\n  devdb up\n", "a\n  devdb --instance exp up\n"),
            ("(`devdb seed` applies it)", "(`devdb --instance exp seed` applies it)"),
            ("\u{1b}[1mdevdb psql\u{1b}[0m", "\u{1b}[1mdevdb --instance exp psql\u{1b}[0m"),
            ("devdb stop, devdb up", "devdb --instance exp stop, devdb --instance exp up"),
            ("devdb down --instance other", "devdb down --instance other"),
            ("devdb applies what is missing", "devdb applies what is missing"),
            ("devdb help start", "devdb help start"),
            ("/srv/devdb up here", "/srv/devdb up here"),
        ] {
            assert_eq!(exp.add(text), expected);
        }
        let elsewhere = typed(&[("-C", "a b"), ("--developer", "bo")]);
        assert_eq!(elsewhere.add("devdb up"), "devdb -C 'a b' --developer bo up");
        assert_eq!(Typed::default().add("devdb undo"), "devdb undo");
    }
}
