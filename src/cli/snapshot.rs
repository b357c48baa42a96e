//! The command line of snapshots.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

/// `devdb snapshot`
#[derive(Debug, Args)]
#[command(
    after_help = "Saving disconnects nobody. Restoring swaps as a reset does: `devdb undo` goes back.\n\n\
    Examples:\n  devdb snapshot save before-import -m 'orders of March'\n  \
    devdb snapshot restore before-import\n  \
    devdb snapshot export before-import orders.tar.zst"
)]
pub struct SnapshotArgs {
    /// What to do with snapshots.
    #[command(subcommand)]
    pub command: SnapshotCommand,
}

/// Subcommands of `devdb snapshot`.
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Save the data as it is now; clients stay connected
    #[command(after_help = "Examples:\n  devdb snapshot save\n  \
        devdb snapshot save before-import -m 'orders of March'")]
    Save {
        /// Its name [default: the time, as 20261125-101500]
        name: Option<String>,
        /// What to remember about it
        #[arg(short, long, value_name = "TEXT")]
        message: Option<String>,
    },
    /// List them
    List,
    /// Show one
    #[command(after_help = "Example:\n  devdb snapshot show before-import")]
    Show {
        /// Its name
        name: String,
    },
    /// Replace the database with a copy of one, and apply the migrations it lacks
    #[command(after_help = "The present database is kept: `devdb undo` goes back to it.\n\n\
        Examples:\n  devdb snapshot restore before-import\n  \
        devdb snapshot restore before-import --no-migrate")]
    Restore {
        /// Its name
        name: String,
        /// Do not apply the migrations it lacks
        #[arg(long)]
        no_migrate: bool,
        /// How long to wait for the server: 90s, 3m [default: 60s]
        #[arg(long, value_name = "TIME", value_parser = super::some_time)]
        timeout: Option<Duration>,
    },
    /// Remove one, for good
    #[command(after_help = "Example:\n  devdb snapshot rm before-import")]
    Rm {
        /// Its name
        name: String,
    },
    /// Write one into a file, for another machine or person
    #[command(after_help = "The file holds all data, and the hashes of its passwords.\n\n\
        Example:\n  devdb snapshot export before-import orders.tar.zst")]
    Export {
        /// Its name
        name: String,
        /// The file, usually .tar.zst
        file: PathBuf,
        /// Replace FILE if it is there
        #[arg(long)]
        force: bool,
    },
    /// Take one from a file that `devdb snapshot export` wrote
    #[command(
        after_help = "The file is read to its end and checked before anything is made. The instance must be\n\
        there (devdb up); when the snapshot is restored it gets the instance's own password.\n\n\
        Examples:\n  devdb snapshot import orders.tar.zst\n  \
        devdb snapshot import orders.tar.zst --name orders-of-anna"
    )]
    Import {
        /// The file
        file: PathBuf,
        /// Its name here [default: the one it had]
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
}
