//! The process table of Linux. devdb reads only files that everyone may read, because root in a
//! container may lack the right to read the `cwd` and `exe` links of another account.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::Pid;

use super::Process;

/// When a process started, in ticks since the boot. None when it has ended, even as a zombie.
pub(super) fn started(pid: Pid) -> Option<String> {
    let stat = Stat::of(pid)?;
    (!matches!(stat.state.as_str(), "Z" | "X")).then_some(stat.started)
}

/// Whether the process is the postmaster of `pgdata`. Its children have other titles.
pub(super) fn serves(pid: Pid, pgdata: &Path) -> bool {
    let arguments = arguments(pid);
    let alone = |argument: &Vec<u8>| argument.starts_with(b"--");
    arguments.windows(2).any(|pair| pair[0] == b"-D" && names(&pair[1], pgdata))
        && !arguments.get(1).is_some_and(alone)
}

/// Finds every process with `pgdata` in its arguments: initdb, a standalone server, a postmaster.
pub(super) fn working_on(pgdata: &Path) -> Vec<Process> {
    everyone()
        .filter(|pid| arguments(*pid).windows(2).any(|w| w[0] == b"-D" && names(&w[1], pgdata)))
        .filter_map(Process::of)
        .collect()
}

pub(super) fn children(parent: Pid) -> Vec<Process> {
    let parent = parent.as_raw_nonzero().get().to_string();
    everyone()
        .filter(|pid| Stat::of(*pid).is_some_and(|stat| stat.parent == parent))
        .filter_map(Process::of)
        .collect()
}

fn names(argument: &[u8], pgdata: &Path) -> bool {
    argument == pgdata.as_os_str().as_bytes()
}

fn everyone() -> impl Iterator<Item = Pid> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

fn arguments(pid: Pid) -> Vec<Vec<u8>> {
    let text = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    text.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}

/// The fields of `/proc/<pid>/stat` that devdb needs. See proc(5).
struct Stat {
    state: String,
    parent: String,
    started: String,
}

impl Stat {
    fn of(pid: Pid) -> Option<Self> {
        let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
        let text = String::from_utf8_lossy(&text);
        // The second field, the name, may contain blanks and parentheses. Later fields contain
        // neither.
        let mut fields = text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned);
        let state = fields.next()?;
        let parent = fields.next()?;
        // This is the 22nd field. The state and the parent were the third and the fourth.
        let started = fields.nth(17)?;
        Some(Stat { state, parent, started })
    }
}
