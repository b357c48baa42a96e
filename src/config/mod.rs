//! From devdb.yaml, the environment and flags to an [`InstanceSpec`]. Every setting is validated
//! and every default decided here. For each setting devdb remembers where its value comes from.
//!
//! [`document`] reads a file by the table of settings in [`keys`], [`layers`] chooses among several
//! values for one setting, [`values`] says what a text means, and [`decide`] makes the
//! specification.

pub mod branch;
pub mod dotenv;
pub mod environment;
pub mod identity;

mod command;
mod decide;
mod discovery;
mod document;
mod keys;
mod layers;
mod place;
mod schema;
mod values;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

pub use environment::Environment;
pub use keys::KEYS;
pub use schema::schema;

use crate::error::Result;
use crate::spec::InstanceSpec;
use decide::Decided;
pub use discovery::FILE;
use discovery::LOCAL_FILE;
use document::Document;
use layers::Layers;

/// Flags, as typed.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--engine`
    pub engine: Option<String>,
    /// `--postgres`: the major version.
    pub postgres: Option<String>,
    /// `--port`
    pub port: Option<String>,
    /// `--profile`
    pub profile: Option<String>,
    /// `--developer`
    pub developer: Option<String>,
    /// `--instance`
    pub instance: Option<String>,
}

/// Which project a directory belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Project {
    /// A directory with a devdb.yaml.
    Directory {
        /// That directory (absolute).
        root: PathBuf,
    },
    /// The sample project built into the binary: there is no devdb.yaml here or above.
    Sample,
}

/// Where the value of a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "lowercase")]
pub enum Origin {
    /// A flag.
    Flag {
        /// `--port`
        name: &'static str,
    },
    /// An environment variable.
    Environment {
        /// `DEVDB_PORT`
        name: &'static str,
    },
    /// devdb.yaml or devdb.local.yaml.
    File {
        /// The file (absolute).
        path: PathBuf,
        /// The line of the value, counted from 1.
        line: usize,
    },
    /// The branch that is checked out.
    Branch,
    /// What the database was made with, when a flag or a variable chose it.
    Database,
    /// devdb.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag { name } | Origin::Environment { name } => f.write_str(name),
            Origin::File { path, line } => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                write!(f, "{name}:{line}")
            }
            Origin::Branch => f.write_str("git branch"),
            Origin::Database => f.write_str("remembered for this database"),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// One setting, for `devdb config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its dotted path: `postgres.port`.
    pub key: String,
    /// Its value, as written.
    pub value: String,
    /// Where the value comes from.
    pub origin: Origin,
}

/// The settings of a project, from all places together.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which project it is.
    pub project: Project,
    /// The environment variable with the encryption key.
    pub key_env: String,
    /// The env file that may hold the encryption key (absolute).
    pub key_file: Option<PathBuf>,
    /// The env file that devdb keeps right (absolute).
    pub env_file: Option<PathBuf>,
    /// Every setting with its value and where that comes from.
    pub origins: Vec<Setting>,
    /// What a person probably did not intend; one line each.
    pub warnings: Vec<String>,
    /// Complete but for the checkout's id; see [`Config::spec`].
    spec: InstanceSpec,
}

impl Config {
    /// The specification of the instance. `project_id` is the id of the checkout ([`identity`]).
    /// `timeout` is how long to wait until a server accepts logins: 60 seconds by default.
    pub fn spec(&self, project_id: &str, timeout: Option<Duration>) -> InstanceSpec {
        let mut spec = self.spec.clone();
        project_id.clone_into(&mut spec.owner.project_id);
        spec.timeout = timeout.unwrap_or(spec.timeout);
        spec
    }

    /// Goes on with the profile and the name that the database was made with. A flag or a variable
    /// chooses another profile. The name changes only where somebody has set `postgres.database`,
    /// because by default it follows the name of the project or the directory, and a database keeps
    /// its name when they change.
    pub fn remember(&mut self, profile: Option<&str>, database: &str) {
        if let Some(profile) = profile
            && self.follow_database("seeds.profile", profile, |origin| {
                !matches!(origin, Origin::Flag { .. } | Origin::Environment { .. })
            })
        {
            self.spec.seeds.remember(profile);
        }
        if database != self.spec.server.database
            && self
                .follow_database("postgres.database", database, |origin| *origin == Origin::Default)
        {
            database.clone_into(&mut self.spec.server.database);
        }
    }

    /// Sets `key` to what the database was made with, if `yields` says that the setting of this
    /// origin does not win. Returns whether it did.
    fn follow_database(
        &mut self,
        key: &str,
        value: &str,
        yields: impl Fn(&Origin) -> bool,
    ) -> bool {
        let setting = self.origins.iter_mut().find(|setting| setting.key == key);
        let Some(setting) = setting.filter(|setting| yields(&setting.origin)) else { return false };
        *setting = Setting { value: value.to_owned(), origin: Origin::Database, ..setting.clone() };
        true
    }
}

/// Finds the project that `start` (absolute) belongs to and reads its settings. Changes nothing.
///
/// # Errors
/// `Config` when a file or a variable holds something that devdb cannot use, `Usage` when a flag
/// does. The error says where it stands, and what can be written there.
pub fn load(start: &Path, environment: &Environment, flags: &Overrides) -> Result<Config> {
    let mut warnings = environment.unknown_variables();
    let (project, documents) = match discovery::find(start)? {
        Some(root) => {
            let documents = read_documents(start, &root)?;
            (Project::Directory { root }, documents)
        }
        None => {
            warnings.extend(ignored_settings(start));
            (Project::Sample, Vec::new())
        }
    };
    let root = match &project {
        Project::Directory { root } => root,
        Project::Sample => start,
    };
    let mut layers = Layers::new(flags, environment, &documents);
    let Decided { spec, key_env, key_file, env_file } =
        decide::decide(&mut layers, &project, root, environment)?;
    let Layers { decided: origins, warnings: more, .. } = layers;
    warnings.extend(more);
    Ok(Config { project, key_env, key_file, env_file, origins, warnings, spec })
}

/// devdb.local.yaml, if it is there, and devdb.yaml: the strongest first.
fn read_documents(start: &Path, root: &Path) -> Result<Vec<Document>> {
    let shown = |path: &Path| path.strip_prefix(start).unwrap_or(path).display().to_string();
    let local = root.join(LOCAL_FILE);
    let shared = root.join(FILE);
    let mut documents = Vec::new();
    if local.symlink_metadata().is_ok() {
        documents.push(Document::read(&local, shown(&local))?);
    }
    documents.push(Document::read(&shared, shown(&shared))?);
    Ok(documents)
}

/// A warning about personal settings that belong to no project.
fn ignored_settings(start: &Path) -> Option<String> {
    let is_there = start.join(LOCAL_FILE).is_file();
    is_there.then(|| format!("{LOCAL_FILE} is ignored: there is no {FILE} beside it"))
}
