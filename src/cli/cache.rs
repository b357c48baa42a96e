//! The command line of the cache of golden states.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::time::any_time;

/// `devdb cache`
#[derive(Debug, Args)]
#[command(
    after_help = "A golden state is a complete database that devdb keeps to copy: migrated, or \
    migrated and seeded. devdb finds it by what went into it, so a changed file never \
    gets an old state.\n\n\
    Examples:\n  \
    devdb cache list\n  \
    devdb cache prune --older-than 7d\n  \
    devdb cache push cache.tar.zst"
)]
pub struct CacheArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: CacheCommand,
}

/// Subcommands of `devdb cache`.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// List the golden states: what each one holds, its size and its last use
    #[command(
        after_help = "A * marks the state that was made from the files of this directory. USE says what devdb does with a state:
  \
        final   new databases start as copies of it
  \
        local   the same, but its encryption key exists only on this machine
  \
        step    devdb makes further states from it

\
        Examples:
  \
        devdb cache list
  \
        devdb cache list --all"
    )]
    List {
        /// List the states of every project and user on the engines that answer
        #[arg(long)]
        all: bool,
    },
    /// Remove the golden states that were not used for a long time, and damaged ones
    Prune(PruneArgs),
    /// Remove every golden state of this project
    #[command(
        after_help = "Databases stay as they are. The next `devdb up` or `devdb reset` that needs a \
    golden state makes it again, which takes longer.\n\n\
    Example:\n  \
    devdb cache clear"
    )]
    Clear {
        /// Remove the states of every project and user, on the chosen engine or on all that answer
        #[arg(long)]
        all: bool,
        /// Remove without asking
        #[arg(short, long)]
        yes: bool,
    },
    /// Send the golden state of this directory's files to a file or a registry
    #[command(
        after_help = "devdb makes the golden state first when the cache does not have it. A registry \
    needs the docker engine; devdb uses the logins of the docker command.\n\n\
    Examples:\n  \
    devdb cache push cache.tar.zst\n  \
    devdb cache push registry.example/team/db:main"
    )]
    Push(TransferArgs),
    /// Fetch the golden state of this directory's files from a file or a registry
    #[command(
        after_help = "devdb uses what it fetched only if it was made from exactly these files. Fetch only \
    from a place that you trust with code: a data directory can contain code.\n\n\
    Examples:\n  \
    devdb cache pull cache.tar.zst && devdb up\n  \
    devdb cache pull registry.example/team/db:main"
    )]
    Pull(TransferArgs),
}

/// `devdb cache prune`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    devdb cache prune                   keep what the limits in devdb.yaml allow\n  \
    devdb cache prune --keep 3 --all    keep three states of all projects together\n  \
    devdb cache prune --older-than 7d   remove what was not used for seven days")]
pub struct PruneArgs {
    /// Keep this many states [default: cache.states, 20]
    #[arg(long, value_name = "N")]
    pub keep: Option<usize>,
    /// Keep states of this total size: 500MB, 10GB [default: cache.size, 10GB]
    #[arg(long, value_name = "SIZE")]
    pub size: Option<bytesize::ByteSize>,
    /// Remove states that were not used for this long: 7d, 12h
    #[arg(long, value_name = "TIME", value_parser = any_time)]
    pub older_than: Option<Duration>,
    /// Look at the states of every project and user on the engines that answer
    #[arg(long)]
    pub all: bool,
}

/// `devdb cache push` and `pull`
#[derive(Debug, Args)]
pub struct TransferArgs {
    /// A file whose name ends in .tar.zst, - for standard input or output, or REGISTRY/NAME:TAG
    #[arg(value_name = "REF")]
    pub reference: String,
    /// Use the cache of this engine
    #[arg(long, value_name = "ENGINE", value_parser = super::ENGINES)]
    pub engine: Option<String>,
    /// Use the seed files of this profile
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
}
