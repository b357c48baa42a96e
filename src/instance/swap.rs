//! The swap: a server on another generation replaces the old server on the same port. Until the
//! swap is recorded, the old server can be put back.

use super::login::Password;
use super::stop::stop_cleanly;
use super::{Instance, address, endpoint_of, launch};
use crate::db::inspect;
use crate::engine::{Engine, Server};
use crate::error::{Error, Result};
use crate::state::{GenerationRecord, Record, Worth};

/// Where the new current generation comes from.
#[derive(Clone, Copy)]
pub(super) enum SwapTo<'v> {
    /// A copy of a golden state. It has no password yet; the launch sets this verifier.
    GoldenCopy(&'v str),
    /// A copy of a snapshot. Its password may be another instance's.
    SnapshotCopy,
    /// A generation that was current before.
    FormerGeneration,
}

impl Instance<'_> {
    /// Stops the old server, launches one on another generation in its place, and records the swap.
    /// After a failure the old server is put back. The other generation's data stays as it is.
    pub(super) async fn swap(
        &mut self,
        engine: &Engine,
        mut record: Record,
        new: GenerationRecord,
        to: SwapTo<'_>,
    ) -> Result<Server> {
        let context = self.context;
        let number = new.number;
        let verifier = match to {
            SwapTo::GoldenCopy(verifier) => Some(verifier),
            SwapTo::SnapshotCopy | SwapTo::FormerGeneration => None,
        };
        let is_restored = matches!(to, SwapTo::SnapshotCopy);
        let mut old = self.current_server(engine, &record).await?;
        let was_running = old.as_ref().is_some_and(Server::is_running);
        let attempt = async {
            if let Some(old) = &mut old {
                stop_cleanly(context, engine, &record, old).await?;
                *old = engine.set_aside(old).await?;
            }
            let next_transaction = async {
                match &old {
                    // Without an answer the generation counts as written to.
                    Some(old) => engine.next_transaction(old).await.ok().flatten(),
                    None => None,
                }
            };
            // The old server has stopped before the question, because a client may write to the
            // last moment. The launch does not wait for the answer.
            let (server, next_transaction) = tokio::join!(
                launch::instance(context, engine, &mut record, number, verifier),
                next_transaction
            );
            let server = server?;
            note_whether_untouched(&mut record, next_transaction);
            record.retention = context.spec.retention;
            record.point_at(new, server.handle.clone());
            let password = if is_restored { Password::OfTheCopy } else { Password::Recorded };
            self.log_in(engine, &record, &server, password).await?;
            if is_restored {
                note_baseline(&mut record, &server).await;
            }
            context.store.save(&record)?;
            Ok::<Server, Error>(server)
        };
        match attempt.await {
            Ok(server) => {
                self.record = Some(record);
                // The swap is recorded, so nothing is an error any more. When the old server stays,
                // the note stays too, and the next command removes the server.
                if let Some(old) = &old
                    && let Err(error) = engine.remove_server(old).await
                {
                    self.left_behind = true;
                    context.events.warn(format!("the old server could not be removed: {error}"));
                }
                Ok(server)
            }
            Err(error) => Err(match &old {
                Some(old) => self.put_back(engine, old, was_running, error).await,
                None => error.with_cleanup(self.discard_server(engine, number).await),
            }),
        }
    }
}

/// Records the baseline of a restored generation. Without one the generation counts as written to.
async fn note_baseline(record: &mut Record, server: &Server) {
    let Ok(endpoint) = endpoint_of(server) else { return };
    let next = inspect::next_transaction(&address(record, endpoint)).await;
    let current = record.current;
    for generation in &mut record.generations {
        if Some(generation.number) == current {
            generation.baseline = next.as_ref().ok().copied();
        }
    }
}

/// Records whether somebody has written to the current generation, which decides how long it is
/// kept.
fn note_whether_untouched(record: &mut Record, next_transaction: Option<u64>) {
    let current = record.current;
    for generation in &mut record.generations {
        if Some(generation.number) == current {
            let is_untouched =
                next_transaction.is_some() && generation.baseline == next_transaction;
            generation.worth = if is_untouched { Worth::Untouched } else { Worth::WrittenTo };
        }
    }
}
