//! Writing golden states and snapshots into files and reading them back. Sending golden states to a
//! registry and fetching them.

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
    /// Writes the data directory of a golden state into a file, and completes the file. When devdb
    /// is killed meanwhile, the leftovers belong to `owner`. A call of [`Stop::ask`] ends this
    /// early.
    ///
    /// # Errors
    /// `Snapshot` when the file cannot be written, `Interrupted`, and the errors of the engine. No
    /// file is left behind.
    pub async fn export_golden(
        &self,
        state: &GoldenState,
        owner: &Owner,
        writer: Writer,
        stop: &Stop,
    ) -> Result<()> {
        each!(self.export_golden(state, owner, writer, stop))
    }

    /// Writes the data directory of a snapshot into a file that the caller began, and returns the
    /// file. The caller completes it. A call of [`Stop::ask`] ends this early.
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

    /// Makes a snapshot from a file whose checksum is good. `manifest` has the name of the new
    /// snapshot.
    ///
    /// # Errors
    /// `Snapshot` when the copy fails. An error leaves an unfinished snapshot. Dropping the future
    /// leaves one, too.
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

    /// Gives a tag back to the image that had it. Removes the image that has it now, unless this
    /// image has another tag.
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

    /// Fetches the golden state that a registry has under a reserved tag. The label comes from the
    /// image and is not verified.
    ///
    /// # Errors
    /// `Image` when the registry does not have the tag, or when the tag is no golden state.
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
