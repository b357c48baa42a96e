//! Pulls an image. It shows the progress, keeps a deadline, and reports what caused a failure.

use std::time::{Duration, Instant};

use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::{Stream, StreamExt};

use super::{Image, PrepareError, credentials};
use crate::engine::docker::{Docker, failure};
use crate::error::{Error, Kind};
use crate::event::{Event, Events};

/// How long a pull or a push may go on without progress: 60 seconds. The whole transfer has no
/// deadline, because a large image takes long on a slow line.
pub(crate) const PROGRESS_DEADLINE: Duration = Duration::from_secs(60);

/// The direction of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Pull,
    Push,
}

/// Why an image could not be pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullFailure {
    /// The registry cannot be reached at all.
    Unreachable,
    /// The registry answers with an error of its own (429, 5xx, a bad certificate).
    RegistryError,
    /// The registry has no such repository or tag, or none for this platform.
    NotFound,
    /// The registry requires a login, or another login. Registries answer the same for repositories
    /// that do not exist.
    Denied,
    /// The daemon went away during the pull.
    DaemonLost,
    /// The daemon itself failed: no space on its disk, for instance.
    DaemonError,
}

impl PullFailure {
    /// Recognises a failure by the text of the message, because all failures have the same HTTP
    /// status. It knows the texts of Docker (classic and containerd image store) and Podman. Any
    /// other text counts as an answer of the registry, for which devdb never switches to another
    /// engine.
    fn of(text: &str) -> Self {
        const WORDS: &[(PullFailure, &[&str])] = &[
            // devdb does not cancel the request itself, so the daemon is stopping.
            (PullFailure::DaemonLost, &["context canceled"]),
            (PullFailure::DaemonError, &["no space left on device", "read-only file system"]),
            (
                PullFailure::RegistryError,
                &[
                    "toomanyrequests",
                    "Too Many Requests",
                    "500 Internal",
                    "502 Bad Gateway",
                    "503 Service",
                    "504 Gateway",
                    "HTTP status: 5",
                    "x509:",
                ],
            ),
            (
                PullFailure::Denied,
                &["denied", "unauthorized", "no basic auth credentials", "authentication required"],
            ),
            (
                PullFailure::NotFound,
                &[
                    "manifest unknown",
                    "not found",
                    "name unknown",
                    "does not exist",
                    "no matching manifest",
                ],
            ),
            (
                PullFailure::Unreachable,
                &[
                    "dial tcp",
                    "no such host",
                    "connection refused",
                    "connection reset",
                    "no route to host",
                    "network is unreachable",
                    "i/o timeout",
                    "handshake timeout",
                    "Client.Timeout exceeded",
                    "deadline exceeded",
                    "proxyconnect",
                    "EOF",
                ],
            ),
        ];
        let found = WORDS.iter().find(|(_, words)| words.iter().any(|word| text.contains(word)));
        found.map_or(PullFailure::RegistryError, |(failure, _)| *failure)
    }

    /// The hint: what to type next.
    fn hint(self, reference: &str) -> String {
        match self {
            PullFailure::Unreachable => {
                "check the network and the proxy of the Docker engine".to_owned()
            }
            PullFailure::RegistryError => "try again later, or log in: docker login".to_owned(),
            PullFailure::NotFound => "check postgres.image and postgres.version".to_owned(),
            PullFailure::Denied => {
                format!(
                    "docker login {}   then run the command again",
                    credentials::registry(reference)
                )
            }
            PullFailure::DaemonLost => "start Docker again, then run the command again".to_owned(),
            PullFailure::DaemonError => "docker system df    shows what takes the space".to_owned(),
        }
    }

    const fn text(self) -> &'static str {
        match self {
            PullFailure::Unreachable => "the registry cannot be reached",
            PullFailure::RegistryError => "the registry answered with an error",
            PullFailure::NotFound => "the registry has no such image",
            PullFailure::Denied => "the registry denied access",
            PullFailure::DaemonLost => "the Docker engine stopped answering during the pull",
            PullFailure::DaemonError => "the Docker engine could not store it",
        }
    }
}

impl Docker {
    /// Pulls an image and returns it. Dropping the future ends the pull.
    pub(crate) async fn pull(
        &self,
        reference: &str,
        events: &Events,
    ) -> Result<Image, PrepareError> {
        let started = Instant::now();
        events.emit(Event::Pulling { image: reference.to_owned() });
        let login = match self.config_dir.as_deref() {
            Some(dir) => credentials::find(dir, reference).await,
            None => None,
        };
        // Without a tag the daemon would pull every tag of the repository.
        let options = CreateImageOptionsBuilder::new().from_image(&with_tag(reference)).build();
        let stream = self.client.create_image(Some(options), None, login);
        self.follow(stream, reference, events, PROGRESS_DEADLINE, Way::Pull).await?;
        match self.inspect_image(reference).await {
            Ok(Some(image)) => {
                let image_name = reference.to_owned();
                events.emit(Event::Pulled { image: image_name, took: started.elapsed() });
                Ok(image)
            }
            // A daemon that stops properly ends its answer without an error.
            Err(error) if error.kind() == Kind::NoEngine => {
                Err(failed(Way::Pull, PullFailure::DaemonLost, reference, &error.to_string()))
            }
            Err(error) => Err(error.into()),
            Ok(None) => Err(failed(
                Way::Pull,
                PullFailure::RegistryError,
                reference,
                "the pull ended without an error and without the image",
            )),
        }
    }

    /// Shows the progress of a pull or a push until it ends.
    pub(crate) async fn follow(
        &self,
        stream: impl Stream<Item = Result<CreateImageInfo, bollard::errors::Error>>,
        reference: &str,
        events: &Events,
        deadline: Duration,
        way: Way,
    ) -> Result<(), PrepareError> {
        let failed = |failure, reference, text: &str| failed(way, failure, reference, text);
        let mut stream = std::pin::pin!(stream);
        loop {
            match tokio::time::timeout(deadline, stream.next()).await {
                Ok(None) => return Ok(()),
                Ok(Some(Ok(step))) => events_of(step).into_iter().for_each(|e| events.emit(e)),
                Ok(Some(Err(refusal))) => {
                    let text = failure::text(&refusal);
                    let failure = if failure::is_silence(&refusal) {
                        PullFailure::DaemonLost
                    } else {
                        PullFailure::of(&text)
                    };
                    return Err(failed(failure, reference, &text));
                }
                Err(_) => {
                    let text =
                        format!("no progress within {}", humantime::format_duration(deadline));
                    // Both a registry that does not answer and a daemon that hangs look like this.
                    // The ping tells them apart.
                    let failure = match self.client.ping().await {
                        Ok(_) => PullFailure::Unreachable,
                        Err(_) => PullFailure::DaemonLost,
                    };
                    return Err(failed(failure, reference, &text));
                }
            }
        }
    }
}

fn failed(way: Way, failure: PullFailure, reference: &str, text: &str) -> PrepareError {
    let kind = match failure {
        PullFailure::DaemonLost => Kind::NoEngine,
        _ => Kind::Image,
    };
    let verb = match way {
        Way::Pull => "pull",
        Way::Push => "push",
    };
    let error = Error::new(kind, format!("cannot {verb} the image \"{reference}\""))
        .because(failure.text())
        .because(text);
    // The hints for a pull name `devdb up`, which makes no sense after a push.
    let error = match (way, failure) {
        (Way::Push, PullFailure::Denied) => {
            error.hint(format!("docker login {}", credentials::registry(reference)))
        }
        (Way::Push, _) => error.hint("check the reference, the network and the registry"),
        (Way::Pull, _) => error.hint(failure.hint(reference)),
    };
    PrepareError { pull: Some(failure), error }
}

/// Turns a line of the daemon into progress. Lines without a layer (`Digest: …`, `Status: …`) are
/// left out.
fn events_of(step: CreateImageInfo) -> Option<Event> {
    let (layer, status) = (step.id?, step.status?);
    if status.starts_with("Pulling from") {
        return None;
    }
    let detail = step.progress_detail.unwrap_or_default();
    let bytes = |count: Option<i64>| count.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    Some(Event::PullProgress {
        layer,
        status,
        current: bytes(detail.current),
        total: bytes(detail.total),
    })
}

fn with_tag(reference: &str) -> String {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    if name.contains(':') || name.contains('@') {
        reference.to_owned()
    } else {
        format!("{reference}:latest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts are those of dockerd 20.10 and 28, and of Podman 4.
    #[test]
    fn failures_are_told_apart_by_the_daemons_words() {
        let cases = [
            (
                "Get \"http://127.0.0.1:5999/v2/\": dial tcp 127.0.0.1:5999: connect: connection refused",
                PullFailure::Unreachable,
            ),
            (
                "Get \"https://registry-1.docker.io/v2/\": dial tcp: lookup registry-1.docker.io on \
                 1.1.1.1:53: no such host",
                PullFailure::Unreachable,
            ),
            (
                "Get \"https://registry-1.docker.io/v2/\": net/http: request canceled while waiting \
                 for connection (Client.Timeout exceeded while awaiting headers)",
                PullFailure::Unreachable,
            ),
            (
                "manifest for 127.0.0.1:5000/postgres:99 not found: manifest unknown: manifest unknown",
                PullFailure::NotFound,
            ),
            (
                "no matching manifest for linux/s390x in the manifest list entries",
                PullFailure::NotFound,
            ),
            (
                "pull access denied for nobody/nothing, repository does not exist or may require \
                 'docker login': denied: requested access to the resource is denied",
                PullFailure::Denied,
            ),
            ("unauthorized: authentication required", PullFailure::Denied),
            ("toomanyrequests: You have reached your pull rate limit.", PullFailure::RegistryError),
            (
                "received unexpected HTTP status: 503 Service Unavailable",
                PullFailure::RegistryError,
            ),
            ("something nobody has seen yet", PullFailure::RegistryError),
            ("context canceled", PullFailure::DaemonLost),
            (
                "failed to register layer: write /usr/lib/x: no space left on device",
                PullFailure::DaemonError,
            ),
        ];
        for (text, failure) in cases {
            assert_eq!(PullFailure::of(text), failure, "{text}");
        }
    }

    #[test]
    fn a_reference_without_a_tag_means_latest() {
        assert_eq!(with_tag("postgres"), "postgres:latest");
        assert_eq!(with_tag("127.0.0.1:5000/postgres"), "127.0.0.1:5000/postgres:latest");
        assert_eq!(with_tag("postgres:15"), "postgres:15");
        assert_eq!(with_tag("postgres@sha256:00"), "postgres@sha256:00");
    }
}
