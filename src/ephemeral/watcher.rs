//! What happens when devdb is killed: a process of its own, which holds a pipe to devdb, ends the
//! command with everything that it started, and a database that no engine ends by itself.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Id, marked};
use crate::engine::{Engines, Role};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::golden;
use crate::spec::Owner;
use crate::state::Store;

/// The hidden command of the other end.
const COMMAND: &str = "watch-run";

/// How often a watcher looks whether what is kept is still there.
const LOOK: Duration = Duration::from_secs(1);

/// What devdb tells the watcher, a line of JSON each. The end of the pipe is the end of devdb.
#[derive(Serialize, Deserialize)]
enum Message {
    /// Whose database it is.
    Watch { id: String, owner: Owner },
    /// It is to outlive devdb for so many seconds.
    Keep { seconds: u64 },
    /// Nothing is left to do.
    Done,
}

/// devdb's end.
pub struct Watcher {
    child: Child,
    pipe: ChildStdin,
}

impl Watcher {
    /// Starts the process. From now on devdb may be killed.
    ///
    /// # Errors
    /// `Unexpected` when it cannot be started.
    pub fn start(id: &Id, of: &Owner) -> Result<Watcher> {
        let cannot = || "cannot start the process that watches over the database".to_owned();
        let program = std::env::current_exe().or_fail(Kind::Unexpected, cannot)?;
        let mut child = Command::new(program)
            .arg(COMMAND)
            .stdin(Stdio::piped())
            // Whoever reads the command's output waits for its end, not for this one's.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            // A group of its own: Ctrl-C is not for it.
            .process_group(0)
            .spawn()
            .or_fail(Kind::Unexpected, cannot)?;
        let pipe = child.stdin.take().ok_or_else(|| Error::new(Kind::Unexpected, cannot()))?;
        let mut watcher = Watcher { child, pipe };
        watcher.tell(&Message::Watch { id: id.to_string(), owner: id.owner(of) })?;
        Ok(watcher)
    }

    /// The database is to outlive devdb.
    ///
    /// # Errors
    /// `Unexpected` when the process is gone.
    pub fn keep(&mut self, time: Duration) -> Result<()> {
        self.tell(&Message::Keep { seconds: time.as_secs() })
    }

    /// The database is gone.
    pub fn dismiss(mut self) {
        if self.tell(&Message::Done).is_ok() {
            drop(self.pipe);
            // It ends at once; nobody else would collect it.
            let _ = self.child.wait();
        }
    }

    fn tell(&mut self, message: &Message) -> Result<()> {
        let cannot = || "the process that watches over the database is gone".to_owned();
        let mut line = serde_json::to_string(message).or_fail(Kind::Unexpected, cannot)?;
        line.push('\n');
        self.pipe.write_all(line.as_bytes()).or_fail(Kind::Unexpected, cannot)
    }
}

/// The other end: waits for devdb's end on standard input, and tidies up after it.
///
/// # Errors
/// When something does not go away.
pub async fn watch(engines: &Engines, store: &Store) -> Result<()> {
    let heard = tokio::task::spawn_blocking(hear);
    let Some((id, owner, kept)) = heard.await.or_fail(Kind::Unexpected, || "cannot hear".into())?
    else {
        return Ok(());
    };
    // On docker it ends by itself.
    let native = engines.native_store()?;
    match kept {
        None => marked::kill(&id),
        Some(time) => {
            let end = Instant::now() + time;
            let key = owner.key();
            // Somebody may end it before its time.
            while Instant::now() < end && !native.servers(Some(&key)).await?.is_empty() {
                tokio::time::sleep(LOOK.min(end.saturating_duration_since(Instant::now()))).await;
            }
        }
    }
    native.remove_private(&owner, Role::Ephemeral).await?;
    // It was perhaps baking.
    golden::sweep(store, &native).await
}

/// What is to be done when devdb has ended; none when it is done.
fn hear() -> Option<(Id, Owner, Option<Duration>)> {
    let (mut watched, mut kept) = (None, None);
    for line in BufReader::new(std::io::stdin()).lines() {
        let Ok(line) = line else { break };
        match serde_json::from_str(&line) {
            Ok(Message::Watch { id, owner }) => watched = Some((Id::parse(&id).ok()?, owner)),
            Ok(Message::Keep { seconds }) => kept = Some(Duration::from_secs(seconds)),
            Ok(Message::Done) => return None,
            // devdb was killed while it wrote.
            Err(_) => {}
        }
    }
    let (id, owner) = watched?;
    Some((id, owner, kept))
}
