//! Other tools' commands on a database: where they stand, and running them.

use std::time::Instant;

use super::Context;
use crate::db::connect::{Address, Connection};
use crate::db::foreign::{self, Turn};
use crate::error::Result;
use crate::event::Event;
use crate::foreign::Foreign;
use crate::outcome::{MigrationsReport, SeedsReport};

/// What a database knows of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has never been run.
    Never,
    /// It was run with other inputs, or was another command.
    Changed,
    /// It was run as it is.
    Current,
}

impl Standing {
    fn of(tool: &Foreign, recorded: Option<String>) -> Self {
        match recorded {
            None => Standing::Never,
            Some(fingerprint) if fingerprint == tool.fingerprint() => Standing::Current,
            Some(_) => Standing::Changed,
        }
    }
}

/// Where a command stands. Changes nothing.
pub(super) async fn standing(connection: &mut Connection, tool: &Foreign) -> Result<Standing> {
    let recorded = foreign::recorded(connection, tool.purpose().as_str()).await?;
    Ok(Standing::of(tool, recorded))
}

/// Runs a command and records that, if it is still due when nobody else is at it. Returns what was
/// run, as a person would type it.
///
/// # Errors
/// Those of [`Foreign::run`], and `Locked`.
pub(super) async fn run(
    context: &Context,
    address: &Address,
    tool: &Foreign,
    is_due: fn(Standing) -> bool,
) -> Result<Option<String>> {
    let purpose = tool.purpose().as_str();
    let mut turn = Turn::take(address).await?;
    if !is_due(Standing::of(tool, turn.recorded(purpose).await?)) {
        return Ok(None);
    }
    let begun = Instant::now();
    tool.run(address, &context.environment, &context.events).await?;
    let command = tool.label();
    turn.record(purpose, &command, tool.fingerprint()).await?;
    let took = begun.elapsed();
    context.events.emit(Event::CommandRan { command: command.clone(), took });
    Ok(Some(command))
}

/// A command that migrates, as it would be listed among files.
pub(super) fn migrations(tool: &Foreign, standing: Standing) -> MigrationsReport {
    let label = vec![tool.label()];
    match standing {
        Standing::Current => MigrationsReport { applied: label, ..MigrationsReport::default() },
        // Such a tool knows itself what of its files is applied; all of them are not.
        _ => MigrationsReport { pending: label, ..MigrationsReport::default() },
    }
}

/// A command that seeds, as it would be listed among files.
pub(super) fn seeds(tool: &Foreign, standing: Standing) -> SeedsReport {
    let label = vec![tool.label()];
    match standing {
        Standing::Never => SeedsReport { pending: label, ..SeedsReport::default() },
        Standing::Changed => {
            SeedsReport { applied: label.clone(), changed: label, ..SeedsReport::default() }
        }
        Standing::Current => SeedsReport { applied: label, ..SeedsReport::default() },
    }
}
