//! Launching and starting on the instance's port, and moving off it when another program is there.

use crate::context::Context;
use crate::engine::{Engine, Launch, Server};
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use crate::spec::PortChoice;
use crate::state::{Guards, Record, ports};

/// How often another port is tried when programs keep taking the chosen one.
const TRIES: usize = 5;

/// Launches the instance's server on a generation at the record's port. With `port: auto` and the
/// port taken it moves, writes that into the record, and says so.
///
/// # Errors
/// `PortBusy` with a fixed port, and those of [`Engine::launch`].
pub(super) async fn instance(
    context: &Context,
    engine: &Engine,
    record: &mut Record,
    generation: u32,
    verifier: Option<&str>,
) -> Result<Server> {
    let spec = &context.spec;
    if let PortChoice::Fixed(port) = spec.port {
        record.port = port;
    }
    let mut left = TRIES;
    loop {
        let owner = record.owner.clone();
        let launch = Launch {
            // As it was made: a project that has another name now keeps its volumes.
            owner: &owner,
            generation,
            spec: &spec.server,
            port: record.port,
            verifier,
        };
        // Not interrupted halfway: an engine that has been asked for a container makes it, and
        // nobody would be there to remove it. The wait for a login that follows is interruptible.
        match engine.launch(&launch).await {
            Err(error) if may_move(context, &error) && left > 0 => {
                left -= 1;
                move_port(context, record).await?;
            }
            Err(error) if error.kind() == Kind::PortBusy => {
                return Err(fixed_port_hint(context, record, error));
            }
            other => return other,
        }
    }
}

/// Whether the way out of `error` is another port.
pub(super) fn may_move(context: &Context, error: &Error) -> bool {
    error.kind() == Kind::PortBusy && context.spec.port == PortChoice::Auto
}

/// Gives the record another free port that no other instance remembers.
///
/// # Errors
/// `PortBusy` when there is none, and when the record cannot be written.
pub(super) async fn move_port(context: &Context, record: &mut Record) -> Result<()> {
    let key = record.owner.key();
    let waiting = context.store.lock(Guards::Ports, &context.events);
    let _all = context.interrupt.guard(waiting).await?;
    let mut avoid = ports::remembered(&context.store, &key)?;
    avoid.insert(record.port);
    let from = record.port;
    record.port = ports::pick(&key, &avoid)?;
    context.store.save(record)?;
    context.events.emit(Event::PortMoved { from, to: record.port });
    Ok(())
}

/// What to do about a fixed port that is taken.
pub(super) fn fixed_port_hint(context: &Context, record: &Record, error: Error) -> Error {
    let error = error.hint(
        "devdb up --port auto   takes a free one this time; port: auto in devdb.yaml always does",
    );
    let records = context.store.load_all().unwrap_or_default().into_iter().flatten();
    let mut others = records.filter(|other| other.owner.key() != record.owner.key());
    match others.find(|other| other.port == record.port) {
        Some(Record { owner, .. }) => error.because(format!(
            "it is also the port of {} of {}, instance {}",
            owner.project, owner.developer, owner.instance
        )),
        None => error.hint("or end the program that holds it (ss -ltnp shows which)"),
    }
}
