//! The JSON Schema of devdb.yaml, for editors and the manual. Its texts are the comments of the
//! fields below, which hold no values: [`super::document`] reads the file by the table
//! [`super::keys::KEYS`]. A test compares the table with the schema.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::spec::{Durability, EngineChoice};

/// Stands for a value. It cannot be serialized, so the schema has no `"default": null`.
struct Described;

/// The settings of a devdb project. All keys are optional.
#[derive(Default, JsonSchema)]
#[schemars(default, deny_unknown_fields, rename = "devdb.yaml")]
struct Document {
    /// The project's name, for people. Default: the directory's name.
    #[schemars(with = "String", length(min = 1, max = 100))]
    project: Option<Described>,
    /// What runs the servers. Default: auto.
    #[schemars(with = "EngineChoice")]
    engine: Option<Described>,
    /// Whether a developer has one instance for a checkout, or one for each of its git branches.
    /// Default: developer.
    #[schemars(schema_with = "isolation_schema")]
    isolation: Option<Described>,
    /// After how much time without a client devdb stops the database of a branch: 30m, 2h, or off.
    /// The databases of main and master go on. Default: 2h.
    #[schemars(with = "String", length(min = 1))]
    idle: Option<Described>,
    /// The PostgreSQL server.
    #[schemars(with = "PostgresSection")]
    postgres: Option<Described>,
    /// The project's migrations.
    #[schemars(with = "MigrationsSection")]
    migrations: Option<Described>,
    /// The project's seeds.
    #[schemars(with = "SeedsSection")]
    seeds: Option<Described>,
    /// Encrypted values.
    #[schemars(with = "SecretsSection")]
    secrets: Option<Described>,
    /// The env file of your application.
    #[schemars(with = "EnvSection")]
    env: Option<Described>,
    /// The data from before a reset, for `devdb undo`.
    #[schemars(with = "GenerationsSection")]
    generations: Option<Described>,
    /// Golden states: prepared databases that `up` and `reset` copy.
    #[schemars(with = "CacheSection")]
    cache: Option<Described>,
}

/// The PostgreSQL server.
#[derive(Default, JsonSchema)]
#[schemars(default, deny_unknown_fields, rename = "postgres")]
struct PostgresSection {
    /// The major version. Default: the version in the image's tag, else 15.
    #[schemars(with = "u16", range(min = 13, max = 18))]
    version: Option<Described>,
    /// An image with the official image's conventions. Default: postgres:VERSION.
    #[schemars(with = "String", length(min = 1))]
    image: Option<Described>,
    /// The directory of the native server programs, relative to this file. Default: devdb searches
    /// the usual places.
    #[schemars(with = "String", length(min = 1))]
    bin_dir: Option<Described>,
    /// The database to create (1 to 63 bytes). Default: a name made from the project's name.
    #[schemars(with = "String", length(min = 1, max = 63))]
    database: Option<Described>,
    /// The database's owner, a superuser (1 to 63 bytes). Default: postgres.
    #[schemars(with = "String", length(min = 1, max = 63))]
    user: Option<Described>,
    /// Server settings, as in postgresql.conf.
    #[schemars(schema_with = "settings_schema")]
    settings: Option<Described>,
    /// Extensions to create in the database.
    #[schemars(with = "Vec<String>")]
    extensions: Option<Described>,
    /// What may be lost when the machine crashes. Default: full.
    #[schemars(with = "Durability")]
    durability: Option<Described>,
    /// The port on 127.0.0.1. Default: auto, which means that devdb chooses a port and keeps it.
    #[schemars(schema_with = "port_schema")]
    port: Option<Described>,
}

/// The project's migrations.
#[derive(Default, JsonSchema)]
#[schemars(default, deny_unknown_fields, rename = "migrations")]
struct MigrationsSection {
    /// The directory, relative to this file. Default: migrations.
    #[schemars(with = "String", length(min = 1))]
    path: Option<Described>,
    /// Whether devdb applies a file that is older than the newest applied one. Default: refuse.
    #[schemars(schema_with = "out_of_order_schema")]
    out_of_order: Option<Described>,
    /// Whether devdb copies data that somebody wrote to before it migrates or seeds it, so that
    /// `devdb undo` goes back. Default: true.
    #[schemars(with = "bool")]
    keep_before: Option<Described>,
    /// Another tool's command that migrates, instead of `path`: a list of words. No shell runs it.
    #[schemars(with = "Vec<String>", length(min = 1))]
    command: Option<Described>,
    /// Globs for the files that the command reads, relative to this file.
    #[schemars(with = "Vec<String>", length(min = 1))]
    inputs: Option<Described>,
}

/// The project's seeds.
#[derive(Default, JsonSchema)]
#[schemars(default, deny_unknown_fields, rename = "seeds")]
struct SeedsSection {
    /// The directory, relative to this file. Default: seeds.
    #[schemars(with = "String", length(min = 1))]
    path: Option<Described>,
    /// The subdirectory whose files are applied after the common files. Default: dev.
    #[schemars(with = "String", length(min = 1))]
    profile: Option<Described>,
    /// Another tool's command that seeds, instead of `path`: a list of words. No shell runs it.
    #[schemars(with = "Vec<String>", length(min = 1))]
    command: Option<Described>,
    /// Globs for the files that the command reads, relative to this file.
    #[schemars(with = "Vec<String>", length(min = 1))]
    inputs: Option<Described>,
}

/// Encrypted values.
#[derive(Default, JsonSchema)]
#[schemars(default, deny_unknown_fields, rename = "secrets")]
struct SecretsSection {
    /// The environment variable that holds the key. Default: ENCRYPTION_KEY.
    #[schemars(with = "String", regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    key_env: Option<Described>,
    /// The env file that may hold the key, relative to this file; the environment wins over it. Or
    /// none. Default: .env, where there is one.
    #[schemars(with = "String", length(min = 1))]
    env_file: Option<Described>,
}

/// The env file of your application.
#[derive(Default, JsonSchema)]
#[schemars(default, deny_unknown_fields, rename = "env")]
struct EnvSection {
    /// The env file, relative to this file, into which devdb writes the address whenever it
    /// changes. Or none. Default: none.
    #[schemars(with = "String", length(min = 1))]
    write: Option<Described>,
}

/// The data from before a reset, for `devdb undo`.
#[derive(Default, JsonSchema)]
#[schemars(default, deny_unknown_fields, rename = "generations")]
struct GenerationsSection {
    /// For how many days devdb keeps a generation after it was replaced. Default: 7.
    #[schemars(with = "u16", range(min = 0, max = 3650))]
    days: Option<Described>,
    /// How much disk space the replaced generations of a database may take, all together. devdb
    /// never removes one for this that was replaced less than a day ago. Default: 20GB.
    #[schemars(with = "String")]
    size: Option<Described>,
}

/// Golden states: prepared databases that `up` and `reset` copy.
#[derive(Default, JsonSchema)]
#[schemars(default, deny_unknown_fields, rename = "cache")]
struct CacheSection {
    /// How many golden states of this project devdb keeps. Default: 20.
    #[schemars(with = "u16", range(min = 1, max = 1000))]
    states: Option<Described>,
    /// How much disk they may take together, such as 500MB or 10GB. Default: 10GB.
    #[schemars(with = "String", length(min = 1))]
    size: Option<Described>,
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

#[cfg(test)]
mod tests {
    use super::super::keys::{KEYS, Shape};
    use super::*;

    #[test]
    fn the_schema_has_the_keys_that_are_read() {
        let schema = schema();
        let mut described = Vec::new();
        for (name, property) in schema["properties"].as_object().unwrap() {
            let section = property["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/"));
            match section.and_then(|section| schema["$defs"][section]["properties"].as_object()) {
                Some(keys) => described.extend(keys.keys().map(|key| format!("{name}.{key}"))),
                None => described.push(name.clone()),
            }
        }
        let in_file = KEYS.iter().filter(|key| key.shape != Shape::NotInFile);
        let mut read: Vec<String> = in_file.map(|key| key.name.to_owned()).collect();
        described.sort();
        read.sort();
        assert_eq!(described, read);
    }
}
