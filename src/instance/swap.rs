//! The swap: one server makes room for another on the same port, and until that is recorded the old
//! one can come back.

use super::revive::{Password, stop_cleanly};
use super::{Instance, address, endpoint_of, launch};
use crate::db::inspect;
use crate::engine::{Engine, Server};
use crate::error::{Error, Result};
use crate::state::{GenerationRecord, Record, Worth};

/// Where a generation that is to become current comes from.
#[derive(Clone, Copy)]
pub(super) enum Incoming<'v> {
    /// A copy of a golden state, which has no password yet; this is the verifier of the instance's.
    Fresh(&'v str),
    /// A copy of a snapshot. Its password may be another's.
    Snapshot,
    /// It was current before.
    Former,
}

impl Instance<'_> {
    /// Stops the old server, launches one on another generation in its place, and records that.
    /// When it fails the old server runs again if it ran; the other generation's data is untouched.
    pub(super) async fn swap(
        &mut self,
        engine: &Engine,
        mut record: Record,
        new: GenerationRecord,
        from: Incoming<'_>,
    ) -> Result<Server> {
        let context = self.context;
        let number = new.number;
        let verifier = match from {
            Incoming::Fresh(verifier) => Some(verifier),
            Incoming::Snapshot | Incoming::Former => None,
        };
        let is_restored = matches!(from, Incoming::Snapshot);
        let mut old = self.current_server(engine, &record).await?;
        let was_running = old.as_ref().is_some_and(Server::is_running);
        let attempt = async {
            if let Some(old) = &mut old {
                stop_cleanly(context, engine, &record, old).await?;
                *old = engine.set_aside(old).await?;
            }
            let next_transaction = async {
                match &old {
                    // Whoever cannot tell keeps it.
                    Some(old) => engine.next_transaction(old).await.ok().flatten(),
                    None => None,
                }
            };
            // Asked of a server that has stopped, because a client may write to the last moment; but
            // not waited for.
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
                // From here on the other generation is the instance's, and nothing is an error: a
                // leftover server is removed by the next command, as the note stays there.
                if let Some(old) = &old
                    && let Err(error) = engine.remove_server(old).await
                {
                    self.left_behind = true;
                    context.events.warn(format!("the old server is still there: {error}"));
                }
                Ok(server)
            }
            Err(error) => Err(match &old {
                Some(old) => self.put_back(engine, old, was_running, error).await,
                None => match self.discard_server(engine, number).await {
                    Ok(()) => error,
                    Err(worse) => error.because(format!("and cleaning up failed: {worse}")),
                },
            }),
        }
    }
}

/// Notes from where on somebody has written to a generation that was restored. Where that cannot be
/// told, everything counts.
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

/// Notes whether anybody has written to the current generation since it was made: only then it need
/// be kept.
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
