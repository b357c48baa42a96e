//! Writes variables in the formats that env files and shells read, and updates env files.

mod lines;
mod update;

use std::path::Path;

use serde::ser::Serializer as _;

pub use update::{Changed, Former, Judge, Updated, append, is_not_ignored, refuse, update_file};

use crate::error::{Kind, Result, ResultExt};

/// One variable of an env file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The line that it begins in, from 1.
    pub line: usize,
}

/// The variables of an env file, in order. None when there is no such file, or something else than
/// a regular file: a pipe, for example, is for its reader.
///
/// # Errors
/// `Config` when it cannot be read.
pub fn read(path: &Path) -> Result<Option<Vec<Entry>>> {
    if !path.is_file() {
        return Ok(None);
    }
    let text =
        std::fs::read(path).or_fail(Kind::Config, || format!("cannot read {}", path.display()))?;
    let entry = |one: lines::Assignment| Entry {
        value: lines::meaning(&text[one.value.clone()]),
        line: text[..one.value.start].iter().filter(|byte| **byte == b'\n').count() + 1,
        name: one.name,
    };
    Ok(Some(lines::assignments(&text).into_iter().map(entry).collect()))
}

/// The program that will read the variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An env file, as the dotenv libraries of Rust and Node and Docker Compose read it.
    Dotenv,
    /// A POSIX shell: `eval "$(…)"`.
    Shell,
    /// fish: `… | source`.
    Fish,
    /// PowerShell: `… | Out-String | Invoke-Expression`.
    PowerShell,
    /// One JSON object, in the order given.
    Json,
    /// The file that `$GITHUB_ENV` names.
    GithubEnv,
}

/// The variables in a format; every line ends with a line feed. Names have letters, digits and `_`;
/// values may have any character but NUL. A carriage return is kept in every format but
/// [`Format::Dotenv`], whose readers treat it in different ways. A shell also removes the variables
/// in `unset`; the other formats have no way to say that.
pub fn render(format: Format, variables: &[(String, String)], unset: &[&str]) -> String {
    let line = |one: &(String, String)| -> String {
        let (name, value) = one;
        match format {
            Format::Dotenv => format!("{name}={}\n", dotenv_value(value)),
            Format::Shell => format!("export {name}='{}'\n", value.replace('\'', r"'\''")),
            Format::Fish => {
                let value = value.replace('\\', r"\\").replace('\'', r"\'");
                format!("set -gx {name} '{value}'\n")
            }
            Format::PowerShell => format!("$env:{name} = '{}'\n", double_quotes(value)),
            Format::GithubEnv => github(name, value),
            Format::Json => String::new(),
        }
    };
    let removed = |name: &&str| match format {
        Format::Shell => format!("unset {name}\n"),
        Format::Fish => format!("set -e {name}\n"),
        Format::PowerShell => format!("$env:{name} = $null\n"),
        Format::Dotenv | Format::GithubEnv | Format::Json => String::new(),
    };
    match format {
        Format::Json => json(variables),
        _ => unset.iter().map(removed).chain(variables.iter().map(line)).collect(),
    }
}

/// PowerShell also reads typographic quotes as quotes (language specification, 2.3.5.2).
fn double_quotes(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\'' | '\u{2018}'..='\u{201b}') {
            out.push(c);
        }
        out.push(c);
    }
    out
}

fn json(variables: &[(String, String)]) -> String {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::pretty(&mut out);
    // Writing strings to memory cannot fail.
    let done = serializer.collect_map(variables.iter().map(|(name, value)| (name, value)));
    debug_assert!(done.is_ok());
    out.push(b'\n');
    String::from_utf8_lossy(&out).into_owned()
}

/// One line, or several lines between delimiters that the value does not contain.
fn github(name: &str, value: &str) -> String {
    if !value.contains(['\n', '\r']) {
        return format!("{name}={value}\n");
    }
    let mut delimiter = "DEVDB_END".to_owned();
    while value.contains(&delimiter) {
        delimiter.push('_');
    }
    format!("{name}<<{delimiter}\n{value}\n{delimiter}\n")
}

/// The value without quotes if every reader understands that, or else in single quotes, in which no
/// character is special. A value that cannot stand in single quotes gets double quotes.
fn dotenv_value(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,=?".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    // dotenvy reads a backslash before the closing quote as an escape.
    if !value.contains('\'') && !value.ends_with('\\') {
        return format!("'{value}'");
    }
    let mut out = String::from('"');
    for c in value.chars() {
        match c {
            '\\' | '"' | '$' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            // A shell that reads the file would run what stands between two of them.
            '`' => out.push_str("\"'`'\""),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests;
