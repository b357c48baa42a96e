//! Snapshots of an instance, once they are saved: listed, restored as a new generation, removed.

use super::swap::Incoming;
use super::{Former, Instance, Replaced, generation_record, lineage};
use crate::engine::{Engine, Manifest, Snapshot, SnapshotName, State};
use crate::error::{Error, Kind, Result, nearest};
use crate::spec::MadeWith;
use crate::state::{GenerationRecord, UnderWay, Why, Worth};

impl Instance<'_> {
    /// The snapshots, those that cannot be used too; what a save that was cut short left is removed.
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
        snapshots.retain(|snapshot| !matches!(snapshot.state, State::Unfinished));
        self.done()?;
        Ok(snapshots)
    }

    /// Makes a new generation from a snapshot beside the running one, and swaps, as a reset does.
    ///
    /// # Errors
    /// `Snapshot` when there is no such snapshot or it cannot be used, `Config` when it was made with
    /// what the settings no longer say, and those of launching.
    pub async fn restore(&mut self, name: &SnapshotName) -> Result<Replaced> {
        let engine = self.open_snapshots().await?;
        engine.keeps_instances().await?;
        let context = self.context;
        let spec = &context.spec.server;
        lineage::check_engine(engine.kind(), context.spec.engine)?;
        context.interrupt.guard(engine.prepare(spec, &context.events)).await?;
        let (snapshot, manifest) = self.usable(&engine, name).await?;
        let made_with = MadeWith::of(spec, engine.kind());
        lineage::check_copy(&manifest.made_with, &made_with, || {
            format!("cannot restore the snapshot \"{name}\"")
        })?;
        let number = self.next_number(&engine.generations(Some(&self.key)).await?);

        self.begin(UnderWay::Generation(number))?;
        let record = self.recorded()?;
        let former = record.current.unwrap_or_default();
        context.events.step("copying the snapshot beside the running database");
        let copying =
            engine.create_generation_from_snapshot(&record.owner, number, &snapshot, spec);
        if let Err(error) = context.interrupt.guard(copying).await {
            let error = told(error, format!("cannot restore the snapshot \"{name}\""));
            let error = self.rolled_back(&engine, &[number], error).await;
            return Err(error.hint("nothing was replaced: the database is as it was before"));
        }
        context.events.step("swapping");
        let new = generation_record(number, made_with, Why::Restore);
        let server = match self.swap(&engine, record, new, Incoming::Snapshot).await {
            Ok(server) => server,
            Err(error) => return Err(self.rolled_back(&engine, &[number], error).await),
        };
        self.done()?;
        self.collect(&engine).await;
        let fate = self.fate_of(former, Former::Kept);
        Ok(Replaced { server, golden: None, former, fate, current: number })
    }

    /// Removes a snapshot, for good.
    ///
    /// # Errors
    /// `NoInstance`, `Snapshot` when there is no such snapshot or the engine refuses.
    pub async fn remove_snapshot(&mut self, name: &SnapshotName) -> Result<()> {
        let engine = self.open_snapshots().await?;
        let owner = self.recorded()?.owner;
        let names = engine.snapshot_names(&owner).await?;
        if !names.iter().any(|found| found == name.as_str()) {
            return Err(no_such(name, names.iter().map(String::as_str)));
        }
        if let Some(record) = &mut self.record {
            let restored = |one: &&mut GenerationRecord| one.why == Why::Restore;
            for generation in record.generations.iter_mut().filter(restored) {
                // The snapshot was its other copy, perhaps: from now on it counts as written to.
                // `forget_snapshot` saves this.
                (generation.baseline, generation.worth) = (None, Worth::WrittenTo);
            }
        }
        self.forget_snapshot(name).await
    }

    /// Removes a snapshot if it is there.
    ///
    /// # Errors
    /// When the engine refuses.
    pub(super) async fn forget_snapshot(&mut self, name: &SnapshotName) -> Result<()> {
        let engine = self.open_snapshots().await?;
        let owner = self.recorded()?.owner;
        self.begin(UnderWay::Snapshot(name.to_string()))?;
        engine.remove_snapshot(&owner, name.as_str()).await?;
        self.done()
    }

    /// The instance's engine, with what a command before left behind removed.
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
        read.map_err(|error| told(error, "cannot read the snapshots' manifests".to_owned()))
    }

    /// A snapshot that can be used, with its manifest.
    pub(super) async fn usable(
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
        match snapshots.first() {
            None => Err(no_such(name, names.iter().map(String::as_str))),
            Some(snapshot) => match &snapshot.state {
                State::Complete(manifest) => Ok((snapshot.clone(), Manifest::clone(manifest))),
                State::Damaged(why) => Err(unusable(why)),
                State::Unfinished => Err(unusable("it was never finished")),
            },
        }
    }

    /// Makes sure that nothing has the name: what a save that was cut short left is removed.
    pub(super) async fn vacate(&mut self, engine: &Engine, name: &SnapshotName) -> Result<()> {
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
        Err(Error::new(Kind::Snapshot, format!("there is a snapshot \"{name}\" already"))
            .hint("choose another name (snapshot save NAME, snapshot import --name NAME)")
            .hint(format!("devdb snapshot rm {name}   removes the old one")))
    }

    /// Removes what was copied of a snapshot that is not to be.
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
        match removed.and_then(|()| self.done_after(&error)) {
            Ok(()) => error,
            Err(worse) => error.because(format!("and cleaning up failed: {worse}")),
        }
    }
}

/// Says what failed, as a failure of the snapshot where the engine had no better word; of what a
/// person stopped that is known.
pub(super) fn told(error: Error, what: String) -> Error {
    match error.kind() {
        Kind::Interrupted => error,
        Kind::Unexpected => error.with_kind(Kind::Snapshot).context(what),
        _ => error.context(what),
    }
}

/// There is no snapshot of that name; `names` are those that there are.
fn no_such<'n>(name: &SnapshotName, names: impl Iterator<Item = &'n str>) -> Error {
    let error = Error::new(Kind::Snapshot, format!("there is no snapshot \"{name}\""));
    match nearest(name.as_str(), names) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error,
    }
    .hint("devdb snapshot list   shows them")
}
