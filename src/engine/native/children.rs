//! Servers that this process started. Only this process can collect them when they end, so that no
//! zombies stay, and only this process learns their exit codes.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// The exit code of a child. None while it runs.
type Ending = watch::Receiver<Option<i64>>;

/// The latest child of each generation.
#[derive(Debug, Clone, Default)]
pub(super) struct Children(Arc<Mutex<HashMap<PathBuf, Ending>>>);

impl Children {
    /// Collects `child` when it ends. This takes a thread, because a server may outlive the runtime
    /// that started it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn adopt(&self, directory: &Path, mut child: Child) -> io::Result<()> {
        let (sender, receiver) = watch::channel(None);
        std::thread::Builder::new().name("server-exit".into()).spawn(move || {
            let code = child.wait().map_or(-1, code_of);
            // The send fails when the generation was forgotten. Nobody needs the code then.
            let _ = sender.send(Some(code));
        })?;
        self.map(|endings| endings.insert(directory.to_owned(), receiver));
        Ok(())
    }

    /// Forgets the child of a generation.
    pub fn forget(&self, directory: &Path) {
        self.map(|endings| endings.remove(directory));
    }

    /// Whether this process started a child that still runs.
    pub fn is_running(&self, directory: &Path) -> bool {
        self.ending(directory).is_some_and(|ending| ending.borrow().is_none())
    }

    /// The exit code of a child that this process started. When a signal ended the child, the code
    /// is 128 plus the number of the signal, as in a shell. None while the child runs.
    pub fn exit_code(&self, directory: &Path) -> Option<i64> {
        self.ending(directory).and_then(|ending| *ending.borrow())
    }

    /// Waits for the end of a child that this process started. Returns at once when there is no
    /// child.
    pub async fn ended(&self, directory: &Path) {
        if let Some(mut ending) = self.ending(directory) {
            let _ = ending.wait_for(Option::is_some).await;
        }
    }

    fn ending(&self, directory: &Path) -> Option<Ending> {
        self.map(|endings| endings.get(directory).cloned())
    }

    fn map<T>(&self, act: impl FnOnce(&mut HashMap<PathBuf, Ending>) -> T) -> T {
        // The map stays usable when another thread panicked.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn code_of(status: ExitStatus) -> i64 {
    use std::os::unix::process::ExitStatusExt;
    let signal = || status.signal().map(|signal| 128 + signal);
    i64::from(status.code().or_else(signal).unwrap_or(-1))
}
