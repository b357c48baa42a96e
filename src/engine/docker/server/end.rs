//! Stops a server, and waits for the end of its process.

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

/// How often devdb asks for the state of a server while it waits for the event of the server's end.
const CHECK: Duration = Duration::from_millis(400);

/// When devdb asks for the state for the first time. A server that has ended already is reported at
/// once.
const FIRST_CHECK: Duration = Duration::from_millis(30);

/// How long a server may take to end before devdb sends the signal again: 500 milliseconds.
const HEARING: Duration = Duration::from_millis(500);

/// The state of a process that was started at a given time.
enum ProcessState {
    Runs,
    Ended(Option<i64>),
    /// devdb cannot find out how the process ended, for this reason.
    Lost(String),
}

impl Docker {
    /// Waits until the server's process ends.
    ///
    /// Docker restarts a dead `unless-stopped` container, at first after 100 ms. The state is then
    /// `running` and has no exit code, and `wait` returns the same, because it needs the lock that
    /// the start holds. The `die` event has the exit code, and the daemon remembers recent events,
    /// so none is missed. When the event is late or lost, the start time shows the end: a container
    /// with another start time than `server` has a new process.
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

    /// Waits for the end of the process that was started at `since`. Returns its exit code, or the
    /// reason why the end cannot be known.
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
                    // The event has the exit code; the state may have lost it.
                    biased;
                    death = deaths.next(), if deaths_come => match death {
                        Some(Ok(death)) => return Ok(exit_code(&death)),
                        Some(Err(_)) | None => deaths_come = false,
                    },
                    fate = look => match fate {
                        ProcessState::Ended(code) => return Ok(code),
                        ProcessState::Lost(reason) => return Err(reason),
                        ProcessState::Runs if deaths_come => {}
                        // The event stream has ended. The daemon answers, so ask for events again.
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
                // A new process runs, so the exit code of the old process is lost.
                let another = since.is_some() && owned.started_at() != since;
                if another { ProcessState::Ended(None) } else { ProcessState::Runs }
            }
            _ => ProcessState::Ended(owned.exit_code()),
        }
    }

    /// Stops a server cleanly and waits for as long as `patience`.
    ///
    /// It sends SIGINT, PostgreSQL's fast shutdown, even if the image names another stop signal.
    /// The API's stop would kill the server after its time limit; Podman kills at once when the
    /// limit is infinite. Docker does not restart an `unless-stopped` container that was signalled,
    /// even when the container ends after `patience`.
    ///
    /// # Errors
    /// `Unexpected` when the server still runs after `patience`.
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

    /// Sends SIGINT until the server ends. One signal may be lost, because the first process is the
    /// entrypoint's shell until the server replaces it. PostgreSQL ignores further signals.
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
                // The server has ended meanwhile.
                Err(refusal) if matches!(failure::status(&refusal), Some(404 | 409)) => {
                    return Ok(());
                }
                // Podman reports an error when there is no process left to signal.
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

    /// Ends a container that Docker restarts again and again. Between two restarts there is no
    /// process, so nothing is killed.
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

/// Selects the `die` events of a container since its process was started, including past events.
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

/// Reads the exit code. Docker and Podman name the attribute differently.
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
