//! A program that devdb started, with everything that program started in turn.

use rustix::process::{Pid, Signal};

/// A process group that is killed on drop: most programs have children of their own.
pub struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    /// The group of a child that was started as its leader (`process_group(0)`).
    pub fn led_by(pid: Option<u32>) -> Self {
        ProcessGroup(pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)))
    }

    /// The leader has ended by itself: its number may be another's from now on.
    pub fn release(&mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // A group that is gone already is what was wanted.
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
    }
}
