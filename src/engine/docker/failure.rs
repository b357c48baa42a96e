//! Turns the refusals of a daemon into devdb's errors.

use bollard::errors::Error as Refusal;

use super::Docker;
use crate::error::{Error, Kind};

/// The HTTP status of a refusal. None when the daemon did not answer.
pub(super) fn status(refusal: &Refusal) -> Option<u16> {
    match refusal {
        Refusal::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// Whether the daemon says that there is no such object.
pub(super) fn is_missing(refusal: &Refusal) -> bool {
    status(refusal) == Some(404)
}

/// Whether the daemon says that another container has the name.
pub(super) fn is_name_taken(refusal: &Refusal) -> bool {
    // Podman answers with status 500 and this text.
    status(refusal) == Some(409) || text(refusal).contains("already in use")
}

/// Whether the daemon did not answer, or stopped in the middle of its answer.
pub(super) fn is_silence(refusal: &Refusal) -> bool {
    !matches!(
        refusal,
        Refusal::DockerResponseServerError { .. }
            | Refusal::DockerStreamError { .. }
            | Refusal::DockerContainerWaitError { .. }
            | Refusal::JsonDataError { .. }
            | Refusal::JsonSerdeError { .. }
    )
}

/// The daemon's own message. Without one, the innermost error on the way to the daemon.
pub(super) fn text(refusal: &Refusal) -> String {
    match refusal {
        Refusal::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        Refusal::DockerStreamError { error } => error.trim().to_owned(),
        other => {
            let mut parts: Vec<String> = Vec::new();
            let mut cause: Option<&dyn std::error::Error> = Some(other);
            while let Some(current) = cause {
                let part = current.to_string();
                // Several layers repeat the text of their source, so keep it once.
                if let Some(last) = parts.last_mut()
                    && last.contains(&part)
                {
                    *last = part;
                } else {
                    parts.push(part);
                }
                cause = current.source();
            }
            // The innermost error says why (`Connection refused`); the outer ones add nothing.
            parts.pop().unwrap_or_default()
        }
    }
}

impl Docker {
    /// Turns a refusal into an error. `what` names the failed action. A daemon that does not answer
    /// gives another kind of error than a daemon that refuses.
    pub(super) fn failed(&self, refusal: &Refusal, what: impl Into<String>) -> Error {
        if is_silence(refusal) {
            Error::new(Kind::NoEngine, what)
                .because(format!("the Docker engine at {} does not answer", self.address))
                .because(text(refusal))
                .hint("devdb doctor -v   shows where devdb looked for an engine, and what it found")
        } else {
            Error::new(Kind::Unexpected, what).because(text(refusal))
        }
    }
}

/// Whether a start failed because another program or container holds the host port. The daemon has
/// no code for this failure. The texts come from dockerd's port allocator, from its proxy and from
/// Podman.
pub(super) fn is_port_busy(refusal: &Refusal) -> bool {
    let text = text(refusal);
    ["port is already allocated", "address already in use", "ports are not available"]
        .iter()
        .any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_is_told_from_other_failures_to_start() {
        let refusal = |message: &str| Refusal::DockerResponseServerError {
            status_code: 500,
            message: message.into(),
        };
        assert!(is_port_busy(&refusal(
            "driver failed programming external connectivity on endpoint x: Bind for \
             127.0.0.1:15432 failed: port is already allocated"
        )));
        assert!(is_port_busy(&refusal(
            "Error starting userland proxy: listen tcp4 127.0.0.1:15432: bind: address already in use"
        )));
        assert!(!is_port_busy(&refusal("exec: \"postgres\": executable file not found in $PATH")));
    }

    #[test]
    fn an_answer_is_no_silence() {
        let answer = Refusal::DockerResponseServerError { status_code: 500, message: "no".into() };
        assert!(!is_silence(&answer));
        assert!(is_silence(&Refusal::RequestTimeoutError));
    }
}
