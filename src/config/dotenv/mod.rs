//! Writes variables in the formats that env files and shells read, and updates env files.

mod lines;
mod update;

use serde::ser::Serializer as _;

pub use update::{Changed, append, refuse_tracked, update_file};

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
/// [`Format::Dotenv`], whose readers treat it in different ways.
pub fn render(format: Format, variables: &[(String, String)]) -> String {
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
    match format {
        Format::Json => json(variables),
        _ => variables.iter().map(line).collect(),
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
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,=".contains(c);
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
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests;
