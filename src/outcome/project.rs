//! Reports on the project and the machine: settings, files, checks.

use std::path::PathBuf;

use serde::Serialize;

/// What `config` shows.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct ConfigReport {
    /// The project's directory; null for the sample project.
    pub directory: Option<PathBuf>,
    /// All settings.
    pub settings: Vec<ConfigRow>,
}

/// One setting.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct ConfigRow {
    /// Its name, for example `postgres.version`.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Where the value comes from.
    pub origin: String,
}

/// What `init` did.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct InitReport {
    /// The written files.
    pub written: Vec<PathBuf>,
    /// The files that existed and stay as they are.
    pub kept: Vec<PathBuf>,
    /// What the person should do next.
    pub next: String,
}

/// What `doctor` found.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct DoctorReport {
    /// All checks.
    pub checks: Vec<Check>,
    /// Whether the text shows all checks. Without it, it shows problems and what this project uses.
    #[serde(skip)]
    pub with_all: bool,
}

/// One check of `doctor`.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Check {
    /// What was checked.
    pub what: String,
    /// The result.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// How to solve a problem.
    pub advice: Option<String>,
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is as it should be.
    Good,
    /// It works, and this project does not use it.
    Unused,
    /// It does not exist and is not needed.
    Absent,
    /// It may cause problems.
    Warning,
    /// It is a problem.
    Bad,
}
