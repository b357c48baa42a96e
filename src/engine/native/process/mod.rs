//! Telling devdb's server processes from all other processes. A process number alone proves
//! nothing: the system uses numbers again, and a file with a number outlives a reboot. devdb checks
//! the argument list, which names the data directory. While it waits for a process, it also checks
//! the start time, which no later process of the same number shares.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use crate::error::{Error, Kind, Result, ResultExt};

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod table;
#[cfg(not(target_os = "linux"))]
#[path = "ps.rs"]
mod table;

/// The interval at which devdb looks at a process that it waits for.
const INTERVAL: Duration = Duration::from_millis(10);

/// How long a server may take to end after SIGQUIT: 7 seconds. After 5 seconds the server kills its
/// remaining children.
const QUIT_DEADLINE: Duration = Duration::from_secs(7);

/// How long a process may take to end after SIGKILL: 5 seconds.
const KILL_DEADLINE: Duration = Duration::from_secs(5);

/// One particular process. A later process with the same number is another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub pid: Pid,
    /// The start time, in the format of the system.
    pub started: String,
}

impl Process {
    /// Finds the running process with this number.
    fn of(pid: Pid) -> Option<Self> {
        Some(Process { pid, started: table::started(pid)? })
    }

    /// Whether this very process still runs.
    pub fn is_alive(&self) -> bool {
        table::started(self.pid).as_ref() == Some(&self.started)
    }

    /// Sends a signal to the process. Does nothing when the process has ended.
    fn signal(&self, signal: Signal) -> Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        match rustix::process::kill_process(self.pid, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error).or_fail(Kind::Unexpected, || {
                format!("cannot send a signal to server process {}", self.pid)
            }),
        }
    }
}

/// The start time of a process, in the format of the system. None when the process has ended.
pub(in crate::engine) fn started(pid: Pid) -> Option<String> {
    table::started(pid)
}

#[derive(Debug, Clone)]
pub(super) struct Postmaster {
    pub process: Process,
    /// When it started.
    pub since: Option<DateTime<Utc>>,
    /// Whether it listens on its TCP port.
    pub is_listening: bool,
    /// The state in its lock file: `starting`, `ready`, `stopping`.
    pub state: Option<String>,
}

/// Finds the running postmaster of exactly this data directory. `remembered` is the number of the
/// process that devdb started last. It helps while there is no lock file: before the server writes
/// the file, and between the removal of the file and the end of the process.
pub(super) fn postmaster(pgdata: &Path, remembered: Option<i32>) -> Option<Postmaster> {
    let lock = LockFile::read(pgdata);
    if let Some(lock) = lock
        && let Some(process) = postmaster_process(lock.pid, pgdata)
    {
        return Some(Postmaster {
            process,
            since: lock.since,
            is_listening: lock.is_listening,
            state: lock.state,
        });
    }
    let process = postmaster_process(remembered?, pgdata)?;
    Some(Postmaster { process, since: None, is_listening: false, state: None })
}

fn postmaster_process(pid: i32, pgdata: &Path) -> Option<Process> {
    let process = Process::of(Pid::from_raw(pid)?)?;
    table::serves(process.pid, pgdata).then_some(process)
}

/// The number in the lock file, when it belongs to another process or to a zombie. In a container
/// nobody may ever collect a zombie. PostgreSQL would take this process for a postmaster and refuse
/// to start.
pub(super) fn reused_pid(pgdata: &Path) -> Option<i32> {
    let number = LockFile::read(pgdata)?.pid;
    let pid = Pid::from_raw(number)?;
    let is_there = matches!(rustix::process::test_kill_process(pid), Ok(()) | Err(Errno::PERM));
    (is_there && postmaster_process(number, pgdata).is_none()).then_some(number)
}

/// Whether a lock file names a postmaster that still runs. The lock file of a socket begins with the
/// same two lines as the one of a data directory.
pub(super) fn holds(lock_file: &Path) -> bool {
    let text = fs::read_to_string(lock_file).unwrap_or_default();
    let mut lines = text.lines().map(str::trim);
    let pid = lines.next().and_then(|pid| pid.parse().ok());
    let pgdata = lines.next().map(Path::new);
    matches!((pid, pgdata), (Some(pid), Some(pgdata)) if postmaster_process(pid, pgdata).is_some())
}

/// The lock file `postmaster.pid`. Its lines (miscadmin.h, `LOCK_FILE_LINE_*`): process number,
/// data directory, start time (seconds), port, socket directory, listen address (empty until the
/// port is bound), shared memory key, state.
struct LockFile {
    pid: i32,
    since: Option<DateTime<Utc>>,
    is_listening: bool,
    state: Option<String>,
}

impl LockFile {
    fn read(pgdata: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(pgdata.join("postmaster.pid")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let line = |number: usize| lines.get(number - 1).copied().filter(|line| !line.is_empty());
        Some(LockFile {
            // A standalone server writes its number with a minus sign. It is no postmaster.
            pid: line(1)?.parse().ok().filter(|pid| *pid > 0)?,
            since: line(3).and_then(|at| DateTime::from_timestamp(at.parse().ok()?, 0)),
            is_listening: line(6).is_some(),
            state: line(8).map(str::to_owned),
        })
    }
}

/// Asks the postmaster for a fast shutdown, and waits for `patience`. Returns whether it ended.
pub(super) async fn stop(postmaster: &Process, patience: Duration) -> Result<bool> {
    postmaster.signal(Signal::INT)?;
    Ok(gone(std::slice::from_ref(postmaster), patience).await)
}

/// Ends every process that works on this data directory. The data may be damaged.
///
/// # Errors
/// `Unexpected` when a process does not end.
pub(super) async fn end(pgdata: &Path, remembered: Option<i32>) -> Result<()> {
    if let Some(Postmaster { process, .. }) = postmaster(pgdata, remembered) {
        let mut family = table::children(process.pid);
        family.push(process.clone());
        // On SIGQUIT the postmaster ends its children first.
        process.signal(Signal::QUIT)?;
        if !gone(&family, QUIT_DEADLINE).await {
            family.extend(table::children(process.pid));
            kill(&family, pgdata).await?;
        }
    }
    let rest = table::working_on(pgdata);
    for process in &rest {
        // devdb starts each program in a process group of its own, so the group includes initdb's
        // helpers.
        if rustix::process::getpgid(Some(process.pid)) == Ok(process.pid) {
            let _ = rustix::process::kill_process_group(process.pid, Signal::KILL);
        }
    }
    kill(&rest, pgdata).await
}

async fn kill(processes: &[Process], pgdata: &Path) -> Result<()> {
    for process in processes {
        process.signal(Signal::KILL)?;
    }
    if gone(processes, KILL_DEADLINE).await {
        return Ok(());
    }
    let left: Vec<String> = processes
        .iter()
        .filter(|process| process.is_alive())
        .map(|process| process.pid.to_string())
        .collect();
    Err(Error::new(Kind::Unexpected, format!("cannot end the server on {}", pgdata.display()))
        .because(format!(
            "still running {} s after SIGKILL: process {}",
            KILL_DEADLINE.as_secs(),
            left.join(", ")
        )))
}

async fn gone(processes: &[Process], patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if !processes.iter().any(Process::is_alive) {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_is_read_line_by_line() {
        let text = "4711\n/x/pgdata\n1700000000\n25432\n/x/s\n127.0.0.1\n  12345  6\nready   \n";
        let lock = LockFile::parse(text).unwrap();
        assert_eq!(lock.pid, 4711);
        assert_eq!(lock.since.unwrap().timestamp(), 1_700_000_000);
        assert!(lock.is_listening);
        assert_eq!(lock.state.as_deref(), Some("ready"));
        let early = LockFile::parse("4711\n/x/pgdata\n1700000000\n25432\n\n").unwrap();
        assert!(!early.is_listening);
        assert!(LockFile::parse("").is_none());
        assert!(LockFile::parse("-4711\n/x/pgdata\n").is_none(), "a standalone server");
    }

    #[test]
    fn a_number_that_another_process_has_is_no_postmaster() {
        let directory = tempfile::tempdir().unwrap();
        let me = std::process::id();
        let lock = format!("{me}\n{}\n1700000000\n", directory.path().display());
        fs::write(directory.path().join("postmaster.pid"), lock).unwrap();
        assert!(postmaster(directory.path(), None).is_none());
        assert!(postmaster(directory.path(), i32::try_from(me).ok()).is_none());
        assert_eq!(reused_pid(directory.path()), i32::try_from(me).ok());
    }

    #[test]
    fn a_number_that_a_dead_process_still_has_is_no_postmaster() {
        let directory = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let number = i32::try_from(child.id()).unwrap();
        let lock = format!("{number}\n{}\n1700000000\n", directory.path().display());
        fs::write(directory.path().join("postmaster.pid"), lock).unwrap();
        let begun = Instant::now();
        while started(Pid::from_raw(number).unwrap()).is_some() {
            assert!(begun.elapsed() < Duration::from_secs(10));
        }
        assert!(postmaster(directory.path(), Some(number)).is_none());
        assert_eq!(reused_pid(directory.path()), Some(number));
        child.wait().unwrap();
        assert_eq!(reused_pid(directory.path()), None);
    }

    #[test]
    fn a_lock_file_of_a_dead_process_holds_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(".s.PGSQL.5432.lock");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let begun = Instant::now();
        while started(pid).is_some() {
            assert!(begun.elapsed() < Duration::from_secs(10));
        }
        // The child is a zombie: its number still takes signals.
        assert!(rustix::process::test_kill_process(pid).is_ok());
        fs::write(&file, format!("{pid}\n{}\n", directory.path().display())).unwrap();
        assert!(!holds(&file));
        child.wait().unwrap();
        fs::write(&file, "").unwrap();
        assert!(!holds(&file) && !holds(&directory.path().join("missing")));
    }

    #[test]
    fn children_and_the_end_of_a_process_are_seen() {
        let me = Pid::from_raw(i32::try_from(std::process::id()).unwrap()).unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let process = Process::of(pid).unwrap();
        assert!(table::children(me).contains(&process));
        process.signal(Signal::KILL).unwrap();
        child.wait().unwrap();
        assert!(!process.is_alive());
        process.signal(Signal::KILL).unwrap();
    }
}
