//! Runs a person's command with an ephemeral database. The command has devdb's terminal, input and
//! output, and gets the signals that devdb gets. devdb ends in the same way as the command.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use signal_hook::consts::{SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{Id, marked};
use crate::config::environment::Environment;
use crate::db::libpq::hidden_from_commands;
use crate::error::{Error, Kind, Result, ResultExt};
use crate::plan::{EPHEMERAL_VARIABLE, LentVariables};

/// The signals that devdb passes on to the command.
const SIGNALS: [i32; 7] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM];

/// Signals within this time count as one: the terminal sends Ctrl-C to devdb, and make and npm send
/// it to devdb again.
const SAME_SIGNAL: Duration = Duration::from_millis(300);

/// A second interrupt within this time ends the command. A later one is meant for the command: an
/// interpreter or a debugger handles many interrupts.
const SECOND_INTERRUPT: Duration = Duration::from_secs(3);

/// The signals that ask a command to end. One that is stopped handles them only when it goes on.
const END: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Code(u8),
    /// By this signal.
    Signal(i32),
}

impl Ended {
    /// Whether the command succeeded.
    pub fn is_success(self) -> bool {
        self == Ended::Code(0)
    }
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        match status.signal() {
            Some(signal) => Ended::Signal(signal),
            None => Ended::Code(status.code().and_then(|code| code.try_into().ok()).unwrap_or(1)),
        }
    }
}

/// Runs `words` to its end, with the address of the database in its environment.
///
/// # Errors
/// `NoCommand` when there is no such program, `NotExecutable` when it cannot be run.
pub async fn run(
    words: &[OsString],
    id: &Id,
    run: &LentVariables,
    environment: &Environment,
) -> Result<Ended> {
    let mut signals = listen()?;
    let mut child = start(words, run, environment)?;
    let mut requests = Requests::default();
    loop {
        tokio::select! {
            status = child.wait() => {
                let status = status.or_fail(Kind::Unexpected, || "cannot wait for the command".into());
                return status.map(Ended::from);
            }
            Some(origin) = signals.recv() => {
                if requests.insist(origin.signal, Instant::now()) {
                    marked::kill(id);
                }
                // The kernel sends the terminal's signals to the command too.
                if origin.cause != Cause::Kernel {
                    pass_on(&child, origin.signal);
                }
                if END.contains(&origin.signal) {
                    pass_on(&child, SIGCONT);
                }
            }
        }
    }
}

/// When the command was last asked to end, by Ctrl-C and by SIGTERM.
#[derive(Default)]
struct Requests {
    interrupt: Option<Instant>,
    terminate: Option<Instant>,
}

impl Requests {
    /// Notes a signal. Returns whether it is a second one, which ends a command that goes on.
    fn insist(&mut self, signal: i32, now: Instant) -> bool {
        let (last, patience) = match signal {
            SIGINT => (&mut self.interrupt, SECOND_INTERRUPT),
            SIGTERM => (&mut self.terminate, Duration::MAX),
            _ => return false,
        };
        let since = last.replace(now).map(|last| now.duration_since(last));
        since.is_some_and(|since| (SAME_SIGNAL..patience).contains(&since))
    }
}

fn start(words: &[OsString], run: &LentVariables, environment: &Environment) -> Result<Child> {
    let (program, arguments) =
        words.split_first().ok_or_else(|| Error::new(Kind::Usage, "there is no command"))?;
    let mut command = Command::new(program);
    // The person's own PG variables must not lead the command to another server.
    for name in hidden_from_commands(environment.names("PG")) {
        command.env_remove(name);
    }
    command.env_remove(EPHEMERAL_VARIABLE);
    command.args(arguments).envs(run.address.variables()).envs(run.to_set());
    command.spawn().map_err(|error| {
        let failure = |kind| Error::new(kind, format!("cannot run {program:?}")).because(&error);
        match error.kind() {
            ErrorKind::NotFound => failure(Kind::NoCommand).hint(
                "devdb run -- PROGRAM ARGUMENT…   runs a program; sh -c '…' runs a shell command",
            ),
            _ => failure(Kind::NotExecutable),
        }
    })
}

fn pass_on(child: &Child, signal: i32) {
    let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    if let (Some(pid), Some(signal)) = (pid, Signal::from_named_raw(signal)) {
        // The command may have ended meanwhile.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Receives signals and their senders, for as long as devdb lives.
fn listen() -> Result<UnboundedReceiver<Origin>> {
    let cannot = || "cannot listen for signals".to_owned();
    let mut signals = SignalsInfo::<WithOrigin>::new(SIGNALS).or_fail(Kind::Unexpected, cannot)?;
    let (sender, receiver) = unbounded_channel();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for origin in &mut signals {
                if sender.send(origin).is_err() {
                    return;
                }
            }
        })
        .or_fail(Kind::Unexpected, cannot)?;
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_request_ends_the_command() {
        for (signal, pause, ends) in [
            (SIGTERM, 100, false),
            (SIGTERM, 400, true),
            (SIGTERM, 3_600_000, true),
            (SIGINT, 100, false),
            (SIGINT, 400, true),
            (SIGINT, 4_000, false),
            (SIGHUP, 400, false),
        ] {
            let (mut requests, begun) = (Requests::default(), Instant::now());
            assert!(!requests.insist(signal, begun));
            let later = begun + Duration::from_millis(pause);
            assert_eq!(requests.insist(signal, later), ends, "{signal} after {pause} ms");
        }
    }
}
