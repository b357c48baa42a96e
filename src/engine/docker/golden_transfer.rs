//! Golden states on their way: into files and out of them, to registries and from there.
//!
//! What a registry sends is an image, and nothing of it ever runs: only its data directory is taken,
//! as from a file.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bollard::models::{ContainerCreateBody, CreateImageInfo, HostConfig, PushImageInfo};
use bollard::query_parameters::{
    DownloadFromContainerOptionsBuilder, PushImageOptionsBuilder, TagImageOptionsBuilder,
    UploadToContainerOptionsBuilder,
};
use futures_util::{StreamExt, TryStreamExt};

use super::container::Evict;
use super::label::{self, GOLDEN, Mark};
use super::launch::{self, missing_image};
use super::pull::{self, Way};
use super::{Docker, MOUNT, PGDATA, credentials, failure};
use crate::archive::{Verified, Writer, bridge};
use crate::engine::golden::unreadable;
use crate::engine::{GoldenLabel, GoldenState, Loan, Stop};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::event::{Event, Events};
use crate::spec::Owner;

/// The data directory's name below [`MOUNT`], and the first name in a tar stream of it.
const DIRECTORY: &str = "pgdata";

impl Docker {
    /// Writes the data directory of a golden state, or of what a registry sent as one, into a file.
    ///
    /// # Errors
    /// As the contract has it. The container, which is never started, is gone.
    pub async fn export_golden(
        &self,
        state: &GoldenState,
        owner: &Owner,
        writer: Writer,
        stop: &Stop,
    ) -> Result<()> {
        let image = self.inspect_image(&state.handle).await?;
        let image = image.ok_or_else(|| missing_image(&state.handle))?;
        let name = format!("{}-carrier", owner.base_name());
        let mark = Mark::of_step(owner, 0);
        let body = ContainerCreateBody {
            image: Some(state.handle.clone()),
            labels: Some(label::of_container(&name, &mark)),
            host_config: Some(HostConfig {
                tmpfs: Some(launch::tmpfs(&image)),
                ..Default::default()
            }),
            ..Default::default()
        };
        let id = self.create(&name, body, Evict::Any).await?.id;
        let written = self.download(&id, writer, stop).await;
        let removed = self.remove_container(&id, &name).await;
        written.and(removed)
    }

    pub(super) async fn download(&self, id: &str, mut writer: Writer, stop: &Stop) -> Result<()> {
        let options = DownloadFromContainerOptionsBuilder::new().path(PGDATA).build();
        let asked = stop.clone();
        let stream = self
            .client
            .download_from_container(id, Some(options))
            .take_while(move |_| std::future::ready(!asked.is_asked()));
        let stream = bridge::reader(stream.boxed());
        let stop = stop.clone();
        blocking(move || {
            let written = writer.append_tar(stream, Path::new(DIRECTORY), &|_| false);
            stop.check()?;
            written?;
            writer.finish().map(drop)
        })
        .await
    }

    /// Unpacks the data directory of a file into a container that has not been started yet.
    pub(super) async fn unpack_golden(
        &self,
        id: &str,
        name: &str,
        archive: &Arc<Verified<GoldenLabel>>,
    ) -> Result<()> {
        self.upload(id, name, launch::mount_point(0o755)?).await?;
        let archive = Arc::clone(archive);
        // Whose it is decides the image: its entrypoint gives it to the server's user where it
        // starts as root, and the daemon to the image's user where not.
        let write = move |out: &mut dyn Write| archive.write_tar(Path::new(DIRECTORY), (0, 0), out);
        let options =
            UploadToContainerOptionsBuilder::new().path(MOUNT).copy_uidgid("true").build();
        self.unpack(id, name, options, write).await
    }

    /// Remembers who has a name.
    ///
    /// # Errors
    /// `Usage` when it cannot be one.
    pub async fn lend_name(&self, reference: &str) -> Result<Loan> {
        let former = self.inspect_image(reference).await;
        let former = former.map_err(|error| match error.kind() {
            Kind::Config => error.with_kind(Kind::Usage).hint("write it as REGISTRY/NAME:TAG"),
            _ => error,
        })?;
        Ok(Loan { reference: reference.to_owned(), former: former.map(|image| image.id) })
    }

    /// Sends a golden state to a registry.
    ///
    /// # Errors
    /// As the contract has it.
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
        let sent = self.follow(stream, reference, events, pull::PATIENCE, Way::Push).await;
        sent.map_err(|failure| failure.error)?;
        events.emit(Event::Pushed { image: reference.to_owned(), took: started.elapsed() });
        Ok(())
    }

    /// Fetches a golden state from a registry.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn pull_golden(&self, reference: &str, events: &Events) -> Result<GoldenState> {
        self.pull(reference, events).await.map_err(|failure| failure.error)?;
        let label = self.label_of(reference).await?.ok_or_else(|| {
            Error::new(Kind::Image, format!("\"{reference}\" is not a golden state"))
                .because("it does not carry the label that devdb cache push writes")
        })?;
        Ok(GoldenState { handle: reference.to_owned(), label, bytes: 0 })
    }

    /// What an image says that it holds; none when it says nothing.
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

    /// Gives a name back.
    ///
    /// # Errors
    /// When the daemon refuses.
    pub async fn give_back(&self, loan: &Loan) -> Result<()> {
        let reference = &loan.reference;
        let present = self.inspect_image(reference).await?.map(|image| image.id);
        match (&loan.former, present) {
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

/// The parts of a reference; a port is no tag.
fn name_and_tag(reference: &str) -> (&str, &str) {
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (reference, "latest"),
    }
}

/// A push tells no layer's id (bollard leaves it out): one bar for all of them.
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

async fn blocking(work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    tokio::task::spawn_blocking(work)
        .await
        .or_fail(Kind::Unexpected, || "cannot write the file".into())?
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
