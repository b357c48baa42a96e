//! Small files in a generation's volume: the mark of a complete one, beside the data directory, and
//! what is read of a server that does not run.

use chrono::{SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::launch::Archive;
use super::volume::Mounted;
use super::{Docker, PGDATA};
use crate::engine::{Generation, Server, control};
use crate::error::{Kind, Result, ResultExt};
use crate::spec::{Owner, ServerSpec};

/// The mark's path inside a container.
const PATH: &str = "/devdb/complete";

/// The version of the mark.
const SCHEMA: u32 = 1;

/// What the mark says. A copied volume carries the mark of another generation.
#[derive(Serialize, Deserialize)]
struct Completion {
    schema: u32,
    owner: Owner,
    generation: u32,
    /// When, RFC 3339: for the person who looks.
    completed: String,
}

impl Docker {
    /// Marks the generation of a server as complete.
    pub(super) async fn mark_complete(&self, server: &Server) -> Result<()> {
        let text = mark_of(&server.owner, server.generation)?;
        let mut archive = Archive::new();
        archive.file(PATH, text.as_bytes(), 0o644)?;
        self.upload(&server.handle, &server.name, archive.finish()?).await
    }

    /// Read from `pg_control`.
    ///
    /// # Errors
    /// `NoEngine` when the daemon does not answer.
    pub async fn next_transaction(&self, server: &Server) -> Result<Option<u64>> {
        let file = format!("{PGDATA}/global/pg_control");
        let control = self.read_file(&server.handle, &file).await?;
        Ok(control.and_then(|control| control::next_transaction(&control)))
    }

    /// Whether a generation carries the mark: read through a throw-away container, which is
    /// created, never started, and removed.
    ///
    /// # Errors
    /// `Image` when the image is not there to make the container from.
    pub async fn is_complete(&self, generation: &Generation, spec: &ServerSpec) -> Result<bool> {
        if self.generation(&generation.handle).await?.is_none() {
            return Ok(false);
        }
        let Mounted { id, name, .. } = self.mount(generation, &spec.image, true).await?;
        let read = self.read_file(&id, PATH).await;
        self.remove_container(&id, &name).await?;
        // What cannot be read is no mark.
        let mark: Option<Completion> = read?.and_then(|text| serde_json::from_slice(&text).ok());
        Ok(mark.is_some_and(|mark| {
            mark.owner == generation.owner && mark.generation == generation.number
        }))
    }
}

/// The text of a generation's mark, one line.
pub(super) fn mark_of(owner: &Owner, generation: u32) -> Result<String> {
    let completion = Completion {
        schema: SCHEMA,
        owner: owner.clone(),
        generation,
        completed: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
    };
    serde_json::to_string(&completion)
        .or_fail(Kind::Unexpected, || "cannot write the mark of completion".into())
}
