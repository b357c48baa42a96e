//! Golden states and snapshots on their way into files and out of them, and golden states on their
//! way to a registry and back.

use super::{Engine, GoldenState, Manifest, Snapshot, Stop, docker};
use crate::archive::{Verified, Writer};
use crate::error::{Error, Kind, Result};
use crate::event::Events;
use crate::spec::{Owner, ServerSpec};

/// A tag that is used for a while and then given back to the image that had it.
#[derive(Debug)]
pub struct ReservedTag {
    /// The tag: `registry.example.com/devdb/shop:main`.
    pub reference: String,
    /// The id of the image that had it before. None: no image had it.
    pub former: Option<String>,
}

impl Engine {
    /// Writes the data directory of a golden state into a file, which is complete after that. What is
    /// left of it when devdb is killed belongs to `owner`. It fails soon after `stop` was asked.
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

    /// Writes the data directory of a snapshot into a file that was begun, and returns the file, so
    /// that the caller finishes it. It fails soon after `stop` was asked.
    ///
    /// # Errors
    /// `Snapshot` when the data cannot be read or written.
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

    /// Makes a snapshot from a file whose checksum is good. `manifest` has the name that the snapshot
    /// is to have on this engine.
    ///
    /// # Errors
    /// `Snapshot` when the copy fails. An unfinished snapshot stays then, and also when the future is
    /// dropped.
    pub async fn import_snapshot(
        &self,
        owner: &Owner,
        manifest: Manifest,
        spec: &ServerSpec,
        from: Verified<Manifest>,
    ) -> Result<Manifest> {
        each!(self.import_snapshot(owner, manifest, spec, from))
    }

    /// Remembers which image has a tag, before another image gets the tag for a while.
    ///
    /// # Errors
    /// `Usage` on an engine without images.
    pub async fn reserve_tag(&self, reference: &str) -> Result<ReservedTag> {
        self.registry()?.reserve_tag(reference).await
    }

    /// Gives a tag back to the image that had it. The image that has it now is removed, unless it has
    /// another tag.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn release_tag(&self, tag: &ReservedTag) -> Result<()> {
        self.registry()?.release_tag(tag).await
    }

    /// Sends a golden state to a registry under a tag that was reserved.
    ///
    /// # Errors
    /// `Image` when the registry does not take it; `Usage` when the tag is malformed.
    pub async fn push_golden(
        &self,
        state: &GoldenState,
        reference: &str,
        events: &Events,
    ) -> Result<()> {
        self.registry()?.push_golden(state, reference, events).await
    }

    /// Fetches the golden state that a registry has under a tag that was reserved. Its label is not
    /// verified: it is what the image says about itself.
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
