//! The project and the machine: settings, files, checks.

use std::path::PathBuf;

use serde::Serialize;

/// What `config` shows.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct ConfigReport {
    /// The project's directory, none for the sample.
    pub directory: Option<PathBuf>,
    /// Every setting.
    pub settings: Vec<ConfigRow>,
}

/// One setting.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct ConfigRow {
    /// Its name, with dots.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Where the value came from.
    pub origin: String,
}

/// What `init` did.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct InitReport {
    /// Files it wrote.
    pub written: Vec<PathBuf>,
    /// Files that were there and stay as they are.
    pub kept: Vec<PathBuf>,
    /// What to do next, for a person.
    pub next: String,
}

/// What `doctor` found.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct DoctorReport {
    /// Every check.
    pub checks: Vec<Check>,
}

/// One check of `doctor`.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Check {
    /// What was looked at.
    pub what: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do, for whatever is wrong.
    pub advice: Option<String>,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Not there, and not needed.
    Absent,
    /// Worth a look.
    Warning,
    /// Wrong.
    Bad,
}
