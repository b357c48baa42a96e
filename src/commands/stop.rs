//! `devdb stop`

use super::project::{self, Done};
use super::{App, said};
use crate::cli::StopArgs;
use crate::config::Overrides;
use crate::context::Context;
use crate::error::Result;
use crate::instance::{self, Instance};
use crate::outcome::Outcome;

/// `devdb stop`
pub async fn run(app: &App, args: StopArgs) -> Result<Outcome> {
    let context = app.context(Overrides::default(), None)?;
    if args.all {
        return all(&context).await;
    }
    instance::record(&context)?;
    let stopped = Instance::open(&context).await?.stop().await?;
    Ok(said(
        "stop",
        stopped,
        if stopped { "the server is stopped" } else { "the server was not running" },
    ))
}

async fn all(context: &Context) -> Result<Outcome> {
    let mut done = Done::default();
    for context in project::instances(context)? {
        let stopping = async { Instance::open(&context).await?.stop().await };
        done.note(&context, stopping.await)?;
    }
    project::tell_of_unrecorded(context).await;
    done.outcome("stop", "stopped", "no database of this project was running")
}
