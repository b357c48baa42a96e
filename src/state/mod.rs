//! The records of instances, and the locks that keep two devdbs from changing one instance at the
//! same time. Each record is a versioned JSON file (mode 0600), written atomically.
//!
//! The engine decides what exists and whose it is. The record decides which generation is current,
//! in which order the generations were made, and why.

pub mod home;
mod lock;
pub mod ports;
pub mod record;
pub mod store;
mod under_way;
mod written;

pub use home::{Home, Presence};
pub use lock::{Guards, Lock};
pub use record::{Announced, Copied, GenerationRecord, Reason, Record, Spare, Why, Worth};
pub use store::Store;
pub use under_way::UnderWay;
pub use written::Written;
