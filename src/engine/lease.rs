//! Whose a private server is, and how to tell that nobody needs it any more.

use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::native;

/// What a container that belongs to one devdb process is labelled with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Which boot of which machine, and which of its namespaces of processes: elsewhere the
    /// process's number is another's.
    world: String,
    /// The user who runs devdb.
    user: u32,
    /// devdb's own process.
    pid: i32,
    /// When that started, in whatever form the system tells it.
    started: Option<String>,
    /// When its time is over, whoever lives; none when only devdb's process counts.
    #[serde(default)]
    pub until: Option<DateTime<Utc>>,
    /// Whether it stays for its time when devdb's process is no more.
    #[serde(default)]
    is_kept: bool,
}

impl Lease {
    /// That of this very process, until a time at the latest.
    pub fn of_this_process(until: Option<DateTime<Utc>>) -> Lease {
        let me = rustix::process::getpid();
        Lease {
            world: world(),
            user: rustix::process::getuid().as_raw(),
            pid: me.as_raw_nonzero().get(),
            started: native::process_started(me),
            until,
            is_kept: false,
        }
    }

    /// One that does not end with the process any more, only with its time.
    pub fn kept_until(self, until: DateTime<Utc>) -> Lease {
        Lease { until: Some(until), is_kept: true, ..self }
    }

    /// Whether this user runs, or ran, the devdb.
    pub fn is_of_this_user(&self) -> bool {
        self.user == rustix::process::getuid().as_raw()
    }

    /// Whether its process is of another machine, boot or container, where nobody here sees it.
    pub fn is_from_elsewhere(&self) -> bool {
        self.world != world()
    }

    /// Whether it is certain that nobody needs the server: its time has come, or its devdb was
    /// this user's, here, and is no more.
    pub fn is_over(&self) -> bool {
        if !self.is_of_this_user() {
            return false;
        }
        if self.until.is_some_and(|until| until <= Utc::now()) {
            return true;
        }
        if self.is_kept {
            return false;
        }
        let now = Pid::from_raw(self.pid).and_then(native::process_started);
        !self.is_from_elsewhere() && now != self.started
    }
}

/// Nothing but Linux has such names; there a machine's own name has to do.
fn world() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let processes = fs::read_link(Path::new("/proc/self/ns/pid")).unwrap_or_default();
    match boot.trim() {
        "" => whoami::hostname().unwrap_or_default(),
        boot => format!("{boot} {}", processes.display()),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn it_lasts_as_long_as_its_process_or_its_time() {
        let mine = Lease::of_this_process(None);
        assert!(!mine.is_over());
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let pid = i32::try_from(ended.id()).unwrap();
        assert!(Lease { pid, ..mine.clone() }.is_over());
        assert!(Lease { started: Some("another".into()), ..mine.clone() }.is_over());
        assert!(!Lease { pid, world: "elsewhere".into(), ..mine.clone() }.is_over());
        assert!(!Lease { pid, user: mine.user + 1, ..mine }.is_over());
        let until = |seconds| Utc::now() + TimeDelta::seconds(seconds);
        assert!(!Lease::of_this_process(Some(until(60))).is_over());
        assert!(Lease::of_this_process(Some(until(-1))).is_over());
        // Until it is kept, it goes with its process all the same.
        let ended = Lease { pid, ..Lease::of_this_process(Some(until(60))) };
        assert!(ended.is_over());
        assert!(!ended.clone().kept_until(until(60)).is_over());
        assert!(ended.kept_until(until(-1)).is_over());
    }
}
