//! Leases. A lease tells which devdb process a private server belongs to, and when nobody needs the
//! server any more.

use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::native;

/// The claim of a devdb process on a private server. A label or the directory's mark contains it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The boot of the machine and the namespace of its processes. In another one, the same number
    /// belongs to another process.
    world: String,
    /// The user who runs devdb.
    user: u32,
    /// The number of devdb's process.
    pid: i32,
    /// The start time of the process, in the format of the system.
    started: Option<String>,
    /// The time at which the lease ends at the latest. None when it ends only with the process.
    #[serde(default)]
    pub until: Option<DateTime<Utc>>,
    /// Whether the lease lasts until this time although the process has ended.
    #[serde(default)]
    is_kept: bool,
}

impl Lease {
    /// The lease of this process. It ends at `until` at the latest.
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

    /// The same lease, but it ends at this time and not with the process.
    pub fn kept_until(self, until: DateTime<Utc>) -> Lease {
        Lease { until: Some(until), is_kept: true, ..self }
    }

    /// Whether the devdb process belongs, or belonged, to this user.
    pub fn is_of_this_user(&self) -> bool {
        self.user == rustix::process::getuid().as_raw()
    }

    /// Whether the devdb process belongs to another machine, boot or container, so that this
    /// process cannot see it.
    pub fn is_from_elsewhere(&self) -> bool {
        self.world != world()
    }

    /// Whether the server is certainly not needed any more: the time of the lease is over, or the
    /// process ran under this user on this machine and has ended.
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

/// Names the boot and the namespace. Systems other than Linux have no such names, so the host's
/// name stands in.
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
        // A lease that is not kept ends with its process.
        let ended = Lease { pid, ..Lease::of_this_process(Some(until(60))) };
        assert!(ended.is_over());
        assert!(!ended.clone().kept_until(until(60)).is_over());
        assert!(ended.kept_until(until(-1)).is_over());
    }
}
