//! `devdb up` for one instance: makes it or finds it, makes it run, and applies its plan.

use std::time::Instant;

use super::{Instance, Keeper, Observed, Running, address, beside_others, endpoint_of, promise};
use crate::context::Context;
use crate::db::connect::Address;
use crate::error::Result;
use crate::event::Event;
use crate::outcome::{How, Location, UpReport};
use crate::plan::Plan;
use crate::populate::{self, Populated};
use crate::state::Record;

/// Makes the instance run and applies its plan. Takes no lock when it already runs as it should.
/// `begun` is the time when the command began.
///
/// # Errors
/// The errors of creating, starting, migrating and seeding.
pub async fn bring_up(context: &Context, plan: &Plan, begun: Instant) -> Result<UpReport> {
    let unchanged = beside_others(context, async || unchanged(context, plan, begun).await);
    if let Some(report) = unchanged.await? {
        return Ok(report);
    }
    bring_up_open(Instance::open(context).await?, plan, begun).await
}

/// As [`bring_up`], for an instance whose lock the command has already.
///
/// # Errors
/// As [`bring_up`].
pub async fn bring_up_open(
    mut instance: Instance<'_>,
    plan: &Plan,
    begun: Instant,
) -> Result<UpReport> {
    let context = instance.context;
    let Running { server, how, golden } = instance.ensure_running(plan).await?;
    context.events.emit(Event::Ready { took: begun.elapsed() });
    let record = instance.recorded()?;
    let address = address(&record, endpoint_of(&server)?);
    let keeper = Keeper::Locked(&mut instance);
    let mut populated = populate::populate_kept(context, &address, plan, keeper).await?;
    if let Some(golden) = golden {
        populated.applied = instance.release(golden, populated.applied).await;
    }
    Ok(report(populated, &record, how, &address, begun))
}

/// Brings an instance up to date that runs as it should. None when there is more to do, and when its
/// server is still starting or has another password.
async fn unchanged(context: &Context, plan: &Plan, begun: Instant) -> Result<Option<UpReport>> {
    if let Some(observed) = context.interrupt.guard(Observed::as_wanted(context)).await?
        && let Ok(server) = observed.running()
        && let Some(endpoint) = &server.endpoint
    {
        let address = address(&observed.record, endpoint);
        let looking = async { Ok(populate::accepts_login(&address).await) };
        if context.interrupt.guard(looking).await? {
            promise::say_what_goes(context, &observed.record);
            let keeper = Keeper::Unlocked(context);
            let populated = populate::populate_kept(context, &address, plan, keeper).await?;
            return Ok(Some(report(populated, &observed.record, How::Unchanged, &address, begun)));
        }
    }
    Ok(None)
}

/// Makes a new instance from a copy of another instance's data, and applies the migrations that the
/// copy lacks. `origin` is the context of the other instance.
///
/// # Errors
/// The errors of [`Instance::branch_off`] and of migrating.
pub async fn bring_up_from(
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
    /// The address of the running server.
    ///
    /// # Errors
    /// `NotRunning`.
    pub fn address(&self) -> Result<Address> {
        Ok(address(&self.record, endpoint_of(self.running()?)?))
    }

    /// The report of a command that worked on the running database.
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
