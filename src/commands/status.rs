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
    let plan = Plan::load(&context.spec, false, false);
    let mut report = context.interrupt.guard(look(&context, plan.as_ref().ok())).await?;
    let mut exit = if args.check { check(&report) } else { 0 };
    if let Err(error) = plan {
        // A file in the middle of an edit is no reason to hide where the database is.
        report.trouble.get_or_insert_with(|| error.to_string());
        exit = if args.check { error.kind().exit_code() } else { 0 };
    }
    Ok(Outcome { command: "status", report: Report::Status(Box::new(report)), exit })
}

/// `plan`: none when its files cannot be read; the database is asked all the same.
async fn look(context: &Context, plan: Option<&Plan>) -> Result<StatusReport> {
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
    report.snapshots = observed.engine.snapshot_names(&record.owner).await?.len();
    let Some(server) = &observed.server else { return Ok(report) };
    match &server.status {
        Status::Stopped { .. } => report.state = "stopped",
        Status::Running { since, health } => {
            report.state = "running";
            report.started = *since;
            report.health = health.clone();
            let address = instance::address(record, instance::endpoint_of(server)?);
            match data::survey(context, &address, plan.unwrap_or(&Plan::nothing())).await {
                Ok((facts, migrations, seeds)) => {
                    report.server_version = Some(facts.version);
                    report.started = Some(facts.started);
                    report.database_bytes = Some(facts.database_size);
                    report.migrations = plan.map(|_| migrations);
                    report.seeds = plan.map(|_| seeds);
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
