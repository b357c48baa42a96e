//! The command lines of everyday work with a database.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::time::some_time;

/// `devdb up`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    devdb up                     create or start, migrate and seed\n  \
    devdb up --write-env .env    also write DATABASE_URL into .env\n  \
    devdb up --engine native     use local PostgreSQL programs, no container\n  \
    devdb up --port 5433         use this port, or fail when it is taken\n  \
    devdb up --from main         create the database as a copy of main's")]
pub struct UpArgs {
    /// Run the database on this engine
    #[arg(long, value_name = "ENGINE", value_parser = super::ENGINES)]
    pub engine: Option<String>,
    /// Use this major version of PostgreSQL
    #[arg(long, value_name = "VERSION")]
    pub postgres: Option<String>,
    /// Listen on this port of 127.0.0.1: a number, or auto
    #[arg(long, value_name = "PORT")]
    pub port: Option<String>,
    /// Apply the seed files of this profile
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Create the database as a copy of the database of INSTANCE, such as main
    #[arg(long, value_name = "INSTANCE")]
    pub from: Option<String>,
    /// Apply no migrations and no seeds
    #[arg(long)]
    pub no_migrate: bool,
    /// Apply no seeds
    #[arg(long)]
    pub no_seed: bool,
    /// Wait this long for the server: 90s, 3m [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub timeout: Option<Duration>,
    /// Write the variables into FILE, as `devdb env --write` does
    #[arg(long, value_name = "FILE")]
    pub write_env: Option<PathBuf>,
}

/// `devdb stop`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    devdb stop         `devdb start` or `devdb up` starts it again\n  \
    devdb stop --all   stop the databases of all branches of this project")]
pub struct StopArgs {
    /// Stop all databases of this project: those of all branches and instances
    #[arg(long)]
    pub all: bool,
}

/// `devdb down`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    devdb down           stop; `devdb up` starts it again with its data\n  \
    devdb down --all     stop the databases of all branches of this project\n  \
    devdb down --purge   remove the data too, for good")]
pub struct DownArgs {
    /// Stop and remove all databases of this project: those of all branches and instances
    #[arg(long)]
    pub all: bool,
    /// Remove the data too, with all former generations and all snapshots
    #[arg(long)]
    pub purge: bool,
    /// Remove without asking
    #[arg(short, long, requires = "purge")]
    pub yes: bool,
}

/// `devdb start`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    devdb start")]
pub struct StartArgs {
    /// Wait this long for the server: 90s, 3m [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub timeout: Option<Duration>,
}

/// `devdb restart`
#[derive(Debug, Args)]
#[command(after_help = "The server starts with the settings that devdb.yaml has now.\n\n\
    Example:\n  \
    devdb restart")]
pub struct RestartArgs {
    /// Wait this long for the server: 90s, 3m [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub timeout: Option<Duration>,
}

/// `devdb reset`
#[derive(Debug, Args)]
#[command(
    after_help = "devdb prepares the new database beside the running one. When the new one is \
    complete, it replaces the old one, on the same port and with the same password. \
    devdb keeps the old data for up to seven days, so that `devdb undo` can go back to it. \
    (`generations` in devdb.yaml changes the days and limits the disk space.)\n\n\
    Examples:\n  \
    devdb reset          replace the database with a fresh one\n  \
    devdb reset --wipe   also remove the old data at once"
)]
pub struct ResetArgs {
    /// Remove the old data at once, for good
    #[arg(long)]
    pub wipe: bool,
    /// Do not ask before --wipe; reset alone never asks
    #[arg(short, long)]
    pub yes: bool,
    /// Apply the seed files of this profile
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Apply no seeds
    #[arg(long)]
    pub no_seed: bool,
    /// Use this major version of PostgreSQL
    #[arg(long, value_name = "VERSION")]
    pub postgres: Option<String>,
    /// Wait this long for the server: 90s, 3m [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub timeout: Option<Duration>,
}

/// `devdb undo`
#[derive(Debug, Args)]
#[command(
    after_help = "devdb keeps the present database in turn. A second `devdb undo` goes back to it. \
    `devdb generations` shows everything that is kept.\n\n\
    Examples:\n  \
    devdb undo      go back to the database from before the last reset\n  \
    devdb undo 2    go back two steps"
)]
pub struct UndoArgs {
    /// Go back this many steps, counting only databases that devdb still keeps
    #[arg(value_name = "STEPS", default_value = "1",
        value_parser = clap::value_parser!(u16).range(1..))]
    pub steps: u16,
    /// Wait this long for the server: 90s, 3m [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub timeout: Option<Duration>,
}

/// `devdb generations`
#[derive(Debug, Args)]
#[command(
    after_help = "Every reset and every restore starts a new generation of the data. The table shows \
    when each one was made, its size and how long devdb keeps it. `devdb undo` goes \
    back to the last one.\n\n\
    Examples:\n  \
    devdb generations             list them\n  \
    devdb generations switch 3    go back to generation 3\n  \
    devdb generations keep 3      keep generation 3 for good"
)]
pub struct GenerationsArgs {
    /// What to do; none: list them.
    #[command(subcommand)]
    pub command: Option<GenerationsCommand>,
}

impl GenerationsArgs {
    /// Whether the command makes another generation the current one.
    pub fn switches(&self) -> bool {
        matches!(self.command, Some(GenerationsCommand::Switch { .. }))
    }
}

/// Subcommands of `devdb generations`.
#[derive(Debug, Subcommand)]
pub enum GenerationsCommand {
    /// Go back to a generation; devdb keeps the present database
    #[command(after_help = "Example:\n  \
    devdb generations switch 3    `devdb undo` takes it back")]
    Switch {
        /// The generation's number, from `devdb generations`
        #[arg(value_name = "N")]
        number: u32,
        /// Wait this long for the server: 90s, 3m [default: 60s]
        #[arg(long, value_name = "TIME", value_parser = some_time)]
        timeout: Option<Duration>,
    },
    /// Keep a generation until you remove it
    #[command(after_help = "Example:\n  \
    devdb generations keep 3")]
    Keep {
        /// The generation's number, from `devdb generations`
        #[arg(value_name = "N")]
        number: u32,
    },
    /// Remove a former generation with its data, for good
    #[command(after_help = "Example:\n  \
    devdb generations rm 3")]
    Rm {
        /// The generation's number, from `devdb generations`
        #[arg(value_name = "N")]
        number: u32,
        /// Remove without asking
        #[arg(short, long)]
        yes: bool,
    },
}

/// `devdb gc`
#[derive(Debug, Args)]
#[command(
    after_help = "devdb looks at all databases of all your projects. Without --yes it removes nothing.\n\n\
    Examples:\n  \
    devdb gc          show what devdb would remove, and why\n  \
    devdb gc --yes    remove it, for good"
)]
pub struct GcArgs {
    /// Remove what devdb found
    #[arg(short, long)]
    pub yes: bool,
}

/// `devdb status`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    devdb status\n  \
    devdb status --check || devdb up")]
pub struct StatusArgs {
    /// Exit with 4 when it does not run or something is pending, with 21 on drift
    #[arg(long)]
    pub check: bool,
}

/// `devdb env`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    devdb env --write .env           update .env and keep its other lines\n  \
    eval \"$(devdb env --format shell)\"\n  \
    devdb env --format fish | source\n  \
    devdb env --format powershell | Invoke-Expression\n  \
    devdb env --format github --write \"$GITHUB_ENV\"")]
pub struct EnvArgs {
    /// Print the variables in this format
    #[arg(long, value_enum, default_value = "dotenv")]
    pub format: EnvFormat,
    /// Update FILE instead of printing (- prints); other lines of FILE stay as they are
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Add the encryption key of this project
    #[arg(long)]
    pub with_key: bool,
}

/// The formats of an environment.
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
    after_help = "devdb runs the psql of this machine, or the one in the database's container. Short \
    options after `psql` are psql's own, except -C; put devdb's before it: devdb -v psql.\n\n\
    Examples:\n  \
    devdb psql\n  \
    devdb psql -c 'select count(*) from gateways'\n  \
    devdb psql < script.sql"
)]
pub struct PsqlArgs {
    /// Pass these arguments to psql
    #[arg(last = true, value_name = "ARGS")]
    pub arguments: Vec<String>,
}

/// `devdb logs`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    devdb logs -n 50   show the last 50 lines\n  \
    devdb logs -f      follow the log until Ctrl-C")]
pub struct LogsArgs {
    /// Keep printing new lines until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// Print only the last N lines
    #[arg(short = 'n', long = "lines", value_name = "N")]
    pub lines: Option<usize>,
}

/// `devdb migrate`
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
    devdb migrate                    apply the pending migrations\n  \
    devdb migrate new add_invoices   create a migration file\n  \
    devdb migrate status --check     exit with 4 when a migration is pending, 21 on \
    drift"
)]
pub struct MigrateArgs {
    /// What to do with migrations; none: run.
    #[command(subcommand)]
    pub command: Option<MigrateCommand>,
}

/// Subcommands of `devdb migrate`.
#[derive(Debug, Subcommand)]
pub enum MigrateCommand {
    /// Apply the pending migrations; `devdb migrate` alone does the same
    #[command(after_help = "Example:\n  \
    devdb migrate run")]
    Run,
    /// Create a migration file whose name begins with the time
    #[command(after_help = "Example:\n  \
    devdb migrate new add_invoices    migrations/20261128101500_add_invoices.sql")]
    New {
        /// What the migration does, such as add_invoices
        name: String,
    },
    /// List the migrations: applied, pending, changed, missing, out of order
    #[command(
        after_help = "A changed migration is a file that differs from what was applied. A missing one was \
    applied and has no file any more. Both are drift, and so is a pending file that is \
    older than the newest applied one, unless `migrations.out_of_order: allow` is set. \
    `devdb reset` makes a database from the files as they are now.\n\n\
    Examples:\n  \
    devdb migrate status\n  \
    devdb migrate status --check"
    )]
    Status {
        /// Exit with 4 when a migration is pending, with 21 on drift
        #[arg(long)]
        check: bool,
    },
}

/// `devdb seed`
#[derive(Debug, Args)]
#[command(
    after_help = "devdb applies the files in one transaction. It does not apply a file again that \
    changed after it was applied: `devdb reset` applies changed files, to a fresh \
    database.\n\n\
    Examples:\n  \
    devdb seed\n  \
    devdb seed --profile demo"
)]
pub struct SeedArgs {
    /// Apply the seed files of this profile
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
}
