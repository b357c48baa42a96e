//! Stops a server on the native engine that nobody uses. A process of its own does it, because no
//! program of PostgreSQL would. On docker the health check of the container does the same.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Instance, Observed, recorded_address};
use crate::context::Context;
use crate::db::inspect::{self, Sessions};
use crate::engine::Server;
use crate::error::{Kind, Result, ResultExt};
use crate::spec::EngineKind;
use crate::state::{Guards, Lock, Record};

/// The hidden command that runs the watching process.
const COMMAND: &str = "watch-idle";

/// How often the process looks whether the server still runs.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// How often the process asks the server for its sessions, at most and at least.
const ASK_INTERVAL: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// How long a new process waits for an old one to end.
const OLD_PROCESS_DEADLINE: Duration = Duration::from_secs(5);

/// Starts the process that stops this server when nobody uses it. Does nothing when the server is to
/// go on, or stops by itself.
///
/// # Errors
/// `Unexpected` when the process cannot be started.
pub(super) fn watch(context: &Context, record: &Record, server: &Server) -> Result<()> {
    let Some(idle) = context.spec.server.idle else { return Ok(()) };
    if record.engine != EngineKind::Native {
        return Ok(());
    }
    let cannot = || "cannot start the process that stops an unused database".to_owned();
    let program = std::env::current_exe().or_fail(Kind::Unexpected, cannot)?;
    Command::new(program)
        .args([COMMAND, &record.owner.key(), &idle.as_secs().to_string(), &server.launch_digest])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        // In a group of its own the process does not get the terminal's Ctrl-C.
        .process_group(0)
        .spawn()
        .or_fail(Kind::Unexpected, cannot)
        .map(drop)
}

/// Waits until nobody has used the server of `context` for so long, and stops it. `launch` is the
/// digest of its launch. Returns when no server of this launch runs any more, or when another
/// process waits for the same.
///
/// # Errors
/// When the server cannot be stopped.
pub async fn stop_when_idle(context: &Context, patience: Duration, launch: &str) -> Result<()> {
    let key = context.spec.owner.key();
    let Some(_alone) = become_the_only_one(context, &key).await? else { return Ok(()) };
    let mut clients = Clients::default();
    let interval = (patience / 4).clamp(ASK_INTERVAL.0, ASK_INTERVAL.1);
    let mut asked = Instant::now();
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        if has_stopped(context, &key, launch).await? {
            return Ok(());
        }
        if asked.elapsed() < interval {
            continue;
        }
        asked = Instant::now();
        let Some(record) = context.store.load(&key)? else { return Ok(()) };
        let sessions = inspect::sessions(&recorded_address(&record)).await.ok();
        if clients.quiet_for(sessions) < patience {
            continue;
        }
        // A devdb that works on the instance uses it.
        // The settings are those of its start; the record has what counts now.
        match Instance::try_open(&context.of_record(&record))? {
            Some(mut instance) => return instance.stop().await.map(drop),
            None => clients = Clients::default(),
        }
    }
}

/// Takes the lock of the process that watches the instance. None when another one goes on.
async fn become_the_only_one(context: &Context, key: &str) -> Result<Option<Lock>> {
    let deadline = Instant::now() + OLD_PROCESS_DEADLINE;
    loop {
        let lock = context.store.try_lock(Guards::Idle(key))?;
        if lock.is_some() || Instant::now() >= deadline {
            return Ok(lock);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Whether the instance has no running server of this launch any more. False while another devdb
/// works on it, because that one may be replacing the server.
async fn has_stopped(context: &Context, key: &str, launch: &str) -> Result<bool> {
    let runs = async || match Observed::look(context).await {
        Ok(observed) => observed.running().is_ok_and(|server| server.launch_digest == launch),
        Err(_) => false,
    };
    if runs().await {
        return Ok(false);
    }
    if !context.store.root().exists() {
        return Ok(true);
    }
    let Some(_lock) = context.store.try_lock(Guards::Instance(key))? else { return Ok(false) };
    Ok(!runs().await)
}

/// When clients were seen.
struct Clients {
    /// How many sessions there have been so far.
    before: Option<Sessions>,
    /// The last time at which there may have been a client.
    used: Instant,
}

impl Default for Clients {
    fn default() -> Self {
        Clients { before: None, used: Instant::now() }
    }
}

impl Clients {
    /// For how long there has been no client, after another look. None: the server did not answer,
    /// which may mean that it has too many clients.
    fn quiet_for(&mut self, sessions: Option<Sessions>) -> Duration {
        let is_quiet = match (&self.before, &sessions) {
            (Some(before), Some(now)) => now.open == 0 && now.ever - before.ever <= OWN_SESSIONS,
            _ => false,
        };
        self.before = sessions;
        if !is_quiet {
            self.used = Instant::now();
        }
        self.used.elapsed()
    }
}

/// How many sessions this process itself opens from one look to the next.
const OWN_SESSIONS: i64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_came_and_went_counts_as_use() {
        let mut clients = Clients::default();
        let pause = Duration::from_millis(20);
        let sessions = |open, ever| Some(Sessions { open, ever });
        let mut look = |sessions| {
            std::thread::sleep(pause);
            clients.quiet_for(sessions) >= pause
        };
        assert!(!look(sessions(0, 10)), "the first look knows no earlier one");
        assert!(look(sessions(0, 11)), "only devdb itself was there");
        assert!(!look(sessions(0, 13)), "somebody came and went");
        assert!(look(sessions(0, 14)));
        assert!(!look(sessions(1, 15)), "somebody is there");
        assert!(!look(None), "the server did not answer");
    }
}
