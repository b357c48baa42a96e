//! Writes snapshots into files, for another machine or person, and reads them back.

use std::path::{Path, PathBuf};

use super::snapshot::with_failure;
use super::{Instance, lineage};
use crate::archive::{Archive, ArchiveKind, IfExists, STANDARD_STREAM, Seal, Verified, Writer};
use crate::disk;
use crate::engine::{Engine, Manifest, SnapshotName, Stop};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::spec::MadeWith;
use crate::state::UnderWay;

/// A snapshot in a file.
pub struct Exported {
    /// The file's size in bytes.
    pub bytes: u64,
    /// The seal of the file: its size and checksum.
    pub seal: Seal,
}

impl Instance<'_> {
    /// Writes a snapshot into a file, as a whole or not at all.
    ///
    /// # Errors
    /// `Snapshot` when the snapshot does not exist, when the file exists and must not be replaced,
    /// and when the file cannot be written.
    pub async fn export_snapshot(
        &mut self,
        name: &SnapshotName,
        file: &Path,
        if_exists: IfExists,
    ) -> Result<Exported> {
        let is_stream = file == Path::new(STANDARD_STREAM);
        if !is_stream
            && disk::target(file, Kind::Snapshot)?.existing.is_some()
            && if_exists == IfExists::Refuse
        {
            return Err(Error::new(Kind::Snapshot, format!("{} exists already", file.display()))
                .hint("--force replaces it"));
        }
        let engine = self.open_snapshots().await?;
        let context = self.context;
        context.interrupt.guard(engine.prepare(&context.spec.server, &context.events)).await?;
        let (snapshot, manifest) = self.usable_snapshot(&engine, name).await?;
        self.begin(UnderWay::Export(file.to_owned()))?;
        context.events.step(format!("writing {}", file.display()));
        let owner = self.recorded()?.owner;
        let stop = Stop::default();
        let path = file.to_owned();
        let work = async {
            let writer = blocking(file, move || {
                Writer::create(&path, ArchiveKind::Snapshot, &manifest, if_exists)
            });
            let spec = &context.spec.server;
            let written =
                engine.export_snapshot(&owner, &snapshot, spec, writer.await?, &stop).await?;
            stop.check()?;
            blocking(file, move || written.finish()).await
        };
        match context.interrupt.guard_with_stop(work, || stop.ask()).await {
            Ok(seal) => {
                self.done()?;
                let bytes = std::fs::metadata(file).map_or(0, |found| found.len());
                Ok(Exported { bytes, seal })
            }
            Err(error) => {
                self.done_after(&error)?;
                Err(with_failure(error, format!("cannot export the snapshot \"{name}\"")))
            }
        }
    }

    /// Makes a snapshot from a file, under its own name or another. The whole file is checked
    /// before anything is made.
    ///
    /// # Errors
    /// `NoInstance`, and `Snapshot` when the file is damaged, holds no snapshot or does not fit
    /// this instance, or when the name is taken.
    pub async fn import_snapshot(
        &mut self,
        file: &Path,
        name: Option<&SnapshotName>,
    ) -> Result<Manifest> {
        let engine = self.open_snapshots().await?;
        let context = self.context;
        context.interrupt.guard(engine.prepare(&context.spec.server, &context.events)).await?;
        let path = file.to_owned();
        let opening = blocking(file, move || Archive::open(&path, ArchiveKind::Snapshot));
        let archive: Archive<Manifest> = context.interrupt.guard(opening).await?;
        let manifest = archive.manifest().payload.clone();
        let name = match name {
            Some(name) => name.clone(),
            None => SnapshotName::parse(&manifest.name).map_err(|error| {
                Error::new(Kind::Snapshot, format!("cannot use the file {}", file.display()))
                    .because(error)
                    .hint("--name NAME   gives the snapshot another name")
            })?,
        };
        self.check_origin(&engine, file, &manifest).await?;
        self.free_name(&engine, &name).await?;
        context.events.step(format!("checking {}", file.display()));
        let verifying = blocking(file, move || archive.verify());
        let verified = context.interrupt.guard(verifying).await?;

        self.begin(UnderWay::Snapshot(name.to_string()))?;
        context.events.step("unpacking");
        let manifest = Manifest { name: name.to_string(), ..manifest };
        match self.unpack(&engine, manifest, verified).await {
            Ok(manifest) => {
                self.done()?;
                self.hold(&engine).await;
                Ok(manifest)
            }
            Err(error) => {
                let error = with_failure(error, format!("cannot import {}", file.display()));
                Err(self.rolled_back_copy(&engine, name.as_str(), error).await)
            }
        }
    }

    async fn unpack(
        &self,
        engine: &Engine,
        manifest: Manifest,
        from: Verified<Manifest>,
    ) -> Result<Manifest> {
        let context = self.context;
        let owner = self.recorded()?.owner;
        let spec = &context.spec.server;
        context.interrupt.guard(engine.import_snapshot(&owner, manifest, spec, from)).await
    }

    /// Fails when no server of this instance could use the data.
    async fn check_origin(&self, engine: &Engine, file: &Path, manifest: &Manifest) -> Result<()> {
        let spec = &self.context.spec.server;
        let mut differences = Vec::new();
        if manifest.schema > Manifest::SCHEMA {
            differences.push("a newer devdb made it".to_owned());
        }
        if manifest.engine != engine.kind() {
            differences.push(format!("engine {} → {}", manifest.engine, engine.kind()));
        }
        let platform = engine.platform(spec).await?.machine;
        if manifest.platform != platform {
            differences.push(format!("platform {} → {platform}", manifest.platform));
        }
        let made = &manifest.made_with;
        // The names of database and user may still change before the restore, which checks them.
        let wanted = MadeWith {
            database: made.database.clone(),
            user: made.user.clone(),
            ..MadeWith::of(spec, engine.kind())
        };
        differences.extend(lineage::differences(made, &wanted));
        if differences.is_empty() {
            return Ok(());
        }
        Err(Error::new(Kind::Snapshot, format!("cannot use the file {}", file.display()))
            .because(format!("its data does not fit this instance: {}", differences.join(", ")))
            .hint("devdb status   shows what this instance runs on")
            .hint(
                "devdb up --instance NAME   makes a second instance, on another engine or version",
            ))
    }
}

/// Runs blocking work on a file.
async fn blocking<T: Send + 'static>(
    file: &Path,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let file: PathBuf = file.to_owned();
    let done = tokio::task::spawn_blocking(work).await;
    done.or_fail(Kind::Snapshot, || format!("cannot work on {}", file.display()))?
}
