//! `devdb restart`: stops the server, and starts it as `start` does.

use std::time::Instant;

use super::App;
use crate::cli::RestartArgs;
use crate::config::Overrides;
use crate::error::Result;
use crate::instance::{self, Instance};
use crate::outcome::{Outcome, Report};
use crate::plan::Plan;

/// `devdb restart`
pub async fn run(app: &App, args: RestartArgs) -> Result<Outcome> {
    let begun = Instant::now();
    let context = app.context(Overrides::default(), args.timeout)?;
    instance::record(&context)?;
    let mut instance = Instance::open(&context).await?;
    // A server that does not run is only started.
    instance.stop_to_start().await?;
    let report = instance::bring_up_open(instance, &Plan::nothing(), begun).await?;
    Ok(Outcome { command: "restart", report: Report::Up(Box::new(report)), exit: 0 })
}
