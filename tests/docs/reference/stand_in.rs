//! Stands in for `devdb::config::environment::{Role, VARIABLES}` until it is there.

/// A variable.
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

/// Every variable that devdb reads or sets, in the order of `devdb config`.
pub const VARIABLES: &[Variable] = &[
    setting("DEVDB_PROJECT", "project", "the directory's name"),
    setting("DEVDB_DEVELOPER", "developer", "the name of the operating system's user"),
    setting("DEVDB_INSTANCE", "instance", "main, or the git branch with isolation: branch"),
    setting("DEVDB_ENGINE", "engine", "auto"),
    setting("DEVDB_ISOLATION", "isolation", "developer"),
    setting("DEVDB_POSTGRES", "postgres.version", "the version in the image's tag, else 15"),
    setting("DEVDB_IMAGE", "postgres.image", "postgres:VERSION"),
    setting("DEVDB_BIN_DIR", "postgres.bin_dir", "devdb searches the usual places"),
    setting("DEVDB_DATABASE", "postgres.database", "a name made from the project's name"),
    setting("DEVDB_USER", "postgres.user", "postgres"),
    setting("DEVDB_DURABILITY", "postgres.durability", "full"),
    setting("DEVDB_PORT", "postgres.port", "auto"),
    setting("DEVDB_MIGRATIONS", "migrations.path", "migrations"),
    setting("DEVDB_SEEDS", "seeds.path", "seeds"),
    setting("DEVDB_PROFILE", "seeds.profile", "dev"),
    setting("DEVDB_KEY_ENV", "secrets.key_env", "ENCRYPTION_KEY"),
    setting("DEVDB_GENERATIONS_KEEP", "generations.keep", "2"),
    setting("DEVDB_GENERATIONS_DAYS", "generations.days", "7"),
    setting("DEVDB_CACHE_STATES", "cache.states", "20"),
    setting("DEVDB_CACHE_SIZE", "cache.size", "10GB"),
    behaviour(
        "DEVDB_DATA_DIR",
        "devdb keeps its records and keys in this directory (an absolute path)",
        "the operating system's directory for applications' data, such as ~/.local/share/devdb",
    ),
    behaviour(
        "DEVDB_LOG",
        "devdb writes a log to stderr; the value is a filter, such as debug or devdb=trace",
        "no log",
    ),
    behaviour(
        "DEVDB_PUBLISH",
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
