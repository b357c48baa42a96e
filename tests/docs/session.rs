//! A reader at a terminal: an empty directory, a home of their own, and one shell for a page.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use devdb::engine::native::{Native, NativeEnvironment};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How long one command of a page may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The reader, as pages name them, and the directory they stand in.
const READER: &str = "anna";
const DIRECTORY: &str = "shop";

/// One page's shell.
pub struct Session {
    root: tempfile::TempDir,
    peers: Option<PathBuf>,
    shell: Child,
    input: ChildStdin,
    output: Receiver<Vec<u8>>,
    /// What the shell says when a command has ended.
    end: String,
    /// How the command before ended, for `$?`.
    status: String,
    is_ended: bool,
}

impl Session {
    /// Opens a shell. `peers`: where other people's migration tools are installed.
    pub fn open(peers: Option<PathBuf>) -> Session {
        // Short: the length of a socket's path is limited.
        let root = tempfile::Builder::new().prefix("docs").tempdir().unwrap();
        let home = root.path().join(READER);
        let work = home.join(DIRECTORY);
        let bin = root.path().join("bin");
        std::fs::create_dir_all(&work).unwrap();
        std::fs::create_dir(&bin).unwrap();
        link(Path::new(env!("CARGO_BIN_EXE_devdb")), &bin.join("devdb"));
        if let Some(peers) = &peers {
            link(&peers.join("npm/node_modules"), &work.join("node_modules"));
        }
        let git = "[user]\n\tname = Anna\n\temail = anna@example.com\n\
                   [init]\n\tdefaultBranch = main\n[advice]\n\tdetachedHead = false\n";
        std::fs::write(home.join(".gitconfig"), git).unwrap();

        let mut command = environment(&root, peers.as_deref(), "bash");
        command.args(["--noprofile", "--norc"]).current_dir(&work);
        let (reader, writer) = std::io::pipe().unwrap();
        command.stdin(Stdio::piped()).stdout(writer.try_clone().unwrap()).stderr(writer);
        // A group of its own, so that whatever a page leaves running ends with it.
        let mut shell = command.process_group(0).spawn().unwrap();
        drop(command);
        let input = shell.stdin.take().unwrap();
        let end = format!("end-of-command-{}", uuid::Uuid::new_v4().simple());
        let status = "0".to_owned();
        Session { root, peers, shell, input, output: read(reader), end, status, is_ended: false }
    }

    fn home(&self) -> PathBuf {
        self.root.path().join(READER)
    }

    /// Writes a file that the page shows, into the directory in which the page began.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.home().join(DIRECTORY).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Runs a command and returns the lines that a terminal would show.
    ///
    /// # Errors
    /// When the command does not end, or ends the shell. Nothing more can be run then.
    pub fn run(&mut self, command: &str) -> Result<Vec<String>, String> {
        let script = self.root.path().join("command");
        std::fs::write(&script, format!("{command}\n")).unwrap();
        // Sourced, so that `cd` and variables last, and with the status of the command before.
        let line = format!(
            "(exit {}); source {script} </dev/null; printf '\\n%s %d\\n' {} $?\n",
            self.status,
            self.end,
            script = script.display(),
        );
        self.input.write_all(line.as_bytes()).map_err(|_| "the shell has ended".to_owned())?;
        let bytes = self.until_end(Instant::now() + PATIENCE)?;
        let text = String::from_utf8_lossy(&bytes);
        let (text, status) = text.rsplit_once(&format!("\n{} ", self.end)).unwrap();
        status.trim().clone_into(&mut self.status);
        Ok(self.shown(text, &script))
    }

    fn until_end(&self, deadline: Instant) -> Result<Vec<u8>, String> {
        let end = format!("\n{} ", self.end);
        let mut bytes = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let said = || String::from_utf8_lossy(&bytes).into_owned();
            match self.output.recv_timeout(left) {
                Ok(more) => bytes.extend_from_slice(&more),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!("it has not ended within {PATIENCE:?}\n{}", said()));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(format!("the shell has ended\n{}", said()));
                }
            }
            let is_whole = bytes.ends_with(b"\n") && String::from_utf8_lossy(&bytes).contains(&end);
            if is_whole {
                return Ok(bytes);
            }
        }
    }

    /// The output as lines: paths as the reader would have them, and no trace of how it was run.
    fn shown(&self, text: &str, script: &Path) -> Vec<String> {
        let script = regex_lite::escape(&script.display().to_string());
        let sourced = regex_lite::Regex::new(&format!("{script}: line \\d+: ")).unwrap();
        let text = sourced.replace_all(text, "bash: ");
        let text = text.replace(&self.home().display().to_string(), &format!("/home/{READER}"));
        let text = text.replace(&self.root.path().display().to_string(), "");
        let mut lines: Vec<String> = text.lines().map(|line| line.trim_end().to_owned()).collect();
        // What devdb says of slow work: a page is not about how busy this machine is.
        let is_patience = |line: &String| {
            let is_work = ["applying ", "running "].iter().any(|word| line.starts_with(word));
            is_work && line.ends_with(" …")
        };
        lines.retain(|line| !is_patience(line));
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }

    /// Removes every database of the session, and says what should not have been there any more.
    pub fn close(&mut self) -> Vec<String> {
        self.is_ended = true;
        let group = Pid::from_child(&self.shell);
        _ = kill_process_group(group, Signal::KILL);
        drop(self.shell.wait());
        let mut problems = Vec::new();
        for one in self.listed(&["ephemeral", "list"], "ephemerals") {
            let id = one["id"].as_str().unwrap_or_default();
            problems.extend(self.devdb(&["ephemeral", "stop", id]).err());
        }
        for one in self.listed(&["list"], "instances") {
            if one["recorded"] != true {
                continue;
            }
            let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let there = Some(word(&one["directory"])).filter(|path| Path::new(path).is_dir());
            let directory = there.unwrap_or_else(|| self.home().display().to_string());
            let owner = &one["owner"];
            let (developer, instance) = (word(&owner["developer"]), word(&owner["instance"]));
            let who = ["-C", &directory, "--developer", &developer, "--instance", &instance];
            let down = ["down", "--purge", "--yes"];
            problems.extend(self.devdb(&[&who[..], &down].concat()).err());
        }
        problems.extend(self.clear_store());
        problems
    }

    fn listed(&self, arguments: &[&str], key: &str) -> Vec<serde_json::Value> {
        let text = self.devdb(&[arguments, &["--json"]].concat()).unwrap_or_default();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        document["result"][key].as_array().cloned().unwrap_or_default()
    }

    fn devdb(&self, arguments: &[&str]) -> Result<String, String> {
        let program = env!("CARGO_BIN_EXE_devdb");
        let mut command = environment(&self.root, self.peers.as_deref(), program);
        let command = command.args(arguments).current_dir(self.home()).stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(format!("{arguments:?}: {}", text(&output.stderr))),
        }
    }

    /// Ends what still serves below the native store, and removes the store with its cache.
    fn clear_store(&self) -> Vec<String> {
        let environment = NativeEnvironment {
            bin_dir: None,
            path: None,
            home: Some(self.home()),
            data_dir: self.home().join(".local/share/devdb"),
            runtime_dir: None,
        };
        let store = Native::store_only(&environment).unwrap().store_path().to_path_buf();
        let mut problems = Vec::new();
        for pid in servers_below(&store) {
            problems.push(format!("a server of the page still runs below {}", store.display()));
            _ = kill_process(pid, Signal::QUIT);
            std::thread::sleep(Duration::from_millis(500));
        }
        drop(std::fs::remove_dir_all(store));
        problems
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.is_ended {
            self.close();
        }
    }
}

/// A program in the reader's environment, with nothing of this process's own but the PATH.
fn environment(root: &tempfile::TempDir, peers: Option<&Path>, program: &str) -> Command {
    let mut path = root.path().join("bin").display().to_string();
    if let Some(peers) = peers {
        let (bin, modules) = (peers.join("bin"), peers.join("npm/node_modules/.bin"));
        path = format!("{path}:{}:{}", bin.display(), modules.display());
    }
    path = format!("{path}:{}", std::env::var("PATH").unwrap());
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("HOME", root.path().join(READER))
        .env("PATH", path)
        .env("TERM", "dumb")
        .env("NO_COLOR", "1")
        .env("LANG", "C.UTF-8")
        .env("TZ", "UTC")
        .env("PAGER", "cat")
        .env("GIT_PAGER", "cat")
        .env("DEVDB_ENGINE", "native")
        .env("DEVDB_DEVELOPER", READER);
    command
}

fn link(to: &Path, at: &Path) {
    std::os::unix::fs::symlink(to, at).unwrap();
}

/// Reads a pipe to its end on a thread, so that a deadline can be kept.
fn read(mut pipe: std::io::PipeReader) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length) = pipe.read(&mut buffer) {
            if length == 0 || sender.send(buffer[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// The running servers whose data directory is below `directory`.
fn servers_below(directory: &Path) -> Vec<Pid> {
    let lock = directory.join("postmaster.pid");
    if let Ok(text) = std::fs::read_to_string(&lock) {
        let pid = text.lines().next().and_then(|line| line.trim().parse().ok());
        let pid = pid.and_then(Pid::from_raw);
        return pid.into_iter().filter(|pid| runs_in(*pid, directory)).collect();
    }
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.flat_map(|entry| servers_below(&entry.path())).collect()
}

/// Whether it is a server of that data directory: a number alone may be another process's by now.
fn runs_in(pid: Pid, directory: &Path) -> bool {
    let working = std::fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero()));
    working.is_ok_and(|working| working == directory)
}
