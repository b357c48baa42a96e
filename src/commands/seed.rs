//! `devdb seed`

use std::time::Instant;

use super::App;
use crate::cli::SeedArgs;
use crate::config::Overrides;
use crate::error::Result;
use crate::instance::{self, Keeper, Observed};
use crate::outcome::{Outcome, Report};
use crate::plan::Plan;
use crate::populate;

/// `devdb seed`
pub async fn run(app: &App, args: SeedArgs) -> Result<Outcome> {
    let begun = Instant::now();
    let context = app.context(Overrides { profile: args.profile, ..Overrides::default() }, None)?;
    let plan = Plan::load_seeds(&context.spec)?;
    context.key.check()?;
    let report = instance::beside_others(&context, async || {
        let observed = context.interrupt.guard(Observed::look(&context)).await?;
        let keeper = Keeper::Unlocked(&context);
        let populated = populate::seed(&context, &observed.address()?, &plan, keeper).await?;
        observed.report(populated, begun)
    });
    let report = report.await?;
    instance::note_profile(&context).await?;
    Ok(Outcome { command: "seed", report: Report::Up(Box::new(report)), exit: 0 })
}
