//! Throw-away containers that work on volumes. They run a POSIX shell script from the instance's
//! own image, as root and without network. Each is labelled as a builder, so the instance's next
//! command removes any that are left.

use std::pin::Pin;

use bollard::container::{AttachContainerResults, LogOutput};
use bollard::errors::Error as Refusal;
use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, Mount, MountType, MountVolumeOptions,
};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, StartContainerOptions, WaitContainerOptions,
};
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::Docker;
use super::container::Evict;
use super::label::{self, Labels, Mark};
use crate::db::backup::BackupEnd;
use crate::engine::snapshot::explained;
use crate::error::{Error, Kind, Result};
use crate::spec::Owner;

/// How many bytes of a script's last output explain why it failed.
const COMPLAINT_MAX: usize = 2000;

/// The work of a helper.
pub(super) struct Job<'a> {
    /// The owner of the instance.
    pub(super) owner: &'a Owner,
    /// The number of the generation that the helper works for.
    pub(super) generation: u32,
    /// The image's reference.
    pub(super) image: &'a str,
    pub(super) volumes: Vec<Volume>,
    pub(super) script: &'a str,
    /// The arguments `$1`, `$2` … of the script.
    pub(super) arguments: Vec<String>,
}

/// A volume that a helper mounts.
pub(super) struct Volume {
    pub(super) name: String,
    /// The labels of the volume. [`super::container::mounts`] says why a mount needs them.
    pub(super) labels: Labels,
    pub(super) at: String,
    pub(super) read_only: bool,
}

/// A container that was created and not started yet.
pub(super) struct Helper {
    pub(super) id: String,
    pub(super) name: String,
}

/// A running script, with its input and output.
pub(super) struct Talk<'a> {
    docker: &'a Docker,
    helper: &'a Helper,
    output: Pin<Box<dyn Stream<Item = Result<LogOutput, Refusal>> + Send>>,
    input: Pin<Box<dyn AsyncWrite + Send>>,
    heard: Vec<u8>,
    complaint: Vec<u8>,
}

impl Docker {
    /// Creates a helper, does `work` with it, and removes it.
    ///
    /// # Errors
    /// `Image` when the image is missing, and the errors of `work`.
    pub(super) async fn with_helper<T>(
        &self,
        job: &Job<'_>,
        work: impl AsyncFnOnce(&Helper) -> Result<T>,
    ) -> Result<T> {
        let name = label::helper_name(job.owner);
        let volumes = self.inspect_image(job.image).await?.map(|image| image.volumes);
        let body = body(job, &name, volumes.unwrap_or_default());
        let id = self.create(&name, body, Evict::Any).await?.id;
        let helper = Helper { id, name };
        let done = work(&helper).await;
        let removed = self.remove_container(&helper.id, &helper.name).await;
        // Show the first failure.
        let done = done?;
        removed?;
        Ok(done)
    }

    /// Starts a helper's script and listens to it.
    pub(super) async fn talk<'a>(&'a self, helper: &'a Helper) -> Result<Talk<'a>> {
        let cannot = || format!("cannot start the container \"{}\"", helper.name);
        let options =
            AttachContainerOptionsBuilder::new().stdin(true).stdout(true).stderr(true).stream(true);
        let attached = self.client.attach_container(&helper.id, Some(options.build())).await;
        let AttachContainerResults { output, input } =
            attached.map_err(|refusal| self.failed(&refusal, cannot()))?;
        let started = self.client.start_container(&helper.id, None::<StartContainerOptions>).await;
        started.map_err(|refusal| self.failed(&refusal, cannot()))?;
        let (heard, complaint) = (Vec::new(), Vec::new());
        Ok(Talk { docker: self, helper, output, input, heard, complaint })
    }
}

impl Talk<'_> {
    /// Waits for the next line that the script prints.
    ///
    /// # Errors
    /// `Snapshot` when the script has ended; the error contains its stderr.
    pub(super) async fn hear(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.heard.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if !self.listen().await? {
                return Err(self.failure(self.exit_code().await?));
            }
        }
    }

    /// Sends lines to the script, after a line with their number.
    pub(super) async fn say(&mut self, lines: &[&str]) {
        let mut text = format!("{}\n", lines.len());
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        // A script that does not read has ended. Its exit code and stderr say why.
        let _ = self.input.write_all(text.as_bytes()).await;
        let _ = self.input.flush().await;
    }

    /// Waits until `copy.sh` has copied the files, and gives it the end of a running server's
    /// backup.
    ///
    /// # Errors
    /// `Snapshot` when the script has ended, and the errors of `end`.
    pub(super) async fn copied(
        &mut self,
        end: Option<impl Future<Output = Result<BackupEnd>>>,
    ) -> Result<()> {
        self.hear().await?;
        if let Some(end) = end {
            let end = end.await?;
            self.say(&end.segments.iter().map(String::as_str).collect::<Vec<_>>()).await;
            self.say(&end.label.lines().collect::<Vec<_>>()).await;
        }
        Ok(())
    }

    /// Waits for the end of the script.
    ///
    /// # Errors
    /// `Snapshot` when the script failed; the error contains its stderr.
    pub(super) async fn end(mut self) -> Result<()> {
        while self.listen().await? {}
        match self.exit_code().await? {
            0 => Ok(()),
            code => Err(self.failure(code)),
        }
    }

    /// Reads more of the script's output. Returns false at its end.
    async fn listen(&mut self) -> Result<bool> {
        match self.output.next().await {
            None => Ok(false),
            Some(Ok(LogOutput::StdErr { message })) => {
                self.complaint.extend_from_slice(&message);
                let surplus = self.complaint.len().saturating_sub(COMPLAINT_MAX);
                self.complaint.drain(..surplus);
                Ok(true)
            }
            Some(Ok(said)) => {
                self.heard.extend_from_slice(said.as_ref());
                Ok(true)
            }
            Some(Err(refusal)) => Err(self.docker.failed(&refusal, self.what())),
        }
    }

    async fn exit_code(&self) -> Result<i64> {
        let mut ends =
            self.docker.client.wait_container(&self.helper.id, None::<WaitContainerOptions>);
        match ends.next().await {
            Some(Ok(end)) => Ok(end.status_code),
            Some(Err(Refusal::DockerContainerWaitError { code, .. })) => Ok(code),
            Some(Err(refusal)) => Err(self.docker.failed(&refusal, self.what())),
            None => Ok(-1),
        }
    }

    fn what(&self) -> String {
        format!("the copy in the container \"{}\" failed", self.helper.name)
    }

    fn failure(&self, code: i64) -> Error {
        let complaint = String::from_utf8_lossy(&self.complaint).trim_end().to_owned();
        let error = Error::new(Kind::Snapshot, self.what())
            .because(format!("its script ended with code {code}"));
        explained(error, &complaint).excerpt(complaint)
    }
}

fn body(job: &Job<'_>, name: &str, image_volumes: Vec<String>) -> ContainerCreateBody {
    let mark = Mark::of_step(job.owner, job.generation);
    let mounts = job.volumes.iter().map(|volume| Mount {
        typ: Some(MountType::VOLUME),
        source: Some(volume.name.clone()),
        target: Some(volume.at.clone()),
        read_only: Some(volume.read_only),
        volume_options: Some(MountVolumeOptions {
            labels: Some(volume.labels.clone()),
            // Only the script fills the volume. Docker must not copy files of the image into it.
            no_copy: Some(true),
            ..Default::default()
        }),
        ..Default::default()
    });
    ContainerCreateBody {
        image: Some(job.image.to_owned()),
        entrypoint: Some(["sh", "-c", job.script, "devdb"].map(str::to_owned).into()),
        cmd: Some(job.arguments.clone()),
        // Only root can keep the owners of files in a copy.
        user: Some("0:0".to_owned()),
        labels: Some(label::of_container(name, &mark)),
        open_stdin: Some(true),
        stdin_once: Some(true),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..Default::default()
        }),
        host_config: Some(HostConfig {
            mounts: Some(mounts.collect()),
            tmpfs: Some(image_volumes.into_iter().map(|path| (path, String::new())).collect()),
            network_mode: Some("none".to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    }
}
