//! devdb.yaml itself: its keys, read strictly, with the place of everything in it.
//!
//! Every value is kept as the text that stands in the file; [`super::values`] says what it means,
//! the same way for files, variables and flags.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

use super::place::{Marks, Place, Source};
use super::values::Problem;
use crate::error::{Error, Kind, Result, nearest};
use crate::spec::{Durability, EngineChoice};

/// A scalar as it is written: `15.10` stays `15.10`, `on` stays `on`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsWritten;
        impl Visitor<'_> for AsWritten {
            type Value = Text;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a single value")
            }
            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
        }
        deserializer.deserialize_str(AsWritten)
    }
}

/// The settings of a devdb project. All keys are optional.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "keys with values, like `engine: docker`")]
#[schemars(rename = "devdb.yaml")]
pub struct Document {
    /// The project's name, for people. Default: the directory's name.
    #[schemars(with = "String", length(min = 1, max = 100))]
    pub project: Option<Text>,
    /// What runs the servers. Default: auto.
    #[schemars(with = "EngineChoice")]
    pub engine: Option<Text>,
    /// What has an instance of its own in a checkout: the developer, or each git branch. Default:
    /// developer.
    #[schemars(schema_with = "isolation_schema")]
    pub isolation: Option<Text>,
    /// The PostgreSQL server.
    #[schemars(with = "PostgresSection")]
    pub postgres: Option<PostgresSection>,
    /// The project's migrations.
    #[schemars(with = "MigrationsSection")]
    pub migrations: Option<MigrationsSection>,
    /// The project's seeds.
    #[schemars(with = "SeedsSection")]
    pub seeds: Option<SeedsSection>,
    /// Encrypted values.
    #[schemars(with = "SecretsSection")]
    pub secrets: Option<SecretsSection>,
    /// The data from before a reset, for `devdb undo`.
    #[schemars(with = "GenerationsSection")]
    pub generations: Option<GenerationsSection>,
    /// Golden states: prepared databases that `up` and `reset` copy.
    #[schemars(with = "CacheSection")]
    pub cache: Option<CacheSection>,
}

/// The PostgreSQL server.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "keys below it, like `version: 15`")]
#[schemars(rename = "postgres")]
pub struct PostgresSection {
    /// The major version. Default: what the image's tag says, else 15.
    #[schemars(with = "u16", range(min = 13, max = 18))]
    pub version: Option<Text>,
    /// An image with the official image's conventions. Default: postgres:VERSION.
    #[schemars(with = "String", length(min = 1))]
    pub image: Option<Text>,
    /// Where the native server programs are, relative to this file. Default: searched.
    #[schemars(with = "String", length(min = 1))]
    pub bin_dir: Option<Text>,
    /// The database to create (1 to 63 bytes). Default: made from the project's name.
    #[schemars(with = "String", length(min = 1, max = 63))]
    pub database: Option<Text>,
    /// Its owner, a superuser (1 to 63 bytes). Default: postgres.
    #[schemars(with = "String", length(min = 1, max = 63))]
    pub user: Option<Text>,
    /// Server settings, as in postgresql.conf.
    #[schemars(schema_with = "settings_schema")]
    pub settings: Option<BTreeMap<String, Option<Text>>>,
    /// Extensions to create in the database.
    #[schemars(with = "Vec<String>")]
    pub extensions: Option<Vec<Text>>,
    /// What a crash of the machine may cost. Default: full.
    #[schemars(with = "Durability")]
    pub durability: Option<Text>,
    /// The port on 127.0.0.1. Default: auto, one that devdb picks and keeps.
    #[schemars(schema_with = "port_schema")]
    pub port: Option<Text>,
}

/// The project's migrations.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "keys below it, like `path: migrations`")]
#[schemars(rename = "migrations")]
pub struct MigrationsSection {
    /// The directory, relative to this file. Default: migrations.
    #[schemars(with = "String", length(min = 1))]
    pub path: Option<Text>,
    /// Whether a file older than the newest applied one may be applied. Default: refuse.
    #[schemars(schema_with = "out_of_order_schema")]
    pub out_of_order: Option<Text>,
    /// Another tool's command that migrates, instead of `path`: a list, no shell reads it.
    #[schemars(with = "Vec<String>", length(min = 1))]
    pub command: Option<Vec<Text>>,
    /// Globs, relative to this file, of the files that the command reads.
    #[schemars(with = "Vec<String>", length(min = 1))]
    pub inputs: Option<Vec<Text>>,
}

/// The project's seeds.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "keys below it, like `path: seeds`")]
#[schemars(rename = "seeds")]
pub struct SeedsSection {
    /// The directory, relative to this file. Default: seeds.
    #[schemars(with = "String", length(min = 1))]
    pub path: Option<Text>,
    /// Which subdirectory goes on top of the common files. Default: dev.
    #[schemars(with = "String", length(min = 1))]
    pub profile: Option<Text>,
    /// Another tool's command that seeds, instead of `path`: a list, no shell reads it.
    #[schemars(with = "Vec<String>", length(min = 1))]
    pub command: Option<Vec<Text>>,
    /// Globs, relative to this file, of the files that the command reads.
    #[schemars(with = "Vec<String>", length(min = 1))]
    pub inputs: Option<Vec<Text>>,
}

/// Encrypted values.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "keys below it, like `key_env: ENCRYPTION_KEY`")]
#[schemars(rename = "secrets")]
pub struct SecretsSection {
    /// The environment variable that holds the key. Default: ENCRYPTION_KEY.
    #[schemars(with = "String", regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub key_env: Option<Text>,
}

/// The data from before a reset, for `devdb undo`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "keys below it, like `keep: 2`")]
#[schemars(rename = "generations")]
pub struct GenerationsSection {
    /// How many former generations that somebody wrote to are kept. Default: 2.
    #[schemars(with = "u16", range(min = 0, max = 100))]
    pub keep: Option<Text>,
    /// For how many days after they were replaced. Default: 7.
    #[schemars(with = "u16", range(min = 0, max = 3650))]
    pub days: Option<Text>,
}

/// Golden states: prepared databases that `up` and `reset` copy.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "keys below it, like `states: 20`")]
#[schemars(rename = "cache")]
pub struct CacheSection {
    /// How many of this project are kept. Default: 20.
    #[schemars(with = "u16", range(min = 1, max = 1000))]
    pub states: Option<Text>,
    /// How much they take in all: 500MB, 10GB. Default: 10GB.
    #[schemars(with = "String", length(min = 1))]
    pub size: Option<Text>,
}

fn isolation_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "enum": ["developer", "branch"] })
}

fn out_of_order_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "enum": ["refuse", "allow"] })
}

fn port_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [
        { "const": "auto" },
        { "type": "integer", "minimum": 1, "maximum": 65535 },
    ] })
}

fn settings_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": { "type": ["string", "number", "boolean"] },
    })
}

/// The JSON Schema of devdb.yaml, for editors.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Document).to_value()
}

/// One file, read.
#[derive(Debug)]
pub struct ConfigFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub document: Document,
    source: Source,
    marks: Marks,
}

impl ConfigFile {
    /// Reads a file. `shown` is its path for people.
    ///
    /// # Errors
    /// `Config` when it cannot be read, is not UTF-8 or YAML, or has a key that devdb does not
    /// know, twice or with the wrong sort of value.
    pub fn read(path: &Path, shown: String) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| unreadable(&shown, &error))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
            Error::new(Kind::Config, format!("{shown}:{line}: the file is not UTF-8"))
                .hint("save it as UTF-8")
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
        Self::parse(path, Source { shown, text })
    }

    fn parse(path: &Path, source: Source) -> Result<Self> {
        let marks = Marks::read(&source.text).map_err(|error| syntax(&source, &error))?;
        // A file of comments alone is no document to serde.
        let document = match serde_yaml::from_str::<Option<Document>>(&source.text) {
            Ok(document) => document.unwrap_or_default(),
            Err(error) => return Err(refused(&source, &marks, &error)),
        };
        Ok(ConfigFile { path: path.to_owned(), document, source, marks })
    }

    /// The line that the value of `key` stands on.
    pub fn line(&self, key: &str) -> usize {
        self.marks.get(key).map_or(1, |mark| mark.value.line)
    }

    /// The error for a value that cannot be used.
    pub fn problem(&self, key: &str, problem: &Problem) -> Error {
        let place = self.marks.get(key).map_or(Place::at(1, 1), |mark| mark.value);
        self.source.error(place, &format!("{key}: {}", problem.what)).hint(&problem.hint)
    }
}

fn unreadable(shown: &str, error: &std::io::Error) -> Error {
    let failure = Error::new(Kind::Config, format!("cannot read {shown}")).because(error);
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => failure.hint(format!("chmod u+r {shown}")),
        std::io::ErrorKind::IsADirectory => {
            failure.hint("devdb.yaml is a file; move the directory away")
        }
        std::io::ErrorKind::NotFound => failure.hint(format!("rm {shown}   (a link to nowhere)")),
        _ => failure,
    }
}

/// Wrong YAML.
fn syntax(source: &Source, error: &saphyr::ScanError) -> Error {
    let mark = error.marker();
    let mut place = Place::at(mark.line(), mark.col() + 1);
    let line = source.text.lines().nth(place.line - 1).unwrap_or_default();
    if error.info().starts_with("duplicated key") {
        let key: String = line.chars().skip(place.column - 1).take_while(|c| *c != ':').collect();
        place.width = key.chars().count().max(1);
        return source
            .error(place, &format!("the key {:?} is there twice", key.trim()))
            .hint("keep one of the two");
    }
    let failure = source.error(place, &format!("this is not YAML: {}", error.info()));
    let tabs = source.text.lines().position(indented_by_tab);
    match tabs {
        Some(line) => {
            failure.hint(format!("line {} is indented with a tab; YAML wants spaces", line + 1))
        }
        None => failure.hint("look at the indentation, quotes and brackets there and just above"),
    }
}

fn indented_by_tab(line: &str) -> bool {
    line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t') && !line.trim().is_empty()
}

/// YAML, but not what devdb knows.
fn refused(source: &Source, marks: &Marks, error: &serde_yaml::Error) -> Error {
    let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    // serde's own sentences are stable: "unknown field `x`, expected one of `a`, `b`".
    if let Some((_, rest)) = text.split_once("unknown field ") {
        let mut names = rest.split('`').skip(1).step_by(2);
        let word = names.next().unwrap_or_default();
        let (path, place) = match marks.key_at(line, column) {
            Some((path, mark)) => (path, mark.key),
            None => (word, Place::at(line, column)),
        };
        return unknown_key(source, path, place, word, &names.collect::<Vec<_>>());
    }
    let hint = "devdb config schema   describes every key";
    let Some((_, mismatch)) = text.rsplit_once("invalid type: ") else {
        if text.contains("more than one document") {
            let begins =
                source.text.lines().enumerate().filter(|(_, line)| line.starts_with("---"));
            let place = Place::at(begins.last().map_or(1, |(index, _)| index + 1), 1);
            return source
                .error(place, "another document begins")
                .hint("devdb reads one: remove ---");
        }
        return source.error(Place::at(line, column), text).hint(hint);
    };
    let (found, expected) = mismatch.split_once(", expected ").unwrap_or((mismatch, "a value"));
    // serde's words for YAML's.
    let found = match found {
        "sequence" => "a list",
        "map" => "a mapping",
        "unit value" => "nothing",
        other => other,
    };
    let expected = if expected == "a sequence" { "a list" } else { expected };
    let expected = if expected == "a map" { "keys with values" } else { expected };
    let (place, name) = match marks.value_at(line, column) {
        Some((path, mark)) => (mark.value, path),
        None => (Place::at(line, column), "this"),
    };
    let failure = source.error(place, &format!("{name} is {found}, expected {expected}"));
    match name.rsplit_once('.') {
        Some((_, "command")) => failure.hint("one word an item: [npm, run, \"db:migrate\"]"),
        Some((_, "inputs")) => failure.hint("one glob an item: [\"migrations/**\"]"),
        _ => failure.hint(hint),
    }
}

fn unknown_key(source: &Source, path: &str, place: Place, word: &str, known: &[&str]) -> Error {
    let failure = source.error(place, &format!("unknown key {path:?}"));
    if let Some(meant) = nearest(word, known.iter().copied()) {
        return failure.hint(format!("did you mean {meant}?"));
    }
    if let Some(moved) = super::KEYS
        .iter()
        .map(|key| key.name)
        .find(|name| name.rsplit_once('.').is_some_and(|(_, last)| last == word))
    {
        let section = moved.split('.').next().unwrap_or_default();
        return failure.hint(format!("{moved} is a key: indent it below `{section}:`"));
    }
    failure.hint(format!("known here: {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not with a real file: root, who runs the tests in CI, reads everything.
    #[test]
    fn an_unreadable_file_says_how_to_make_it_readable() {
        let error = unreadable("devdb.yaml", &std::io::ErrorKind::PermissionDenied.into());
        assert_eq!(error.kind(), Kind::Config);
        assert_eq!(error.message(), "cannot read devdb.yaml");
        assert_eq!(error.hints(), ["chmod u+r devdb.yaml"]);
    }
}
