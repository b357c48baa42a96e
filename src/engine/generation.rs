//! Generations: the data directories of an instance.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::spec::{MadeWith, Owner};

/// A data directory that devdb made.
#[derive(Debug, Clone, Serialize)]
pub struct Generation {
    /// The engine's handle: a volume name; native: a directory.
    pub handle: String,
    /// Whose it is.
    pub owner: Owner,
    /// Counts up within an instance, from 1.
    pub number: u32,
    /// When it was made.
    pub created: Option<DateTime<Utc>>,
    /// PostgreSQL's major version of the data, the database and the user it was made with.
    pub made_with: MadeWith,
    /// The fingerprint of the golden state it is a copy of.
    pub origin: Option<String>,
}
