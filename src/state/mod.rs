//! What devdb remembers of its instances: one versioned JSON file each, written atomically, 0600
//! in a 0700 directory, and the locks that keep two devdbs from working on one instance.
//!
//! The engine is the truth for what exists and whose it is; a record is the truth for which
//! generation is current, in which order they came, and why.

pub mod home;
mod lock;
pub mod ports;
pub mod record;
pub mod store;
mod under_way;

pub use home::{Home, Sight};
pub use lock::{Guards, Lock};
pub use record::{GenerationRecord, Record, Spare, Why, Worth};
pub use store::Store;
pub use under_way::UnderWay;
