//! Sends golden states to a registry, and fetches them.
//!
//! A golden state from a registry is an image, but devdb never runs the image. It takes only the
//! data directory, as it does from a file.

use std::time::Instant;

use bollard::models::{CreateImageInfo, PushImageInfo};
use bollard::query_parameters::{PushImageOptionsBuilder, TagImageOptionsBuilder};
use futures_util::TryStreamExt;

use super::credentials;
use super::pull::{self, Way};
use crate::engine::docker::label::GOLDEN;
use crate::engine::docker::{Docker, failure};
use crate::engine::golden::unreadable;
use crate::engine::{GoldenLabel, GoldenState, ReservedTag};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Events};

impl Docker {
    /// Remembers which image has a name.
    ///
    /// # Errors
    /// `Usage` when the name is malformed.
    pub async fn reserve_tag(&self, reference: &str) -> Result<ReservedTag> {
        let former = self.inspect_image(reference).await;
        let former = former.map_err(|error| match error.kind() {
            Kind::Config => error.with_kind(Kind::Usage).hint("write it as REGISTRY/NAME:TAG"),
            _ => error,
        })?;
        Ok(ReservedTag { reference: reference.to_owned(), former: former.map(|image| image.id) })
    }

    /// Sends a golden state to a registry.
    ///
    /// # Errors
    /// `Image` when the registry does not take it; `Usage` when the tag is malformed.
    pub async fn push_golden(
        &self,
        state: &GoldenState,
        reference: &str,
        events: &Events,
    ) -> Result<()> {
        self.tag(&state.handle, reference).await?;
        self.push(reference, events).await
    }

    async fn push(&self, reference: &str, events: &Events) -> Result<()> {
        let started = Instant::now();
        events.emit(Event::Pushing { image: reference.to_owned() });
        let login = match self.config_dir.as_deref() {
            Some(dir) => credentials::find(dir, reference).await,
            None => None,
        };
        let (name, tag) = name_and_tag(reference);
        let options = PushImageOptionsBuilder::new().tag(tag).build();
        let stream = self.client.push_image(name, Some(options), login).map_ok(of_push);
        let sent = self.follow(stream, reference, events, pull::PROGRESS_DEADLINE, Way::Push).await;
        sent.map_err(|failure| failure.error)?;
        events.emit(Event::Pushed { image: reference.to_owned(), took: started.elapsed() });
        Ok(())
    }

    /// Fetches a golden state from a registry.
    ///
    /// # Errors
    /// `Image` when the registry does not have it, or has something else.
    pub async fn pull_golden(&self, reference: &str, events: &Events) -> Result<GoldenState> {
        self.pull(reference, events).await.map_err(|failure| failure.error)?;
        let label = self.label_of(reference).await?.ok_or_else(|| {
            Error::new(Kind::Image, format!("\"{reference}\" is not a golden state"))
                .because("it does not carry the label that devdb cache push writes")
        })?;
        Ok(GoldenState { handle: reference.to_owned(), label, bytes: 0 })
    }

    /// Reads the golden state's label of an image. None when the image has no such label.
    async fn label_of(&self, reference: &str) -> Result<Option<GoldenLabel>> {
        let inspected = self.client.inspect_image(reference).await.map_err(|refusal| {
            self.failed(&refusal, format!("cannot inspect the image \"{reference}\""))
        })?;
        let labels = inspected.config.and_then(|config| config.labels).unwrap_or_default();
        let Some(text) = labels.get(GOLDEN) else { return Ok(None) };
        serde_json::from_str(text).map(Some).map_err(|error| {
            let why = unreadable(text).unwrap_or_else(|| "a newer devdb made it".to_owned());
            Error::new(Kind::Image, format!("cannot use the golden state \"{reference}\""))
                .because(why)
                .because(error)
        })
    }

    async fn tag(&self, from: &str, reference: &str) -> Result<()> {
        let (name, tag) = name_and_tag(reference);
        let options = TagImageOptionsBuilder::new().repo(name).tag(tag).build();
        self.client.tag_image(from, Some(options)).await.map_err(|refusal| {
            let error = self.failed(&refusal, format!("cannot name an image \"{reference}\""));
            match failure::status(&refusal) {
                Some(400) => error.with_kind(Kind::Usage).hint("write it as REGISTRY/NAME:TAG"),
                _ => error,
            }
        })
    }

    /// Gives a name back to the image that had it.
    ///
    /// # Errors
    /// When the daemon refuses.
    pub async fn release_tag(&self, tag: &ReservedTag) -> Result<()> {
        let reference = &tag.reference;
        let present = self.inspect_image(reference).await?.map(|image| image.id);
        match (&tag.former, present) {
            (None, None) => Ok(()),
            (None, Some(_)) => self.remove_image(reference).await,
            (Some(former), Some(present)) if *former == present => Ok(()),
            (Some(former), present) => {
                self.tag(former, reference).await?;
                match present {
                    Some(present) if self.is_nameless(&present).await => {
                        self.remove_image(&present).await
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    async fn is_nameless(&self, id: &str) -> bool {
        let image = self.client.inspect_image(id).await;
        image.is_ok_and(|image| image.repo_tags.unwrap_or_default().is_empty())
    }
}

/// The name and the tag of a reference. A port is no tag.
fn name_and_tag(reference: &str) -> (&str, &str) {
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (reference, "latest"),
    }
}

/// Progress of a push as progress of a pull. bollard leaves out the layer's id, so all layers share
/// one bar.
fn of_push(step: PushImageInfo) -> CreateImageInfo {
    let PushImageInfo { error_detail, status, progress_detail } = step;
    let has_numbers = progress_detail.as_ref().is_some_and(|detail| detail.total.is_some());
    CreateImageInfo {
        id: has_numbers.then(|| "upload".to_owned()),
        error_detail,
        status,
        progress_detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_tag() {
        assert_eq!(name_and_tag("127.0.0.1:5000/a/b"), ("127.0.0.1:5000/a/b", "latest"));
        assert_eq!(name_and_tag("127.0.0.1:5000/a/b:c"), ("127.0.0.1:5000/a/b", "c"));
        assert_eq!(name_and_tag("a"), ("a", "latest"));
    }
}
