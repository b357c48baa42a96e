//! Choosing an engine for a new instance, and opening the engine of an instance that exists.

use super::docker::{self, Discovery, Docker, DockerEnvironment, PullFailure};
use super::native::{Native, NativeEnvironment};
use super::{Engine, Role};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Events};
use crate::spec::{EngineChoice, EngineKind, InstanceSpec, ServerSpec};

/// The environment in which devdb looks for each engine.
#[derive(Debug, Clone)]
pub struct Engines {
    /// Where a Docker daemon may be.
    pub docker: DockerEnvironment,
    /// Where server programs may be, and where native instances live.
    pub native: NativeEnvironment,
}

impl Engines {
    /// Opens the engine of this kind for an instance that lives on it. The engine must answer: an
    /// instance does not move to another engine because its own is down.
    ///
    /// # Errors
    /// `NoEngine` when the engine does not answer.
    pub async fn open(
        &self,
        kind: EngineKind,
        spec: &ServerSpec,
        events: &Events,
    ) -> Result<Engine> {
        match kind {
            EngineKind::Docker => self.patient_docker(events).await.map_err(|error| {
                // The hints of this error help to choose an engine, but the instance already has
                // one.
                let why = "this instance lives on docker, and its engine does not answer";
                Error::new(Kind::NoEngine, why)
                    .because(error.message())
                    .excerpt(error.excerpt_text().unwrap_or_default())
                    .hint("start Docker, or choose the engine again (DOCKER_HOST, DOCKER_CONTEXT)")
                    .hint("devdb doctor -v   shows where devdb looked")
            }),
            EngineKind::Native => self.native(spec),
        }
    }

    /// Chooses the engine for a new server, and prepares it. `role` matters because this process
    /// has to reach the server of an instance later.
    ///
    /// # Errors
    /// `NoEngine` with every engine that was tried. `Image` when the image cannot be pulled.
    pub async fn choose(&self, spec: &InstanceSpec, role: Role, events: &Events) -> Result<Engine> {
        match spec.engine {
            EngineChoice::Docker => {
                let chosen = self.choose_docker(&spec.server, role, events).await;
                chosen.map_err(|error| self.with_native_hint(error, &spec.server, role))
            }
            EngineChoice::Native => {
                Native::find(&self.native, spec.server.major).map(Engine::Native)
            }
            EngineChoice::Auto => self.choose_any(&spec.server, role, events).await,
        }
    }

    async fn choose_docker(
        &self,
        spec: &ServerSpec,
        role: Role,
        events: &Events,
    ) -> Result<Engine> {
        let engine = self.patient_docker(events).await?;
        if role == Role::Instance {
            engine.keeps_instances().await?;
        }
        engine.prepare(spec, events).await?;
        Ok(engine)
    }

    /// Adds how to use the native engine, if that can take docker's place.
    fn with_native_hint(&self, error: Error, spec: &ServerSpec, role: Role) -> Error {
        let concerns_docker = matches!(error.kind(), Kind::NoEngine | Kind::Image);
        if !concerns_docker || self.native_in_its_place(spec).is_err() {
            return error;
        }
        error.hint(match role {
            Role::Instance => "devdb up --engine native   uses the PostgreSQL of this machine",
            Role::Builder | Role::Ephemeral => {
                "--engine native   uses the PostgreSQL of this machine"
            }
        })
    }

    /// Lists the engines that answer. The native engine is always among them, because it can find
    /// its data even when the programs are gone.
    pub async fn reachable(&self, spec: &ServerSpec) -> Vec<Engine> {
        let docker = docker::discover(&self.docker).await.engine.map(Engine::Docker);
        docker.into_iter().chain(self.native(spec).ok()).collect()
    }

    /// Opens the engine that a person chose, or lists all that answer.
    ///
    /// # Errors
    /// `NoEngine` when the chosen engine does not answer.
    pub async fn chosen(&self, choice: EngineChoice, spec: &ServerSpec) -> Result<Vec<Engine>> {
        match choice {
            EngineChoice::Docker => Ok(vec![self.docker().await?]),
            EngineChoice::Native => Ok(vec![self.native(spec)?]),
            EngineChoice::Auto => Ok(self.reachable(spec).await),
        }
    }

    /// Finds the docker engine.
    ///
    /// # Errors
    /// `NoEngine` with the places where devdb looked for a daemon.
    pub async fn docker(&self) -> Result<Engine> {
        let discovery = docker::discover(&self.docker).await;
        discovery.engine.clone().map(Engine::Docker).ok_or_else(|| discovery.error())
    }

    /// As [`Engines::docker`], for a command that needs it: it waits for a daemon that is there and
    /// does not answer yet.
    async fn patient_docker(&self, events: &Events) -> Result<Engine> {
        let discovery = self.discover_patiently(events).await;
        discovery.engine.clone().map(Engine::Docker).ok_or_else(|| discovery.error())
    }

    async fn discover_patiently(&self, events: &Events) -> Discovery {
        docker::discover_patiently(&self.docker, |address| {
            events.step(format!("Waiting for the Docker engine at {address}"));
        })
        .await
    }

    /// Opens the native engine, with programs of the major version of `spec` if there are any.
    ///
    /// # Errors
    /// `Config` when devdb's data directory cannot be used.
    pub fn native(&self, spec: &ServerSpec) -> Result<Engine> {
        Native::find(&self.native, spec.major)
            .or_else(|_| Native::store_only(&self.native))
            .map(Engine::Native)
    }

    /// Checks that there are server programs for `spec`.
    ///
    /// # Errors
    /// `NoEngine`, with every place that was tried.
    pub fn native_programs(&self, spec: &ServerSpec) -> Result<()> {
        Native::find(&self.native, spec.major).map(drop)
    }

    /// Opens the native engine without programs. It can find and remove its data.
    ///
    /// # Errors
    /// `Config` when devdb's data directory cannot be used.
    pub fn native_store(&self) -> Result<Engine> {
        Native::store_only(&self.native).map(Engine::Native)
    }

    async fn choose_any(&self, spec: &ServerSpec, role: Role, events: &Events) -> Result<Engine> {
        let discovery = self.discover_patiently(events).await;
        let refusal = match discovery.engine.clone() {
            Some(docker) => match self.prepared(docker, spec, role, events).await? {
                Ok(engine) => return Ok(engine),
                // A person who names a daemon does not want another engine's database.
                Err(refusal) if discovery.named => {
                    return Err(self.with_native_hint(refusal, spec, role));
                }
                Err(refusal) => refusal,
            },
            None if discovery.is_nobody_there() => discovery.error(),
            None => return Err(self.with_native_hint(discovery.error(), spec, role)),
        };
        let reason = reason(&discovery, &refusal);
        match self.native_in_its_place(spec) {
            Ok(native) => {
                events.emit(Event::EngineChosen { engine: "native", reason });
                Ok(native)
            }
            Err(why_not) => {
                let mut error = refusal.because(format!("and native: {}", why_not.message()));
                for hint in why_not.hints() {
                    error = error.hint(hint.clone());
                }
                Err(error)
            }
        }
    }

    /// Prepares the docker engine. The inner error means that the native engine may take its place.
    async fn prepared(
        &self,
        docker: Docker,
        spec: &ServerSpec,
        role: Role,
        events: &Events,
    ) -> Result<Result<Engine>> {
        if role == Role::Instance
            && let Err(refusal) = docker.keeps_instances().await
        {
            return Ok(Err(refusal));
        }
        match docker.prepare_detailed(spec, events).await {
            Ok(()) => Ok(Ok(Engine::Docker(docker))),
            Err(failure) => match failure.pull {
                Some(
                    PullFailure::Unreachable | PullFailure::NotFound | PullFailure::DaemonLost,
                ) => Ok(Err(failure.error)),
                // The registry may soon work again, but the instance would stay on the native
                // engine for good.
                _ => Err(failure.error),
            },
        }
    }

    fn native_in_its_place(&self, spec: &ServerSpec) -> Result<Engine> {
        if spec.image_chosen {
            return Err(Error::new(
                Kind::NoEngine,
                format!("the project asks for the image {}, which needs docker", spec.image),
            ));
        }
        let native = Native::find(&self.native, spec.major)?;
        match spec.extensions.iter().find(|extension| !native.has_extension(extension)) {
            Some(extension) => Err(Error::new(
                Kind::NoEngine,
                format!("the local PostgreSQL {} lacks the extension {extension}", spec.major),
            )),
            None => Ok(Engine::Native(native)),
        }
    }
}

/// The reason why docker was not chosen, in one line.
fn reason(discovery: &Discovery, refusal: &Error) -> String {
    match (&discovery.engine, discovery.obstacle()) {
        (Some(_), _) => refusal.to_string(),
        (None, Some(obstacle)) => format!("no Docker engine answers ({obstacle})"),
        (None, None) => {
            "no Docker engine answers (devdb doctor -v shows where devdb looked)".into()
        }
    }
}
