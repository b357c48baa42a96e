//! Migrations: the files, what of them is applied, and applying the rest. The table, the lock and
//! the checksums are sqlx's own, so that `sqlx migrate` and `sqlx::migrate!` agree with devdb.

mod load;
mod new_file;
mod run;
mod status;

pub use load::{MigrationFile, MigrationSet, load};
pub use new_file::new_file;
pub use run::{Applied, LOCK_DEADLINE, run};
pub use status::{AppliedMigration, MigrationStatus, PendingMigration, status};

/// Where sqlx records what is applied.
const TABLE: &str = "_sqlx_migrations";
