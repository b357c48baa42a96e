//! `devdb start`: works as `up`, but the instance must exist, and nothing is applied to it.

use std::time::Instant;

use super::App;
use crate::cli::StartArgs;
use crate::config::Overrides;
use crate::error::Result;
use crate::instance;
use crate::outcome::{Outcome, Report};
use crate::plan::Plan;

/// `devdb start`
pub async fn run(app: &App, args: StartArgs) -> Result<Outcome> {
    let begun = Instant::now();
    let context = app.context(Overrides::default(), args.timeout)?;
    instance::record(&context)?;
    let report = instance::bring_up(&context, &Plan::nothing(), begun).await?;
    Ok(Outcome { command: "start", report: Report::Up(Box::new(report)), exit: 0 })
}
