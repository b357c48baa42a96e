//! Finds a daemon where people who use Docker expect it.
//!
//! devdb looks in this order: `DOCKER_HOST`, `DOCKER_CONTEXT`, the current context of the Docker
//! configuration, the well-known sockets. A person chooses the first three. When the chosen daemon
//! does not answer, devdb uses no other, because another daemon has other instances.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::connect::{connect, remote};
use super::context;
use crate::engine::docker::{Docker, failure};
use crate::error::{Error, Kind};

/// How long a daemon may take to answer the first request: 2 seconds. The daemon is usually on this
/// machine, and devdb tries several places one after the other.
const FIRST_ANSWER_DEADLINE: Duration = Duration::from_secs(2);

/// How long a daemon that takes the connection and says nothing may take when the command needs it:
/// 30 seconds. It is busy or has just begun to start, and nothing can take its place.
const SILENCE_DEADLINE: Duration = Duration::from_secs(30);

/// The socket of the system's daemon.
const SYSTEM_SOCKET: &str = "/var/run/docker.sock";

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
            Some(PathBuf::from(SYSTEM_SOCKET)),
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
    /// Whether nothing listens there.
    pub absent: bool,
    /// Whether the daemon takes connections and does not answer.
    pub silent: bool,
    /// Whether the failure ends the search for an engine: a person chose this daemon, or a daemon
    /// is there.
    pub decisive: bool,
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
    /// Whether a person named the daemon for this command, by `DOCKER_HOST` or `DOCKER_CONTEXT`.
    pub named: bool,
}

impl Discovery {
    /// Whether another engine may take docker's place: nobody chose a daemon, and none is there.
    pub fn is_nobody_there(&self) -> bool {
        self.engine.is_none() && !self.tried.iter().any(|candidate| candidate.decisive)
    }

    /// A daemon that is there and cannot be used.
    pub fn obstacle(&self) -> Option<&Candidate> {
        self.tried.iter().find(|candidate| candidate.result.is_err() && !candidate.absent)
    }

    /// A daemon that takes connections and does not answer.
    fn silent(&self) -> Option<&Candidate> {
        self.tried.iter().find(|candidate| candidate.silent)
    }

    /// The error of a command that needs the daemon.
    pub fn error(&self) -> Error {
        let tried: Vec<String> = self.tried.iter().map(ToString::to_string).collect();
        Error::new(Kind::NoEngine, "no Docker engine answers")
            .excerpt(tried.join("\n"))
            .hint("start Docker (systemctl start docker, or Docker Desktop, Colima, OrbStack …)")
    }
}

/// Who chose a place where a daemon may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Choice {
    /// Nobody. It is a well-known socket.
    Nobody,
    /// The Docker configuration. Docker Desktop writes it by itself, so an engine that does not run
    /// is nobody's wish.
    Configuration,
    /// A variable, for this command.
    Variable,
}

/// A place where a daemon may be. devdb has not asked it yet.
struct PossibleDaemon {
    source: String,
    address: String,
    tls: Option<PathBuf>,
    choice: Choice,
    /// The reason why the daemon cannot be asked at all.
    problem: Option<String>,
}

/// Why a daemon cannot be used.
enum Refusal {
    /// Nothing listens there.
    Absent(String),
    /// It takes the connection and does not answer.
    Silent(String),
    /// Anything else.
    Other(String),
}

impl PossibleDaemon {
    /// Whether a person chose it. Then devdb uses no other daemon.
    fn is_chosen(&self) -> bool {
        self.choice != Choice::Nobody
    }

    fn answered(self, answer: String) -> Candidate {
        Candidate {
            source: self.source,
            address: self.address,
            result: Ok(answer),
            absent: false,
            silent: false,
            decisive: false,
        }
    }

    fn refused(self, refusal: Refusal) -> Candidate {
        let silent = matches!(refusal, Refusal::Silent(_));
        let absent = matches!(refusal, Refusal::Absent(_));
        let (Refusal::Absent(why) | Refusal::Silent(why) | Refusal::Other(why)) = refusal;
        let decisive = match self.choice {
            Choice::Nobody => silent,
            Choice::Configuration => !absent,
            Choice::Variable => true,
        };
        Candidate {
            source: self.source,
            address: self.address,
            result: Err(why),
            absent,
            silent,
            decisive,
        }
    }
}

/// Looks for a daemon and stops at the first that answers. Usually that takes one ping.
pub async fn discover(env: &DockerEnvironment) -> Discovery {
    search(places(env), env, FIRST_ANSWER_DEADLINE).await
}

/// Looks for a daemon, and waits up to 30 seconds for one that is there and does not answer. Calls
/// `waiting` with its address before it waits.
pub async fn discover_patiently(env: &DockerEnvironment, waiting: impl Fn(&str)) -> Discovery {
    let found = discover(env).await;
    let Some(silent) = found.silent().filter(|_| found.engine.is_none()) else { return found };
    waiting(&silent.address);
    let mut places = places(env);
    places.retain(|place| place.address == silent.address);
    search(places, env, SILENCE_DEADLINE).await
}

async fn search(
    mut places: Vec<PossibleDaemon>,
    env: &DockerEnvironment,
    deadline: Duration,
) -> Discovery {
    if places.iter().any(PossibleDaemon::is_chosen) {
        places.retain(PossibleDaemon::is_chosen);
    }
    let named = places.iter().any(|place| place.choice == Choice::Variable);
    let mut tried = Vec::new();
    for place in places {
        match reach(&place, env, Question::Ping, deadline).await {
            Ok((engine, answer)) => {
                tried.push(place.answered(answer));
                return Discovery { tried, engine: Some(engine), named };
            }
            Err(refusal) => tried.push(place.refused(refusal)),
        }
    }
    Discovery { tried, engine: None, named }
}

/// Asks the daemons in all places for their versions, for `devdb doctor`. The engine in the result
/// is the one that [`discover`] finds.
pub async fn discover_all(env: &DockerEnvironment) -> Discovery {
    let places = places(env);
    let only_chosen = places.iter().any(PossibleDaemon::is_chosen);
    let named = places.iter().any(|place| place.choice == Choice::Variable);
    let ask = |place| reach(place, env, Question::Version, FIRST_ANSWER_DEADLINE);
    let answers = join_all(places.iter().map(ask)).await;
    let mut found = Discovery { tried: Vec::new(), engine: None, named };
    for (place, answer) in places.into_iter().zip(answers) {
        let eligible = place.is_chosen() || !only_chosen;
        found.tried.push(match answer {
            Ok((engine, text)) => {
                if eligible && found.engine.is_none() {
                    found.engine = Some(engine);
                }
                place.answered(text)
            }
            Err(refusal) => place.refused(refusal),
        });
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
            choice: Choice::Variable,
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
                choice: Choice::Nobody,
                problem: None,
            });
        }
    }
    places
}

/// The context that the environment or the Docker configuration names.
fn context_place(env: &DockerEnvironment) -> Option<PossibleDaemon> {
    let config_dir = env.config_dir();
    let broken = |source: &str, problem: String, choice: Choice| PossibleDaemon {
        source: source.to_owned(),
        address: String::new(),
        tls: None,
        choice,
        problem: Some(problem),
    };
    let (name, choice) = match set(env.docker_context.as_deref()) {
        // The context `default` stands for the system's socket.
        Some("default") => {
            return Some(PossibleDaemon {
                source: "context default".into(),
                address: format!("unix://{SYSTEM_SOCKET}"),
                tls: None,
                choice: Choice::Variable,
                problem: None,
            });
        }
        Some(name) => (name.to_owned(), Choice::Variable),
        None => match context::current(config_dir.as_deref()?) {
            Ok(name) => (name?, Choice::Configuration),
            Err(problem) => return Some(broken("current context", problem, Choice::Nobody)),
        },
    };
    let source = format!("context {name}");
    let Some(config_dir) = config_dir else {
        return Some(broken(&source, "there is no home directory to look in".into(), choice));
    };
    Some(match context::load(&config_dir, &name) {
        Ok(found) => {
            PossibleDaemon { source, address: found.host, tls: found.tls, choice, problem: None }
        }
        Err(problem) => broken(&source, problem, choice),
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
    deadline: Duration,
) -> Result<(Docker, String), Refusal> {
    if let Some(problem) = &place.problem {
        return Err(Refusal::Other(problem.clone()));
    }
    if is_socket_missing(&place.address) {
        return Err(Refusal::Absent("no such socket".into()));
    }
    let remote = remote(&place.address);
    if remote.is_some() && set(env.publish.as_deref()).is_none() {
        let why = "it is on another machine, and devdb publishes databases on 127.0.0.1 only; \
                   DEVDB_PUBLISH=1 lets run and ephemeral publish theirs on that machine";
        return Err(Refusal::Other(why.into()));
    }
    let client = connect(&place.address, place.tls.as_deref()).map_err(Refusal::Other)?;
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
                Ok::<_, Refusal>("answers".to_owned())
            }
            Question::Version => {
                let version = engine.version().await.map_err(|error| {
                    let why = error.causes().last().cloned();
                    Refusal::Other(why.unwrap_or_else(|| error.to_string()))
                })?;
                version.check().map_err(|error| Refusal::Other(error.to_string()))?;
                Ok(version.to_string())
            }
        }
    };
    let begun = Instant::now();
    let answer = tokio::time::timeout(deadline, answer).await.map_err(|_| {
        Refusal::Silent(format!("no answer within {:.0} s", begun.elapsed().as_secs_f64()))
    })??;
    Ok((engine, answer))
}

fn is_socket_missing(address: &str) -> bool {
    address.strip_prefix("unix://").is_some_and(|path| !Path::new(path).exists())
}

fn refused(refusal: &bollard::errors::Error) -> Refusal {
    let text = failure::text(refusal);
    if text.contains("Connection refused") {
        return Refusal::Absent(text);
    }
    if text.contains("Permission denied") {
        return Refusal::Other(format!(
            "{text}; sudo usermod -aG docker $USER and a new login give it"
        ));
    }
    Refusal::Other(text)
}

#[cfg(test)]
#[path = "discover_tests.rs"]
mod tests;
