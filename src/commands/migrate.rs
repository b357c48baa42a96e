//! `devdb migrate`

use std::time::Instant;

use super::{App, lent, said};
use crate::cli::{MigrateArgs, MigrateCommand};
use crate::config::Overrides;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::instance::{self, Keeper, Observed};
use crate::outcome::{Outcome, Report};
use crate::plan::{self, Extent, Plan};
use crate::populate;

/// `devdb migrate`
pub async fn run(app: &App, args: MigrateArgs) -> Result<Outcome> {
    let context = app.context(Overrides::default(), None)?;
    match args.command {
        None | Some(MigrateCommand::Run) => apply(&context).await,
        Some(MigrateCommand::New { name }) => new(&context, &name),
        Some(MigrateCommand::Status { check }) => status(app, &context, check).await,
    }
}

async fn apply(context: &Context) -> Result<Outcome> {
    let begun = Instant::now();
    let plan = Plan::load(&context.spec, Extent::Migrations)?;
    plan.tell_unread(&context.events);
    let report = instance::beside_others(context, async || {
        let observed = context.interrupt.guard(Observed::look(context)).await?;
        let keeper = Keeper::Unlocked(context);
        let populated = populate::migrate(context, &observed.address()?, &plan, keeper).await?;
        observed.report(populated, begun)
    });
    let report = report.await?;
    Ok(Outcome { command: "migrate", report: Report::Up(Box::new(report)), exit: 0 })
}

fn new(context: &Context, name: &str) -> Result<Outcome> {
    let file = plan::new_migration(&context.spec.migrations, name)?;
    Ok(said("migrate new", true, format!("wrote {}", file.display())))
}

async fn status(app: &App, context: &Context, check: bool) -> Result<Outcome> {
    let plan = Plan::load(&context.spec, Extent::Migrations)?;
    plan.tell_unread(&context.events);
    let checked = |error: Error| match error.kind() {
        Kind::NoInstance | Kind::NotRunning if check => error.with_kind(Kind::Pending),
        _ => error,
    };
    let address = match lent::database(app, context)? {
        Some(lent) => lent.address,
        None => {
            let looking = context.interrupt.guard(Observed::look(context));
            looking.await.and_then(|observed| observed.address()).map_err(checked)?
        }
    };
    let report = context.interrupt.guard(populate::migrations(&address, &plan)).await?;
    let exit = match check {
        true if report.drifted(context.spec.migrations.out_of_order) => Kind::Drift.exit_code(),
        true if !report.pending.is_empty() => Kind::Pending.exit_code(),
        _ => 0,
    };
    Ok(Outcome { command: "migrate status", report: Report::Migrations(report), exit })
}
