//! Whether somebody wrote to the current generation: a person or a program, not PostgreSQL itself.
//! The answer decides how long the generation is kept once it is replaced.

use super::address;
use crate::context::Context;
use crate::db::connect::Address;
use crate::db::writes::{self, Finding, LastLook, OtherSessions};
use crate::engine::{Engine, STOP_DEADLINE, Server};
use crate::error::{Kind, Result};
use crate::state::{Record, Worth};

/// Whether somebody has written to the current generation, whose server is at `address`. Clients
/// stay connected. [`Finding::Unclear`] also when the server does not answer.
pub(super) async fn look(record: &Record, address: &Address) -> Finding {
    let current = record.current_generation();
    if current.is_some_and(|current| current.is_written) {
        return Finding::WrittenTo;
    }
    match current.and_then(|current| current.compared_with()) {
        Some(baseline) => {
            let finding = writes::since(baseline, address, OtherSessions::Leave).await;
            finding.unwrap_or(Finding::Unclear)
        }
        None => Finding::Unclear,
    }
}

/// Stops the server of the current generation cleanly. Returns what it told before; None when it did
/// not run or did not answer. Pass that to [`note`].
///
/// # Errors
/// When the server does not stop, and `Interrupted`.
pub(super) async fn stop(
    context: &Context,
    engine: &Engine,
    record: &Record,
    server: &Server,
) -> Result<Option<LastLook>> {
    let mut look = None;
    if let Some(endpoint) = server.endpoint.as_ref().filter(|_| server.is_running()) {
        let address = address(record, endpoint);
        let baseline = record.current_generation().and_then(|current| current.compared_with());
        look = match context.interrupt.guard(writes::before_stop(&address, baseline)).await {
            Ok(look) => Some(look),
            Err(error) if error.kind() == Kind::Interrupted => return Err(error),
            // A server that does not answer is stopped anyway.
            Err(_) => None,
        };
    }
    engine.stop(server, STOP_DEADLINE).await?;
    Ok(look)
}

/// The next transaction id of the current generation, whose server has stopped or is gone. None when
/// the engine cannot tell. Without a server it is asked for only when nobody seems to have written:
/// a devdb with another home directory may have served the generation since.
pub(super) async fn next_transaction(
    context: &Context,
    engine: &Engine,
    record: &Record,
    server: Option<&Server>,
) -> Option<u64> {
    if let Some(server) = server {
        return engine.next_transaction(server).await.ok().flatten();
    }
    let current = record.current_generation().filter(|one| one.worth == Worth::Untouched)?;
    let there = engine.generations(Some(&record.owner.key())).await.ok()?;
    let generation = there.iter().find(|one| one.id == current.id)?;
    engine.next_transaction_of(generation, &context.spec.server).await.ok().flatten()
}

/// Records whether somebody had written to the current generation before its server stopped, and its
/// size. `next_transaction` is the server's next transaction id after the stop: a client may have
/// written after the look, and then the id is another. Without the id the generation counts as
/// written to.
pub(super) fn note(record: &mut Record, look: Option<LastLook>, next_transaction: Option<u64>) {
    let Some(current) = record.current_generation_mut() else { return };
    let untouched_until = match look.map(|look| look.finding) {
        Some(Finding::Untouched(until)) => Some(until),
        Some(Finding::WrittenTo) => None,
        // When devdb stopped the server itself, it recorded then what it found.
        Some(Finding::Unclear) | None => current.baseline,
    };
    let is_untouched =
        !current.is_written && next_transaction.is_some() && untouched_until == next_transaction;
    current.worth = if is_untouched { Worth::Untouched } else { Worth::WrittenTo };
    if is_untouched {
        current.baseline = next_transaction;
    }
    if let Some(bytes) = look.and_then(|look| look.bytes) {
        current.bytes = Some(bytes);
    }
}

/// Records the baseline of a generation that was just made from a snapshot. There is one only when
/// the server has counted nothing at all since its recovery: otherwise a client may have been
/// quicker. Without a baseline the generation counts as written to.
pub(super) async fn note_baseline(record: &mut Record, address: &Address) {
    let measured = writes::measure(address, OtherSessions::Leave).await.ok().flatten();
    let measured = measured.filter(|measured| measured.writes.is_nothing());
    if let (Some(measured), Some(current)) = (measured, record.current_generation_mut()) {
        current.baseline = Some(measured.next_transaction);
        current.writes = Some(measured.writes);
    }
}
