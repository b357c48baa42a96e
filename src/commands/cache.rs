//! `devdb cache`: lists, prunes, pushes and pulls golden states.

use std::time::Instant;

use chrono::{DateTime, Utc};

use super::{App, down};
use crate::cli::{CacheArgs, CacheCommand, Format, PruneArgs, TransferArgs};
use crate::config::Overrides;
use crate::context::Context;
use crate::disk;
use crate::engine::{DamagedGolden, Engine, GoldenState};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::golden::{self, Golden, Imported, Limits, Reference, Scope};
use crate::instance::Instance;
use crate::outcome::{
    Applied, CacheReport, Cached, CachedState, Outcome, PruneReport, Report, TransferReport,
    Wanted, millis,
};
use crate::plan::{Extent, Plan};
use crate::spec::EngineChoice;

/// `devdb cache`
pub async fn run(app: &App, args: CacheArgs) -> Result<Outcome> {
    match args.command {
        CacheCommand::List { all } => list(app, all).await,
        CacheCommand::Prune(args) => prune(app, args).await,
        CacheCommand::Clear { all, yes } => clear(app, all, yes).await,
        CacheCommand::Push(args) => push(app, args).await,
        CacheCommand::Pull(args) => pull(app, args).await,
    }
}

fn scope(context: &Context, all: bool) -> Scope<'_> {
    if all { Scope::Everything } else { Scope::Project(&context.spec.owner.project) }
}

async fn list(app: &App, all: bool) -> Result<Outcome> {
    let context = app.context(Overrides::default(), None)?;
    let mut report = CacheReport {
        project: (!all).then(|| context.spec.owner.project.clone()),
        ..CacheReport::default()
    };
    let plan = Plan::load(&context.spec, Extent::Seeds);
    for engine in context.engines.chosen(context.spec.engine, &context.spec.server).await? {
        let listing = list_on(&context, &engine, plan.as_ref().ok(), scope(&context, all));
        match context.interrupt.guard(listing).await {
            Ok((states, damaged)) => {
                report.states.extend(states);
                report.damaged.extend(damaged);
            }
            Err(error) if error.kind() == Kind::Interrupted => return Err(error),
            Err(error) => report.troubles.push(error.to_string()),
        }
    }
    // A file that cannot be read does not hide the states.
    report.troubles.extend(plan.err().map(|error| error.to_string()));
    report.states.sort_by_key(|state| std::cmp::Reverse(state.last_used));
    Ok(Outcome { command: "cache list", report: Report::Cache(Box::new(report)), exit: 0 })
}

async fn list_on(
    context: &Context,
    engine: &Engine,
    plan: Option<&Plan>,
    scope: Scope<'_>,
) -> Result<(Vec<CachedState>, Vec<DamagedGolden>)> {
    let states = engine.golden_states().await?;
    // Without the image or the programs devdb cannot tell which state is wanted. It lists them
    // anyway.
    let found = match plan {
        Some(plan) => golden::look_without_key(context, engine, plan, states.clone()).await.ok(),
        None => None,
    };
    let wanted = |state: &GoldenState| {
        let found = found.as_ref()?;
        let of = |fingerprint: &str| fingerprint == state.label.fingerprint;
        if of(&found.chain.target().fingerprint) && state.label.clean {
            return Some(Wanted::Whole);
        }
        found.chain.longest_first().any(|step| of(&step.fingerprint)).then_some(Wanted::Part)
    };
    // A state that another project made from the same files serves this one too.
    let shown = states.iter().filter(|state| scope.has(&state.label) || wanted(state).is_some());
    let described = shown.map(|state| {
        let GoldenState { handle, label, bytes } = state.clone();
        CachedState {
            wanted: wanted(state),
            last_used: DateTime::<Utc>::from(golden::last_used(context, &label)),
            engine: engine.kind(),
            handle,
            fingerprint: label.fingerprint,
            project: label.project,
            migrations: label.migrations,
            by_tool: label.tool.is_some(),
            seeds: label.seeds,
            clean: label.clean,
            local: label.local,
            bytes,
            created: label.created,
        }
    });
    Ok((described.collect(), engine.damaged_golden().await?))
}

async fn prune(app: &App, args: PruneArgs) -> Result<Outcome> {
    let context = app.context(Overrides::default(), None)?;
    let usual = Limits::of(context.spec.cache);
    let limits = Limits {
        count: args.keep.unwrap_or(usual.count),
        bytes: args.size.map_or(usual.bytes, |size| size.as_u64()),
        age: args.older_than,
    };
    let report = remove(&context, args.all, &limits).await?;
    Ok(Outcome { command: "cache prune", report: Report::Prune(Box::new(report)), exit: 0 })
}

async fn clear(app: &App, all: bool, yes: bool) -> Result<Outcome> {
    let context = app.context(Overrides::default(), None)?;
    if !yes {
        down::confirm(&match all {
            true => match context.spec.engine {
                EngineChoice::Auto => {
                    "Remove the golden states of every project, on all engines, for good?"
                        .to_owned()
                }
                EngineChoice::Docker | EngineChoice::Native => {
                    "Remove the golden states of every project on this engine, for good?".to_owned()
                }
            },
            false => {
                format!("Remove the golden states of {}, for good?", context.spec.owner.project)
            }
        })?;
    }
    let report = remove(&context, all, &Limits::NOTHING).await?;
    let exit = u8::from(!report.in_use.is_empty());
    Ok(Outcome { command: "cache clear", report: Report::Prune(Box::new(report)), exit })
}

async fn remove(context: &Context, all: bool, limits: &Limits) -> Result<PruneReport> {
    let mut report = PruneReport::default();
    for engine in context.engines.chosen(context.spec.engine, &context.spec.server).await? {
        let pruned = golden::prune(context, &engine, scope(context, all), limits).await?;
        report.bytes += pruned.removed.iter().map(|state| state.bytes).sum::<u64>();
        let handles = |states: Vec<GoldenState>| states.into_iter().map(|state| state.handle);
        report.removed.extend(handles(pruned.removed));
        report.in_use.extend(handles(pruned.in_use));
        report.damaged.extend(pruned.damaged.into_iter().map(|damaged| damaged.handle));
    }
    Ok(report)
}

async fn push(app: &App, args: TransferArgs) -> Result<Outcome> {
    let begun = Instant::now();
    let (context, plan, reference) = transfer(app, args)?;
    let file = match &reference {
        Reference::File(path) if !reference.is_stream() => Some(path.as_path()),
        _ => None,
    };
    if let Some(file) = file {
        disk::target(file, Kind::Snapshot)?;
    }
    if reference.is_stream() && app.global.format() == Format::Json {
        return Err(Error::new(Kind::Usage, "the state and a JSON document cannot share stdout")
            .hint("name a file, or leave out --json"));
    }
    let mut instance = Instance::open(&context).await?;
    let engine = instance.enter_cache(file).await?;
    let sent = async {
        if let Reference::Registry(name) = &reference {
            // This check comes before the bake: the engine may support no registry, or the name may
            // be invalid.
            engine.reserve_tag(name).await?;
        }
        let send = async |golden: &Golden| {
            // Nobody can use a state whose files have changed since.
            plan.check_current()?;
            golden::export(&context, &engine, &golden.state, &reference).await
        };
        let (golden, ()) = golden::obtain(&context, &engine, &plan, send).await?;
        let (fingerprint, cached) = (golden.state.label.fingerprint.clone(), golden.cached);
        golden.release(&context, Applied::default()).await;
        Ok(TransferReport {
            reference: reference.to_string(),
            engine: engine.kind(),
            fingerprint,
            cached,
            changed: true,
            took_ms: millis(begun.elapsed()),
        })
    };
    let sent = instance.leave_cache(sent.await)?;
    if reference.is_stream() {
        return Ok(Outcome { command: "cache push", report: Report::Nothing, exit: 0 });
    }
    Ok(Outcome { command: "cache push", report: Report::Pushed(Box::new(sent)), exit: 0 })
}

async fn pull(app: &App, args: TransferArgs) -> Result<Outcome> {
    let begun = Instant::now();
    let (context, plan, reference) = transfer(app, args)?;
    let mut instance = Instance::open(&context).await?;
    let engine = instance.enter_cache(None).await?;
    let fetched = golden::import(&context, &engine, &plan, &reference).await;
    let Imported { state, was_there } = instance.leave_cache(fetched)?;
    let report = TransferReport {
        reference: reference.to_string(),
        engine: engine.kind(),
        fingerprint: state.label.fingerprint,
        cached: Cached::Hit,
        changed: !was_there,
        took_ms: millis(begun.elapsed()),
    };
    Ok(Outcome { command: "cache pull", report: Report::Pulled(Box::new(report)), exit: 0 })
}

/// Prepares a push or a pull.
fn transfer(app: &App, args: TransferArgs) -> Result<(Context, Plan, Reference)> {
    let reference = match Reference::parse(&args.reference)? {
        // The message names the file for a reader in another directory.
        stream if stream.is_stream() => stream,
        Reference::File(path) => {
            Reference::File(std::path::absolute(&path).or_fail(Kind::Usage, || {
                format!("{} is not a file name that can be used", path.display())
            })?)
        }
        named => named,
    };
    let flags = Overrides { engine: args.engine, profile: args.profile, ..Overrides::default() };
    let mut context = app.context(flags, None)?;
    // Others look for the state of the files, not for that of a database here.
    context.spec.seeds.forget();
    let plan = Plan::load(&context.spec, Extent::Seeds)?;
    context.key.check()?;
    golden::refuse_local(&context, &plan)?;
    Ok((context, plan, reference))
}
