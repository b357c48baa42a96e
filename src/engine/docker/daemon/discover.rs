//! Finds a daemon where people who use Docker expect it.
//!
//! devdb looks in this order: `DOCKER_HOST`, `DOCKER_CONTEXT`, the current context of the Docker
//! configuration, the well-known sockets. A person chooses the first three. When the chosen daemon
//! does not answer, devdb uses no other, because another daemon has other instances.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::connect::{connect, remote};
use super::context;
use crate::engine::docker::{Docker, failure};
use crate::error::{Error, Kind};

/// How long a daemon may take to answer the first request: 2 seconds. The daemon is usually on this
/// machine, and devdb tries several places one after the other.
const FIRST_ANSWER_DEADLINE: Duration = Duration::from_secs(2);

/// The environment that decides where the daemon is. Empty strings count as unset.
#[derive(Debug, Clone, Default)]
pub struct DockerEnvironment {
    /// `DOCKER_HOST`.
    pub docker_host: Option<String>,
    /// `DOCKER_CONTEXT`.
    pub docker_context: Option<String>,
    /// `DOCKER_CONFIG`; without it `~/.docker`.
    pub docker_config: Option<PathBuf>,
    /// `DOCKER_TLS_VERIFY`. Any text that is not empty means yes, as in the Docker command line.
    pub docker_tls_verify: Option<String>,
    /// `DOCKER_CERT_PATH`; without it the configuration directory.
    pub docker_cert_path: Option<PathBuf>,
    /// `DEVDB_PUBLISH`. Any text that is not empty allows devdb to publish ephemeral databases on
    /// all addresses of a remote daemon's machine.
    pub publish: Option<String>,
    /// `XDG_RUNTIME_DIR`.
    pub xdg_runtime_dir: Option<PathBuf>,
    /// The home directory.
    pub home: Option<PathBuf>,
}

impl DockerEnvironment {
    fn config_dir(&self) -> Option<PathBuf> {
        let chosen = self.docker_config.clone().filter(|dir| !dir.as_os_str().is_empty());
        chosen.or_else(|| self.home.as_ref().map(|home| home.join(".docker")))
    }

    /// The directory of the TLS files, when the environment asks for TLS.
    fn tls(&self) -> Option<PathBuf> {
        set(self.docker_tls_verify.as_deref())?;
        let chosen = self.docker_cert_path.clone().filter(|dir| !dir.as_os_str().is_empty());
        chosen.or_else(|| self.config_dir())
    }

    /// The sockets of common engines. The system's socket comes first.
    fn sockets(&self) -> Vec<PathBuf> {
        let runtime = self.xdg_runtime_dir.as_deref().filter(|dir| !dir.as_os_str().is_empty());
        let below = |dir: Option<&Path>, rest: &str| dir.map(|dir| dir.join(rest));
        let home = self.home.as_deref();
        [
            Some(PathBuf::from("/var/run/docker.sock")),
            below(runtime, "docker.sock"),
            below(home, ".docker/run/docker.sock"),
            below(home, ".docker/desktop/docker.sock"),
            below(home, ".colima/default/docker.sock"),
            below(home, ".orbstack/run/docker.sock"),
            below(home, ".rd/docker.sock"),
            below(runtime, "podman/podman.sock"),
            Some(PathBuf::from("/run/podman/podman.sock")),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn set(value: Option<&str>) -> Option<&str> {
    value.filter(|value| !value.is_empty())
}

/// A place where devdb looked for a daemon.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What named the place: `DOCKER_HOST`, `context colima`, `socket`.
    pub source: String,
    /// The address, as in `DOCKER_HOST`. Empty when it is not known.
    pub address: String,
    /// The daemon's answer, or the reason why there is none.
    pub result: Result<String, String>,
}

impl std::fmt::Display for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Ok(text) | Err(text)) = &self.result;
        if self.address.is_empty() {
            write!(f, "{}: {text}", self.source)
        } else {
            write!(f, "{} {}: {text}", self.source, self.address)
        }
    }
}

/// The result of the search for a daemon.
#[derive(Debug, Clone)]
pub struct Discovery {
    /// The places where devdb looked, in order.
    pub tried: Vec<Candidate>,
    /// The first daemon that answered.
    pub engine: Option<Docker>,
}

impl Discovery {
    /// The error of a command that needs the daemon.
    pub fn error(&self) -> Error {
        let tried: Vec<String> = self.tried.iter().map(ToString::to_string).collect();
        Error::new(Kind::NoEngine, "no Docker engine answers")
            .excerpt(tried.join("\n"))
            .hint("start Docker (systemctl start docker, or Docker Desktop, Colima, OrbStack …)")
    }
}

/// A place where a daemon may be. devdb has not asked it yet.
struct PossibleDaemon {
    source: String,
    address: String,
    tls: Option<PathBuf>,
    /// Whether a person chose it. Then devdb uses no other daemon.
    chosen: bool,
    /// The reason why the daemon cannot be asked at all.
    problem: Option<String>,
}

impl PossibleDaemon {
    fn candidate(self, result: Result<String, String>) -> Candidate {
        Candidate { source: self.source, address: self.address, result }
    }
}

/// Looks for a daemon and stops at the first that answers. Usually that takes one ping.
pub async fn discover(env: &DockerEnvironment) -> Discovery {
    let mut places = places(env);
    if places.iter().any(|place| place.chosen) {
        places.retain(|place| place.chosen);
    }
    let mut tried = Vec::new();
    for place in places {
        match reach(&place, env, Question::Ping).await {
            Ok((engine, answer)) => {
                tried.push(place.candidate(Ok(answer)));
                return Discovery { tried, engine: Some(engine) };
            }
            Err(problem) => tried.push(place.candidate(Err(problem))),
        }
    }
    Discovery { tried, engine: None }
}

/// Asks the daemons in all places for their versions, for `devdb doctor`. The engine in the result
/// is the one that [`discover`] finds.
pub async fn discover_all(env: &DockerEnvironment) -> Discovery {
    let places = places(env);
    let only_chosen = places.iter().any(|place| place.chosen);
    let answers = join_all(places.iter().map(|place| reach(place, env, Question::Version))).await;
    let mut found = Discovery { tried: Vec::new(), engine: None };
    for (place, answer) in places.into_iter().zip(answers) {
        let eligible = place.chosen || !only_chosen;
        let result = answer.map(|(engine, text)| {
            if eligible && found.engine.is_none() {
                found.engine = Some(engine);
            }
            text
        });
        found.tried.push(place.candidate(result));
    }
    found
}

fn places(env: &DockerEnvironment) -> Vec<PossibleDaemon> {
    let mut places = Vec::new();
    if let Some(host) = set(env.docker_host.as_deref()) {
        places.push(PossibleDaemon {
            source: "DOCKER_HOST".into(),
            address: host.to_owned(),
            tls: env.tls(),
            chosen: true,
            problem: None,
        });
    } else {
        places.extend(context_place(env));
    }
    let mut seen: Vec<PathBuf> = Vec::new();
    for socket in env.sockets() {
        // Two paths may lead to one socket: `/var/run` links to `/run`, and Docker Desktop links
        // its socket to the usual path.
        let real = socket.canonicalize().unwrap_or_else(|_| socket.clone());
        if !seen.contains(&real) {
            seen.push(real);
            places.push(PossibleDaemon {
                source: "socket".into(),
                address: format!("unix://{}", socket.display()),
                tls: None,
                chosen: false,
                problem: None,
            });
        }
    }
    places
}

/// The context that the environment or the Docker configuration names.
fn context_place(env: &DockerEnvironment) -> Option<PossibleDaemon> {
    let config_dir = env.config_dir();
    let broken = |source: &str, problem: String, chosen: bool| PossibleDaemon {
        source: source.to_owned(),
        address: String::new(),
        tls: None,
        chosen,
        problem: Some(problem),
    };
    let name = match set(env.docker_context.as_deref()) {
        // The context `default` stands for the system's socket, which devdb tries next anyway.
        Some("default") => return None,
        Some(name) => name.to_owned(),
        None => match context::current(config_dir.as_deref()?) {
            Ok(name) => name?,
            Err(problem) => return Some(broken("current context", problem, false)),
        },
    };
    let source = format!("context {name}");
    let Some(config_dir) = config_dir else {
        return Some(broken(&source, "there is no home directory to look in".into(), true));
    };
    Some(match context::load(&config_dir, &name) {
        Ok(found) => PossibleDaemon {
            source,
            address: found.host,
            tls: found.tls,
            chosen: true,
            problem: None,
        },
        Err(problem) => broken(&source, problem, true),
    })
}

/// The first question to a daemon.
#[derive(Clone, Copy)]
enum Question {
    /// Whether the daemon answers. This takes a millisecond.
    Ping,
    /// The daemon's version.
    Version,
}

async fn reach(
    place: &PossibleDaemon,
    env: &DockerEnvironment,
    question: Question,
) -> Result<(Docker, String), String> {
    if let Some(problem) = &place.problem {
        return Err(problem.clone());
    }
    let remote = remote(&place.address);
    if remote.is_some() && set(env.publish.as_deref()).is_none() {
        return Err("it is on another machine, and devdb publishes databases on 127.0.0.1 only; \
                    DEVDB_PUBLISH=1 lets run and ephemeral publish theirs on that machine"
            .into());
    }
    let client = connect(&place.address, place.tls.as_deref())?;
    let engine = Docker {
        client,
        address: place.address.clone(),
        config_dir: env.config_dir(),
        version: Arc::default(),
        remote,
        standpoint: Arc::default(),
    };
    let answer = async {
        match question {
            Question::Ping => {
                engine.client.ping().await.map_err(|refusal| refused(&refusal))?;
                Ok::<_, String>("answers".to_owned())
            }
            Question::Version => {
                let version = engine.version().await.map_err(|error| {
                    error.causes().last().cloned().unwrap_or_else(|| error.to_string())
                })?;
                version.check().map_err(|error| error.to_string())?;
                Ok(version.to_string())
            }
        }
    };
    let answer = tokio::time::timeout(FIRST_ANSWER_DEADLINE, answer)
        .await
        .map_err(|_| format!("no answer within {} s", FIRST_ANSWER_DEADLINE.as_secs()))??;
    Ok((engine, answer))
}

fn refused(refusal: &bollard::errors::Error) -> String {
    let text = failure::text(refusal);
    if text.contains("Permission denied") {
        return format!("{text}; sudo usermod -aG docker $USER and a new login give it");
    }
    text
}

#[cfg(test)]
#[path = "discover_tests.rs"]
mod tests;
