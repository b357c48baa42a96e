//! Snapshots into files and out of them: their data directory as a tar stream that the daemon packs
//! and unpacks.

use std::io;
use std::path::Path;

use bollard::query_parameters::{
    DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use futures_util::{StreamExt, TryStreamExt};
use tokio_util::io::{ReaderStream, StreamReader, SyncIoBridge};

use super::Docker;
use super::helper::{Helper, Job};
use super::snapshot::{kilobytes, one_line, sync_word};
use crate::archive::{Verified, Writer};
use crate::engine::snapshot::explained;
use crate::engine::{Manifest, Snapshot, Stop};
use crate::error::{Kind, Result, ResultExt};
use crate::spec::{Owner, ServerSpec};

const IMPORT: &str = concat!(include_str!("scripts/common.sh"), include_str!("scripts/import.sh"));

/// The data directory's name in a snapshot's volume.
const DATA: &str = "pgdata";

/// How many bytes wait between the reading of a file and its upload.
const BUFFER: usize = 1 << 20;

/// See [`crate::engine::Engine`] for what each verb promises.
impl Docker {
    /// Copies what the daemon packs, through a container that is never started.
    ///
    /// # Errors
    /// As the contract has it.
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
            let stream = SyncIoBridge::new(StreamReader::new(Box::pin(packed)));
            tokio::task::spawn_blocking(move || {
                to.append_tar(stream, Path::new(DATA), &|_| false).map(|()| to)
            })
            .await
            .or_fail(Kind::Snapshot, || format!("cannot export {}", snapshot.handle))?
        })
        .await
    }

    /// Gives the daemon a tar stream to unpack into a new volume, and writes the manifest.
    ///
    /// # Errors
    /// As the contract has it.
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
            self.unpack(helper, from).await?;
            talk.say(&[]).await;
            let disk_bytes = kilobytes(&talk.hear().await?)?;
            let manifest = Manifest { disk_bytes, ..manifest };
            talk.say(&[&one_line(&manifest)?]).await;
            talk.end().await?;
            Ok(manifest)
        })
        .await
    }

    /// Unpacks a file's data directory at `/to`.
    async fn unpack(&self, helper: &Helper, from: Verified<Manifest>) -> Result<()> {
        let what = || format!("cannot write into the container \"{}\"", helper.name);
        let (sender, receiver) = tokio::io::duplex(BUFFER);
        let mut sender = SyncIoBridge::new(sender);
        let reading = tokio::task::spawn_blocking(move || {
            // Whose it is there only the container knows.
            from.write_tar(Path::new(DATA), (0, 0), &mut sender)
        });
        let options = UploadToContainerOptionsBuilder::new().path("/to").build();
        let body = bollard::body_try_stream(ReaderStream::with_capacity(receiver, BUFFER / 8));
        let uploaded = self.client.upload_to_container(&helper.id, Some(options), body).await;
        let read = reading.await.or_fail(Kind::Snapshot, what)?;
        match (uploaded, read) {
            (Ok(()), read) => read,
            // It was the daemon that broke it off, most likely: it says why.
            (Err(refusal), _) => {
                let error = self.failed(&refusal, what());
                let text = error.to_string();
                Err(explained(error.with_kind(Kind::Snapshot), &text))
            }
        }
    }
}
