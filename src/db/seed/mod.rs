//! Seeds are YAML, SQL and CSV files. devdb applies them in name order in one transaction, and
//! records them in it so that it never applies a file twice.

mod apply;
mod catalog;
mod cell;
mod core;
mod csv_file;
mod diagnose;
mod encrypt;
mod file;
mod json;
mod known;
mod load;
mod record;
mod references;
mod rows;
mod tree;
mod yaml;

pub use apply::{AppliedSeed, SeedOutcome, apply};
pub use encrypt::{Encrypt, Encrypting};
pub use file::SeedFile;
pub use load::{SeedSet, has_profile, load};
pub use record::{RecordedSeed, SeedStatus, status};
