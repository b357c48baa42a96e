//! Finds a daemon, and decides how devdb reaches the daemon and its containers.

mod connect;
mod context;
mod discover;
mod standpoint;

pub use discover::{
    Candidate, Discovery, DockerEnvironment, discover, discover_all, discover_patiently,
};
pub(crate) use standpoint::Standpoint;
