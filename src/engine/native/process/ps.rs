//! The process table of systems without /proc, macOS and the BSDs. devdb asks ps(1).

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Pid;

use super::Process;

/// When a process started. None when it has ended, even as a zombie.
pub(super) fn started(pid: Pid) -> Option<String> {
    let line = ps(&["-o", "stat=,lstart=", "-p", &pid.to_string()]);
    let (state, started) = line.trim().split_once(char::is_whitespace)?;
    (!state.starts_with('Z')).then(|| started.trim().to_owned())
}

/// Whether the process is the postmaster of `pgdata`. Its children have other titles.
pub(super) fn serves(pid: Pid, pgdata: &Path) -> bool {
    let line = ps(&["-ww", "-o", "args=", "-p", &pid.to_string()]);
    names(&line, pgdata) && !line.contains(" --single ")
}

/// Finds every process with `pgdata` in its arguments: initdb, a standalone server, a postmaster.
pub(super) fn working_on(pgdata: &Path) -> Vec<Process> {
    table("pid=,args=")
        .into_iter()
        .filter(|(_, arguments)| names(arguments, pgdata))
        .filter_map(|(pid, _)| Process::of(pid))
        .collect()
}

pub(super) fn children(parent: Pid) -> Vec<Process> {
    let parent = parent.to_string();
    table("pid=,ppid=")
        .into_iter()
        .filter(|(_, found)| *found == parent)
        .filter_map(|(pid, _)| Process::of(pid))
        .collect()
}

/// Whether the arguments name `pgdata`. ps joins arguments with blanks, so the path ends where the
/// next option begins.
fn names(arguments: &str, pgdata: &Path) -> bool {
    let wanted = format!(" -D {}", pgdata.display());
    arguments
        .trim_end()
        .split_once(&wanted)
        .is_some_and(|(_, rest)| rest.is_empty() || rest.starts_with(" -"))
}

fn table(columns: &str) -> Vec<(Pid, String)> {
    ps(&["-axww", "-o", columns])
        .lines()
        .filter_map(|line| {
            let (pid, rest) = line.trim().split_once(char::is_whitespace)?;
            Some((Pid::from_raw(pid.parse().ok()?)?, rest.trim().to_owned()))
        })
        .collect()
}

fn ps(arguments: &[&str]) -> String {
    let output =
        Command::new("ps").args(arguments).env("LC_ALL", "C").stdin(Stdio::null()).output();
    output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default()
}
