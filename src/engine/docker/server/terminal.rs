//! This process's terminal, handed to a program elsewhere.

use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc;

/// Whether a person sits at both ends.
pub(super) fn is_interactive() -> bool {
    isatty(rustix::stdio::stdin()) && isatty(rustix::stdio::stdout())
}

/// Rows and columns.
pub(super) fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(rustix::stdio::stdout()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// The terminal in raw mode; dropping it gives back the mode it had, on every way out.
pub(super) struct RawMode(Termios);

impl RawMode {
    /// # Errors
    /// When the terminal refuses.
    pub(super) fn enter() -> std::io::Result<Self> {
        let terminal = rustix::stdio::stdin();
        let before = tcgetattr(terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(terminal, OptionalActions::Now, &raw)?;
        Ok(RawMode(before))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.0);
    }
}

/// What arrives on stdin, until its end.
///
/// A thread of its own: tokio's stdin would hold up the end of the runtime until a person
/// presses a key.
pub(super) fn stdin() -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel(8);
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        loop {
            match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
                Ok(length) if length > 0 => {
                    if send.blocking_send(buffer[..length].to_vec()).is_err() {
                        return;
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Ok(_) | Err(_) => return,
            }
        }
    });
    receive
}
