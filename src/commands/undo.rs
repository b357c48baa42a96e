//! `devdb undo`

use std::time::{Duration, Instant};

use super::App;
use super::reset::report;
use crate::cli::UndoArgs;
use crate::config::Overrides;
use crate::error::Result;
use crate::instance::{self, Instance, Target};
use crate::outcome::{Applied, Outcome, Report};

/// `devdb undo`
pub async fn run(app: &App, args: UndoArgs) -> Result<Outcome> {
    go_back(app, "undo", Target::Steps(args.steps.into()), args.timeout).await
}

/// Goes back to a former generation, for the command of that name.
pub async fn go_back(
    app: &App,
    command: &'static str,
    target: Target,
    timeout: Option<Duration>,
) -> Result<Outcome> {
    let begun = Instant::now();
    let context =
        app.context_of(|record| target.find(record), None, Overrides::default(), timeout)?;
    instance::record(&context)?;
    let mut instance = Instance::open(&context).await?;
    let report = match instance.go_back(target).await? {
        Some(replaced) => {
            let report = report(&mut instance, replaced, Applied::default(), begun).await?;
            Report::Reset(Box::new(report))
        }
        // Another devdb removed the instance while this one waited for the lock.
        None => Report::Nothing,
    };
    Ok(Outcome { command, report, exit: 0 })
}
