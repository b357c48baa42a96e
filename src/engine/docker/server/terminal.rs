//! The terminal of this process, for a program that runs elsewhere.

use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc;

/// Whether both stdin and stdout are terminals.
pub(super) fn is_interactive() -> bool {
    isatty(rustix::stdio::stdin()) && isatty(rustix::stdio::stdout())
}

/// Rows and columns of the terminal.
pub(super) fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(rustix::stdio::stdout()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// The terminal in raw mode. Dropping this value restores the former mode, on every way out.
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
        // The terminal may be gone; then there is nothing to restore.
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Receives the bytes of stdin until its end.
///
/// It uses a thread of its own. tokio's stdin would delay the end of the runtime until a person
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
