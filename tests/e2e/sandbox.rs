//! A private home, a cleared environment, a project directory, and the binary to run in them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use devdb::engine::native::{Native, NativeEnvironment};

/// The engines that the tests run on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum On {
    Docker,
    Native,
}

impl On {
    pub fn name(self) -> &'static str {
        match self {
            On::Docker => "docker",
            On::Native => "native",
        }
    }
}

/// Whether a suite can run here. `tests/run` promises engines by these variables; without a
/// promise the tests look for themselves. What cannot run says so, and fails in CI.
pub fn available(on: On, suite: &str) -> bool {
    let (variable, found) = match on {
        On::Docker => {
            ("DEVDB_TEST_DOCKER", succeeds("docker", &["image", "inspect", "postgres:15"]))
        }
        On::Native => {
            ("DEVDB_TEST_NATIVE", Path::new("/usr/lib/postgresql/15/bin/postgres").exists())
        }
    };
    if found {
        return true;
    }
    let promised = std::env::var_os(variable).is_some();
    assert!(!promised && std::env::var_os("CI").is_none(), "{suite}: {} cannot be used", on.name());
    skipped(&format!("{suite}: {} cannot be used here", on.name()));
    false
}

/// Where other people's tools are, when `wanted` of them is; `tests/run` installs them.
pub fn peers(test: &str, wanted: &[&str]) -> Option<PathBuf> {
    let directory = match std::env::var_os("DEVDB_TEST_PEERS") {
        Some(directory) => PathBuf::from(directory),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers"),
    };
    if wanted.iter().all(|wanted| directory.join(wanted).exists()) {
        return Some(directory);
    }
    assert!(std::env::var_os("CI").is_none(), "{test}: the tools are not installed");
    skipped(&format!("{test}: the tools are not here (tests/run installs them)"));
    None
}

/// Says that a test cannot run. Straight to stderr: the harness swallows what passing tests print.
pub fn skipped(what: &str) {
    say(&format!("SKIPPED: {what}"));
}

/// A line that is seen also when the test passes.
pub fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Makes a test for each engine out of one function that takes a [`Sandbox`].
#[macro_export]
macro_rules! on_both_engines {
    ($($name:ident),* $(,)?) => {
        mod on_docker {
            $(#[test] fn $name() {
                if let Some(sandbox) = $crate::sandbox::Sandbox::new($crate::sandbox::On::Docker, stringify!($name)) {
                    super::$name(&sandbox);
                }
            })*
        }
        mod on_native {
            $(#[test] fn $name() {
                if let Some(sandbox) = $crate::sandbox::Sandbox::new($crate::sandbox::On::Native, stringify!($name)) {
                    super::$name(&sandbox);
                }
            })*
        }
    };
}

pub struct Sandbox {
    root: tempfile::TempDir,
    pub on: On,
    developer: String,
    /// Where the engine is, when it is not the machine's.
    daemon: Option<String>,
}

/// What a command printed, and how it ended.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Ran {
    fn new(output: Output, took: Duration) -> Self {
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            took,
        }
    }

    /// Fails the test with everything it needs, unless the command ended with `code`.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        let all = format!("{}{}", self.stdout, self.stderr);
        assert!(all.contains(text), "{text:?} is not in\n{all}");
        self
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}\n{}\n{}", self.stdout, self.stderr))
    }

    pub fn line(&self) -> String {
        self.stdout.trim_end().to_owned()
    }
}

impl Sandbox {
    /// A sandbox on an engine; none when that engine is not here.
    pub fn new(on: On, test: &str) -> Option<Sandbox> {
        available(on, test).then(|| {
            // Short: socket paths are limited. With a space: paths are not to be split at one.
            let root = tempfile::Builder::new().prefix("dev db").tempdir().unwrap();
            for directory in ["home", "work"] {
                std::fs::create_dir(root.path().join(directory)).unwrap();
            }
            let developer = format!("Test.{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
            Sandbox { root, on, developer, daemon: None }
        })
    }

    /// From here on its commands use a daemon of the test's own, which outlives them.
    pub fn use_daemon(&mut self, address: String) {
        self.daemon = Some(address);
    }

    /// What a docker command prints, on the sandbox's daemon.
    pub fn docker(&self, arguments: &[&str]) -> String {
        let host = self.daemon.as_deref().map(|address| ["-H", address]);
        docker(&[host.as_ref().map_or(&[][..], |host| &host[..]), arguments].concat())
    }

    pub fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// The directory that commands run in.
    pub fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.work().join(name)
    }

    pub fn developer(&self) -> &str {
        &self.developer
    }

    pub fn data_dir(&self) -> PathBuf {
        self.home().join(".local/share/devdb")
    }

    #[track_caller]
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A small project: one table, one seeded row.
    pub fn project(&self) {
        self.write("devdb.yaml", "project: shop\n");
        self.write(
            "migrations/20260101000000_create_items.sql",
            "CREATE TABLE items (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL);\n",
        );
        self.write("seeds/010_items.yaml", "items:\n  first:\n    name: First\n");
    }

    /// Clears the cache of this project on every engine. Docker's states are shared, so one on which
    /// another test runs may stay.
    #[track_caller]
    pub fn clear_cache(&self) {
        let cleared = self.run(&["cache", "clear", "--yes"]);
        if !cleared.stdout.contains("it is in use") {
            drop(cleared.ok());
        }
    }

    /// The binary with a cleared environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_in(&self.work(), arguments)
    }

    pub fn command_in(&self, directory: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_devdb"));
        command
            .args(arguments)
            .current_dir(directory)
            .env_clear()
            .env("HOME", self.home())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("DEVDB_DEVELOPER", &self.developer)
            .env("DEVDB_ENGINE", self.on.name())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let daemon = self.daemon.clone().map(Into::into);
        if let Some(host) = daemon.or_else(|| std::env::var_os("DOCKER_HOST")) {
            command.env("DOCKER_HOST", host);
        }
        command
    }

    /// Makes the daemon at `host` the current context of the Docker configuration.
    pub fn use_context(&self, host: &str) {
        use sha2::Digest;
        let id: String =
            sha2::Sha256::digest("test").iter().map(|byte| format!("{byte:02x}")).collect();
        let config = self.home().join(".docker");
        let meta = config.join("contexts/meta").join(id);
        std::fs::create_dir_all(&meta).unwrap();
        std::fs::write(config.join("config.json"), r#"{"currentContext":"test"}"#).unwrap();
        let text = format!(r#"{{"Name":"test","Endpoints":{{"docker":{{"Host":"{host}"}}}}}}"#);
        std::fs::write(meta.join("meta.json"), text).unwrap();
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        finish(self.command(arguments))
    }

    pub fn run_in(&self, directory: &Path, arguments: &[&str]) -> Ran {
        finish(self.command_in(directory, arguments))
    }

    #[track_caller]
    pub fn url(&self) -> String {
        self.run(&["url"]).ok().line()
    }

    /// One value from the database.
    #[track_caller]
    pub fn sql(&self, statement: &str) -> String {
        psql(&self.url(), statement).ok().line()
    }

    /// The containers and volumes (native: directories) that bear this test's developer.
    pub fn leftovers(&self) -> Vec<String> {
        match self.on {
            On::Docker => {
                let filter = format!("label=devdb.developer={}", self.developer);
                let mut all = self.docker(&["ps", "-aq", "--filter", &filter]);
                all.push_str(&self.docker(&["volume", "ls", "-q", "--filter", &filter]));
                all.lines().map(str::to_owned).collect()
            }
            On::Native => {
                let store = self.store();
                let entries = std::fs::read_dir(store).into_iter().flatten().flatten();
                entries
                    .filter(|entry| entry.path().is_dir())
                    .flat_map(|entry| {
                        std::fs::read_dir(entry.path()).into_iter().flatten().flatten()
                    })
                    .filter(|entry| entry.file_name().to_string_lossy().starts_with('g'))
                    .map(|entry| entry.path().display().to_string())
                    .collect()
            }
        }
    }

    /// The name of a project that no other test has.
    pub fn project_name(&self) -> String {
        self.developer.to_lowercase().replace('.', "-")
    }

    /// The images of [`Sandbox::project_name`]'s golden states with their labels; `more` are further
    /// arguments of `docker image ls`.
    pub fn golden_images(&self, more: &[&str]) -> Vec<(String, serde_json::Value)> {
        let all = ["image", "ls", "-q", "--no-trunc", "--filter", "label=devdb.golden"];
        let listed = self.docker(&[&all, more].concat());
        let format = r#"{{.Id}} {{index .Config.Labels "devdb.golden"}}"#;
        let inspect = ["image", "inspect", "--format", format];
        let ids: Vec<&str> = listed.lines().collect();
        let inspected = self.docker(&[&inspect, ids.as_slice()].concat());
        let of = |line: &str| {
            let (id, label) = line.split_once(' ')?;
            let label: serde_json::Value = serde_json::from_str(label).ok()?;
            (label["project"] == self.project_name().as_str()).then(|| (id.to_owned(), label))
        };
        inspected.lines().filter_map(of).collect()
    }

    /// Where the native engine keeps everything of this sandbox.
    pub fn store(&self) -> PathBuf {
        let environment = NativeEnvironment {
            bin_dir: None,
            path: None,
            home: Some(self.home()),
            data_dir: self.data_dir(),
            runtime_dir: None,
        };
        Native::store_only(&environment).unwrap().store_path().to_path_buf()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let list = self.run(&["list"]);
            println!("list of the failed test:\n{}{}", list.stdout, list.stderr);
            println!("what is there: {:#?}", self.leftovers());
        }
        match self.on {
            On::Docker => {
                let filter = format!("label=devdb.developer={}", self.developer);
                for id in self.docker(&["ps", "-aq", "--filter", &filter]).lines() {
                    self.docker(&["rm", "-f", "-v", id]);
                }
                for name in self.docker(&["volume", "ls", "-q", "--filter", &filter]).lines() {
                    self.docker(&["volume", "rm", "-f", name]);
                }
            }
            On::Native => {
                let store = self.store();
                end_what_works_below(&store);
                drop(std::fs::remove_dir_all(store));
            }
        }
    }
}

/// Ends the servers whose data is in a directory, and only those. It gives up after two seconds:
/// a test that was to fail has failed by then.
fn end_what_works_below(directory: &Path) {
    let begun = Instant::now();
    let any_was_told = || {
        let pkill = Command::new("pkill").args(["-QUIT", "-f"]).arg(directory).status();
        pkill.is_ok_and(|status| status.success())
    };
    while any_was_told() && begun.elapsed() < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a command to its end.
pub fn finish(mut command: Command) -> Ran {
    let begun = Instant::now();
    let output = command.output().unwrap();
    Ran::new(output, begun.elapsed())
}

/// Starts a command and leaves it running.
pub fn spawn(mut command: Command) -> (std::process::Child, Instant) {
    (command.spawn().unwrap(), Instant::now())
}

/// Waits for a command that was left running.
pub fn wait((child, begun): (std::process::Child, Instant)) -> Ran {
    Ran::new(child.wait_with_output().unwrap(), begun.elapsed())
}

/// psql with one statement.
pub fn psql(url: &str, statement: &str) -> Ran {
    let mut command = Command::new("psql");
    command.args([url, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement]).stdin(Stdio::null());
    finish(command)
}

/// What a docker command prints.
pub fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Polls until something holds; says how long it took.
#[track_caller]
pub fn eventually(what: &str, patience: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < patience, "{what}: not within {patience:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    begun.elapsed()
}
