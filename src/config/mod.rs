//! devdb.yaml, the environment and flags, merged: every setting validated, every default decided,
//! and for each a record of who said it.

pub mod branch;
pub mod dotenv;
pub mod environment;
pub mod identity;

mod command;
mod discovery;
mod file;
mod layers;
mod place;
mod settings;
mod values;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use discovery::{FILE, LOCAL_FILE};
pub use environment::Environment;
pub use file::schema;
use layers::KEYS;
pub use settings::{DEFAULT_VERSION, Settings};
pub use values::VERSIONS;

use crate::embedded;
use crate::error::Result;
use file::ConfigFile;
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

/// What is being worked on.
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

/// Who decided a setting.
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
    /// Who decided it.
    pub origin: Origin,
}

/// Everything that was said about a project, merged.
#[derive(Debug, Clone)]
pub struct Config {
    /// What is being worked on.
    pub project: Project,
    /// Every setting, validated.
    pub settings: Settings,
    /// Every setting with its value and who decided it.
    pub origins: Vec<Setting>,
    /// What is probably not what the person wants; one line each.
    pub warnings: Vec<String>,
}

impl Config {
    /// Whether nobody has set this key.
    pub fn is_default(&self, key: &str) -> bool {
        self.origins.iter().any(|setting| setting.key == key && setting.origin == Origin::Default)
    }
}

/// Finds the project that `start` (absolute) belongs to and merges what is said about it. Looks at
/// files and changes nothing.
///
/// # Errors
/// `Config` for a file or variable, `Usage` for a flag that cannot be used; it says where, and what
/// can be written there.
pub fn load(start: &Path, environment: &Environment, flags: &Overrides) -> Result<Config> {
    let mut warnings = environment.unknown_variables();
    let (project, files) = match discovery::find(start)? {
        Some(root) => {
            let files = read_files(start, &root)?;
            (Project::Directory { root }, files)
        }
        None => {
            warnings.extend(sample_warnings(start));
            (Project::Sample, Vec::new())
        }
    };
    let mut layers = Layers::new(flags, environment, &files);
    let settings = settings::decide(&mut layers, &project, start, environment, &mut warnings)?;
    Ok(Config { project, settings, origins: layers.decided, warnings })
}

/// devdb.local.yaml, if it is there, and devdb.yaml: the strongest first.
fn read_files(start: &Path, root: &Path) -> Result<Vec<ConfigFile>> {
    let shown = |path: &Path| path.strip_prefix(start).unwrap_or(path).display().to_string();
    let local = root.join(LOCAL_FILE);
    let shared = root.join(FILE);
    let mut files = Vec::new();
    if local.symlink_metadata().is_ok() {
        files.push(ConfigFile::read(&local, shown(&local))?);
    }
    files.push(ConfigFile::read(&shared, shown(&shared))?);
    Ok(files)
}

/// What looks like a project but is none.
fn sample_warnings(start: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    let migrations = start.join("migrations");
    if migrations.is_dir() && !embedded::is_the_samples(&migrations) {
        warnings.push(
            "there is a migrations directory but no devdb.yaml here, so this is devdb's sample \
             project; `devdb init` makes the directory a project of its own"
                .to_owned(),
        );
    }
    if start.join(LOCAL_FILE).is_file() {
        warnings.push(format!("{LOCAL_FILE} is ignored: there is no {FILE} beside it"));
    }
    warnings
}
