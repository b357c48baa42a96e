//! `devdb generations`

use super::{App, down, said, undo};
use crate::cli::{GenerationsArgs, GenerationsCommand};
use crate::config::Overrides;
use crate::context::Context;
use crate::error::Result;
use crate::instance::{self, Instance, Target};
use crate::outcome::{Outcome, Report};

/// `devdb generations`
pub async fn run(app: &App, args: GenerationsArgs) -> Result<Outcome> {
    match args.command {
        None => list(app).await,
        Some(GenerationsCommand::Switch { number, timeout }) => {
            undo::go_back(app, "generations switch", Target::Number(number), timeout).await
        }
        Some(GenerationsCommand::Keep { number }) => keep(app, number).await,
        Some(GenerationsCommand::Rm { number, yes }) => remove(app, number, yes).await,
    }
}

async fn list(app: &App) -> Result<Outcome> {
    let context = app.context(Overrides::default(), None)?;
    let report = context.interrupt.guard(instance::generations(&context)).await?;
    Ok(Outcome { command: "generations", report: Report::Generations(Box::new(report)), exit: 0 })
}

async fn keep(app: &App, number: u32) -> Result<Outcome> {
    let context = context(app)?;
    Instance::open(&context).await?.keep_for_good(number).await?;
    let message = format!(
        "generation {number} is kept for good\n  devdb generations rm {number}   removes it"
    );
    Ok(said("generations keep", true, message))
}

async fn remove(app: &App, number: u32, yes: bool) -> Result<Outcome> {
    let context = context(app)?;
    if !yes {
        down::confirm(&format!("Remove generation {number} with its data, for good?"))?;
    }
    Instance::open(&context).await?.remove_former(number).await?;
    Ok(said("generations rm", true, format!("generation {number} is removed")))
}

/// The context of an instance that must exist.
fn context(app: &App) -> Result<Context> {
    let context = app.context(Overrides::default(), None)?;
    instance::record(&context)?;
    Ok(context)
}
