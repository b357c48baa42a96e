//! `devdb generations`

use super::App;
use crate::config::Overrides;
use crate::error::Result;
use crate::instance;
use crate::outcome::{Outcome, Report};

/// `devdb generations`
pub async fn run(app: &App) -> Result<Outcome> {
    let context = app.context(Overrides::default(), None)?;
    let report = context.interrupt.guard(instance::generations(&context)).await?;
    Ok(Outcome { command: "generations", report: Report::Generations(Box::new(report)), exit: 0 })
}
