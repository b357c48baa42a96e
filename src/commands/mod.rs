//! The commands, one file each. A command only calls the rooms below in order: it has no printing,
//! no engine's details and no SQL.

mod cache;
mod completions;
mod config;
mod doctor;
mod down;
mod env;
mod env_care;
mod ephemeral;
mod gc;
mod generations;
mod help;
mod init;
mod lent;
mod list;
mod logs;
mod man;
mod migrate;
mod project;
mod psql;
mod reset;
mod restart;
mod run;
mod secret;
mod seed;
mod snapshot;
mod start;
mod status;
mod stop;
mod undo;
mod up;
mod url;
mod watch_idle;
mod watch_run;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::cli::{Command, Global};
use crate::config::environment::Environment;
use crate::config::{self as settings, Config, Overrides, Project, identity};
use crate::context::Context;
use crate::db::migrate::{OtherTool, other_tool};
use crate::embedded;
use crate::engine::docker::DockerEnvironment;
use crate::engine::native::NativeEnvironment;
use crate::engine::{Engines, Role};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::event::Events;
use crate::golden;
use crate::instance::{self, Instance};
use crate::interrupt::Interrupt;
use crate::outcome::{Outcome, Report, Said};
use crate::secret::KeySource;
use crate::spec::Owner;
use crate::state::{GenerationRecord, Guards, Home, Record, Store};

pub use completions::answer as complete;

/// What every command starts with.
pub struct App {
    global: Global,
    environment: Environment,
    events: Events,
    interrupt: Interrupt,
}

impl App {
    /// Makes the app of this process.
    pub fn new(
        global: Global,
        environment: Environment,
        events: Events,
        interrupt: Interrupt,
    ) -> Self {
        App { global, environment, events, interrupt }
    }

    /// The directory where the search for devdb.yaml starts.
    fn start_directory(&self) -> Result<PathBuf> {
        let here = std::env::current_dir()
            .or_fail(Kind::Config, || "cannot find out the current directory".into())?;
        match &self.global.directory {
            None => Ok(here),
            Some(directory) => here
                .join(directory)
                .canonicalize()
                .or_fail(Kind::Usage, || format!("cannot enter {}", directory.display())),
        }
    }

    /// The settings from all their sources.
    fn config(&self, mut flags: Overrides) -> Result<Config> {
        flags.developer = self.global.developer.clone();
        flags.instance = self.global.instance.clone();
        let start = self.start_directory()?;
        let config = settings::load(&start, &self.environment, &flags)?;
        for warning in &config.warnings {
            self.events.warn(warning.clone());
        }
        if let Project::Sample = config.project {
            self.warn_of_migrations(&start);
        }
        Ok(config)
    }

    /// Warns in a directory that has migrations and is not the sample that it is taken for.
    fn warn_of_migrations(&self, start: &Path) {
        let migrations = start.join("migrations");
        let found = match other_tool(start) {
            Some(OtherTool { name, place, .. }) => format!("{place} has migrations of {name}"),
            None if migrations.is_dir() => "there is a migrations directory".to_owned(),
            None => return,
        };
        if !embedded::is_sample_project(&migrations) {
            self.events.warn(format!(
                "{found}, but there is no devdb.yaml here, so this is devdb's sample project; `devdb init` \
                 makes the directory a project of its own"
            ));
        }
    }

    /// The context of a command for an instance, resolved and validated.
    fn context(&self, flags: Overrides, timeout: Option<Duration>) -> Result<Context> {
        self.context_of(Record::current_generation, None, flags, timeout)
    }

    /// The context for one generation of the instance, if that exists. An instance that begins with
    /// a copy of the instance `origin` goes on with what that one was made with.
    fn context_of(
        &self,
        generation: impl Fn(&Record) -> Option<&GenerationRecord>,
        origin: Option<&str>,
        flags: Overrides,
        timeout: Option<Duration>,
    ) -> Result<Context> {
        let mut config = self.config(flags)?;
        let data_dir = self.environment.data_dir()?;
        let store = Store::open(&data_dir)?;
        let (identity, home) = match &config.project {
            Project::Directory { root } => {
                let identity = identity::project_id(root, &data_dir, &self.environment)?;
                let home = Home::of(root, &identity.checkout);
                (identity, Some(home))
            }
            Project::Sample => (identity::sample_id(&data_dir, &self.environment)?, None),
        };
        for note in &identity.notes {
            self.events.note(note.clone());
        }
        if let Some(home) = &home
            && let Err(error) = store.note_move(&identity.id, home)
        {
            self.events.warn(format!("devdb could not record where the project is now: {error}"));
        }
        let key = self.key_source(&config, data_dir.clone(), identity.id.clone())?;
        let owner = config.spec(&identity.id, timeout).owner;
        let made = |owner: &Owner| {
            let record = store.load(&owner.key()).ok().flatten()?;
            generation(&record).cloned()
        };
        let made_for_origin = || made(&Owner { instance: origin?.to_owned(), ..owner.clone() });
        if let Some(made) = made(&owner).or_else(made_for_origin) {
            config.remember(made.profile.as_deref(), &made.made_with.database);
        }
        let spec = config.spec(&identity.id, timeout);
        let engines = self.engines(data_dir, spec.server.bin_dir.clone());
        Ok(Context {
            spec,
            store,
            engines,
            events: self.events.clone(),
            interrupt: self.interrupt.clone(),
            environment: self.environment.clone(),
            home,
            key,
            env_file: config.env_file,
            directory: match config.project {
                Project::Directory { root } => root,
                Project::Sample => self.start_directory()?,
            },
        })
    }

    fn key_source(
        &self,
        config: &Config,
        data_dir: PathBuf,
        project_id: String,
    ) -> Result<KeySource> {
        let name = config.key_env.clone();
        let value = self.environment.get(&name);
        let source = KeySource::new(name.clone(), value, data_dir, project_id);
        match (&config.key_file, &config.project) {
            (Some(file), Project::Directory { root }) => {
                let shown = file.strip_prefix(root).unwrap_or(file).display().to_string();
                source.or_from_file(file, &shown)
            }
            _ => Ok(source),
        }
    }
}

impl App {
    /// The engines, as the environment configures them.
    fn engines(&self, data_dir: PathBuf, bin_dir: Option<PathBuf>) -> Engines {
        let environment = &self.environment;
        Engines {
            docker: DockerEnvironment {
                docker_host: environment.get("DOCKER_HOST").map(str::to_owned),
                docker_context: environment.get("DOCKER_CONTEXT").map(str::to_owned),
                docker_config: environment.docker_config(),
                docker_tls_verify: environment.get("DOCKER_TLS_VERIFY").map(str::to_owned),
                docker_cert_path: environment.get("DOCKER_CERT_PATH").map(PathBuf::from),
                publish: environment.publish().map(str::to_owned),
                xdg_runtime_dir: environment.runtime_dir(),
                home: environment.home().map(PathBuf::from),
            },
            native: NativeEnvironment {
                bin_dir,
                path: environment.get("PATH").map(OsString::from),
                home: environment.home().map(PathBuf::from),
                data_dir,
                runtime_dir: environment.runtime_dir(),
            },
        }
    }
}

/// How long a command waits at its end for the removal of what killed commands left. The next
/// command continues the removal.
const REAP_DEADLINE: Duration = Duration::from_millis(50);

/// Runs one command. At the same time devdb removes what killed commands left, and afterwards it
/// removes expired generations.
///
/// # Errors
/// The error of the command. Its kind decides the exit code.
pub async fn run(app: &App, command: Command) -> Result<Outcome> {
    let reaching = command.reaches_engines();
    let reaping = reaching.then(|| reap(app)).flatten();
    // `gc` shows expired generations, and removes them with --yes.
    let expiring = reaching && !matches!(command, Command::Gc(_));
    let care = env_care::Care::of(&command, app.global.instance.is_some());
    let outcome = match lent::refuse(app, &command) {
        Ok(()) => dispatch(app, command).await,
        Err(refused) => Err(refused),
    };
    let outcome = match outcome {
        Err(error) if error.data_may_be_missing() => Err(with_remains(app, error).await),
        outcome => outcome,
    };
    env_care::take(app, care, outcome.as_ref().ok());
    if expiring && let Err(error) = expire(app).await {
        tracing::debug!("expired generations could not be removed: {error}");
    }
    if let Some(reaping) = reaping {
        drop(tokio::time::timeout(REAP_DEADLINE, reaping).await);
    }
    outcome
}

/// Adds to an error what there is to go back to.
async fn with_remains(app: &App, error: Error) -> Error {
    match silent(app).context(Overrides::default(), None) {
        Ok(context) => instance::with_remains(&context, error).await,
        Err(_) => error,
    }
}

/// The app without events: the command itself has given the warnings about the settings.
fn silent(app: &App) -> App {
    App::new(app.global.clone(), app.environment.clone(), Events::silent(), app.interrupt.clone())
}

/// Removes the expired generations of this directory's instance.
async fn expire(app: &App) -> Result<()> {
    let records = Store::open(&app.environment.data_dir()?)?.load_all()?;
    if !records.iter().flatten().any(instance::has_expired) {
        return Ok(());
    }
    let context = silent(app).context(Overrides::default(), None)?;
    Instance::expire(&Context { events: app.events.clone(), ..context }).await
}

/// Removes what killed commands left. The next command tries again after a failure.
fn reap(app: &App) -> Option<JoinHandle<()>> {
    let data_dir = app.environment.data_dir().ok()?;
    let engines = app.engines(data_dir.clone(), None);
    Some(tokio::spawn(async move {
        let native = async {
            let store = Store::open(&data_dir)?;
            store.remove_drafts()?;
            let native = engines.native_store()?;
            native.reap().await?;
            for owner in native.abandoned_builders().await? {
                let lock = store.try_lock(Guards::Instance(&owner.key()))?;
                if lock.is_some() && store.load(&owner.key())?.is_none() {
                    native.remove_private(&owner, Role::Builder).await?;
                }
            }
            golden::sweep(&store, &native).await
        };
        let docker = async { engines.docker().await?.reap().await };
        // At the same time, because a command that is quick waits for both.
        let (docker, native) = tokio::join!(docker, native);
        for collected in [native, docker] {
            if let Err(error) = collected {
                tracing::debug!("leftovers of a killed command could not be removed: {error}");
            }
        }
    }))
}

async fn dispatch(app: &App, command: Command) -> Result<Outcome> {
    match command {
        Command::Up(args) => up::run(app, args).await,
        Command::Down(args) => down::run(app, args).await,
        Command::Run(args) => run::run(app, args).await,
        Command::Ephemeral(args) => ephemeral::run(app, args).await,
        Command::WatchRun => watch_run::run(app).await,
        Command::WatchIdle(args) => watch_idle::run(app, args).await,
        Command::Stop(args) => stop::run(app, args).await,
        Command::Start(args) => start::run(app, args).await,
        Command::Restart(args) => restart::run(app, args).await,
        Command::Reset(args) => reset::run(app, args).await,
        Command::Undo(args) => undo::run(app, args).await,
        Command::Generations(args) => generations::run(app, args).await,
        Command::Gc(args) => gc::run(app, args).await,
        Command::Snapshot(args) => snapshot::run(app, args).await,
        Command::Cache(args) => cache::run(app, args).await,
        Command::Status(args) => status::run(app, args).await,
        Command::List => list::run(app).await,
        Command::Url => url::run(app),
        Command::Env(args) => env::run(app, args),
        Command::Psql(args) => psql::run(app, args).await,
        Command::Logs(args) => logs::run(app, args).await,
        Command::Migrate(args) => migrate::run(app, args).await,
        Command::Seed(args) => seed::run(app, args).await,
        Command::Secret(args) => secret::run(app, args),
        Command::Config(args) => config::run(app, args),
        Command::Init(args) => init::run(app, args),
        Command::Doctor => doctor::run(app).await,
        Command::Completions(args) => completions::run(args),
        Command::Man => man::run(),
        Command::Help(args) => help::run(args),
    }
}

/// A result of one sentence.
fn said(command: &'static str, changed: bool, message: impl Into<String>) -> Outcome {
    Outcome { command, report: Report::Said(Said { message: message.into(), changed }), exit: 0 }
}
