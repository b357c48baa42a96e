//! The command lines of databases that go away by themselves.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::EnvFormat;

/// `devdb run`
#[derive(Debug, Args)]
#[command(
    after_help = "The command finds DATABASE_URL, DATABASE_* and PG* in its environment; its input, output,\n\
    signals and exit code are its own. The database is gone when it ends, also when devdb is killed.\n\n\
    Examples:\n  \
    devdb run -- cargo test\n  \
    devdb run -- sh -c 'npm run migrate && npm test'\n  \
    devdb run --artifact out -- pytest        log and data of a failure, for CI to keep\n  \
    devdb run --keep-on-failure -- go test ./...\n\n\
    Exit codes: the command's own; 126 it cannot be run, 127 it is not there; devdb's own when\n  \
    there is no database to run it with"
)]
pub struct RunArgs {
    /// What the database is.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// When the command fails, keep the database for a while and say how to reach it
    #[arg(long)]
    pub keep_on_failure: bool,

    /// How long it is kept then
    #[arg(long, value_name = "TIME", value_parser = super::some_time, default_value = "1h", requires = "keep_on_failure")]
    pub ttl: Duration,

    /// When the command fails, save the server's log and the data in DIR
    #[arg(long, value_name = "DIR")]
    pub artifact: Option<PathBuf>,

    /// The command and its arguments, after `--`
    #[arg(trailing_var_arg = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// What a database that goes away by itself is.
#[derive(Debug, Args)]
pub struct DatabaseArgs {
    /// Which engine runs it: auto, docker or native
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<String>,
    /// PostgreSQL's major version
    #[arg(long, value_name = "VERSION")]
    pub postgres: Option<String>,
    /// The seed profile
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Do not apply seeds
    #[arg(long)]
    pub no_seed: bool,
    /// How long to wait for the database: 90s, 3m [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = super::some_time)]
    pub timeout: Option<Duration>,
}

/// `devdb ephemeral`
#[derive(Debug, Args)]
pub struct EphemeralArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: EphemeralAction,
}

/// What to do with databases that last for a time.
#[derive(Debug, Subcommand)]
pub enum EphemeralAction {
    /// Start a database that goes away by itself when its time is over
    Start(EphemeralStartArgs),
    /// Print or write the environment of one again
    Env(EphemeralEnvArgs),
    /// List those that are there
    List,
    /// End one, or all of this project
    Stop(EphemeralStopArgs),
}

/// `devdb ephemeral start`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    devdb ephemeral start --ttl 30m\n  \
    devdb ephemeral start --format github --write \"$GITHUB_ENV\"   for the steps after this one\n  \
    devdb ephemeral start --write ci.env                           a dotenv report for GitLab\n  \
    eval \"$(devdb ephemeral start --format shell)\"")]
pub struct EphemeralStartArgs {
    /// What the database is.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// How long it lasts
    #[arg(long, value_name = "TIME", value_parser = super::some_time, default_value = "1h")]
    pub ttl: Duration,

    /// Where its environment goes.
    #[command(flatten)]
    pub environment: EnvironmentArgs,
}

/// Where an environment goes.
#[derive(Debug, Args)]
pub struct EnvironmentArgs {
    /// How it is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "dotenv")]
    pub format: EnvFormat,

    /// Write it into FILE and print nothing
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
}

/// `devdb ephemeral env`
#[derive(Debug, Args)]
pub struct EphemeralEnvArgs {
    /// Which [default: the only one of this project]
    #[arg(value_name = "ID")]
    pub id: Option<String>,

    /// Where it goes.
    #[command(flatten)]
    pub environment: EnvironmentArgs,
}

/// `devdb ephemeral stop`
#[derive(Debug, Args)]
pub struct EphemeralStopArgs {
    /// Which [default: all of this project and developer]
    #[arg(value_name = "ID")]
    pub id: Option<String>,
}
