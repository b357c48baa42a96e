//! Protects what an instance keeps from clean-up commands such as `docker volume prune`.

use super::Instance;
use super::retention::expired;
use crate::context::Context;
use crate::engine::{Engine, Exposed, Holding, Server};
use crate::error::Result;
use crate::state::Record;

/// What clean-up commands of the engine can remove of an instance. None when there are no such
/// commands.
///
/// # Errors
/// When the engine does not answer.
pub async fn exposed(engine: &Engine, record: &Record) -> Result<Option<Exposed>> {
    let generations: Vec<u32> = record.generations.iter().map(|generation| generation.id).collect();
    engine.exposed(&record.owner, &generations).await
}

/// What the engine is to hold of an instance whose record this is, when a server is on the generation
/// with the id `served`.
pub(super) fn holding<'a>(
    context: &'a Context,
    record: &'a Record,
    served: Option<u32>,
    is_running: bool,
) -> Holding<'a> {
    let going = record.ids_of(&expired(record));
    let ids = record.generations.iter().map(|generation| generation.id);
    let (going, generations) =
        ids.filter(|id| Some(*id) != served).partition(|id| going.contains(id));
    Holding {
        owner: &record.owner,
        generations,
        next: served,
        going,
        spec: &context.spec.server,
        is_running,
    }
}

/// Makes the engine hold what no server will use after a swap, which `after` is the record of. A swap
/// does this while it waits for the new server. [`Instance::hold`] puts right at the end what went
/// otherwise.
pub(super) async fn before_swap(context: &Context, engine: &Engine, after: &Record) {
    if let Err(error) = engine.hold(&holding(context, after, after.current_id(), true)).await {
        tracing::debug!("the former generations are not held yet: {error}");
    }
}

impl Instance<'_> {
    /// Makes the engine hold the generations that no server uses, and the snapshots. Every command
    /// that changes the set calls this last. A failure is only a warning, because the command has
    /// done its work.
    pub(super) async fn hold(&mut self, engine: &Engine) {
        if let Err(error) = self.try_hold(engine).await {
            self.context.events.warn(format!(
                "docker volume prune would remove the former generations and snapshots of this \
                 database: {error}"
            ));
        }
    }

    async fn try_hold(&mut self, engine: &Engine) -> Result<()> {
        self.note_snapshots(engine).await?;
        let Some(record) = &self.record else { return Ok(()) };
        let server = self.current_server(engine, record).await?;
        let of_server = server.as_ref().map(|server| server.generation);
        let is_running = server.as_ref().is_some_and(Server::is_running);
        engine.hold(&holding(self.context, record, of_server, is_running)).await
    }

    /// Adds new snapshots to the record, which shows later when another program has removed one.
    ///
    /// # Errors
    /// When the engine does not answer, or the record cannot be written.
    pub(super) async fn note_snapshots(&mut self, engine: &Engine) -> Result<()> {
        let Some(record) = &mut self.record else { return Ok(()) };
        let names = engine.snapshot_names(&record.owner).await?;
        if record.snapshots.iter().any(|known| !names.contains(known)) {
            record.count_restored_as_written();
        }
        let new = names.into_iter().filter(|name| !record.snapshots.contains(name));
        let new: Vec<String> = new.collect();
        if new.is_empty() {
            return Ok(());
        }
        record.snapshots.extend(new);
        self.context.store.save(record)
    }
}
