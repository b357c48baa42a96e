//! Lists, restores and removes saved snapshots. A restored snapshot becomes a new generation.

use super::remains::{GONE, Remains};
use super::swap::SwapTo;
use super::{Instance, Replaced, lineage};
use crate::engine::{Engine, Manifest, Snapshot, SnapshotName, State};
use crate::error::{Error, Kind, Result, nearest};
use crate::spec::MadeWith;
use crate::state::{GenerationRecord, UnderWay, Why};

impl Instance<'_> {
    /// All snapshots, damaged ones included. Removes unfinished ones.
    ///
    /// # Errors
    /// `NoInstance`, and when the engine does not answer.
    pub async fn snapshots(&mut self) -> Result<Vec<Snapshot>> {
        let engine = self.open_snapshots().await?;
        self.begin(UnderWay::ReadingSnapshots)?;
        let mut snapshots = self.read_snapshots(&engine, None).await?;
        let owner = self.recorded()?.owner;
        for snapshot in &snapshots {
            if matches!(snapshot.state, State::Unfinished) {
                engine.remove_snapshot(&owner, &snapshot.name).await?;
            }
        }
        let found = snapshots.len();
        snapshots.retain(|snapshot| !matches!(snapshot.state, State::Unfinished));
        self.done()?;
        if snapshots.len() < found {
            self.hold(&engine).await;
        }
        Ok(snapshots)
    }

    /// Makes a new generation from a snapshot beside the running one, and swaps to it.
    ///
    /// # Errors
    /// `Snapshot` when the snapshot does not exist or is damaged, `Config` when it does not fit the
    /// settings, and the errors of launching.
    pub async fn restore(&mut self, name: &SnapshotName) -> Result<Replaced> {
        let engine = self.open_snapshots().await?;
        engine.keeps_instances().await?;
        let context = self.context;
        let spec = &context.spec.server;
        lineage::check_engine(engine.kind(), context.spec.engine)?;
        context.interrupt.guard(engine.prepare(spec, &context.events)).await?;
        let (snapshot, manifest) = self.usable_snapshot(&engine, name).await?;
        let made_with = MadeWith::of(spec, engine.kind());
        lineage::check_copy(&manifest.made_with, &made_with, || {
            format!("cannot restore the snapshot \"{name}\"")
        })?;
        let copy = self.next_generation(&engine).await?;

        self.begin(UnderWay::Generation(copy.id))?;
        let record = self.recorded()?;
        let former = record.current.unwrap_or_default();
        context.events.step("copying the snapshot beside the running database");
        let copying = engine.create_generation_from_snapshot(&record.owner, copy, &snapshot, spec);
        if let Err(error) = context.interrupt.guard(copying).await {
            let error = with_failure(error, format!("cannot restore the snapshot \"{name}\""));
            let error = self.rolled_back(&engine, &[copy.id], error).await;
            return Err(error.note("nothing was replaced; the database is as it was before"));
        }
        context.events.step("switching to the restored database");
        let profile = context.spec.seeds.chosen_profile();
        let new =
            GenerationRecord { profile, ..GenerationRecord::new(copy, made_with, Why::Restore) };
        let swapped = match self.swap(&engine, record, new, SwapTo::SnapshotCopy).await {
            Ok(swapped) => swapped,
            Err(error) => return Err(self.rolled_back(&engine, &[copy.id], error).await),
        };
        self.done()?;
        self.settle_promises(&engine).await;
        let fate = self.fate_after(&swapped, former);
        let current = copy.number;
        Ok(Replaced { server: swapped.server, golden: None, former, fate, current })
    }

    /// Removes a snapshot for good.
    ///
    /// # Errors
    /// `NoInstance`, `Snapshot` when the snapshot does not exist or the engine refuses.
    pub async fn remove_snapshot(&mut self, name: &SnapshotName) -> Result<()> {
        let engine = self.open_snapshots().await?;
        let owner = self.recorded()?.owner;
        let names = engine.snapshot_names(&owner).await?;
        let is_known = self.recorded()?.snapshots.iter().any(|known| known == name.as_str());
        if !names.iter().any(|found| found == name.as_str()) && !is_known {
            return Err(no_such(name, names.iter().map(String::as_str)));
        }
        if let Some(record) = &mut self.record {
            // `forget_snapshot` saves the record.
            record.count_restored_as_written();
        }
        self.forget_snapshot(name).await
    }

    /// Removes a snapshot if it exists.
    ///
    /// # Errors
    /// When the engine refuses.
    pub(super) async fn forget_snapshot(&mut self, name: &SnapshotName) -> Result<()> {
        let engine = self.open_snapshots().await?;
        let owner = self.recorded()?.owner;
        self.begin(UnderWay::Snapshot(name.to_string()))?;
        engine.remove_snapshot(&owner, name.as_str()).await?;
        if let Some(record) = &mut self.record {
            record.snapshots.retain(|known| known != name.as_str());
        }
        self.done()?;
        self.hold(&engine).await;
        Ok(())
    }

    /// Opens the instance's engine for work on snapshots, after tidying up.
    pub(super) async fn open_snapshots(&mut self) -> Result<Engine> {
        self.tidy().await?;
        self.engine(&self.recorded()?).await
    }

    async fn read_snapshots(
        &self,
        engine: &Engine,
        only: Option<&SnapshotName>,
    ) -> Result<Vec<Snapshot>> {
        let context = self.context;
        let owner = self.recorded()?.owner;
        let reading = engine.snapshots(&owner, only, &context.spec.server);
        let read = context.interrupt.guard(reading).await;
        read.map_err(|error| with_failure(error, "cannot read the snapshots' manifests".to_owned()))
    }

    /// A complete snapshot with its manifest.
    pub(super) async fn usable_snapshot(
        &mut self,
        engine: &Engine,
        name: &SnapshotName,
    ) -> Result<(Snapshot, Manifest)> {
        let names = engine.snapshot_names(&self.recorded()?.owner).await?;
        self.begin(UnderWay::ReadingSnapshots)?;
        let snapshots = self.read_snapshots(engine, Some(name)).await?;
        self.done()?;
        let unusable = |why: &str| {
            Error::new(Kind::Snapshot, format!("the snapshot \"{name}\" cannot be used"))
                .because(why)
                .hint(format!("devdb snapshot rm {name}   removes it"))
        };
        let is_known = self.recorded()?.snapshots.iter().any(|known| known == name.as_str());
        match snapshots.first() {
            None if is_known => {
                let gone = Error::new(Kind::Snapshot, format!("the snapshot \"{name}\" is gone"));
                let gone = gone.because(GONE);
                Err(Remains::of(engine, &self.recorded()?).await?.named_in(gone))
            }
            None => Err(no_such(name, names.iter().map(String::as_str))),
            Some(snapshot) => match &snapshot.state {
                State::Complete(manifest) => Ok((snapshot.clone(), Manifest::clone(manifest))),
                State::Damaged(why) => Err(unusable(why)),
                State::Unfinished => Err(unusable("it was never finished")),
            },
        }
    }

    /// Makes sure that no snapshot has the name. Removes an unfinished one.
    pub(super) async fn free_name(&mut self, engine: &Engine, name: &SnapshotName) -> Result<()> {
        let owner = self.recorded()?.owner;
        let names = engine.snapshot_names(&owner).await?;
        if !names.iter().any(|found| found == name.as_str()) {
            return Ok(());
        }
        let unfinished = |snapshot: &Snapshot| matches!(snapshot.state, State::Unfinished);
        self.begin(UnderWay::ReadingSnapshots)?;
        let snapshots = self.read_snapshots(engine, Some(name)).await?;
        self.done()?;
        if snapshots.iter().any(unfinished) {
            return engine.remove_snapshot(&owner, name.as_str()).await;
        }
        Err(Error::new(Kind::Snapshot, format!("the snapshot \"{name}\" exists already"))
            .hint("choose another name (snapshot save NAME, snapshot import --name NAME)")
            .hint(format!("devdb snapshot rm {name}   removes the old one")))
    }

    /// Removes the copy of a snapshot that failed with `error`, and returns that error.
    pub(super) async fn rolled_back_copy(
        &mut self,
        engine: &Engine,
        name: &str,
        error: Error,
    ) -> Error {
        let removed = match self.recorded() {
            Ok(record) => engine.remove_snapshot(&record.owner, name).await,
            Err(error) => Err(error),
        };
        let cleanup = removed.and_then(|()| self.done_after(&error));
        if cleanup.is_ok() {
            self.hold(engine).await;
        }
        error.with_cleanup(cleanup)
    }
}

/// Adds what failed to an error. An unexpected error becomes a snapshot error. An interruption
/// stays as it is, because the person knows what they interrupted.
pub(super) fn with_failure(error: Error, what: String) -> Error {
    match error.kind() {
        Kind::Interrupted => error,
        Kind::Unexpected => error.with_kind(Kind::Snapshot).context(what),
        _ => error.context(what),
    }
}

/// The error about an unknown snapshot; `names` are the existing ones.
fn no_such<'n>(name: &SnapshotName, names: impl Iterator<Item = &'n str>) -> Error {
    let error = Error::new(Kind::Snapshot, format!("there is no snapshot \"{name}\""));
    match nearest(name.as_str(), names) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error,
    }
    .hint("devdb snapshot list   shows all snapshots")
}
