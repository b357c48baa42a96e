//! How devdb writes files: privately, and whole or not at all. And how it reads those of people.
//!
//! - [`private_directory`] makes a directory that only its owner can enter.
//! - [`replace`] and [`Draft`] write a file by way of a draft: a reader, or a crash, sees the old
//!   text or the new text and nothing in between.
//! - [`target`] says where a file that a person named is to be written, and refuses what is no file.
//! - [`sealed`] adds a digest to a JSON record, so that devdb notices when the file was damaged.
//! - [`read_regular`] reads a file, and refuses a FIFO, which it would wait for.

mod private;
mod regular;
pub mod sealed;
mod target;

pub use private::{DRAFT, Draft, draft_of, parent, private_directory, replace, sync_parent};
pub use regular::read_regular;
pub use target::{Target, target};
