//! Data directories.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::spec::{EngineKind, Owner, ServerSpec};

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

/// What a data directory cannot change any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct MadeWith {
    /// PostgreSQL's major version.
    pub major: u16,
    /// The image's reference (native: empty).
    pub image: String,
    /// The database.
    pub database: String,
    /// The user.
    pub user: String,
}

impl MadeWith {
    /// What a generation made from `spec` is bound to.
    pub fn of(spec: &ServerSpec, engine: EngineKind) -> Self {
        MadeWith {
            major: spec.major,
            image: match engine {
                EngineKind::Docker => spec.image.clone(),
                EngineKind::Native => String::new(),
            },
            database: spec.database.clone(),
            user: spec.user.clone(),
        }
    }
}
