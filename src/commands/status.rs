//! `devdb status`

use super::App;
use super::lent::{self, Lent};
use crate::cli::{Format, StatusArgs};
use crate::config::Overrides;
use crate::context::Context;
use crate::db::connect::Address;
use crate::engine::{Engine, Status};
use crate::error::{Kind, Result};
use crate::golden;
use crate::instance::{self, Observed, Remains};
use crate::outcome::{Location, Outcome, Report, StatusGolden, StatusReport};
use crate::plan::{Extent, Plan};
use crate::populate::{self, Survey};
use crate::spec::{EngineChoice, EngineKind};
use crate::state::UnderWay;

/// `devdb status`
pub async fn run(app: &App, args: StatusArgs) -> Result<Outcome> {
    let context = app.context(Overrides::default(), None)?;
    let plan = Plan::load(&context.spec, Extent::Seeds);
    let with_golden = app.global.verbose || app.global.format() == Format::Json;
    let looking = async {
        if let Some(lent) = lent::database(app, &context)? {
            return look_at_lent(&context, plan.as_ref().ok(), &lent).await;
        }
        let (mut report, engine) = look(&context, plan.as_ref().ok()).await?;
        if let (Ok(plan), true) = (&plan, with_golden) {
            report.golden = golden(&context, engine, plan).await;
        }
        Ok(report)
    };
    let mut report = context.interrupt.guard(looking).await?;
    let mut exit = if args.check { check(&context, &report) } else { 0 };
    if let Err(error) = plan {
        // The location of the database is shown even when a person is just editing a file.
        report.trouble.get_or_insert_with(|| error.to_string());
        exit = if args.check { error.kind().exit_code() } else { 0 };
    }
    Ok(Outcome { command: "status", report: Report::Status(Box::new(report)), exit })
}

/// Looks at the database of a run.
async fn look_at_lent(context: &Context, plan: Option<&Plan>, lent: &Lent) -> Result<StatusReport> {
    let mut report = StatusReport::absent(lent.owner(context));
    report.state = "running";
    report.location = Some(Location::from(&lent.address));
    // `status` shows a server that is starting or in trouble; it does not fail.
    if let Err(error) = survey(context, plan, &lent.address, &mut report).await {
        report.trouble = Some(error.to_string());
    }
    Ok(report)
}

/// Asks the server.
async fn survey(
    context: &Context,
    plan: Option<&Plan>,
    address: &Address,
    report: &mut StatusReport,
) -> Result<()> {
    let nothing = Plan::nothing();
    let found = populate::survey(context, address, plan.unwrap_or(&nothing)).await?;
    let Survey { server: facts, migrations, seeds } = found;
    report.server_version = Some(facts.version);
    report.started = Some(facts.started);
    report.database_bytes = Some(facts.database_size);
    report.migrations = plan.map(|_| migrations);
    report.seeds = plan.map(|_| seeds);
    Ok(())
}

/// Looks at the instance. `plan` is none when its files cannot be read.
async fn look(context: &Context, plan: Option<&Plan>) -> Result<(StatusReport, Option<Engine>)> {
    let mut report = StatusReport::absent(context.spec.owner.clone());
    let observed = match Observed::look(context).await {
        Err(error) if error.kind() == Kind::NoInstance => {
            if let Some(found) = instance::found_without_record(context).await {
                report.state = "unrecorded";
                report.trouble = Some(found);
            }
            return Ok((report, None));
        }
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
    if record.under_way == Some(UnderWay::Purge) {
        report.trouble = Some(
            "its deletion (devdb down --purge) was interrupted; the next up, stop or down finishes it"
                .to_owned(),
        );
        return Ok(());
    }
    let Some(server) = &observed.server else {
        if let Err(error) = instance::check_data(&observed.engine, record).await {
            report.trouble = Some(error.to_string());
            report.go_back = Remains::of(&observed.engine, record).await?.lines();
        }
        return Ok(());
    };
    match &server.status {
        Status::Stopped { .. } => report.state = "stopped",
        Status::Running { since, health } => {
            report.state = "running";
            report.started = *since;
            report.health = health.clone();
            let address = instance::address(record, instance::endpoint_of(server)?);
            // `status` shows a server that is starting or in trouble; it does not fail.
            if let Err(error) = survey(context, plan, &address, report).await {
                report.trouble = Some(error.to_string());
                if error.data_may_be_missing() {
                    report.go_back = Remains::of(&observed.engine, record).await?.lines();
                }
            } else {
                // The server has answered before the engine's first health check.
                report.health = health.clone().filter(|word| word != "starting");
            }
        }
    }
    Ok(())
}

/// The golden state of the files, on the instance's engine or the one that `up` would try first.
/// None when the image does not exist or a key cannot be read.
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
    let found = golden::look_without_key(context, &engine, plan, states).await.ok()?;
    Some(StatusGolden { fingerprint: found.fingerprint, cached: found.cached })
}

/// The exit code of `--check`: 0 when the database runs and everything is applied as the files say.
/// Otherwise devdb says what the check found.
fn check(context: &Context, report: &StatusReport) -> u8 {
    let rule = context.spec.migrations.out_of_order;
    let found = match (&report.migrations, &report.seeds) {
        (Some(migrations), Some(seeds)) => vec![
            (
                migrations.drifted(rule),
                Kind::Drift,
                "the applied migrations and the files disagree",
            ),
            (!migrations.pending.is_empty(), Kind::Pending, "migrations are pending"),
            (!seeds.pending.is_empty(), Kind::Pending, "seed files are pending"),
            (
                !seeds.changed.is_empty(),
                Kind::Pending,
                "seed files changed after they were applied",
            ),
            (!seeds.missing.is_empty(), Kind::Pending, "seed files are missing that were applied"),
        ],
        _ if report.state == "running" => {
            vec![(true, Kind::Pending, "the database cannot be compared with the files")]
        }
        _ => vec![(true, Kind::Pending, "the database does not run")],
    };
    let found: Vec<(Kind, &str)> = found
        .into_iter()
        .filter(|(is_so, ..)| *is_so)
        .map(|(_, kind, what)| (kind, what))
        .collect();
    let Some((worst, _)) = found.first() else { return 0 };
    let what: Vec<&str> = found.iter().map(|(_, what)| *what).collect();
    context.events.warn(format!("the check failed: {}", what.join(", ")));
    worst.exit_code()
}
