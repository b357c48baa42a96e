//! `devdb run`: runs a command with a database of its own.

use std::path::Path;

use super::App;
use crate::cli::{DatabaseArgs, RunArgs};
use crate::config::Overrides;
use crate::context::Context;
use crate::ephemeral::command::{self, Ended};
use crate::ephemeral::watcher::Watcher;
use crate::ephemeral::{Ephemeral, Id};
use crate::error::{Error, Kind, Result};
use crate::outcome::{Outcome, Report};
use crate::plan::{Extent, LentVariables, Plan, Skip};

/// `devdb run`
pub async fn run(app: &App, args: RunArgs) -> Result<Outcome> {
    check_artifact(args.artifact.as_deref())?;
    let (context, plan) = prepare(app, &args.database)?;
    let id = Id::random();
    let mut watcher = Watcher::start(&id, &context.spec.owner)?;
    let started = Ephemeral::start(&context, &plan, &id, None).await;
    let mut ephemeral = match started {
        Ok(ephemeral) => ephemeral,
        Err(error) => {
            watcher.dismiss();
            return Err(error);
        }
    };
    // From here on the command handles the signals.
    context.interrupt.ignore_signals();
    let variables = LentVariables {
        id: id.to_string(),
        address: ephemeral.address.clone(),
        project_id: context.spec.owner.project_id.clone(),
    };
    let ran = command::run(&args.command, &id, &variables, &context.environment).await;
    let has_failed = !matches!(ran, Ok(ended) if ended.is_success());
    let wants_keeping = has_failed && args.keep_on_failure && ran.is_ok();
    if !(wants_keeping && keep(&context, &mut ephemeral, &mut watcher, &id, &args).await) {
        if let Some(directory) = args.artifact.as_deref().filter(|_| has_failed && ran.is_ok()) {
            save(&context, &mut ephemeral, directory).await;
        }
        if let Err(error) = ephemeral.discard().await {
            // The result of the command counts. The watcher removes the database.
            context.events.warn(format!("the database could not be removed: {error}"));
        } else {
            watcher.dismiss();
        }
    }
    Ok(match ran? {
        Ended::Code(exit) => Outcome { command: "run", report: Report::Nothing, exit },
        Ended::Signal(signal) => {
            Outcome { command: "run", report: Report::Signal(signal), exit: 1 }
        }
    })
}

/// Fails early when devdb could not save anything in the directory.
fn check_artifact(directory: Option<&Path>) -> Result<()> {
    match directory {
        Some(path) if path.exists() && !path.is_dir() => {
            let message = format!("--artifact: {} is not a directory", path.display());
            Err(Error::new(Kind::Usage, message).hint("name a directory, which need not exist yet"))
        }
        Some(path) => Ephemeral::check_place(path),
        None => Ok(()),
    }
}

/// Reads and checks the settings and files before anything is started.
pub(super) fn prepare(app: &App, args: &DatabaseArgs) -> Result<(Context, Plan)> {
    let flags = Overrides {
        engine: args.engine.clone(),
        postgres: args.postgres.clone(),
        profile: args.profile.clone(),
        ..Overrides::default()
    };
    let mut context = app.context(flags, args.timeout)?;
    context.spec.seeds.forget();
    let plan = Plan::load(
        &context.spec,
        Extent::skipping(Skip { migrations: false, seeds: args.no_seed }),
    )?;
    plan.tell_unread(&context.events);
    context.key.check()?;
    Ok((context, plan))
}

/// Keeps the database. Returns whether that worked. A failure is only a warning, because the exit
/// code is the command's.
async fn keep(
    context: &Context,
    ephemeral: &mut Ephemeral,
    watcher: &mut Watcher,
    id: &Id,
    args: &RunArgs,
) -> bool {
    if let Err(error) = ephemeral.keep(id, watcher, args.ttl).await {
        context.events.warn(format!("the database could not be kept: {error}"));
        return false;
    }
    if let Some(directory) = &args.artifact {
        context.events.warn(format!(
            "devdb saved nothing in {}, because it keeps the database itself",
            directory.display()
        ));
    }
    let for_how_long = humantime::format_duration(args.ttl);
    context.events.note(format!(
        "the command failed, so its database is kept for {for_how_long}: {}\n  \
         devdb ephemeral env {id}    prints the variables to connect with\n  \
         devdb ephemeral stop {id}   deletes it now",
        ephemeral.address.masked_url()
    ));
    true
}

/// Saves the log and the data. A failure is only a warning, because the exit code is the command's.
async fn save(context: &Context, ephemeral: &mut Ephemeral, directory: &Path) {
    match ephemeral.save(directory).await {
        Ok(()) => context.events.note(format!(
            "the server's log and the data are in {} (devdb snapshot import reads the data)",
            directory.display()
        )),
        Err(error) => context.events.warn(format!("not everything could be saved: {error}")),
    }
}
