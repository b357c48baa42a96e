//! Finds the processes of a command and their descendants by an environment variable. A process
//! inherits the variable, and keeps it when its parent ends.

use rustix::process::{Pid, Signal};

use super::Id;
use crate::plan::LentVariables;

/// The variable that marks the command and its descendants.
const VARIABLE: &str = LentVariables::ID;

/// How many times devdb searches the process table: a process may start another one during the
/// search.
const ROUNDS: usize = 20;

/// Kills every process of the command of `id`. Finds none on a system without `/proc`.
pub(super) fn kill(id: &Id) {
    for _ in 0..ROUNDS {
        let found = find(id);
        if found.is_empty() {
            return;
        }
        for pid in found {
            // The process may have ended meanwhile.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}

fn find(id: &Id) -> Vec<Pid> {
    let mark = format!("{VARIABLE}={id}");
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers =
        processes.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    let is_marked = |pid: &Pid| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    };
    numbers.filter(is_marked).collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn only_processes_with_the_mark_are_killed() {
        let id = Id::random();
        let start = |name: &str| {
            let script = "sleep 60 & echo; wait";
            let mut child = Command::new("sh")
                .args(["-c", script])
                .env(VARIABLE, name)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut started = [0];
            std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut started).unwrap();
            child
        };
        let (mut mine, mut other) = (start(id.as_str()), start(&format!("{id}x")));
        assert_eq!(find(&id).len(), 2);
        kill(&id);
        assert!(!mine.wait().unwrap().success());
        assert!(find(&id).is_empty());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
        for pid in find(&Id(format!("{id}x"))) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}
