//! The command line of snapshots.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::time::some_time;

/// `devdb snapshot`
#[derive(Debug, Args)]
#[command(
    after_help = "Saving disconnects nobody. Restoring replaces the database as a reset does, and \
    `devdb undo` goes back.\n\n\
    Examples:\n  \
    devdb snapshot save before-import -m 'orders of March'\n  \
    devdb snapshot restore before-import\n  \
    devdb snapshot export before-import orders.tar.zst"
)]
pub struct SnapshotArgs {
    /// What to do with snapshots.
    #[command(subcommand)]
    pub command: SnapshotCommand,
}

impl SnapshotArgs {
    /// Whether the command makes a copy of a snapshot the current generation.
    pub fn restores(&self) -> bool {
        matches!(self.command, SnapshotCommand::Restore { .. })
    }
}

/// Subcommands of `devdb snapshot`.
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Save a copy of the data as it is now; clients stay connected
    #[command(after_help = "Examples:\n  \
    devdb snapshot save\n  \
    devdb snapshot save before-import -m 'orders of March'\n  \
    devdb snapshot save yesterday --from-generation 3")]
    Save {
        /// The snapshot's name [default: the time, as 20261125-101500]
        name: Option<String>,
        /// Store this note with the snapshot
        #[arg(short, long, value_name = "TEXT")]
        message: Option<String>,
        /// Copy this former generation instead (devdb generations lists them)
        #[arg(long, value_name = "N")]
        from_generation: Option<u32>,
    },
    /// List the snapshots of the database
    #[command(after_help = "Example:\n  \
    devdb snapshot list")]
    List,
    /// Show what a snapshot holds
    #[command(after_help = "Example:\n  \
    devdb snapshot show before-import")]
    Show {
        /// The snapshot's name
        name: String,
    },
    /// Replace the database with a copy of a snapshot, then apply the missing migrations
    #[command(after_help = "devdb keeps the present database. `devdb undo` goes back to it.\n\n\
    Examples:\n  \
    devdb snapshot restore before-import\n  \
    devdb snapshot restore before-import --no-migrate")]
    Restore {
        /// The snapshot's name
        name: String,
        /// Do not apply the missing migrations
        #[arg(long)]
        no_migrate: bool,
        /// Wait this long for the server: 90s, 3m [default: 60s]
        #[arg(long, value_name = "TIME", value_parser = some_time)]
        timeout: Option<Duration>,
    },
    /// Remove a snapshot, for good
    #[command(after_help = "Example:\n  \
    devdb snapshot rm before-import")]
    Rm {
        /// The snapshot's name
        name: String,
        /// For scripts; devdb does not ask
        #[arg(short, long, hide = true)]
        yes: bool,
    },
    /// Write a snapshot into a file, for another machine or person
    #[command(after_help = "The file holds all data and the hashes of the passwords.\n\n\
    Examples:\n  \
    devdb snapshot export before-import orders.tar.zst\n  \
    devdb snapshot export before-import - | ssh host devdb snapshot import -")]
    Export {
        /// The snapshot's name
        name: String,
        /// The file to write, usually with a name in .tar.zst; - is standard output
        file: PathBuf,
        /// Replace FILE if it exists
        #[arg(long)]
        force: bool,
    },
    /// Read a snapshot from a file that `devdb snapshot export` wrote
    #[command(
        after_help = "devdb reads and checks the whole file before it makes anything. The database must \
    exist (devdb up). A restored snapshot gets the password of this database.\n\n\
    Examples:\n  \
    devdb snapshot import orders.tar.zst\n  \
    devdb snapshot import orders.tar.zst --name orders-of-anna"
    )]
    Import {
        /// The file to read; - is standard input
        file: PathBuf,
        /// Give the snapshot this name [default: the name it had]
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
}
