//! `devdb reset`

use std::time::Instant;

use super::{App, down};
use crate::cli::ResetArgs;
use crate::config::Overrides;
use crate::db::migrate::LineEndings;
use crate::error::Result;
use crate::instance::{self, Instance, OldGeneration, Replaced};
use crate::outcome::{Applied, Location, Outcome, Report, ResetReport, millis};
use crate::plan::{Extent, Plan, Skip};
use crate::populate;

/// `devdb reset`
pub async fn run(app: &App, args: ResetArgs) -> Result<Outcome> {
    let begun = Instant::now();
    let flags =
        Overrides { postgres: args.postgres, profile: args.profile, ..Overrides::default() };
    let context = app.context(flags, args.timeout)?;
    let plan = Plan::load(
        &context.spec,
        Extent::skipping(Skip { migrations: false, seeds: args.no_seed }),
    )?;
    plan.tell_unread(&context.events);
    context.key.check()?;
    if args.wipe && !args.yes {
        let which = down::which(&context);
        down::confirm(&format!("Remove the present data of {which} at once, for good?"))?;
    }
    let old = if args.wipe { OldGeneration::Wipe } else { OldGeneration::Keep };
    let mut instance = Instance::open(&context).await?;
    let Some(replaced) = instance.reset(&plan, old).await? else {
        // Without an instance, a first `up` makes a fresh database.
        drop(instance);
        let report = instance::bring_up(&context, &plan, begun).await?;
        return Ok(Outcome { command: "reset", report: Report::Up(Box::new(report)), exit: 0 });
    };
    let endpoint = instance::endpoint_of(&replaced.server)?;
    let address = instance::address(&instance.recorded()?, endpoint);
    // The database is replaced, so neither an interruption nor a failure is an error any more.
    if let Err(error) = populate::record_line_endings(&address, &plan, LineEndings::Here).await {
        context.events.warn(format!("the checksums of this checkout were not recorded: {error}"));
    }
    let report = report(&mut instance, replaced, Applied::default(), begun).await?;
    Ok(Outcome { command: "reset", report: Report::Reset(Box::new(report)), exit: 0 })
}

/// The report on a swap. `found` is what was applied after the swap, and what is still pending.
pub async fn report(
    instance: &mut Instance<'_>,
    replaced: Replaced,
    found: Applied,
    begun: Instant,
) -> Result<ResetReport> {
    let took_ms = millis(begun.elapsed());
    let applied = match replaced.golden {
        Some(golden) => instance.release(golden, found).await,
        None => found,
    };
    let record = instance.recorded()?;
    let address = instance::address(&record, instance::endpoint_of(&replaced.server)?);
    Ok(ResetReport {
        owner: record.owner.clone(),
        engine: record.engine,
        location: Location::from(&address),
        generation: replaced.current,
        former_generation: replaced.former,
        former: replaced.fate,
        former_differs: instance.changes_since(replaced.former),
        kept_days: record.retention.days,
        applied,
        took_ms,
    })
}
