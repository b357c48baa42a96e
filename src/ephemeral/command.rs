//! Runs a person's command with an ephemeral database. The command has devdb's terminal, input and
//! output, and gets the signals that devdb gets. devdb ends in the same way as the command.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
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

/// Interrupts within this time count as one: the terminal sends Ctrl-C to devdb, and make and npm
/// send it to devdb again.
const SAME_INTERRUPT: Duration = Duration::from_millis(300);

/// A second interrupt within this time ends the command. A later one is meant for the command: an
/// interpreter or a debugger handles many interrupts.
const SECOND_INTERRUPT: Duration = Duration::from_secs(3);

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
    let mut interrupted: Option<Instant> = None;
    loop {
        tokio::select! {
            status = child.wait() => {
                let status = status.or_fail(Kind::Unexpected, || "cannot wait for the command".into());
                return status.map(Ended::from);
            }
            Some(origin) = signals.recv() => {
                if origin.signal == SIGINT {
                    let since = interrupted.map_or(Duration::MAX, |first| first.elapsed());
                    if (SAME_INTERRUPT..SECOND_INTERRUPT).contains(&since) {
                        marked::kill(id);
                    }
                    interrupted = Some(Instant::now());
                }
                // The kernel sends the terminal's signals to the command too.
                if origin.cause != Cause::Kernel {
                    pass_on(&child, origin.signal);
                }
            }
        }
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
