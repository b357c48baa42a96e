//! The command line: types only. Their docs are the help text.

mod cache;
mod init;
mod run;
mod snapshot;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use cache::{CacheArgs, CacheCommand, PruneArgs, TransferArgs};
pub use init::{CiSystem, InitArgs};
pub use run::{
    DatabaseArgs, EnvironmentArgs, EphemeralAction, EphemeralArgs, EphemeralEnvArgs,
    EphemeralStartArgs, EphemeralStopArgs, RunArgs,
};
pub use snapshot::{SnapshotArgs, SnapshotCommand};

/// A PostgreSQL of its own for every developer, every checkout and every CI job
#[derive(Debug, Parser)]
#[command(
    name = "devdb",
    version,
    propagate_version = true,
    disable_help_subcommand = false,
    arg_required_else_help = true,
    after_help = "Start with `devdb up`, in any directory. Then:\n  \
        psql \"$(devdb url)\"     a shell on it (or: devdb psql)\n  \
        devdb env --write .env  DATABASE_URL for your application\n  \
        devdb reset             a fresh database, migrated and seeded\n  \
        devdb undo              the one from before the reset\n  \
        devdb snapshot save     a copy to come back to\n  \
        devdb down              stop it and keep the data\n  \
        devdb run -- CMD        a database for one command, as for tests\n\n\
        Exit codes: 0 done, 1 failure, 2 usage, 3 configuration, 4 something is pending (--check),\n  \
        10 no engine, 11 not ready in time, 12 port or lock busy, 20 migration failed, 21 drift,\n  \
        22 seed failed, 23 snapshot unusable, 130 interrupted; of devdb run: the command's own"
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Args, Clone)]
pub struct Global {
    /// Run as if started in DIR
    #[arg(short = 'C', long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub directory: Option<PathBuf>,

    /// Whose instance [default: DEVDB_DEVELOPER, then the OS user]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Global options")]
    pub developer: Option<String>,

    /// Which of the developer's instances [default: main]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Global options")]
    pub instance: Option<String>,

    /// How results are printed
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value = "human",
        help_heading = "Global options"
    )]
    pub output: Format,

    /// Short for --output json
    #[arg(long, global = true, conflicts_with = "output", help_heading = "Global options")]
    pub json: bool,

    /// Print results, warnings and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Global options")]
    pub quiet: bool,

    /// Print more
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub verbose: bool,
}

impl Global {
    /// The output format, with the short form of JSON.
    pub fn format(&self) -> Format {
        if self.json { Format::Json } else { self.output }
    }
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people.
    Human,
    /// One JSON document with a schema version.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create or start the database, migrate and seed it
    Up(UpArgs),
    /// Stop the database and remove its container; the data stays
    Down(DownArgs),
    /// Run a command with a database of its own, which is gone when the command ends
    Run(RunArgs),
    /// Databases that last for a time, for CI systems that want steps
    Ephemeral(EphemeralArgs),
    /// Stop the database
    Stop,
    /// Start a stopped database as it is
    Start(StartArgs),
    /// Replace the database with a fresh one, migrated and seeded
    Reset(ResetArgs),
    /// Bring back the database from before the last reset; done twice, it is as it was
    Undo(UndoArgs),
    /// List the generations of the database: when and why each was made, how long it is kept
    Generations,
    /// Remove what is of no use any more: expired generations, instances of gone branches and directories
    Gc(GcArgs),
    /// Save the database's data under a name, and come back to it
    Snapshot(SnapshotArgs),
    /// List, prune, send and fetch the prepared databases that `up` and `reset` copy
    Cache(CacheArgs),
    /// Show what runs, where, and what is pending
    Status(StatusArgs),
    /// List every instance on this machine
    List,
    /// Print the database's URL, password included
    Url,
    /// Print or write the environment for an application
    Env(EnvArgs),
    /// Open psql on the database
    Psql(PsqlArgs),
    /// Show the server's log
    Logs(LogsArgs),
    /// Apply migrations, make a new one, or show where they stand
    Migrate(MigrateArgs),
    /// Apply the seeds to the running database
    Seed(SeedArgs),
    /// Make keys; encrypt and decrypt values
    Secret(SecretArgs),
    /// Show every setting with its value and where it came from
    Config(ConfigArgs),
    /// Make this directory a project
    Init(InitArgs),
    /// Look for what may be wrong
    Doctor,
    /// What ends a database whose devdb was killed
    #[command(name = "watch-run", hide = true)]
    WatchRun,
    /// Print a shell's completion script
    #[command(
        after_help = "Examples:\n  devdb completions bash > /etc/bash_completion.d/devdb\n  \
        devdb completions zsh > ~/.zfunc/_devdb\n  \
        devdb completions fish > ~/.config/fish/completions/devdb.fish"
    )]
    Completions(CompletionsArgs),
    /// Print the manual page
    #[command(after_help = "Example:\n  devdb man | man -l -")]
    Man,
}

impl Command {
    /// Whether it asks engines anything; the others answer at once, with or without one.
    pub fn reaches_engines(&self) -> bool {
        !matches!(
            self,
            Command::WatchRun
                | Command::Url
                | Command::Env(_)
                | Command::Secret(_)
                | Command::Config(_)
                | Command::Init(_)
                | Command::Completions(_)
                | Command::Man
        )
    }
}

/// `devdb up`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  devdb up                        create or start, migrate, seed\n  \
    devdb up --write-env .env       and put DATABASE_URL into .env\n  \
    devdb up --engine native        use local PostgreSQL programs, no container\n  \
    devdb up --port 5433            on this port, or fail\n  \
    devdb up --from main            a new branch's database, from that of main"
)]
pub struct UpArgs {
    /// Which engine runs it: auto, docker or native
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<String>,
    /// PostgreSQL's major version
    #[arg(long, value_name = "VERSION")]
    pub postgres: Option<String>,
    /// The port on 127.0.0.1: a number, or auto
    #[arg(long, value_name = "PORT")]
    pub port: Option<String>,
    /// The seed profile
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Start a new instance from a copy of another's data: a branch's name, main
    #[arg(long, value_name = "INSTANCE")]
    pub from: Option<String>,
    /// Do not apply migrations (nor seeds)
    #[arg(long)]
    pub no_migrate: bool,
    /// Do not apply seeds
    #[arg(long)]
    pub no_seed: bool,
    /// How long to wait for the server: 90s, 3m [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub timeout: Option<Duration>,
    /// Write the environment into FILE as `devdb env --write` does
    #[arg(long, value_name = "FILE")]
    pub write_env: Option<PathBuf>,
}

/// `devdb down`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  devdb down           stop; `devdb up` brings it back with its data\n  \
    devdb down --purge   remove the data too"
)]
pub struct DownArgs {
    /// Remove the data too, with every generation that is kept and every snapshot
    #[arg(long)]
    pub purge: bool,
    /// Do not ask
    #[arg(short, long, requires = "purge")]
    pub yes: bool,
}

/// `devdb start`
#[derive(Debug, Args)]
pub struct StartArgs {
    /// How long to wait for the server: 90s, 3m [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub timeout: Option<Duration>,
}

/// `devdb reset`
#[derive(Debug, Args)]
#[command(
    after_help = "The new database is prepared beside the running one. Only when it is complete the old one\n\
    makes room, on the same port and with the same password. The old data is kept for seven\n\
    days (the last two of them, unless configured).\n\n\
    Examples:\n  devdb reset          a fresh database\n  \
    devdb reset --wipe   and give the old one's disk space back at once"
)]
pub struct ResetArgs {
    /// Remove the old data at once
    #[arg(long)]
    pub wipe: bool,
    /// Do not ask (only --wipe asks)
    #[arg(short, long)]
    pub yes: bool,
    /// The seed profile
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Do not apply seeds
    #[arg(long)]
    pub no_seed: bool,
    /// PostgreSQL's major version
    #[arg(long, value_name = "VERSION")]
    pub postgres: Option<String>,
    /// How long to wait for the server: 90s, 3m [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub timeout: Option<Duration>,
}

/// `devdb undo`
#[derive(Debug, Args)]
#[command(after_help = "The present database is kept in turn: `devdb undo` again goes back to it.")]
pub struct UndoArgs {
    /// How long to wait for the server: 90s, 3m [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub timeout: Option<Duration>,
}

/// `devdb gc`
#[derive(Debug, Args)]
#[command(
    after_help = "Looks at every instance that you have a record of, in all your projects. Without --yes\n\
    nothing is removed.\n\n\
    Examples:\n  devdb gc          show what would be removed, and why\n  \
    devdb gc --yes    remove it, for good"
)]
pub struct GcArgs {
    /// Remove what is shown
    #[arg(short, long)]
    pub yes: bool,
}

/// `devdb status`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  devdb status --check || devdb up")]
pub struct StatusArgs {
    /// Exit with 4 when it is not running or something is pending
    #[arg(long)]
    pub check: bool,
}

/// `devdb env`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  devdb env --write .env            update .env in place, keep the rest\n  \
    eval \"$(devdb env --format shell)\"\n  \
    devdb env --format fish | source\n  \
    devdb env --format powershell | Invoke-Expression\n  \
    devdb env --format github --write \"$GITHUB_ENV\""
)]
pub struct EnvArgs {
    /// How to print it
    #[arg(long, value_enum, default_value = "dotenv")]
    pub format: EnvFormat,
    /// Update FILE in place instead of printing; lines that are not devdb's stay as they are
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Include the encryption key that devdb made for this project
    #[arg(long)]
    pub with_key: bool,
}

/// Shapes of an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EnvFormat {
    /// KEY=value lines
    Dotenv,
    /// POSIX shell exports
    Shell,
    /// fish
    Fish,
    /// PowerShell
    Powershell,
    /// One JSON object
    Json,
    /// A GitHub Actions environment file
    Github,
}

/// `devdb psql`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  devdb psql\n  devdb psql -- -c 'select count(*) from gateways'\n  \
    devdb psql < script.sql"
)]
pub struct PsqlArgs {
    /// Arguments for psql
    #[arg(last = true, value_name = "ARGS")]
    pub arguments: Vec<String>,
}

/// `devdb logs`
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Go on as the log grows
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last N lines
    #[arg(short = 'n', long = "lines", value_name = "N")]
    pub lines: Option<usize>,
}

/// `devdb migrate`
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  devdb migrate                     apply what is pending\n  \
    devdb migrate new add_invoices    a new timestamped file\n  \
    devdb migrate status --check      exits 4 when something is pending, 21 on drift"
)]
pub struct MigrateArgs {
    /// What to do with migrations; none: run.
    #[command(subcommand)]
    pub command: Option<MigrateCommand>,
}

/// Subcommands of `devdb migrate`.
#[derive(Debug, Subcommand)]
pub enum MigrateCommand {
    /// Apply what is pending
    Run,
    /// Make a new timestamped migration file
    New {
        /// What it does: add_invoices
        name: String,
    },
    /// Show what is applied, pending, changed, missing and out of order
    Status {
        /// Exit with 4 when something is pending, 21 on drift
        #[arg(long)]
        check: bool,
    },
}

/// `devdb seed`
#[derive(Debug, Args)]
#[command(
    after_help = "Applies the files that have not been applied yet, all in one transaction. A file that has\n\
    changed since it was applied is not applied again: `devdb reset` does that."
)]
pub struct SeedArgs {
    /// The seed profile
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
}

/// `devdb secret`
#[derive(Debug, Args)]
pub struct SecretArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: SecretCommand,
}

/// Subcommands of `devdb secret`.
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Print a new key: 32 random bytes, base64
    #[command(after_help = "Example:\n  echo \"ENCRYPTION_KEY=$(devdb secret keygen)\" >> .env")]
    Keygen,
    /// Encrypt the value on standard input
    #[command(
        after_help = "The key comes from ENCRYPTION_KEY, else from the one devdb keeps for this project.\n\n\
        Example:\n  printf %s \"$PASSWORD\" | devdb secret encrypt"
    )]
    Encrypt,
    /// Decrypt the value on standard input
    #[command(
        after_help = "The key comes from ENCRYPTION_KEY, else from the one devdb keeps for this project.\n\n\
        Example:\n  devdb psql -- -Atc 'select password_encrypted from gateways limit 1' | devdb secret decrypt"
    )]
    Decrypt,
}

/// `devdb config`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ConfigArgs {
    /// What to print; none: the settings.
    #[command(subcommand)]
    pub command: Option<ConfigCommand>,
}

/// Subcommands of `devdb config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print a JSON Schema of devdb.yaml for editors
    #[command(
        after_help = "Example, with `# yaml-language-server: $schema=./devdb.schema.json` in devdb.yaml:\n  \
        devdb config schema > devdb.schema.json"
    )]
    Schema,
}

/// `devdb completions`
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// The longest time that an option takes. What is added to a clock must not overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

fn time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time <= LONGEST => Ok(time),
        Ok(_) => Err("more than 365 days is too long".into()),
        Err(error) => Err(format!("{error}; write it with its unit: 90s, 5m, 1h")),
    }
}

fn some_time(text: &str) -> Result<Duration, String> {
    match time(text)? {
        Duration::ZERO => {
            Err("no time is too short; write more, with its unit: 90s, 5m, 1h".into())
        }
        some => Ok(some),
    }
}
