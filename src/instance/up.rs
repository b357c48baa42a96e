//! The whole of `devdb up` for one instance: found or made, running, and as its plan says.

use std::time::Instant;

use super::{Instance, Observed, Running, address, endpoint_of};
use crate::context::Context;
use crate::db::connect::Address;
use crate::error::Result;
use crate::event::Event;
use crate::outcome::{How, Location, UpReport};
use crate::plan::Plan;
use crate::populate::{self, Populated};
use crate::state::Record;

/// The running, populated instance: at once when it is as it should be, else under its lock.
/// `begun`: when the command began.
///
/// # Errors
/// Every kind that creating, starting, migrating and seeding have.
pub async fn bring_up(context: &Context, plan: &Plan, begun: Instant) -> Result<UpReport> {
    if let Some(observed) = context.interrupt.guard(Observed::as_wanted(context)).await?
        && let Ok(server) = observed.running()
        && let Some(endpoint) = &server.endpoint
    {
        let address = address(&observed.record, endpoint);
        let looking = async { Ok(populate::accepts_login(&address).await) };
        // It may still be starting, or its password may be another: the long way knows what to do.
        if context.interrupt.guard(looking).await? {
            let populated = populate::populate(context, &address, plan).await?;
            return Ok(report(populated, &observed.record, How::Unchanged, &address, begun));
        }
    }
    let mut instance = Instance::open(context).await?;
    let Running { server, how, golden } = instance.ensure_running(plan).await?;
    context.events.emit(Event::Ready { took: begun.elapsed() });
    let record = instance.recorded()?;
    let address = address(&record, endpoint_of(&server)?);
    let mut populated = populate::populate(context, &address, plan).await?;
    if let Some(golden) = golden {
        populated.applied = instance.release(golden, populated.applied).await;
    }
    Ok(report(populated, &record, how, &address, begun))
}

/// A new instance that begins with a copy of another's data; what that lacks of the plan's
/// migrations is applied. `origin`: the world of the other instance.
///
/// # Errors
/// Those of [`Instance::branch_off`] and of migrating.
pub async fn begin_with(
    context: &Context,
    origin: &Context,
    plan: &Plan,
    begun: Instant,
) -> Result<UpReport> {
    let mut instance = Instance::open(context).await?;
    let Running { server, how, .. } = instance.branch_off(origin).await?;
    let record = instance.recorded()?;
    let address = address(&record, endpoint_of(&server)?);
    let populated = populate::populate(context, &address, plan).await?;
    Ok(report(populated, &record, how, &address, begun))
}

impl Observed {
    /// How to log in to the running server.
    ///
    /// # Errors
    /// `NotRunning`.
    pub fn address(&self) -> Result<Address> {
        Ok(address(&self.record, endpoint_of(self.running()?)?))
    }

    /// What a command did to this instance's data, as a report.
    ///
    /// # Errors
    /// `NotRunning`.
    pub fn report(&self, populated: Populated, begun: Instant) -> Result<UpReport> {
        Ok(report(populated, &self.record, How::Unchanged, &self.address()?, begun))
    }
}

fn report(
    populated: Populated,
    record: &Record,
    how: How,
    address: &Address,
    begun: Instant,
) -> UpReport {
    UpReport {
        how,
        owner: record.owner.clone(),
        engine: record.engine,
        server_version: populated.server_version,
        location: Location::from(address),
        applied: populated.applied,
        env_file: None,
        took_ms: crate::outcome::millis(begun.elapsed()),
    }
}
