//! A program that devdb started, and the programs that it started in turn.

use rustix::process::{Pid, Signal};

/// Kills a process group on drop, because most programs start children of their own.
pub struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    /// The group of a child that was started as its leader (`process_group(0)`).
    pub fn led_by(pid: Option<u32>) -> Self {
        ProcessGroup(pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)))
    }

    /// Call this when the leader has ended: another process may get its number from now on.
    pub fn release(&mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // The group may have ended already.
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
    }
}
