//! `devdb status`

use super::App;
use crate::cli::StatusArgs;
use crate::config::Overrides;
use crate::engine::Status;
use crate::error::{Kind, Result};
use crate::instance::{self, Context, Observed, Plan, data};
use crate::outcome::{Outcome, Place, Report, StatusReport};

/// `devdb status`
pub async fn run(app: &App, args: StatusArgs) -> Result<Outcome> {
    let context = app.context(Overrides::default(), None)?;
    let plan = Plan::load(&context.spec, false, false)?;
    let report = context.interrupt.guard(look(&context, &plan)).await?;
    let exit = if args.check { check(&report) } else { 0 };
    Ok(Outcome { command: "status", report: Report::Status(Box::new(report)), exit })
}

async fn look(context: &Context, plan: &Plan) -> Result<StatusReport> {
    let mut report = StatusReport::absent(context.spec.owner.clone());
    let observed = match Observed::look(context).await {
        Err(error) if error.kind() == Kind::NoInstance => return Ok(report),
        other => other?,
    };
    let record = &observed.record;
    report.state = "down";
    report.engine = Some(record.engine);
    report.generation = record.current;
    report.kept_generations = record.former_generations();
    report.place = Some(Place::from(&instance::recorded_address(record)));
    let Some(server) = &observed.server else { return Ok(report) };
    match &server.status {
        Status::Stopped { .. } => report.state = "stopped",
        Status::Running { since, health } => {
            report.state = "running";
            report.started = *since;
            report.health = health.clone();
            let address = instance::address(record, instance::endpoint_of(server)?);
            match data::survey(context, &address, plan).await {
                Ok((facts, migrations, seeds)) => {
                    report.server_version = Some(facts.version);
                    report.started = Some(facts.started);
                    report.database_bytes = Some(facts.database_size);
                    report.migrations = Some(migrations);
                    report.seeds = Some(seeds);
                }
                // A server that is starting, or in trouble, is something to show, not to fail on.
                Err(error) => report.trouble = Some(error.to_string()),
            }
        }
    }
    Ok(report)
}

/// 0 when it runs and everything is applied as the files say.
fn check(report: &StatusReport) -> u8 {
    let settled = |report: &StatusReport| {
        let migrations = report.migrations.as_ref()?;
        let seeds = report.seeds.as_ref()?;
        let clean = !migrations.drifted()
            && migrations.pending.is_empty()
            && seeds.pending.is_empty()
            && seeds.changed.is_empty();
        clean.then_some(())
    };
    if settled(report).is_some() { 0 } else { Kind::Pending.exit_code() }
}
