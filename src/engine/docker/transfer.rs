//! Writes snapshots and golden states into files, and reads them back. The daemon packs and unpacks
//! the data directory as a tar stream.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use futures_util::{StreamExt, TryStreamExt};

use super::container::{self, Evict};
use super::generation::sync_word;
use super::helper::Job;
use super::image::missing_image;
use super::label::{self, Mark};
use super::snapshot::{kilobytes, one_line};
use super::{Docker, MOUNT, PGDATA, files};
use crate::archive::{FileOwner, Verified, Writer, bridge};
use crate::engine::snapshot::explained;
use crate::engine::{GoldenLabel, GoldenState, Manifest, Snapshot, Stop};
use crate::error::{Kind, Result, ResultExt};
use crate::spec::{Owner, ServerSpec};

const IMPORT: &str = concat!(include_str!("scripts/common.sh"), include_str!("scripts/import.sh"));

/// The name of the data directory in a volume, and the first name in its tar stream.
const DATA: &str = "pgdata";

/// See [`crate::engine::Engine`] for the contract of each method.
impl Docker {
    /// Copies the tar stream that the daemon packs from a container. The container is never
    /// started.
    ///
    /// # Errors
    /// See [`crate::engine::Engine::export_snapshot`].
    pub async fn export_snapshot(
        &self,
        owner: &Owner,
        snapshot: &Snapshot,
        spec: &ServerSpec,
        mut to: Writer,
        stop: &Stop,
    ) -> Result<Writer> {
        let job = Job {
            owner,
            generation: 0,
            image: &spec.image,
            volumes: vec![self.snapshot_source(owner, snapshot).await?],
            script: "",
            arguments: Vec::new(),
        };
        self.with_helper(&job, async |helper| {
            let path = format!("/from/{DATA}");
            let options = DownloadFromContainerOptionsBuilder::new().path(&path).build();
            let stop = stop.clone();
            let packed = self
                .client
                .download_from_container(&helper.id, Some(options))
                .map_err(io::Error::other)
                .take_while(move |_| std::future::ready(!stop.is_asked()));
            let stream = bridge::reader(Box::pin(packed));
            tokio::task::spawn_blocking(move || {
                to.append_tar(stream, Path::new(DATA), &|_| false).map(|()| to)
            })
            .await
            .or_fail(Kind::Snapshot, || format!("cannot export {}", snapshot.handle))?
        })
        .await
    }

    /// Sends a tar stream, which the daemon unpacks into a new volume, and writes the manifest.
    ///
    /// # Errors
    /// See [`crate::engine::Engine::import_snapshot`].
    pub async fn import_snapshot(
        &self,
        owner: &Owner,
        manifest: Manifest,
        spec: &ServerSpec,
        from: Verified<Manifest>,
    ) -> Result<Manifest> {
        let target = self.create_snapshot(owner, &manifest).await?;
        let needed = from.seal().bytes >> 10;
        let job = Job {
            owner,
            generation: 0,
            image: &spec.image,
            volumes: vec![target],
            script: IMPORT,
            arguments: vec![needed.to_string(), sync_word(spec).to_owned()],
        };
        self.with_helper(&job, async |helper| {
            let mut talk = self.talk(helper).await?;
            talk.hear().await?;
            // Only the script in the container knows the user of the server, and it changes the
            // owner later.
            let write =
                move |out: &mut dyn Write| from.write_tar(Path::new(DATA), FileOwner::ROOT, out);
            let options = UploadToContainerOptionsBuilder::new().path("/to").build();
            self.unpack(&helper.id, &helper.name, options, write).await.map_err(|error| {
                let text = error.to_string();
                explained(error.with_kind(Kind::Snapshot), &text)
            })?;
            talk.say(&[]).await;
            let disk_bytes = kilobytes(&talk.hear().await?)?;
            let manifest = Manifest { disk_bytes, ..manifest };
            talk.say(&[&one_line(&manifest)?]).await;
            talk.end().await?;
            Ok(manifest)
        })
        .await
    }

    /// Writes the data directory of a golden state into a file. The golden state may come from a
    /// registry.
    ///
    /// # Errors
    /// See [`crate::engine::Engine::export_golden`]. The container, which is never started, is
    /// removed.
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
                tmpfs: Some(container::tmpfs(&image)),
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
            let written = writer.append_tar(stream, Path::new(DATA), &|_| false);
            stop.check()?;
            written?;
            writer.finish().map(drop)
        })
        .await
    }

    /// Unpacks the data directory of a file into a container that was not started yet.
    pub(super) async fn unpack_golden(
        &self,
        id: &str,
        name: &str,
        archive: &Arc<Verified<GoldenLabel>>,
    ) -> Result<()> {
        self.upload(id, name, files::mount_point(0o755)?).await?;
        let archive = Arc::clone(archive);
        // The owner changes later. When the image starts as root, its entrypoint gives the files to
        // the server's user. Otherwise the daemon gives them to the image's user.
        let write =
            move |out: &mut dyn Write| archive.write_tar(Path::new(DATA), FileOwner::ROOT, out);
        let options =
            UploadToContainerOptionsBuilder::new().path(MOUNT).copy_uidgid("true").build();
        self.unpack(id, name, options, write).await
    }
}

async fn blocking(work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    tokio::task::spawn_blocking(work)
        .await
        .or_fail(Kind::Unexpected, || "cannot write the file".into())?
}
