//! Finds and reads the files that decide what a command does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};
use sha2::{Digest, Sha256};

use super::Stage;
use crate::disk;
use crate::error::{Error, Kind, Result, ResultExt};
use crate::spec::{ToolCommand, digest};

/// The version of the hashed content. It has to change with the content.
const FORMAT: &str = "command 1";

/// Globs match as in shells: `*` does not match a slash, and hidden files have to be named.
const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// The files that decide what a command does, as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inputs {
    /// See [`super::Tool::fingerprint`].
    pub fingerprint: String,
    /// The name of each file, and a short digest of its name and content, in the order of names.
    pub files: Vec<(String, String)>,
}

/// How many hexadecimal digits of a file's digest are kept. Golden states list one for each file.
const SHORT: usize = 16;

/// Reads the inputs of a command.
pub(super) fn read(stage: Stage, command: &ToolCommand) -> Result<Inputs> {
    let setting = format!("{}.inputs", stage.as_str());
    // With the number of words, a word cannot pass for a file's name.
    let mut parts = vec![FORMAT.to_owned(), command.argv.len().to_string()];
    parts.extend(command.argv.iter().cloned());
    let mut files = Vec::new();
    for (name, path) in find(command, &setting)? {
        let content = disk::read_regular(&path, Kind::Config)
            .map_err(|error| error.context(format!("{setting}: a file cannot be read")))?;
        let checksum = checksum(&content);
        let mut short = digest([&name, &checksum]);
        short.truncate(SHORT);
        parts.extend([name.clone(), checksum]);
        files.push((name, short));
    }
    Ok(Inputs { fingerprint: digest(&parts), files })
}

/// Every file that a glob matches, by its name relative to the project.
fn find(command: &ToolCommand, setting: &str) -> Result<BTreeMap<String, PathBuf>> {
    let directory = &command.directory;
    let root = Pattern::escape(&directory.to_string_lossy());
    let mut found = BTreeMap::new();
    for input in &command.inputs {
        // At the end of a glob `**` matches only directories, but people mean the files in them.
        let below = if input.ends_with("**") { "/*" } else { "" };
        let cannot = || format!("{setting}: cannot look for {input:?}");
        let paths = glob::glob_with(&format!("{root}/{input}{below}"), MATCHING)
            .or_fail(Kind::Config, cannot)?;
        let mut matches = false;
        for path in paths {
            let path = path.or_fail(Kind::Config, cannot)?;
            if !path.is_dir() {
                matches = true;
                found.insert(relative(&path, directory), path);
            }
        }
        if !matches {
            return Err(matches_nothing(command, setting, input));
        }
    }
    Ok(found)
}

/// The name as text. Bytes that are not UTF-8 are escaped, so that two names stay different.
fn relative(path: &Path, directory: &Path) -> String {
    let path = path.strip_prefix(directory).unwrap_or(path);
    path.to_str().map_or_else(|| format!("{path:?}"), str::to_owned)
}

fn matches_nothing(command: &ToolCommand, setting: &str, input: &str) -> Error {
    let failure = Error::new(Kind::Config, format!("{setting}: {input:?} matches no file"))
        .because(format!("looked in {}", command.directory.display()));
    let plain = input.trim_end_matches('/');
    match command.directory.join(plain).is_dir() {
        true => failure.hint(format!("{plain}/**   names every file below a directory")),
        false => failure.hint(format!(
            "correct `{setting}` in devdb.yaml: it names the files that {command} reads"
        )),
    }
}

/// SHA-256 in hexadecimal. Text, which has no NUL byte, is hashed with LF line endings.
fn checksum(content: &[u8]) -> String {
    let mut hash = Sha256::new();
    let is_text = !content.contains(&0);
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\r\n") {
            Some(text) if is_text => {
                hash.update(text);
                hash.update(b"\n");
            }
            _ => hash.update(line),
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Project(tempfile::TempDir);

    impl Project {
        fn new() -> Self {
            let project = Project(tempfile::Builder::new().prefix("a [b] ").tempdir().unwrap());
            project.write("migrations/1.sql", b"select 1;\n");
            project.write("migrations/deep/er/2.sql", b"select 2;\n");
            project
        }

        fn write(&self, name: &str, content: &[u8]) {
            let path = self.0.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }

        fn command(&self, argv: &[&str], inputs: &[&str]) -> ToolCommand {
            let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
            ToolCommand {
                argv: owned(argv),
                inputs: owned(inputs),
                directory: self.0.path().to_owned(),
            }
        }

        fn names(&self, inputs: &[&str]) -> Vec<String> {
            find(&self.command(&["x"], inputs), "migrations.inputs").unwrap().into_keys().collect()
        }

        fn fingerprint(&self, argv: &[&str]) -> String {
            let command = self.command(argv, &["migrations/**"]);
            read(Stage::Migrations, &command).unwrap().fingerprint
        }
    }

    #[test]
    fn globs_find_files_and_no_hidden_ones() {
        let project = Project::new();
        project.write("migrations/.2.sql.swp", b"");
        project.write("package.json", b"{}");
        let all = ["migrations/1.sql", "migrations/deep/er/2.sql"];
        assert_eq!(project.names(&["migrations/**"]), all);
        assert_eq!(project.names(&["migrations/**/*.sql", "migrations/1.sql"]), all);
        assert_eq!(project.names(&["migrations/*"]), all[..1]);
        assert_eq!(project.names(&["pack*", "migrations/.2.sql.swp"]).len(), 2);
        let mut below = project.command(&["x"], &["../package.json", "*.sql"]);
        below.directory.push("migrations");
        let found = find(&below, "seeds.inputs").unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["../package.json", "1.sql"]);
    }

    #[test]
    fn a_glob_that_matches_nothing_is_an_error() {
        let project = Project::new();
        for (input, hint) in
            [("migration/**", "correct"), ("migrations", "migrations/**"), ("a.ts", "correct")]
        {
            let command = project.command(&["x"], &["migrations/**", input]);
            let error = read(Stage::Migrations, &command).unwrap_err();
            assert_eq!(error.kind(), Kind::Config);
            assert!(error.message().contains(&format!("{input:?}")), "{error}");
            assert!(error.hints()[0].contains(hint), "{:?}", error.hints());
        }
    }

    #[test]
    fn words_names_and_contents_count_and_line_endings_do_not() {
        let project = Project::new();
        let first = project.fingerprint(&["npm", "run"]);
        assert_eq!(first.len(), 64);
        assert_ne!(first, project.fingerprint(&["npm run"]));
        assert_ne!(first, project.fingerprint(&["npm", "run", "migrations/1.sql"]));
        project.write("migrations/1.sql", b"select 1;\r\n");
        assert_eq!(first, project.fingerprint(&["npm", "run"]));
        project.write("migrations/1.sql", b"select 1; -- a comment\n");
        assert_ne!(first, project.fingerprint(&["npm", "run"]));
        project.write("migrations/1.sql", b"select 1;\n");
        project.write("migrations/3.sql", b"");
        assert_ne!(first, project.fingerprint(&["npm", "run"]));
    }

    #[test]
    fn a_fifo_is_refused_and_not_waited_for() {
        let project = Project::new();
        let fifo = project.0.path().join("migrations/3.sql");
        assert!(std::process::Command::new("mkfifo").arg(fifo).status().unwrap().success());
        let command = project.command(&["x"], &["migrations/**"]);
        let error = read(Stage::Migrations, &command).unwrap_err();
        assert!(error.to_string().contains("migrations/3.sql: it is a FIFO"), "{error}");
    }

    #[test]
    fn a_binary_file_is_taken_as_it_is() {
        assert_eq!(checksum(b"a\r\nb"), checksum(b"a\nb"));
        assert_ne!(checksum(b"\0a\r\nb"), checksum(b"\0a\nb"));
        assert_ne!(checksum(b"a\rb"), checksum(b"ab"));
    }
}
