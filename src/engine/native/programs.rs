//! Finding the server programs of PostgreSQL.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::NativeEnvironment;
use super::account::{self, Account};
use crate::error::{Error, Kind, Result};

/// The programs that a directory must have. devdb does not run servers with `pg_ctl`, but a
/// directory without it belongs to a client package, whose wrappers only look like server programs.
const NEEDED: [&str; 3] = ["postgres", "initdb", "pg_ctl"];

/// A place where devdb looked for server programs, and the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// A directory, or `PATH`.
    pub place: String,
    /// The version in this place, whatever its major version: `15.18`.
    pub found: Option<String>,
    /// Why the programs cannot be used. None when they can.
    pub why_not: Option<String>,
}

impl Looked {
    /// Whether the programs in this place can be used.
    pub fn is_usable(&self) -> bool {
        self.why_not.is_none()
    }
}

/// The server programs of one PostgreSQL installation.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    /// The directory of the programs.
    pub bin: PathBuf,
    /// The version: `15.18`.
    pub version: String,
    /// The build, as the programs report it: `15.18 (Debian 15.18-0+deb12u1)`.
    pub build: String,
    /// The major version: 15.
    pub major: u16,
    /// The PATH for the programs. A wrapper script needs it.
    path: Option<OsString>,
}

impl Programs {
    /// Prepares a command that runs one of the programs. It gets nothing of devdb's environment: as
    /// root, devdb would give its secrets to another account, and PG* variables would redirect the
    /// program. Messages are in English because devdb reads some of them. The time zone is UTC, as
    /// in the official image, so that both engines give the same timestamps. The command starts in
    /// `/`, because the account may not be allowed to enter the current directory.
    pub fn command(&self, program: &str, account: Option<Account>) -> Command {
        command(&self.bin.join(program), self.path.as_ref(), account)
    }

    /// The C library that sorts text for the server: `glibc 2.36`. On macOS it is the version of
    /// the system. Other libraries, such as musl, sort by code point.
    pub fn c_library(&self) -> String {
        let asked = [("getconf", "GNU_LIBC_VERSION"), ("sw_vers", "-productVersion")];
        let said = asked.iter().find_map(|(program, about)| {
            let asked = command(Path::new(program), self.path.as_ref(), None).arg(about).output();
            let output = asked.ok().filter(|output| output.status.success())?;
            Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        });
        said.unwrap_or_else(|| "by code point".to_owned())
    }

    /// Whether these programs have the extension `name`. This looks for its control file.
    pub fn has_extension(&self, name: &str) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        !name.is_empty()
            && name.chars().all(plain)
            && self
                .share_directories()
                .iter()
                .any(|share| share.join("extension").join(format!("{name}.control")).is_file())
    }

    fn share_directories(&self) -> Vec<PathBuf> {
        // A directory on the PATH often has links into the real directory.
        let postgres = self.bin.join("postgres");
        let real = postgres.canonicalize().unwrap_or(postgres);
        let bin = real.parent().unwrap_or(&self.bin);
        let configured = command(&bin.join("pg_config"), self.path.as_ref(), None)
            .arg("--sharedir")
            .output()
            .ok()
            .filter(|output| output.status.success())
            .map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
        if let Some(directory) = configured {
            return vec![directory];
        }
        let major = self.major;
        let prefix = bin.parent().unwrap_or(bin);
        vec![
            prefix.join("share/postgresql"),
            prefix.join(format!("share/postgresql@{major}")),
            prefix.join(format!("share/postgresql{major}")),
            prefix.join("share"),
            PathBuf::from(format!("/usr/share/postgresql/{major}")),
        ]
    }
}

fn command(program: &Path, path: Option<&OsString>, account: Option<Account>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C").env("TZ", "UTC").current_dir("/").stdin(Stdio::null());
    if let Some(path) = path {
        command.env("PATH", path);
    }
    if let Some(Account { uid, gid }) = account {
        command.uid(uid).gid(gid);
    }
    command
}

/// Lists the places where devdb looks for programs of `major`, and the results. `devdb doctor`
/// shows them, and so does the error when there are no programs.
pub fn search(environment: &NativeEnvironment, major: u16) -> Vec<Looked> {
    let account = account::for_servers().ok().flatten();
    let mut looked: Vec<Looked> = candidates(environment, major)
        .iter()
        .map(|bin| examine(bin, environment, major, account).0)
        .collect();
    if environment.bin_dir.is_none() && in_path(environment).is_empty() {
        let none = Looked {
            place: "PATH".into(),
            found: None,
            why_not: Some("no postgres in any of its directories".into()),
        };
        looked.insert(0, none);
    }
    looked
}

/// Finds the first usable programs of `major`.
///
/// # Errors
/// `NoEngine`, with every place that was tried.
pub(super) fn find(environment: &NativeEnvironment, major: u16) -> Result<Programs> {
    let account = account::for_servers().ok().flatten();
    let found = candidates(environment, major)
        .iter()
        .find_map(|bin| examine(bin, environment, major, account).1);
    found.ok_or_else(|| missing(environment, major))
}

fn missing(environment: &NativeEnvironment, major: u16) -> Error {
    let mut error = Error::new(
        Kind::NoEngine,
        format!("no PostgreSQL {major} server programs on this machine"),
    );
    for Looked { place, why_not, .. } in search(environment, major) {
        error = error.because(format!("{place}: {}", why_not.unwrap_or_default()));
    }
    if environment.bin_dir.is_some() {
        return error
            .hint("correct or remove postgres.bin_dir (devdb config shows where it is set)");
    }
    error
        .hint(format!("apt-get install postgresql-{major}   on Debian and Ubuntu"))
        .hint(format!("brew install postgresql@{major}   on macOS"))
        .hint("set postgres.bin_dir in devdb.yaml when the programs are somewhere else")
}

/// The places to look at, in order. When the project names a directory, devdb looks nowhere else,
/// because the project did not ask for other programs.
fn candidates(environment: &NativeEnvironment, major: u16) -> Vec<PathBuf> {
    if let Some(bin) = &environment.bin_dir {
        return vec![bin.clone()];
    }
    let mut places = in_path(environment);
    let usual = [
        format!("/usr/lib/postgresql/{major}/bin"),
        format!("/usr/pgsql-{major}/bin"),
        format!("/usr/lib/postgresql{major}/bin"),
        format!("/usr/libexec/postgresql{major}"),
        format!("/opt/homebrew/opt/postgresql@{major}/bin"),
        format!("/usr/local/opt/postgresql@{major}/bin"),
        format!("/home/linuxbrew/.linuxbrew/opt/postgresql@{major}/bin"),
        format!("/Applications/Postgres.app/Contents/Versions/{major}/bin"),
        "/usr/local/pgsql/bin".into(),
        "/run/current-system/sw/bin".into(),
        "/nix/var/nix/profiles/default/bin".into(),
    ];
    places.extend(usual.map(PathBuf::from));
    places.extend(environment.home.as_ref().map(|home| home.join(".nix-profile/bin")));
    let mut unique: Vec<PathBuf> = Vec::new();
    for place in places {
        if !unique.contains(&place) {
            unique.push(place);
        }
    }
    unique
}

/// The directories of PATH that contain `postgres`. Relative directories are left out, because they
/// depend on the directory in which devdb is started.
fn in_path(environment: &NativeEnvironment) -> Vec<PathBuf> {
    let path = environment.path.clone().unwrap_or_default();
    std::env::split_paths(&path)
        .filter(|place| place.is_absolute() && place.join("postgres").is_file())
        .collect()
}

fn examine(
    bin: &Path,
    environment: &NativeEnvironment,
    major: u16,
    account: Option<Account>,
) -> (Looked, Option<Programs>) {
    let place = bin.display().to_string();
    let refuse = |found: Option<String>, why: String| {
        (Looked { place: place.clone(), found, why_not: Some(why) }, None)
    };
    if !bin.is_dir() {
        return refuse(None, "no such directory".into());
    }
    let absent: Vec<&str> =
        NEEDED.into_iter().filter(|program| !bin.join(program).is_file()).collect();
    if !absent.is_empty() {
        return refuse(None, format!("{} not there", absent.join(" and ")));
    }
    let (version, build) = match version(bin, environment, account) {
        Ok(found) => found,
        Err(why) => return refuse(None, why),
    };
    let found = major_of(&version);
    if found != Some(major) {
        return refuse(Some(version.clone()), format!("version {version}, not {major}"));
    }
    let programs = Programs {
        bin: bin.to_owned(),
        version: version.clone(),
        build,
        major,
        path: environment.path.clone(),
    };
    (Looked { place, found: Some(version), why_not: None }, Some(programs))
}

/// Runs `postgres --version` under the account of the servers, and returns the version and the
/// build. This fails when the account may not execute the program, or when a library is missing.
fn version(
    bin: &Path,
    environment: &NativeEnvironment,
    account: Option<Account>,
) -> Result<(String, String), String> {
    let output = command(&bin.join("postgres"), environment.path.as_ref(), account)
        .arg("--version")
        .output()
        .map_err(|error| match account {
            Some(_) => format!("postgres cannot be run by the user postgres: {error}"),
            None => format!("postgres cannot be run: {error}"),
        })?;
    let text = String::from_utf8_lossy(&output.stdout);
    version_in(&text).ok_or_else(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().next().unwrap_or("nothing").to_owned();
        format!("postgres --version did not tell a version; it said: {said}")
    })
}

/// Reads `15.18` and `15.18 (Debian 15.18-0+deb12u1)` from `postgres (PostgreSQL) 15.18 (Debian
/// …)`.
fn version_in(text: &str) -> Option<(String, String)> {
    let build = text.lines().next()?.strip_prefix("postgres (PostgreSQL) ")?;
    Some((build.split_whitespace().next()?.to_owned(), build.to_owned()))
}

/// Reads 15 from `15.18`, `15devel` or `15beta1`.
fn major_of(version: &str) -> Option<u16> {
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version.get(..digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn environment(bin: &Path) -> NativeEnvironment {
        NativeEnvironment {
            bin_dir: Some(bin.to_owned()),
            path: Some("/usr/bin:/bin".into()),
            home: None,
            data_dir: "/nonexistent".into(),
            runtime_dir: None,
        }
    }

    /// Makes a directory with scripts that answer `--version` with `line`. Any account can read it.
    fn fake(line: &str, programs: &[&str]) -> tempfile::TempDir {
        let bin = tempfile::tempdir().unwrap();
        fs::set_permissions(bin.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for program in programs {
            let file = bin.path().join(program);
            fs::write(&file, format!("#!/bin/sh\necho '{line}'\n")).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        bin
    }

    #[test]
    fn versions_are_read() {
        let line = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        let (version, build) = version_in(line).unwrap();
        assert_eq!((&*version, &*build), ("15.18", "15.18 (Debian 15.18-0+deb12u1)"));
        assert!(version_in("postgres (PostgreSQL) 15.18\n").is_some());
        assert_eq!(version_in("psql (PostgreSQL) 15.18"), None);
        assert_eq!(major_of("15.18"), Some(15));
        assert_eq!(major_of("18beta2"), Some(18));
        assert_eq!(major_of("9.6.24"), Some(9));
        assert_eq!(major_of("x"), None);
    }

    #[test]
    fn a_wrapper_script_will_do() {
        let bin = fake("postgres (PostgreSQL) 15.4", &NEEDED);
        let programs = find(&environment(bin.path()), 15).unwrap();
        assert_eq!((programs.major, programs.version.as_str()), (15, "15.4"));
    }

    #[test]
    fn another_major_version_is_refused_and_named() {
        let bin = fake("postgres (PostgreSQL) 14.2", &NEEDED);
        let looked = search(&environment(bin.path()), 15);
        assert_eq!(looked.len(), 1);
        assert_eq!(looked[0].found.as_deref(), Some("14.2"));
        assert_eq!(looked[0].why_not.as_deref(), Some("version 14.2, not 15"));
        let error = find(&environment(bin.path()), 15).unwrap_err();
        assert_eq!(error.kind(), Kind::NoEngine);
        assert!(error.causes()[0].contains("14.2"), "{error}");
    }

    #[test]
    fn a_directory_that_lacks_a_program_says_which() {
        let bin = fake("postgres (PostgreSQL) 15.4", &["postgres", "pg_ctl"]);
        let looked = search(&environment(bin.path()), 15);
        assert_eq!(looked[0].why_not.as_deref(), Some("initdb not there"));
        assert!(!looked[0].is_usable());
    }

    #[test]
    fn an_extension_is_known_by_its_control_file() {
        let bin = fake("postgres (PostgreSQL) 15.4", &NEEDED);
        let share = bin.path().join("share");
        fs::create_dir_all(share.join("extension")).unwrap();
        fs::write(share.join("extension/pg_trgm.control"), "").unwrap();
        let script = format!("#!/bin/sh\necho '{}'\n", share.display());
        fs::write(bin.path().join("pg_config"), script).unwrap();
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(bin.path().join("pg_config"), mode).unwrap();
        let programs = find(&environment(bin.path()), 15).unwrap();
        assert!(programs.has_extension("pg_trgm"));
        assert!(!programs.has_extension("postgis"));
        assert!(!programs.has_extension("../extension/pg_trgm"));
    }
}
