//! Writes files into containers and reads them. The containers need not run.

use std::io::{Read, Write};

use bollard::query_parameters::{
    DownloadFromContainerOptionsBuilder, UploadToContainerOptions, UploadToContainerOptionsBuilder,
};
use futures_util::TryStreamExt;

use super::{Docker, MOUNT, failure};
use crate::archive::bridge;
use crate::error::{Error, Kind, Result, ResultExt};

impl Docker {
    /// Unpacks a tar archive over the container's root directory.
    pub(super) async fn upload(&self, id: &str, name: &str, archive: Vec<u8>) -> Result<()> {
        let options = UploadToContainerOptionsBuilder::new().path("/").build();
        // bollard writes every body but a stream to its trace log.
        let body = bollard::body_stream(futures_util::stream::iter([archive.into()]));
        self.client.upload_to_container(id, Some(options), body).await.map_err(|refusal| {
            self.failed(&refusal, format!("cannot write into the container \"{name}\""))
        })
    }

    /// Reads a file of a container, which need not run. None when there is no such file.
    pub(super) async fn read_file(&self, id: &str, path: &str) -> Result<Option<Vec<u8>>> {
        let what = || format!("cannot read {path}");
        let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
        let stream = self.client.download_from_container(id, Some(options));
        let packed: Vec<u8> = match stream.map_ok(|part| part.to_vec()).try_concat().await {
            Ok(packed) => packed,
            Err(refusal) if failure::is_missing(&refusal) => return Ok(None),
            Err(refusal) => return Err(self.failed(&refusal, what())),
        };
        let unpack = || -> std::io::Result<Vec<u8>> {
            let mut text = Vec::new();
            for entry in tar::Archive::new(packed.as_slice()).entries()? {
                entry?.read_to_end(&mut text)?;
            }
            Ok(text)
        };
        unpack().map(Some).or_fail(Kind::Snapshot, what)
    }

    /// Unpacks a tar stream in a container. `write` writes the stream.
    ///
    /// # Errors
    /// The errors of `write` and of the daemon.
    pub(super) async fn unpack(
        &self,
        id: &str,
        name: &str,
        options: UploadToContainerOptions,
        write: impl FnOnce(&mut dyn Write) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let what = || format!("cannot write into the container \"{name}\"");
        let (chunks, writing) = bridge::stream(write);
        let body = bollard::body_try_stream(chunks);
        let sent = self.client.upload_to_container(id, Some(options), body).await;
        let written = writing.await.or_fail(Kind::Unexpected, what)?;
        // When `write` fails, the upload fails, too. The error of `write` says why.
        written.and_then(|()| sent.map_err(|refusal| self.failed(&refusal, what())))
    }
}

/// The mount point, writable for every user. Images whose processes are not root need that.
pub(super) fn writable_mount_point() -> Result<Vec<u8>> {
    mount_point(0o1777)
}

/// The mount point with the permissions `mode`.
pub(super) fn mount_point(mode: u32) -> Result<Vec<u8>> {
    let mut archive = Archive::new();
    archive.directory(MOUNT, mode)?;
    archive.finish()
}

/// A tar archive whose files belong to root.
pub(super) struct Archive(tar::Builder<Vec<u8>>);

impl Archive {
    pub(super) fn new() -> Self {
        Archive(tar::Builder::new(Vec::new()))
    }

    fn directory(&mut self, path: &str, mode: u32) -> Result<()> {
        self.entry(path, tar::EntryType::Directory, &[], mode)
    }

    pub(super) fn file(&mut self, path: &str, content: &[u8], mode: u32) -> Result<()> {
        self.entry(path, tar::EntryType::Regular, content, mode)
    }

    fn entry(&mut self, path: &str, kind: tar::EntryType, content: &[u8], mode: u32) -> Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        self.0
            .append_data(&mut header, path.trim_start_matches('/'), content)
            .map_err(|error| packing_failed(&error))
    }

    pub(super) fn finish(self) -> Result<Vec<u8>> {
        self.0.into_inner().map_err(|error| packing_failed(&error))
    }
}

fn packing_failed(error: &std::io::Error) -> Error {
    Error::new(Kind::Unexpected, "cannot pack files for the container").because(error)
}
