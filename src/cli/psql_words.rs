//! `devdb psql` needs no `--` before psql's own arguments: this puts it there.

use std::ffi::OsString;

/// The command that passes its arguments on.
const PSQL: &str = "psql";

/// Where options stand on the command line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    /// Before `psql`, where all options are devdb's.
    Before,
    /// After it, where short options are psql's. psql has no `-C`, so that one is devdb's.
    After,
}

/// Puts `--` before the words that are psql's. Other command lines stay as they are.
pub(super) fn separate(command: &clap::Command, mut words: Vec<OsString>) -> Vec<OsString> {
    let at = skip_options(command, &words, 1, Side::Before);
    if words.get(at).is_none_or(|word| word != PSQL) {
        return words;
    }
    let at = skip_options(command, &words, at + 1, Side::After);
    let is_last = at + 1 == words.len();
    let is_devdbs = |word: &OsString| word == "--" || word == "--help" || (word == "-h" && is_last);
    if words.get(at).is_some_and(|word| !is_devdbs(word)) {
        words.insert(at, "--".into());
    }
    words
}

/// The index of the first word from `at` on that is neither an option of devdb nor its value.
fn skip_options(command: &clap::Command, words: &[OsString], mut at: usize, side: Side) -> usize {
    while let Some(length) = words.get(at).and_then(|word| option(command, word.to_str()?, side)) {
        at += length;
    }
    at.min(words.len())
}

/// How many words the option takes that begins with `word`. None when it is no option of devdb.
fn option(command: &clap::Command, word: &str, side: Side) -> Option<usize> {
    let mut options = command.get_arguments().filter(|option| option.is_global_set());
    let takes_value = |option: &clap::Arg| option.get_action().takes_values();
    if let Some(long) = word.strip_prefix("--") {
        let (name, value) = long.split_once('=').map_or((long, None), |(a, b)| (a, Some(b)));
        let found = options.find(|option| option.get_long() == Some(name))?;
        return Some(if takes_value(found) && value.is_none() { 2 } else { 1 });
    }
    let first = word.strip_prefix('-')?.chars().next()?;
    let found = options.find(|option| option.get_short() == Some(first))?;
    match (takes_value(found), side) {
        (true, _) => Some(if word.len() == 2 { 2 } else { 1 }),
        (false, Side::Before) => Some(1),
        (false, Side::After) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Command, parse};

    /// The arguments of psql, and whether devdb is verbose.
    fn read(line: &[&str]) -> (Vec<String>, bool) {
        let cli = parse(line.iter().map(Into::into)).unwrap();
        let Command::Psql(args) = cli.command else { panic!("{line:?}") };
        (args.arguments, cli.global.verbose)
    }

    #[test]
    fn psql_takes_its_arguments_without_dashes_before_them() {
        for (line, arguments) in [
            (&["devdb", "psql"][..], &[][..]),
            (&["devdb", "psql", "-c", "select 1"], &["-c", "select 1"]),
            (&["devdb", "psql", "--", "-c", "select 1"], &["-c", "select 1"]),
            (&["devdb", "psql", "-v", "x=1", "-f", "a.sql"], &["-v", "x=1", "-f", "a.sql"]),
            (&["devdb", "psql", "-q"], &["-q"]),
            (&["devdb", "psql", "-V"], &["-V"]),
            (&["devdb", "psql", "-Atc", "select 1"], &["-Atc", "select 1"]),
            (&["devdb", "psql", "--csv", "-c", "select 1"], &["--csv", "-c", "select 1"]),
            (&["devdb", "psql", "-C", "/tmp", "-l"], &["-l"]),
            (&["devdb", "psql", "--instance", "psql", "-l"], &["-l"]),
            (&["devdb", "-C", "psql", "psql", "-l"], &["-l"]),
            (&["devdb", "psql", "other"], &["other"]),
        ] {
            assert_eq!(read(line), (arguments.iter().map(ToString::to_string).collect(), false));
        }
        assert_eq!(read(&["devdb", "-v", "psql", "-l"]), (vec!["-l".to_owned()], true));
        assert!(read(&["devdb", "psql", "--verbose", "-l"]).1);
        for help in [&["devdb", "psql", "--help"], &["devdb", "psql", "-h"]] {
            assert!(parse(help.iter().map(Into::into)).is_err());
        }
    }
}
