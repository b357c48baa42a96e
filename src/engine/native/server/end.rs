//! Stopping a server, and waiting for its end.

use std::time::Duration;

use super::log;
use crate::engine::native::{LOG_TAIL, Native, process};
use crate::engine::{Exit, Server};
use crate::error::{Error, Kind, Result};

/// The interval at which devdb looks at a server that another process started.
const WATCH: Duration = Duration::from_millis(50);

impl Native {
    /// Waits until the process of a server ends. See
    /// [`Engine::exited`](crate::engine::Engine::exited).
    pub async fn exited(&self, server: &Server) -> Exit {
        let Ok(Some((place, _, note))) = self.look_up(&server.handle) else {
            return Exit { code: None, log_tail: String::new() };
        };
        loop {
            self.children.ended(place.directory()).await;
            if process::postmaster(&place.pgdata(), note.pid).is_none() {
                break;
            }
            tokio::time::sleep(WATCH).await;
        }
        Exit {
            code: self.children.exit_code(place.directory()),
            log_tail: log::tail(&place.log(), note.log_start, LOG_TAIL),
        }
    }

    /// Stops a server with SIGINT, which is PostgreSQL's fast shutdown.
    ///
    /// # Errors
    /// See [`Engine::stop`](crate::engine::Engine::stop).
    pub async fn stop(&self, server: &Server, patience: Duration) -> Result<()> {
        let Some((place, _, note)) = self.look_up(&server.handle)? else {
            return Ok(());
        };
        let Some(postmaster) = process::postmaster(&place.pgdata(), note.pid) else {
            return Ok(());
        };
        if process::stop(&postmaster.process, patience).await? {
            self.children.ended(place.directory()).await;
            return Ok(());
        }
        Err(Error::new(Kind::Unexpected, format!("server {} does not stop", server.name))
            .because(format!(
                "it still runs after {}, as process {}",
                humantime::format_duration(patience),
                postmaster.process.pid
            ))
            .excerpt(log::tail(&place.log(), note.log_start, LOG_TAIL))
            .hint("devdb logs   shows what it is busy with"))
    }
}
