//! Servers that this very process started: it must collect them when they end, or they stay as
//! zombies, and it alone learns their exit codes.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// How a child ended; none while it runs.
type Ending = watch::Receiver<Option<i64>>;

/// The latest child of each generation.
#[derive(Debug, Clone, Default)]
pub(super) struct Children(Arc<Mutex<HashMap<PathBuf, Ending>>>);

impl Children {
    /// Collects `child` when it ends. A thread of its own, because the server outlives whatever
    /// runtime started it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn adopt(&self, directory: &Path, mut child: Child) -> io::Result<()> {
        let (sender, receiver) = watch::channel(None);
        std::thread::Builder::new().name("server-exit".into()).spawn(move || {
            let code = child.wait().map_or(-1, code_of);
            // Nobody may be interested any more.
            let _ = sender.send(Some(code));
        })?;
        self.map(|endings| endings.insert(directory.to_owned(), receiver));
        Ok(())
    }

    /// Forgets the child of a generation that is removed or started anew.
    pub fn forget(&self, directory: &Path) {
        self.map(|endings| endings.remove(directory));
    }

    /// Whether a child was started here and still runs.
    pub fn is_running(&self, directory: &Path) -> bool {
        self.ending(directory).is_some_and(|ending| ending.borrow().is_none())
    }

    /// The exit code of a child that was started here and has ended; 128 and the signal's number
    /// where a signal ended it, as shells have it.
    pub fn exit_code(&self, directory: &Path) -> Option<i64> {
        self.ending(directory).and_then(|ending| *ending.borrow())
    }

    /// Waits until a child that was started here has ended; none to wait for is no wait.
    pub async fn ended(&self, directory: &Path) {
        if let Some(mut ending) = self.ending(directory) {
            let _ = ending.wait_for(Option::is_some).await;
        }
    }

    fn ending(&self, directory: &Path) -> Option<Ending> {
        self.map(|endings| endings.get(directory).cloned())
    }

    fn map<T>(&self, act: impl FnOnce(&mut HashMap<PathBuf, Ending>) -> T) -> T {
        // A panic elsewhere leaves the map as good as it was.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn code_of(status: ExitStatus) -> i64 {
    use std::os::unix::process::ExitStatusExt;
    let signal = || status.signal().map(|signal| 128 + signal);
    i64::from(status.code().or_else(signal).unwrap_or(-1))
}
