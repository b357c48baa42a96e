//! Golden states and snapshots on their way into files and out of them, and golden states on their
//! way to a registry and back.

use super::{Engine, GoldenState, Manifest, Snapshot, Stop, docker};
use crate::archive::{Verified, Writer};
use crate::error::{Error, Kind, Result};
use crate::event::Events;
use crate::spec::{Owner, ServerSpec};

/// A name of images that is to be given back.
#[derive(Debug)]
pub struct ReservedTag {
    /// The name.
    pub reference: String,
    /// The image that has it.
    pub former: Option<String>,
}

impl Engine {
    /// Writes a golden state's data directory into a file, which is then whole. `owner`: whose
    /// rubbish it is if devdb is killed. When asked to stop it fails soon.
    ///
    /// # Errors
    /// `Snapshot` when the file cannot be written, `Interrupted`, and those of the engine. No file is
    /// left.
    pub async fn export_golden(
        &self,
        state: &GoldenState,
        owner: &Owner,
        writer: Writer,
        stop: &Stop,
    ) -> Result<()> {
        each!(self.export_golden(state, owner, writer, stop))
    }

    /// Copies a snapshot's data directory into a file that was begun, and returns it to be finished.
    /// When asked to stop it fails soon, and so does what was begun.
    ///
    /// # Errors
    /// `Snapshot`.
    pub async fn export_snapshot(
        &self,
        owner: &Owner,
        snapshot: &Snapshot,
        spec: &ServerSpec,
        to: Writer,
        stop: &Stop,
    ) -> Result<Writer> {
        each!(self.export_snapshot(owner, snapshot, spec, to, stop))
    }

    /// Makes a snapshot from a file that was found good, as [`Engine::save_snapshot`] makes one.
    /// `manifest` has the name it is to have here.
    ///
    /// # Errors
    /// `Snapshot`; then, or when the future is dropped, an unfinished snapshot stays.
    pub async fn import_snapshot(
        &self,
        owner: &Owner,
        manifest: Manifest,
        spec: &ServerSpec,
        from: Verified<Manifest>,
    ) -> Result<Manifest> {
        each!(self.import_snapshot(owner, manifest, spec, from))
    }

    /// Remembers who has a name, before another image gets it for a while.
    ///
    /// # Errors
    /// `Usage` on an engine without images.
    pub async fn reserve_tag(&self, reference: &str) -> Result<ReservedTag> {
        self.registry()?.reserve_tag(reference).await
    }

    /// Gives a name back to whoever had it. The image that has it now goes, unless it has another
    /// name.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn release_tag(&self, tag: &ReservedTag) -> Result<()> {
        self.registry()?.release_tag(tag).await
    }

    /// Sends a golden state to a registry under a name that was lent.
    ///
    /// # Errors
    /// `Image` when the registry does not take it; `Usage` for a name that is none.
    pub async fn push_golden(
        &self,
        state: &GoldenState,
        reference: &str,
        events: &Events,
    ) -> Result<()> {
        self.registry()?.push_golden(state, reference, events).await
    }

    /// Fetches the golden state that a registry has under a name that was lent. Its label is what it
    /// says of itself.
    ///
    /// # Errors
    /// `Image` when the registry does not have it, or has something else.
    pub async fn pull_golden(&self, reference: &str, events: &Events) -> Result<GoldenState> {
        self.registry()?.pull_golden(reference, events).await
    }

    fn registry(&self) -> Result<&docker::Docker> {
        match self {
            Engine::Docker(docker) => Ok(docker),
            Engine::Native(_) => Err(Error::new(
                Kind::Usage,
                "the native engine has no images, and no registry takes anything else",
            )
            .hint("name a file that ends in .tar.zst")),
        }
    }
}
