//! `devdb ephemeral`: databases that devdb removes after a set time, for CI systems with steps.

use super::run::prepare;
use super::{App, env, said};
use crate::cli::{
    EnvironmentArgs, EphemeralAction, EphemeralArgs, EphemeralEnvArgs, EphemeralStartArgs,
    EphemeralStopArgs,
};
use crate::config::Overrides;
use crate::context::Context;
use crate::engine::{Engine, Role};
use crate::ephemeral::note::{self, Note};
use crate::ephemeral::watcher::Watcher;
use crate::ephemeral::{Ephemeral, Id};
use crate::error::Result;
use crate::outcome::{EphemeralReport, EphemeralsReport, Location, Outcome, Report};
use crate::plan::EPHEMERAL_VARIABLE;
use crate::spec::EngineKind;

/// `devdb ephemeral`
pub async fn run(app: &App, args: EphemeralArgs) -> Result<Outcome> {
    match args.action {
        EphemeralAction::Start(args) => start(app, args).await,
        EphemeralAction::Env(args) => environment(app, args),
        EphemeralAction::List => list(app),
        EphemeralAction::Stop(args) => stop(app, args).await,
    }
}

async fn start(app: &App, args: EphemeralStartArgs) -> Result<Outcome> {
    env::check(args.environment.write.as_deref(), args.environment.format)?;
    let (context, plan) = prepare(app, &args.database)?;
    let id = Id::random();
    let mut watcher = Watcher::start(&id, &context.spec.owner)?;
    let mut ephemeral = Ephemeral::start(&context, &plan, &id, Some(args.ttl)).await?;
    let given = async {
        let note = ephemeral.keep(&id, &mut watcher, args.ttl).await?;
        give(app, &context, "ephemeral start", &note, &args.environment)
    };
    match given.await {
        Ok(outcome) => Ok(outcome),
        Err(error) => {
            note::forget(&context.store, &id);
            // When this process ends, so does the watcher's pipe, and the watcher removes the rest.
            Err(ephemeral.rolled_back(error).await)
        }
    }
}

fn environment(app: &App, args: EphemeralEnvArgs) -> Result<Outcome> {
    env::check(args.environment.write.as_deref(), args.environment.format)?;
    let context = app.context(Overrides::default(), None)?;
    let note = note::find(&context.store, &context.spec.owner, args.id.as_deref())?;
    give(app, &context, "ephemeral env", &note, &args.environment)
}

/// Prints or writes the variables that a program needs to connect.
fn give(
    app: &App,
    context: &Context,
    command: &'static str,
    note: &Note,
    args: &EnvironmentArgs,
) -> Result<Outcome> {
    let mut variables = env::variables(&note.address());
    variables.push((EPHEMERAL_VARIABLE.to_owned(), note.id()?.to_string()));
    env::give(app, context, command, args.format, args.write.as_deref(), &variables)
}

fn list(app: &App) -> Result<Outcome> {
    let context = app.context(Overrides::default(), None)?;
    let report = |note: Note| -> Result<EphemeralReport> {
        Ok(EphemeralReport {
            id: note.id()?.to_string(),
            location: Location::from(&note.address()),
            owner: note.owner,
            engine: note.engine,
            until: note.until,
        })
    };
    let ephemerals = note::all(&context.store)?.into_iter().map(report).collect::<Result<_>>()?;
    let report = Report::Ephemerals(EphemeralsReport { ephemerals });
    Ok(Outcome { command: "ephemeral list", report, exit: 0 })
}

async fn stop(app: &App, args: EphemeralStopArgs) -> Result<Outcome> {
    let context = app.context(Overrides::default(), None)?;
    let notes = match &args.id {
        Some(id) => vec![note::find(&context.store, &context.spec.owner, Some(id))?],
        None => note::of(&context.store, &context.spec.owner)?,
    };
    for note in &notes {
        engine_of(&context, note).await?.remove_private(&note.owner, Role::Ephemeral).await?;
        note::forget(&context.store, &note.id()?);
    }
    let message = match notes.len() {
        0 => "there is nothing to stop".to_owned(),
        1 => "1 database is removed".to_owned(),
        more => format!("{more} databases are removed"),
    };
    Ok(said("ephemeral stop", !notes.is_empty(), message))
}

async fn engine_of(context: &Context, note: &Note) -> Result<Engine> {
    match note.engine {
        EngineKind::Docker => context.engines.docker().await,
        EngineKind::Native => context.engines.native(&context.spec.server),
    }
}
