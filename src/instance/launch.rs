//! Launches a server on the instance's port, and moves to another port when a program has taken it.

use crate::context::Context;
use crate::engine::{Engine, Launch, Numbered, Server};
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use crate::spec::PortChoice;
use crate::state::{Guards, Record, ports};

/// How many other ports devdb tries when programs keep taking the chosen one.
const PORT_TRIES_MAX: usize = 5;

/// Launches the instance's server on a generation, at the recorded port. When the port is taken and
/// the project has `port: auto`, the instance moves: devdb records another port and reports it.
///
/// # Errors
/// `PortBusy` with a fixed port, and the errors of [`Engine::launch`].
pub(super) async fn instance(
    context: &Context,
    engine: &Engine,
    record: &mut Record,
    on: Numbered,
    verifier: Option<&str>,
) -> Result<Server> {
    let spec = &context.spec;
    if let PortChoice::Fixed(port) = spec.port {
        record.port = port;
    }
    let mut left = PORT_TRIES_MAX;
    loop {
        let owner = record.owner.clone();
        let launch = Launch {
            // A project that was renamed keeps its volumes, so the recorded owner counts.
            owner: &owner,
            generation: on.id,
            number: on.number,
            spec: &spec.server,
            port: record.port,
            verifier,
        };
        // Not interruptible: the engine makes the container even when devdb stops waiting, and
        // nothing would remove it. The wait for a login that follows is interruptible.
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

/// Whether another port solves `error`.
pub(super) fn may_move(context: &Context, error: &Error) -> bool {
    error.kind() == Kind::PortBusy && context.spec.port == PortChoice::Auto
}

/// Gives the record another free port that no other instance remembers.
///
/// # Errors
/// `PortBusy` when no port is free, and when the record cannot be written.
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

/// Adds hints to the error about a fixed port that is taken.
pub(super) fn fixed_port_hint(context: &Context, record: &Record, error: Error) -> Error {
    let error = error.hint(
        "devdb up --port auto   takes a free port this time; postgres.port: auto always does",
    );
    let records = context.store.load_all().unwrap_or_default().into_iter().flatten();
    let mut others = records.filter(|other| other.owner.key() != record.owner.key());
    match others.find(|other| other.port == record.port) {
        Some(Record { owner, .. }) => error.because(format!(
            "the instance {2} of {0}, developer {1}, has the same port",
            owner.project, owner.developer, owner.instance
        )),
        None => error.hint("or end the program that uses the port (ss -ltnp shows it)"),
    }
}
