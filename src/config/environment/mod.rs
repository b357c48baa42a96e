//! The environment of the process, read once. No other code reads variables, so a test can choose
//! the environment, and two readers always see the same values.

mod variables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::error::{Error, Kind, Result};
use variables::DATA_DIR;
pub use variables::{PG_OPTIONS, Role, VARIABLES, Variable, variable_of};

/// A copy of the environment. A variable with an empty value counts as unset.
#[derive(Clone)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    home: Option<PathBuf>,
}

/// Shows only the names, because values may be secrets.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

/// The variables that together identify one job, for each CI system. The first group whose first
/// variable is set counts, and all its variables that are set are part of the id. A run's id alone
/// does not identify a job, because the jobs of a matrix share it; so the runner's name is part of
/// the id.
const CI_JOBS: &[&[&str]] = &[
    &["GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT", "GITHUB_JOB", "RUNNER_NAME"],
    &["CI_JOB_ID"],
    &["BUILDKITE_JOB_ID"],
    &["CIRCLE_WORKFLOW_JOB_ID"],
    &["SYSTEM_JOBID", "BUILD_BUILDID"],
    &["TRAVIS_JOB_ID"],
    &["BITBUCKET_STEP_UUID", "BITBUCKET_BUILD_NUMBER"],
    &["CIRRUS_TASK_ID"],
    &["APPVEYOR_JOB_ID"],
    &["SEMAPHORE_JOB_ID"],
    &["CODEBUILD_BUILD_ID"],
    &["DRONE_BUILD_NUMBER", "DRONE_REPO", "DRONE_STAGE_NUMBER"],
];

impl Environment {
    /// The environment of this process. Bytes that are not UTF-8 are replaced.
    pub fn from_process() -> Self {
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let mut environment =
            Self::from_pairs(std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))));
        if environment.home.is_none() {
            // Without HOME this asks the user database, as cron jobs and some containers need.
            environment.home = std::env::home_dir().filter(|home| home.is_absolute());
        }
        environment
    }

    /// An environment of these variables and nothing else.
    pub fn from_pairs<K: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let variables: BTreeMap<String, String> = pairs
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        let home = variables.get("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        Environment { variables, home }
    }

    /// A variable's value, if it is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The names that begin with `prefix`, sorted.
    pub fn names<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.variables.keys().map(String::as_str).filter(move |name| name.starts_with(prefix))
    }

    fn is_set(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The user's home directory.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// The directory of devdb's records and keys: `DEVDB_DATA_DIR`, or else the operating system's
    /// directory for applications' data (`$XDG_DATA_HOME/devdb` or `~/.local/share/devdb`; on macOS
    /// `~/Library/Application Support/devdb`). Always absolute.
    ///
    /// # Errors
    /// `Config` when there is no home directory, or `DEVDB_DATA_DIR` is relative. With a relative
    /// path, commands in two directories would see different instances.
    pub fn data_dir(&self) -> Result<PathBuf> {
        if let Some(directory) = self.get(DATA_DIR) {
            let directory = PathBuf::from(directory);
            if directory.is_absolute() {
                return Ok(directory);
            }
            return Err(Error::new(
                Kind::Config,
                format!("DEVDB_DATA_DIR: {:?} is not an absolute path", directory.display()),
            )
            .hint("write an absolute path: DEVDB_DATA_DIR=\"$PWD/…\""));
        }
        self.user_dir("XDG_DATA_HOME", ".local/share").ok_or_else(|| {
            Error::new(Kind::Config, "cannot find a directory for devdb's records")
                .because("HOME is not an absolute path, or it is unset and the user has no home")
                .hint("set HOME, or DEVDB_DATA_DIR to an absolute path")
        })
    }

    /// The same directory as the `directories` crate finds. A relative XDG variable is ignored, as
    /// the XDG specification demands.
    fn user_dir(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        let base = if cfg!(target_os = "macos") {
            self.home()?.join("Library/Application Support")
        } else {
            match self.absolute(variable) {
                Some(directory) => directory,
                None => self.home()?.join(below_home),
            }
        };
        Some(base.join("devdb"))
    }

    /// The user's runtime directory (`XDG_RUNTIME_DIR`), where rootless engines put their sockets.
    pub fn runtime_dir(&self) -> Option<PathBuf> {
        self.absolute("XDG_RUNTIME_DIR")
    }

    fn absolute(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    /// The user's name in the operating system, or `uid-<number>` when the user has no name.
    pub fn os_user(&self) -> String {
        whoami::username()
            .ok()
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw()))
    }

    /// An id of the CI job that this process belongs to. Every job and every attempt has another
    /// id. None outside CI, and when only `CI=true` is set.
    pub fn ci_job(&self) -> Option<String> {
        let parts = CI_JOBS.iter().find(|names| self.is_set(names[0]));
        if let Some(names) = parts {
            let values: Vec<&str> = names.iter().filter_map(|name| self.get(name)).collect();
            return Some(format!("{}={}", names[0], values.join("/")));
        }
        // Only Jenkins writes such values; a build script may use the name for something else.
        let tag = self.get("BUILD_TAG").filter(|tag| tag.starts_with("jenkins-"))?;
        Some(format!("BUILD_TAG={tag}"))
    }

    /// Whether the terminal shall show no colour: the user says so (`NO_COLOR`,
    /// <https://no-color.org>), or it cannot.
    pub fn no_color(&self) -> bool {
        self.is_set("NO_COLOR") || self.has_dumb_terminal()
    }

    /// Whether the terminal can only write lines, as in an editor's window: `TERM=dumb`.
    pub fn has_dumb_terminal(&self) -> bool {
        self.get("TERM") == Some("dumb")
    }

    /// `DATABASE_URL`. devdb never connects to it; `devdb doctor` says when it names another
    /// database.
    pub fn database_url(&self) -> Option<SecretString> {
        self.get("DATABASE_URL").map(SecretString::from)
    }

    /// Docker's configuration directory: `DOCKER_CONFIG`, or else `~/.docker`.
    pub fn docker_config(&self) -> Option<PathBuf> {
        match self.get("DOCKER_CONFIG") {
            Some(directory) => Some(PathBuf::from(directory)),
            None => Some(self.home()?.join(".docker")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment::from_pairs(pairs.iter().copied())
    }

    #[test]
    fn an_empty_value_counts_as_unset() {
        let environment = environment(&[("DOCKER_HOST", ""), ("NO_COLOR", "")]);
        assert_eq!(environment.get("DOCKER_HOST"), None);
        assert!(!environment.no_color());
    }

    #[test]
    fn a_ci_job_is_named_by_run_attempt_job_and_runner() {
        let github = |attempt: &str| {
            environment(&[
                ("GITHUB_RUN_ID", "77"),
                ("GITHUB_RUN_ATTEMPT", attempt),
                ("GITHUB_JOB", "test"),
                ("RUNNER_NAME", "r1"),
            ])
            .ci_job()
        };
        assert_eq!(github("1").as_deref(), Some("GITHUB_RUN_ID=77/1/test/r1"));
        assert_ne!(github("1"), github("2"));
        assert_eq!(environment(&[("CI_JOB_ID", "5")]).ci_job().as_deref(), Some("CI_JOB_ID=5"));
        assert_eq!(environment(&[("CI", "true")]).ci_job(), None);
        assert_eq!(environment(&[("BUILD_TAG", "v1.2")]).ci_job(), None);
        assert!(environment(&[("BUILD_TAG", "jenkins-app-3")]).ci_job().is_some());
    }

    #[test]
    fn directories_follow_the_platform() {
        let all = environment(&[("HOME", "/h"), ("DEVDB_DATA_DIR", "/d")]);
        assert_eq!(all.data_dir().unwrap(), Path::new("/d"));
        assert!(environment(&[("DEVDB_DATA_DIR", "d")]).data_dir().is_err());
        assert!(environment(&[]).data_dir().is_err());
        if cfg!(not(target_os = "macos")) {
            let home = environment(&[("HOME", "/h"), ("XDG_DATA_HOME", "relative")]);
            assert_eq!(home.data_dir().unwrap(), Path::new("/h/.local/share/devdb"));
            let xdg = environment(&[("XDG_DATA_HOME", "/x"), ("XDG_RUNTIME_DIR", "/run/user/1")]);
            assert_eq!(xdg.data_dir().unwrap(), Path::new("/x/devdb"));
            assert_eq!(xdg.runtime_dir().unwrap(), Path::new("/run/user/1"));
        }
        assert_eq!(
            environment(&[("HOME", "/h")]).docker_config().unwrap(),
            Path::new("/h/.docker")
        );
    }

    #[test]
    fn debug_shows_no_value() {
        let shown = format!("{:?}", environment(&[("DATABASE_URL", "postgres://a:hidden@b/c")]));
        assert!(shown.contains("DATABASE_URL") && !shown.contains("hidden"), "{shown}");
    }

    #[test]
    fn the_os_user_has_a_name() {
        assert!(!environment(&[]).os_user().is_empty());
    }
}
