//! Watching a server end, and ending it.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerStateStatusEnum, EventMessage};
use bollard::query_parameters::{
    EventsOptions, EventsOptionsBuilder, KillContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use chrono::{DateTime, Utc};
use futures_util::StreamExt;

use crate::engine::docker::owned::Owned;
use crate::engine::docker::{Docker, failure};
use crate::engine::{Exit, STOP_DEADLINE, Server, Status};
use crate::error::{Error, Kind, Result};

/// How often the daemon is asked for the state of a server, while devdb waits for the event of its end.
const CHECK: Duration = Duration::from_millis(400);

/// When the daemon is asked for the first time, so that a server that has ended already is reported at
/// once.
const FIRST_CHECK: Duration = Duration::from_millis(30);

/// How long a server may take to end before the signal is sent again: 500 milliseconds.
const HEARING: Duration = Duration::from_millis(500);

/// What became of the process that was started at a given time.
enum ProcessState {
    Runs,
    Ended(Option<i64>),
    /// Its end cannot be found out, for this reason.
    Lost(String),
}

impl Docker {
    /// Waits until the server's process ends.
    ///
    /// Docker starts a dead `unless-stopped` container again, after 100 ms at first, and then its
    /// state says `running` and no exit code, also to `wait`, which needs the same lock as the
    /// start. What tells the truth is the `die` event: the daemon remembers recent ones, so none
    /// is missed. Where events are late or lost, the time of the start gives it away: the process
    /// that `server` describes has ended as soon as the container was started at another time.
    pub async fn exited(&self, server: &Server) -> Exit {
        match self.end_of(&server.handle, started_at(server)).await {
            Ok(code) => Exit { code, log_tail: self.log_tail(&server.handle).await },
            Err(reason) => Exit { code: None, log_tail: reason },
        }
    }

    /// Whether a server ends within `patience`, or has ended already.
    pub(crate) async fn ends_within(&self, server: &Server, patience: Duration) -> bool {
        let fate = self.end_of(&server.handle, started_at(server));
        tokio::time::timeout(patience, fate).await.is_ok()
    }

    /// Waits for the end of the process that was started at `since`: its exit code, or why that
    /// cannot be known.
    async fn end_of(&self, id: &str, since: Option<DateTime<Utc>>) -> Result<Option<i64>, String> {
        loop {
            let mut deaths = std::pin::pin!(self.client.events(Some(deaths_of(id, since))));
            let mut deaths_come = true;
            let mut pause = FIRST_CHECK;
            loop {
                let look = async {
                    tokio::time::sleep(pause).await;
                    self.look(id, since).await
                };
                tokio::select! {
                    // A death that is told is better than what the state says by now.
                    biased;
                    death = deaths.next(), if deaths_come => match death {
                        Some(Ok(death)) => return Ok(exit_code(&death)),
                        Some(Err(_)) | None => deaths_come = false,
                    },
                    fate = look => match fate {
                        ProcessState::Ended(code) => return Ok(code),
                        ProcessState::Lost(reason) => return Err(reason),
                        ProcessState::Runs if deaths_come => {}
                        // A daemon that answers again can be asked for events again.
                        ProcessState::Runs => break,
                    },
                }
                pause = CHECK;
            }
        }
    }

    async fn look(&self, id: &str, since: Option<DateTime<Utc>>) -> ProcessState {
        let owned = match self.owned(id).await {
            Ok(Some(owned)) => owned,
            Ok(None) => return ProcessState::Lost("the container was removed".into()),
            Err(error) => return ProcessState::Lost(error.to_string()),
        };
        match owned.state() {
            Some(ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::PAUSED) => {
                // Its state tells nothing any more of the process that ended before this one.
                let another = since.is_some() && owned.started_at() != since;
                if another { ProcessState::Ended(None) } else { ProcessState::Runs }
            }
            _ => ProcessState::Ended(owned.exit_code()),
        }
    }

    /// Ends a server cleanly and waits `patience` for it.
    ///
    /// It sends SIGINT, PostgreSQL's fast shutdown, whatever stop signal the image names. It does
    /// not use the API's stop, which kills after its time is up (and with an infinite time at
    /// once, on Podman). Docker counts a container that was signalled as stopped by hand, so that
    /// `unless-stopped` does not start it again; also when it ends after `patience`.
    ///
    /// # Errors
    /// `Unexpected` when it still runs after `patience`.
    pub async fn stop(&self, server: &Server, patience: Duration) -> Result<()> {
        let Some(owned) = self.owned(&server.handle).await? else { return Ok(()) };
        match owned.state() {
            Some(ContainerStateStatusEnum::RUNNING) => {}
            Some(ContainerStateStatusEnum::PAUSED) => {
                self.client.unpause_container(&owned.id).await.map_err(|refusal| {
                    self.failed(
                        &refusal,
                        format!("cannot unpause the container \"{}\"", owned.name),
                    )
                })?;
            }
            Some(ContainerStateStatusEnum::RESTARTING) => return self.end_restarts(&owned).await,
            _ => return Ok(()),
        }
        let end = self.end_of(&owned.id, owned.started_at());
        match tokio::time::timeout(patience, self.interrupted_until(&owned, end)).await {
            Ok(ended) => ended,
            Err(_) => Err(still_running(&owned.name)
                .because(format!("it did not end within {}", humantime::format_duration(patience)))
                .hint(format!("docker logs --tail 20 {}    shows what it waits for", owned.name))),
        }
    }

    /// Sends SIGINT until `end`. More than once: the entrypoint's shell, the container's first
    /// process before the server is, loses it, and PostgreSQL minds only the first.
    async fn interrupted_until(
        &self,
        owned: &Owned,
        end: impl Future<Output = Result<Option<i64>, String>>,
    ) -> Result<()> {
        let mut end = std::pin::pin!(end);
        let mut is_told = false;
        loop {
            let options = KillContainerOptionsBuilder::new().signal("SIGINT").build();
            match self.client.kill_container(&owned.id, Some(options)).await {
                Ok(()) => is_told = true,
                // It ended by itself meanwhile.
                Err(refusal) if matches!(failure::status(&refusal), Some(404 | 409)) => {
                    return Ok(());
                }
                // Podman calls it an error of its own when there is no process to signal any more.
                Err(_) if is_told => {}
                Err(refusal) => {
                    let what = format!("cannot stop the container \"{}\"", owned.name);
                    return Err(self.failed(&refusal, what));
                }
            }
            if let Ok(end) = tokio::time::timeout(HEARING, end.as_mut()).await {
                return end.map(drop).map_err(|why| still_running(&owned.name).because(why));
            }
        }
    }

    /// Ends a container that Docker starts again and again. There is no process between two
    /// restarts, so nothing is killed.
    pub(super) async fn end_restarts(&self, owned: &Owned) -> Result<()> {
        let stop_seconds = i32::try_from(STOP_DEADLINE.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(stop_seconds).build();
        match self.client.stop_container(&owned.id, Some(options)).await {
            Ok(()) => Ok(()),
            Err(refusal) if failure::is_missing(&refusal) => Ok(()),
            Err(refusal) => {
                Err(self.failed(&refusal, format!("cannot stop the container \"{}\"", owned.name)))
            }
        }
    }
}

/// The deaths of a container since its process was started, told ones included.
fn deaths_of(id: &str, since: Option<DateTime<Utc>>) -> EventsOptions {
    let filters = [("container", id), ("type", "container"), ("event", "die")];
    let filters: HashMap<_, _> =
        filters.map(|(name, value)| (name.to_owned(), vec![value.to_owned()])).into();
    let options = EventsOptionsBuilder::new().filters(&filters);
    match since {
        Some(time) => {
            let since = format!("{}.{:09}", time.timestamp(), time.timestamp_subsec_nanos());
            options.since(&since).build()
        }
        None => options.build(),
    }
}

/// Docker's name for it, and Podman's.
fn exit_code(death: &EventMessage) -> Option<i64> {
    let attributes = death.actor.as_ref()?.attributes.as_ref()?;
    attributes.get("exitCode").or_else(|| attributes.get("containerExitCode"))?.parse().ok()
}

fn started_at(server: &Server) -> Option<DateTime<Utc>> {
    match server.status {
        Status::Running { since, .. } => since,
        Status::Stopped { .. } => None,
    }
}

fn still_running(name: &str) -> Error {
    Error::new(Kind::Unexpected, format!("cannot stop the container \"{name}\""))
}
