//! The command line: types only. Their docs are the help text.

mod cache;
mod database;
mod global;
mod hints;
mod parse;
mod project;
mod psql_words;
mod run;
mod snapshot;
mod time;

use clap::{Args, Parser, Subcommand};

pub use cache::{CacheArgs, CacheCommand, PruneArgs, TransferArgs};
pub use database::{
    DownArgs, EnvArgs, EnvFormat, GcArgs, GenerationsArgs, GenerationsCommand, LogsArgs,
    MigrateArgs, MigrateCommand, PsqlArgs, ResetArgs, RestartArgs, SeedArgs, StartArgs, StatusArgs,
    StopArgs, UndoArgs, UpArgs,
};
pub use global::{Format, Global};
pub use hints::{commands_of_databases, may_help, typed};
pub use parse::{command, parse};
pub use project::{CiSystem, ConfigArgs, ConfigCommand, InitArgs, SecretArgs, SecretCommand};
pub use run::{
    DatabaseArgs, EnvironmentArgs, EphemeralAction, EphemeralArgs, EphemeralEnvArgs,
    EphemeralStartArgs, EphemeralStopArgs, RunArgs,
};
pub use snapshot::{SnapshotArgs, SnapshotCommand};

/// What `--engine` takes. Settings take the same words; `config` checks those.
const ENGINES: [&str; 3] = ["auto", "docker", "native"];

/// A PostgreSQL of its own for every developer, every checkout and every CI job
#[derive(Debug, Parser)]
#[command(
    name = "devdb",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    max_term_width = 80,
    after_help = "Examples:\n  \
    devdb up                create and start a database, in any directory\n  \
    psql \"$(devdb url)\"     open a shell on it (or: devdb psql)\n  \
    devdb env --write .env  write DATABASE_URL for your application\n  \
    devdb reset             replace it with a fresh one, migrated and seeded\n  \
    devdb undo              go back to the one from before the reset\n  \
    devdb snapshot save     save a copy of the data\n  \
    devdb down              stop it and keep the data\n  \
    devdb run -- CMD        run CMD (your tests) with a database of its own\n\n\
    Exit codes:\n  \
    0 done, 1 failure, 2 usage, 3 configuration, 4 something is pending (--check),\n  \
    10 no engine, 11 not ready in time, 12 port or lock busy, 20 migration failed,\n  \
    21 drift, 22 seed failed, 23 snapshot unusable, 130 interrupted.\n  \
    devdb run exits with the code of its command.\n\n\
    The manual: devdb help"
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create or start the database, then apply migrations and seeds
    Up(UpArgs),
    /// Stop the database and remove its container; the data remains
    Down(DownArgs),
    /// Run a command with a database of its own, which is removed when the command ends
    Run(RunArgs),
    /// Start and stop databases that are removed after a set time, for CI systems
    Ephemeral(EphemeralArgs),
    /// Stop the server; the container and the data remain
    Stop(StopArgs),
    /// Start a stopped server, without migrating or seeding
    Start(StartArgs),
    /// Stop the server and start it again, without migrating or seeding
    Restart(RestartArgs),
    /// Replace the database with a fresh one, migrated and seeded
    Reset(ResetArgs),
    /// Go back to the database from before the last reset, restore or migration
    Undo(UndoArgs),
    /// List the former databases (generations), switch to one, keep one for good, or remove one
    Generations(GenerationsArgs),
    /// List data that is past its time or belongs to a deleted branch or directory; --yes removes it
    Gc(GcArgs),
    /// Save copies of the data under a name, and restore them
    Snapshot(SnapshotArgs),
    /// Manage the prepared databases that `up` and `reset` start from
    Cache(CacheArgs),
    /// Show whether the database runs, where it is and what is pending
    Status(StatusArgs),
    /// List every database of devdb on this machine
    #[command(after_help = "A * marks the database of the current directory.\n\n\
    Example:\n  \
    devdb list")]
    List,
    /// Print the database's URL with its password
    #[command(after_help = "Example:\n  \
    psql \"$(devdb url)\"")]
    Url,
    /// Print the variables that an application needs, or write them into a file
    Env(EnvArgs),
    /// Open psql on the database
    Psql(PsqlArgs),
    /// Show the server's log
    Logs(LogsArgs),
    /// Apply migrations, create a migration file, or list the migrations
    Migrate(MigrateArgs),
    /// Apply the seed files that have not been applied yet
    Seed(SeedArgs),
    /// Create an encryption key; encrypt and decrypt values
    Secret(SecretArgs),
    /// Show every setting, its value and where the value comes from
    Config(ConfigArgs),
    /// Create the files of a project in this directory
    Init(InitArgs),
    /// Check this machine for what devdb needs, and report problems
    #[command(
        after_help = "devdb shows problems first, then what this project uses. With -v it shows every place \
    where it looked. The exit code is 1 when a check fails; a warning does not change it.\n\n\
    Examples:\n  \
    devdb doctor\n  \
    devdb doctor -v"
    )]
    Doctor,
    /// End a database whose devdb was killed; devdb starts this itself
    #[command(name = "watch-run", hide = true)]
    WatchRun,
    /// Stop a database that nobody uses; devdb starts this itself
    #[command(name = "watch-idle", hide = true)]
    WatchIdle(WatchIdleArgs),
    /// Print a completion script for a shell
    #[command(after_help = "Examples:\n  \
    source <(devdb completions bash)    in ~/.bashrc\n  \
    source <(devdb completions zsh)     in ~/.zshrc, after compinit\n  \
    devdb completions fish > ~/.config/fish/completions/devdb.fish")]
    Completions(CompletionsArgs),
    /// Print the manual as a page for man
    #[command(after_help = "Example:\n  \
    devdb man | man -l -")]
    Man,
    /// Show a page of the manual, or the help of a command
    Help(HelpArgs),
}

impl Command {
    /// Whether it asks engines anything. The others answer at once, with or without an engine.
    pub fn reaches_engines(&self) -> bool {
        !matches!(
            self,
            Command::WatchRun
                | Command::WatchIdle(_)
                | Command::Url
                | Command::Env(_)
                | Command::Secret(_)
                | Command::Config(_)
                | Command::Init(_)
                | Command::Completions(_)
                | Command::Man
                | Command::Help(_)
        )
    }
}

/// `devdb watch-idle`
#[derive(Debug, Args)]
pub struct WatchIdleArgs {
    /// The key of the instance
    pub key: String,
    /// After how many seconds without a client to stop it
    pub seconds: u64,
    /// The digest of the launch of its server
    pub launch: String,
}

impl Command {
    /// The name of a command that works on the developer's own instance and has no meaning for the
    /// database of a run. None for the others.
    pub fn of_own_instance(&self) -> Option<&'static str> {
        Some(match self {
            Command::Up(_) => "up",
            Command::Down(_) => "down",
            Command::Stop(_) => "stop",
            Command::Start(_) => "start",
            Command::Restart(_) => "restart",
            Command::Reset(_) => "reset",
            Command::Undo(_) => "undo",
            Command::Generations(_) => "generations",
            Command::Snapshot(_) => "snapshot",
            Command::Logs(_) => "logs",
            Command::Migrate(MigrateArgs { command: None | Some(MigrateCommand::Run) }) => {
                "migrate"
            }
            Command::Seed(_) => "seed",
            Command::Run(_)
            | Command::Ephemeral(_)
            | Command::Gc(_)
            | Command::Cache(_)
            | Command::Status(_)
            | Command::List
            | Command::Url
            | Command::Env(_)
            | Command::Psql(_)
            | Command::Migrate(_)
            | Command::Secret(_)
            | Command::Config(_)
            | Command::Init(_)
            | Command::Doctor
            | Command::WatchRun
            | Command::WatchIdle(_)
            | Command::Completions(_)
            | Command::Man
            | Command::Help(_) => return None,
        })
    }
}

/// `devdb completions`
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `devdb help`
#[derive(Debug, Args)]
#[command(
    after_help = "Without a topic, devdb lists the pages of the manual. A command and a page can have \
    the same name: `devdb help cache` shows the command, `devdb help --page cache` the \
    page.\n\n\
    Examples:\n  \
    devdb help             list the pages of the manual\n  \
    devdb help seeds       show the page about seeds and secrets\n  \
    devdb help options     show the options that every command takes\n  \
    devdb help migrate     show the help of `devdb migrate`"
)]
pub struct HelpArgs {
    /// A page of the manual, or a command
    #[arg(value_name = "TOPIC")]
    pub topic: Vec<String>,
    /// Show the page even when a command has the same name
    #[arg(long)]
    pub page: bool,
}
