//! The table of all settings.

use super::Overrides;
use super::environment::variable_of;

/// One setting.
pub struct Key {
    /// Its dotted path in devdb.yaml.
    pub name: &'static str,
    /// What its value looks like in devdb.yaml.
    pub shape: Shape,
    /// The flag that sets it.
    pub flag: Option<Flag>,
}

/// A flag, and where its value is.
pub type Flag = (&'static str, fn(&Overrides) -> Option<&String>);

/// What the value of a key looks like in devdb.yaml.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A single value. Only such a key can have a variable or a flag.
    Text,
    /// A list of single values.
    List,
    /// Keys of any name, each with a single value.
    Settings,
    /// The key cannot stand in the file.
    NotInFile,
}

impl Key {
    /// The environment variable that sets it.
    pub fn variable(&self) -> Option<&'static str> {
        variable_of(self.name)
    }

    const fn flag(self, name: &'static str, get: fn(&Overrides) -> Option<&String>) -> Self {
        Key { flag: Some((name, get)), ..self }
    }
}

const fn text(name: &'static str) -> Key {
    Key { name, shape: Shape::Text, flag: None }
}

const fn list(name: &'static str) -> Key {
    Key { name, shape: Shape::List, flag: None }
}

const fn not_in_file(name: &'static str) -> Key {
    Key { name, shape: Shape::NotInFile, flag: None }
}

/// Every setting. Messages list the keys of a section in this order.
pub const KEYS: &[Key] = &[
    text("project"),
    not_in_file("developer").flag("--developer", |flags| flags.developer.as_ref()),
    not_in_file("instance").flag("--instance", |flags| flags.instance.as_ref()),
    text("engine").flag("--engine", |flags| flags.engine.as_ref()),
    text("isolation"),
    text("idle"),
    text("postgres.version").flag("--postgres", |flags| flags.postgres.as_ref()),
    text("postgres.image"),
    text("postgres.bin_dir"),
    text("postgres.database"),
    text("postgres.user"),
    Key { name: "postgres.settings", shape: Shape::Settings, flag: None },
    list("postgres.extensions"),
    text("postgres.durability"),
    text("postgres.port").flag("--port", |flags| flags.port.as_ref()),
    text("migrations.path"),
    text("migrations.out_of_order"),
    text("migrations.keep_before"),
    list("migrations.command"),
    list("migrations.inputs"),
    text("seeds.path"),
    text("seeds.profile").flag("--profile", |flags| flags.profile.as_ref()),
    list("seeds.command"),
    list("seeds.inputs"),
    text("secrets.key_env"),
    text("secrets.env_file"),
    text("env.write"),
    text("generations.days"),
    text("generations.size"),
    text("cache.states"),
    text("cache.size"),
];

/// The keys that hold other keys, each with an example of what stands below it.
pub const SECTIONS: &[(&str, &str)] = &[
    ("postgres", "version: 15"),
    ("migrations", "path: migrations"),
    ("seeds", "path: seeds"),
    ("secrets", "key_env: ENCRYPTION_KEY"),
    ("env", "write: .env"),
    ("generations", "days: 7"),
    ("cache", "states: 20"),
];

/// The setting with this name.
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The names that may stand in a section of devdb.yaml, or at its top level (`""`).
pub fn names_in(section: &str) -> Vec<&'static str> {
    let mut names = Vec::new();
    for key in KEYS.iter().filter(|key| key.shape != Shape::NotInFile) {
        let name = match (section, key.name.split_once('.')) {
            ("", None) => key.name,
            ("", Some((first, _))) => first,
            (_, Some((first, rest))) if first == section => rest,
            _ => continue,
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
