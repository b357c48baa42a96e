//! Every `DEVDB_*` variable. Reading, the warning about unknown names and the manual use this
//! table.

use std::fmt;

use super::Environment;
use crate::error::nearest;

/// What the names of devdb's own variables begin with.
const PREFIX: &str = "DEVDB_";

/// Variables with this beginning belong to devdb's tests.
const TEST_PREFIX: &str = "DEVDB_TEST_";

/// One variable of [`VARIABLES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Who sets it, and what it does.
    pub role: Role,
    /// What holds when it is unset or empty, for people.
    pub default: &'static str,
}

/// What a variable does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A person sets it in place of this key of devdb.yaml. (`developer` and `instance` have no key
    /// in the file, but rows of their own in `devdb config`.)
    Setting(&'static str),
    /// A person sets it, and devdb does this.
    Behaviour(&'static str),
    /// devdb sets it to this for the programs that it runs.
    Given(&'static str),
    /// A person sets it for the CI templates of `devdb init`, which use it for this.
    Template(&'static str),
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Setting(text)
            | Role::Behaviour(text)
            | Role::Given(text)
            | Role::Template(text) => f.write_str(text),
        }
    }
}

/// The directory for devdb's records and keys.
pub(super) const DATA_DIR: &str = "DEVDB_DATA_DIR";
/// What `PGOPTIONS` is called in a devdb that started itself again without it.
pub const PG_OPTIONS: &str = "DEVDB_PGOPTIONS";
const LOG: &str = "DEVDB_LOG";
const PUBLISH: &str = "DEVDB_PUBLISH";

/// Every variable that devdb reads or sets, in the order of `devdb config`.
pub const VARIABLES: &[Variable] = &[
    setting("DEVDB_PROJECT", "project", "the directory's name"),
    setting("DEVDB_DEVELOPER", "developer", "the name of the operating system's user"),
    setting("DEVDB_INSTANCE", "instance", "main, or the git branch with isolation: branch"),
    setting("DEVDB_ENGINE", "engine", "auto"),
    setting("DEVDB_ISOLATION", "isolation", "developer"),
    setting("DEVDB_IDLE", "idle", "2h"),
    setting("DEVDB_POSTGRES", "postgres.version", "the version in the image's tag, else 15"),
    setting("DEVDB_IMAGE", "postgres.image", "postgres:VERSION"),
    setting("DEVDB_BIN_DIR", "postgres.bin_dir", "devdb searches the usual places"),
    setting("DEVDB_DATABASE", "postgres.database", "a name made from the project's name"),
    setting("DEVDB_USER", "postgres.user", "postgres"),
    setting("DEVDB_DURABILITY", "postgres.durability", "full"),
    setting("DEVDB_PORT", "postgres.port", "auto"),
    setting("DEVDB_MIGRATIONS", "migrations.path", "migrations"),
    setting("DEVDB_KEEP_BEFORE", "migrations.keep_before", "true"),
    setting("DEVDB_SEEDS", "seeds.path", "seeds"),
    setting("DEVDB_PROFILE", "seeds.profile", "dev"),
    setting("DEVDB_KEY_ENV", "secrets.key_env", "ENCRYPTION_KEY"),
    setting("DEVDB_GENERATIONS_DAYS", "generations.days", "7"),
    setting("DEVDB_GENERATIONS_SIZE", "generations.size", "20GB"),
    setting("DEVDB_CACHE_STATES", "cache.states", "20"),
    setting("DEVDB_CACHE_SIZE", "cache.size", "10GB"),
    behaviour(
        DATA_DIR,
        "devdb keeps its records and keys in this directory (an absolute path)",
        "the operating system's directory for applications' data, such as ~/.local/share/devdb",
    ),
    behaviour(
        LOG,
        "devdb writes a log to stderr; the value is a filter, such as debug or devdb=trace",
        "no log",
    ),
    behaviour(
        PUBLISH,
        "run and ephemeral publish their databases on the machine of a remote Docker daemon, \
         on every address of it",
        "devdb refuses to publish a database on another machine",
    ),
    Variable {
        name: "DEVDB_RUN",
        role: Role::Given(
            "the id of the database of `devdb run`, for the command and its children",
        ),
        default: "",
    },
    Variable {
        name: "DEVDB_RUN_URL",
        role: Role::Given(
            "the URL of the database that a command works on (run, migrations.command, seeds.command), \
             for a devdb that the command runs",
        ),
        default: "",
    },
    Variable {
        name: "DEVDB_RUN_PROJECT",
        role: Role::Given(
            "the id of the project that the command works for, for a devdb that the command runs",
        ),
        default: "",
    },
    Variable {
        name: PG_OPTIONS,
        role: Role::Given("`PGOPTIONS` of the shell, for devdb itself, which does not follow it"),
        default: "",
    },
    Variable {
        name: "DEVDB_EPHEMERAL",
        role: Role::Given("the id of the database of `devdb ephemeral`, among its variables"),
        default: "",
    },
    Variable {
        name: "DEVDB_GIT",
        role: Role::Template("the git repository to install devdb from"),
        default: "",
    },
];

const fn setting(name: &'static str, key: &'static str, default: &'static str) -> Variable {
    Variable { name, role: Role::Setting(key), default }
}

const fn behaviour(name: &'static str, does: &'static str, default: &'static str) -> Variable {
    Variable { name, role: Role::Behaviour(does), default }
}

/// The variable that sets a key of devdb.yaml.
pub fn variable_of(key: &str) -> Option<&'static str> {
    let sets = |variable: &&Variable| matches!(variable.role, Role::Setting(of) if of == key);
    VARIABLES.iter().find(sets).map(|variable| variable.name)
}

/// Whether devdb has a variable of its own with this name.
fn is_known(name: &str) -> bool {
    VARIABLES.iter().any(|variable| variable.name == name)
}

impl Environment {
    /// `DEVDB_LOG`: which events to log on stderr.
    pub fn log_filter(&self) -> Option<&str> {
        self.get(LOG)
    }

    /// `DEVDB_PUBLISH`: whether databases may be published on a remote daemon's machine.
    pub fn publish(&self) -> Option<&str> {
        self.get(PUBLISH)
    }

    /// Whether the shell sets a variable, with any value that is not empty.
    pub fn is_in_shell(&self, name: &str) -> bool {
        self.get(name).is_some() || (name == "PGOPTIONS" && self.get(PG_OPTIONS).is_some())
    }

    /// A warning for every `DEVDB_*` variable that devdb does not know.
    pub fn unknown_variables(&self) -> Vec<String> {
        let unknown =
            self.names(PREFIX).filter(|name| !name.starts_with(TEST_PREFIX) && !is_known(name));
        unknown.map(warning).collect()
    }
}

fn warning(name: &str) -> String {
    let is_read =
        |variable: &&Variable| matches!(variable.role, Role::Setting(_) | Role::Behaviour(_));
    // All names share the prefix, which would make every two of them similar.
    let rests =
        VARIABLES.iter().filter(is_read).filter_map(|variable| variable.name.strip_prefix(PREFIX));
    match nearest(&name[PREFIX.len()..], rests) {
        Some(meant) => format!("{name} is ignored: did you mean {PREFIX}{meant}?"),
        None => format!("{name} is ignored: devdb knows no such variable"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_keys_are_there_once() {
        let mut names: Vec<_> = VARIABLES.iter().map(|variable| variable.name).collect();
        let mut roles: Vec<_> = VARIABLES.iter().map(|v| v.role.to_string()).collect();
        assert!(names.iter().all(|name| name.starts_with(PREFIX)));
        names.sort_unstable();
        names.dedup();
        roles.sort_unstable();
        roles.dedup();
        assert_eq!((names.len(), roles.len()), (VARIABLES.len(), VARIABLES.len()));
    }

    #[test]
    fn no_known_variable_is_warned_about() {
        let all = VARIABLES.iter().map(|variable| (variable.name, "x"));
        assert!(Environment::from_pairs(all).unknown_variables().is_empty());
    }
}
