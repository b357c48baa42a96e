//! Reads migrations, compares them with the applied ones, and applies the rest. devdb uses sqlx's
//! table, lock and checksums, so that `sqlx migrate` and `sqlx::migrate!` agree with it.

mod check;
mod foreign;
mod invalid_index;
mod line_endings;
mod load;
mod new_file;
mod run;
mod status;
pub(super) mod table;
mod tools;

pub use foreign::{OtherTool, other_tool};
pub use line_endings::{LineEndings, record_line_endings};
pub use load::{MigrationFile, MigrationSet, load};
pub use new_file::new_file;
pub use run::{Applied, LOCK_DEADLINE, run};
pub use status::{AppliedMigration, MigrationStatus, PendingMigration, status};
