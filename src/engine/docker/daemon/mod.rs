//! Finding a daemon, and how devdb gets to it and to what its containers publish.

mod connect;
mod context;
mod discover;
mod standpoint;

pub use discover::{Candidate, Discovery, DockerEnvironment, discover, discover_all};
pub(crate) use standpoint::Standpoint;
