//! `devdb status`

use super::App;
use crate::cli::{Format, StatusArgs};
use crate::config::Overrides;
use crate::context::Context;
use crate::engine::{Engine, Status};
use crate::error::{Kind, Result};
use crate::golden;
use crate::instance::{self, Observed};
use crate::outcome::{Location, Outcome, Report, StatusGolden, StatusReport};
use crate::plan::{Extent, Plan};
use crate::populate;
use crate::spec::{EngineChoice, EngineKind};

/// `devdb status`
pub async fn run(app: &App, args: StatusArgs) -> Result<Outcome> {
    let context = app.context(Overrides::default(), None)?;
    let plan = Plan::load(&context.spec, Extent::Seeds);
    let with_golden = app.global.verbose || app.global.format() == Format::Json;
    let looking = async {
        let (mut report, engine) = look(&context, plan.as_ref().ok()).await?;
        if let (Ok(plan), true) = (&plan, with_golden) {
            report.golden = golden(&context, engine, plan).await;
        }
        Ok(report)
    };
    let mut report = context.interrupt.guard(looking).await?;
    let mut exit = if args.check { check(&report) } else { 0 };
    if let Err(error) = plan {
        // A file in the middle of an edit is no reason to hide where the database is.
        report.trouble.get_or_insert_with(|| error.to_string());
        exit = if args.check { error.kind().exit_code() } else { 0 };
    }
    Ok(Outcome { command: "status", report: Report::Status(Box::new(report)), exit })
}

/// `plan`: none when its files cannot be read; the database is asked all the same.
async fn look(context: &Context, plan: Option<&Plan>) -> Result<(StatusReport, Option<Engine>)> {
    let mut report = StatusReport::absent(context.spec.owner.clone());
    let observed = match Observed::look(context).await {
        Err(error) if error.kind() == Kind::NoInstance => return Ok((report, None)),
        other => other?,
    };
    describe(context, plan, &observed, &mut report).await?;
    Ok((report, Some(observed.engine)))
}

async fn describe(
    context: &Context,
    plan: Option<&Plan>,
    observed: &Observed,
    report: &mut StatusReport,
) -> Result<()> {
    let record = &observed.record;
    report.state = "down";
    report.engine = Some(record.engine);
    report.generation = record.current;
    report.kept_generations = record.former_generations();
    report.location = Some(Location::from(&instance::recorded_address(record)));
    report.snapshots = observed.engine.snapshot_names(&record.owner).await?.len();
    let Some(server) = &observed.server else { return Ok(()) };
    match &server.status {
        Status::Stopped { .. } => report.state = "stopped",
        Status::Running { since, health } => {
            report.state = "running";
            report.started = *since;
            report.health = health.clone();
            let address = instance::address(record, instance::endpoint_of(server)?);
            match populate::survey(context, &address, plan.unwrap_or(&Plan::nothing())).await {
                Ok((facts, migrations, seeds)) => {
                    report.server_version = Some(facts.version);
                    report.started = Some(facts.started);
                    report.database_bytes = Some(facts.database_size);
                    // It has just answered: the engine has not looked yet.
                    report.health = health.clone().filter(|word| word != "starting");
                    report.migrations = plan.map(|_| migrations);
                    report.seeds = plan.map(|_| seeds);
                }
                // A server that is starting, or in trouble, is something to show, not to fail on.
                Err(error) => report.trouble = Some(error.to_string()),
            }
        }
    }
    Ok(())
}

/// Where the golden state of the files stands, on the engine of the instance or the one that `up`
/// would try first. None when nobody can tell: the image is not there, a key cannot be read.
async fn golden(context: &Context, engine: Option<Engine>, plan: &Plan) -> Option<StatusGolden> {
    let engine = match engine {
        Some(engine) => engine,
        None => {
            let fits = |engine: &Engine| match context.spec.engine {
                EngineChoice::Auto => true,
                EngineChoice::Docker => engine.kind() == EngineKind::Docker,
                EngineChoice::Native => engine.kind() == EngineKind::Native,
            };
            context.engines.reachable(&context.spec.server).await.into_iter().find(fits)?
        }
    };
    let states = engine.golden_states().await.ok()?;
    let sighting = golden::sight(context, &engine, plan, states).await.ok()?;
    Some(StatusGolden { fingerprint: sighting.fingerprint, cached: sighting.cached })
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
