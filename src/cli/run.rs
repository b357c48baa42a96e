//! The command lines of databases that go away by themselves.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::EnvFormat;
use super::time::some_time;

/// `devdb run`
#[derive(Debug, Args)]
#[command(
    after_help = "The command finds DATABASE_URL, DATABASE_* and PG* in its environment. devdb passes \
    its input, output and signals through. When the command ends, devdb removes the \
    database, even if devdb itself is killed.\n\n\
    Examples:\n  \
    devdb run -- cargo test\n  \
    devdb run -- sh -c 'npm run migrate && npm test'\n  \
    devdb run --artifact out -- pytest\n  \
    devdb run --keep-on-failure -- go test ./...\n\n\
    Exit codes: devdb exits with the code of the command. The code is 126 when the\n\
    command cannot be run and 127 when it is not found. When there is no database to \
    run it with, devdb exits with a code of its own (devdb --help)."
)]
pub struct RunArgs {
    /// What the database is.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// Keep the database for a while when the command fails, and print how to reach it
    #[arg(long)]
    pub keep_on_failure: bool,

    /// Keep it for this long, with --keep-on-failure
    #[arg(long, value_name = "TIME", value_parser = some_time, default_value = "1h", requires = "keep_on_failure")]
    pub ttl: Duration,

    /// Save the server's log and the data in DIR when the command fails
    #[arg(long, value_name = "DIR")]
    pub artifact: Option<PathBuf>,

    /// The command and its arguments, after `--`
    #[arg(trailing_var_arg = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// What a database that goes away by itself is.
#[derive(Debug, Args)]
pub struct DatabaseArgs {
    /// Run the database on this engine
    #[arg(long, value_name = "ENGINE", value_parser = super::ENGINES)]
    pub engine: Option<String>,
    /// Use this major version of PostgreSQL
    #[arg(long, value_name = "VERSION")]
    pub postgres: Option<String>,
    /// Apply the seed files of this profile
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Apply no seeds
    #[arg(long)]
    pub no_seed: bool,
    /// Wait this long for the database: 90s, 3m [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub timeout: Option<Duration>,
}

/// `devdb ephemeral`
#[derive(Debug, Args)]
#[command(after_help = "`devdb run` needs none of this: it removes its database by itself.\n\n\
    Examples:\n  \
    devdb ephemeral start --ttl 30m\n  \
    devdb ephemeral list\n  \
    devdb ephemeral stop")]
pub struct EphemeralArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: EphemeralAction,
}

/// What to do with databases that last for a time.
#[derive(Debug, Subcommand)]
pub enum EphemeralAction {
    /// Start a database that devdb removes after a set time
    Start(EphemeralStartArgs),
    /// Print the variables of such a database again, or write them into a file
    Env(EphemeralEnvArgs),
    /// List the databases that devdb will remove after a set time
    #[command(after_help = "Example:\n  \
    devdb ephemeral list")]
    List,
    /// Remove one such database, or all of this project
    Stop(EphemeralStopArgs),
}

/// `devdb ephemeral start`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    devdb ephemeral start --ttl 30m\n  \
    devdb ephemeral start --format github --write \"$GITHUB_ENV\"\n  \
    devdb ephemeral start --write ci.env   a dotenv report for GitLab\n  \
    eval \"$(devdb ephemeral start --format shell)\"")]
pub struct EphemeralStartArgs {
    /// What the database is.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// Remove the database after this time
    #[arg(long, value_name = "TIME", value_parser = some_time, default_value = "1h")]
    pub ttl: Duration,

    /// Where its environment goes.
    #[command(flatten)]
    pub environment: EnvironmentArgs,
}

/// Where an environment goes.
#[derive(Debug, Args)]
pub struct EnvironmentArgs {
    /// Print the variables in this format
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "dotenv")]
    pub format: EnvFormat,

    /// Write the variables into FILE instead of printing them
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
}

/// `devdb ephemeral env`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    devdb ephemeral env\n  \
    eval \"$(devdb ephemeral env --format shell)\"")]
pub struct EphemeralEnvArgs {
    /// The database's id [default: the only one of this project]
    #[arg(value_name = "ID")]
    pub id: Option<String>,

    /// Where it goes.
    #[command(flatten)]
    pub environment: EnvironmentArgs,
}

/// `devdb ephemeral stop`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    devdb ephemeral stop            remove all of this project\n  \
    devdb ephemeral stop 3f2a91c0   remove this one")]
pub struct EphemeralStopArgs {
    /// The database's id [default: all of this project and developer]
    #[arg(value_name = "ID")]
    pub id: Option<String>,
}
