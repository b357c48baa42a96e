//! The command line of the cache of golden states.

use std::time::Duration;

use clap::{Args, Subcommand};

/// `devdb cache`
#[derive(Debug, Args)]
pub struct CacheArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: CacheCommand,
}

/// Subcommands of `devdb cache`.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// List the golden states: what each holds, its size, when it was used last
    List {
        /// Of every project and everybody on the engines that answer, not only of this project
        #[arg(long)]
        all: bool,
    },
    /// Remove the golden states that were not used for long, and damaged ones
    Prune(PruneArgs),
    /// Remove every golden state of this project
    #[command(after_help = "Databases stay as they are; the next reset bakes a new golden state.")]
    Clear {
        /// Of every project and everybody on the engines that answer, not only of this project
        #[arg(long)]
        all: bool,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Send the golden state of this directory's files, baked first where it is not there
    #[command(
        after_help = "Examples:\n  devdb cache push cache.tar.zst                     into a file, on both engines\n  \
        devdb cache push registry.example/team/db:main     to a registry, with Docker's logins"
    )]
    Push(TransferArgs),
    /// Fetch the golden state of this directory's files, and use it if it is exactly that
    #[command(
        after_help = "Fetch only from where you would take code: a data directory can bring some.\n\n\
        Examples:\n  devdb cache pull cache.tar.zst && devdb up\n  \
        devdb cache pull registry.example/team/db:main"
    )]
    Pull(TransferArgs),
}

/// `devdb cache prune`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  devdb cache prune                     down to the limits of devdb.yaml\n  \
    devdb cache prune --keep 3 --all\n  \
    devdb cache prune --older-than 7d"
)]
pub struct PruneArgs {
    /// Keep this many [default: cache.states, 20]
    #[arg(long, value_name = "N")]
    pub keep: Option<usize>,
    /// Keep this much: 500MB, 10GB [default: cache.size, 10GB]
    #[arg(long, value_name = "SIZE")]
    pub size: Option<bytesize::ByteSize>,
    /// Keep only what was used since: 7d, 12h
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    pub older_than: Option<Duration>,
    /// Of every project and everybody on the engines that answer, not only of this project
    #[arg(long)]
    pub all: bool,
}

/// `devdb cache push` and `pull`
#[derive(Debug, Args)]
pub struct TransferArgs {
    /// A file that ends in .tar.zst, or REGISTRY/NAME:TAG
    #[arg(value_name = "REF")]
    pub reference: String,
    /// Which engine it is for: auto, docker or native
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<String>,
    /// The seed profile
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
}
