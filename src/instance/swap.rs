//! The swap: a server on another generation replaces the old server on the same port. Until the
//! swap is recorded, the old server can be put back.

use super::login::Password;
use super::remains::data_exists;
use super::{Instance, address, endpoint_of, hold, launch, written};
use crate::engine::{Engine, Server};
use crate::error::{Error, Kind, Result};
use crate::state::{GenerationRecord, Record};

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

/// A swap that is done.
pub(super) struct Swapped {
    /// The running server.
    pub server: Server,
    /// Whether another program had removed the data of the generation that was current before.
    pub old_is_gone: bool,
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
    ) -> Result<Swapped> {
        let context = self.context;
        let on = new.numbered();
        let verifier = match to {
            SwapTo::GoldenCopy(verifier) => Some(verifier),
            SwapTo::SnapshotCopy | SwapTo::FormerGeneration => None,
        };
        let is_restored = matches!(to, SwapTo::SnapshotCopy);
        let mut old = self.current_server(engine, &record).await?;
        let was_running = old.as_ref().is_some_and(Server::is_running);
        let attempt = async {
            let mut look = None;
            if let Some(old) = &mut old {
                look = written::stop(context, engine, &record, old).await?;
                *old = engine.set_aside(old).await?;
            }
            // The old server has stopped before this question, because a client may write to the
            // last moment. The launch does not wait for the answer.
            let before = record.clone();
            let next_transaction =
                written::next_transaction(context, engine, &before, old.as_ref());
            let mut after = record.clone();
            written::note(&mut after, look, look.and_then(|look| look.finding.untouched_until()));
            after.point_at(new.clone(), String::new());
            let (server, next_transaction, ()) = tokio::join!(
                launch::instance(context, engine, &mut record, on, verifier),
                next_transaction,
                hold::before_swap(context, engine, &after)
            );
            let server = server?;
            written::note(&mut record, look, next_transaction);
            record.point_at(new, server.handle.clone());
            // A server proves that its data is there.
            let old_is_gone = old.is_none() && !data_exists(engine, &before).await?;
            if old_is_gone {
                record.generations.retain(|one| Some(one.number) != before.current);
            }
            let password = if is_restored { Password::OfTheCopy } else { Password::Recorded };
            self.log_in(engine, &record, &server, password).await?;
            if is_restored {
                let address = address(&record, endpoint_of(&server)?);
                written::note_baseline(&mut record, &address).await;
            }
            context.store.save(&record)?;
            Ok::<Swapped, Error>(Swapped { server, old_is_gone })
        };
        match attempt.await {
            Ok(swapped) => {
                self.record = Some(record);
                // The swap is recorded, so nothing is an error any more. When the old server stays,
                // the note stays too, and the next command removes the server.
                if let Some(old) = &old
                    && let Err(error) = engine.remove_server(old).await
                {
                    self.left_behind = true;
                    context.events.warn(format!("the old server could not be removed: {error}"));
                }
                Ok(swapped)
            }
            // The other generation may be damaged. What the present one could go back to is of no
            // use then.
            Err(error) => Err(match (&old, about(error.without_missing_data(), on.number, to)) {
                (Some(old), error) => self.put_back(engine, old, was_running, error).await,
                (None, error) => error.with_cleanup(self.discard_server(engine, on.id).await),
            }),
        }
    }
}

/// The error, with what it is about.
fn about(error: Error, number: u32, to: SwapTo<'_>) -> Error {
    match to {
        SwapTo::FormerGeneration if error.kind() != Kind::Interrupted => error
            .context(format!("cannot switch to generation {number}"))
            .hint("devdb generations   shows what else is kept"),
        _ => error,
    }
}
