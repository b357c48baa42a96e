//! The watcher is a second devdb process, which cleans up if devdb is killed. It reads from a pipe
//! whose end tells it that devdb has ended. Then it kills the command with everything that the
//! command started, and ends a database on the native engine.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Id, marked};
use crate::engine::{Engines, Role};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::golden;
use crate::plan::LentVariables;
use crate::spec::Owner;
use crate::state::Store;

/// The hidden command that runs the watcher.
const COMMAND: &str = "watch-run";

/// How often the watcher checks whether a kept database still runs.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A message from devdb to the watcher: one line of JSON.
#[derive(Serialize, Deserialize)]
enum Message {
    /// Watch this database.
    Watch { id: String, owner: Owner },
    /// Keep the database for so many seconds after devdb has ended.
    Keep { seconds: u64 },
    /// The watcher may end.
    Done,
}

/// devdb's connection to the watcher.
pub struct Watcher {
    child: Child,
    pipe: ChildStdin,
}

impl Watcher {
    /// Starts the watcher. If devdb is killed from now on, the watcher cleans up.
    ///
    /// # Errors
    /// `Unexpected` when the process cannot be started.
    pub fn start(id: &Id, of: &Owner) -> Result<Watcher> {
        let cannot = || "cannot start the process that watches over the database".to_owned();
        let program = std::env::current_exe().or_fail(Kind::Unexpected, cannot)?;
        let mut child = Command::new(program)
            .arg(COMMAND)
            // With the mark of an outer run, the end of that run would kill this watcher, too.
            .env_remove(LentVariables::ID)
            .stdin(Stdio::piped())
            // The reader of the command's output must not wait for the watcher.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            // In a group of its own the watcher does not get the terminal's Ctrl-C.
            .process_group(0)
            .spawn()
            .or_fail(Kind::Unexpected, cannot)?;
        let pipe = child.stdin.take().ok_or_else(|| Error::new(Kind::Unexpected, cannot()))?;
        let mut watcher = Watcher { child, pipe };
        watcher.tell(&Message::Watch { id: id.to_string(), owner: id.owner(of) })?;
        Ok(watcher)
    }

    /// Tells the watcher to keep the database for `time` after devdb has ended.
    ///
    /// # Errors
    /// `Unexpected` when the watcher has ended.
    pub fn keep(&mut self, time: Duration) -> Result<()> {
        self.tell(&Message::Keep { seconds: time.as_secs() })
    }

    /// Ends the watcher. Call this when the database is removed.
    pub fn dismiss(mut self) {
        if self.tell(&Message::Done).is_ok() {
            drop(self.pipe);
            // The watcher ends at once; waiting removes it from the process table.
            let _ = self.child.wait();
        }
    }

    fn tell(&mut self, message: &Message) -> Result<()> {
        let cannot = || "the process that watches over the database has ended".to_owned();
        let mut line = serde_json::to_string(message).or_fail(Kind::Unexpected, cannot)?;
        line.push('\n');
        self.pipe.write_all(line.as_bytes()).or_fail(Kind::Unexpected, cannot)
    }
}

/// Runs the watcher: waits for devdb's end on standard input, then cleans up.
///
/// # Errors
/// When something cannot be removed.
pub async fn watch(engines: &Engines, store: &Store) -> Result<()> {
    let reading = tokio::task::spawn_blocking(read_messages);
    let orders = reading.await.or_fail(Kind::Unexpected, || "cannot read the messages".into())?;
    let Some(Orders { id, owner, keep }) = orders else { return Ok(()) };
    // On docker the database ends by itself.
    let native = engines.native_store()?;
    match keep {
        None => marked::kill(&id),
        Some(time) => {
            let end = Instant::now() + time;
            let key = owner.key();
            // A person may end the database before its time is over.
            while Instant::now() < end && !native.servers(Some(&key)).await?.is_empty() {
                let left = end.saturating_duration_since(Instant::now());
                tokio::time::sleep(CHECK_INTERVAL.min(left)).await;
            }
        }
    }
    native.remove_private(&owner, Role::Ephemeral).await?;
    // devdb may have been killed while it baked a golden state.
    golden::sweep(store, &native).await
}

/// The watcher's orders for the time after devdb has ended.
struct Orders {
    id: Id,
    owner: Owner,
    /// How long to keep the database; none when it ends with devdb.
    keep: Option<Duration>,
}

/// Reads messages until devdb has ended. None when the watcher has nothing to do.
fn read_messages() -> Option<Orders> {
    let (mut watched, mut keep) = (None, None);
    for line in BufReader::new(std::io::stdin()).lines() {
        let Ok(line) = line else { break };
        match serde_json::from_str(&line) {
            Ok(Message::Watch { id, owner }) => watched = Some((Id::parse(&id).ok()?, owner)),
            Ok(Message::Keep { seconds }) => keep = Some(Duration::from_secs(seconds)),
            Ok(Message::Done) => return None,
            // devdb was killed while it wrote this line.
            Err(_) => {}
        }
    }
    let (id, owner) = watched?;
    Some(Orders { id, owner, keep })
}
