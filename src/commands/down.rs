//! `devdb down`

use std::io::IsTerminal;

use super::project::{self, Done};
use super::{App, said};
use crate::cli::DownArgs;
use crate::config::Overrides;
use crate::context::Context;
use crate::error::{Error, Kind, Result, ResultExt};
use crate::instance::Instance;
use crate::outcome::Outcome;
use crate::spec::EngineChoice;

/// `devdb down`
pub async fn run(app: &App, args: DownArgs) -> Result<Outcome> {
    let context = app.context(Overrides::default(), None)?;
    if args.all {
        return all(&context, &args).await;
    }
    if args.purge {
        return purge(&context, args.yes).await;
    }
    let removed = Instance::open(&context).await?.down().await?;
    Ok(match removed {
        true => {
            said("down", true, "stopped the server and kept its data\n  devdb up   starts it again")
        }
        false => said("down", false, "there is nothing to stop"),
    })
}

async fn purge(context: &Context, yes: bool) -> Result<Outcome> {
    if !yes {
        confirm(&format!("Remove {} with all its data and snapshots, for good?", which(context)))?;
    }
    let mut instance = Instance::open(context).await?;
    if instance.record().is_none() {
        if let Err(error) = context.engines.docker().await
            && context.spec.engine != EngineChoice::Native
        {
            context
                .events
                .warn(format!("{}, so devdb did not look for data there", error.message()));
        }
        return Ok(said("down", false, "there is nothing to remove"));
    }
    instance.purge().await?;
    let all = context.store.load_all()?.into_iter().flatten();
    let others: Vec<String> = all
        .filter(|record| record.owner.is_beside(&context.spec.owner))
        .map(|record| record.owner.instance)
        .collect();
    if !others.is_empty() {
        context.events.note(format!(
            "{} has other databases of this project: {} (--instance names one, --all all of them)",
            context.spec.owner.developer,
            others.join(", ")
        ));
    }
    let message = "deleted the database, its data and its snapshots\n  \
                   the prepared databases in the cache remain: devdb cache clear deletes them";
    Ok(said("down", true, message))
}

/// Which database a question is about.
pub fn which(context: &Context) -> String {
    let owner = &context.spec.owner;
    format!(
        "the database {} of {} for {} (project in {})",
        owner.instance,
        owner.project,
        owner.developer,
        context.directory.display()
    )
}

async fn all(context: &Context, args: &DownArgs) -> Result<Outcome> {
    let instances = project::instances(context)?;
    if args.purge && !args.yes && !instances.is_empty() {
        let names: Vec<&str> =
            instances.iter().map(|context| context.spec.owner.instance.as_str()).collect();
        confirm(&format!(
            "Remove all databases of {} for {} ({}) with all their data and snapshots, for good?",
            context.spec.owner.project,
            context.spec.owner.developer,
            names.join(", ")
        ))?;
    }
    let mut done = Done::default();
    for context in &instances {
        let ending = async {
            let mut instance = Instance::open(context).await?;
            if args.purge { instance.purge().await } else { instance.down().await }
        };
        done.note(context, ending.await)?;
    }
    project::tell_of_unrecorded(context).await;
    match args.purge {
        true => done.outcome("down", "deleted", "there is nothing to remove"),
        false => done.outcome("down", "stopped", "there is nothing to stop"),
    }
}

/// Asks the person to confirm, on a terminal.
///
/// # Errors
/// `Usage` when there is no terminal, and when the answer is no.
pub fn confirm(question: &str) -> Result<()> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Error::new(
            Kind::Usage,
            "this cannot be undone, so devdb asks first, and there is no terminal to ask on",
        )
        .hint("add --yes"));
    }
    let agreed = dialoguer::Confirm::new()
        .with_prompt(question)
        .default(false)
        .interact()
        .or_fail(Kind::Interrupted, || "the question was not answered".into())?;
    if agreed { Ok(()) } else { Err(Error::new(Kind::Usage, "nothing was changed")) }
}
