//! `devdb seed`

use std::time::Instant;

use super::App;
use crate::cli::SeedArgs;
use crate::config::Overrides;
use crate::error::Result;
use crate::instance;
use crate::instance::{How, Observed, Plan, data};
use crate::outcome::{Outcome, Report};

/// `devdb seed`
pub async fn run(app: &App, args: SeedArgs) -> Result<Outcome> {
    let begun = Instant::now();
    let context = app.context(Overrides { profile: args.profile, ..Overrides::default() }, None)?;
    let plan = Plan::load(&context.spec, false, false)?;
    context.key.check()?;
    let observed = context.interrupt.guard(Observed::look(&context)).await?;
    let address = instance::address(&observed.record, instance::endpoint_of(observed.running()?)?);
    let populated = data::seed(&context, &address, &plan).await?;
    let report = populated.into_report(&observed.record, How::Unchanged, &address, begun);
    Ok(Outcome { command: "seed", report: Report::Up(Box::new(report)), exit: 0 })
}
