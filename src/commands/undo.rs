//! `devdb undo`

use std::time::Instant;

use super::App;
use super::reset::report;
use crate::cli::UndoArgs;
use crate::config::Overrides;
use crate::error::Result;
use crate::instance::{self, Instance};
use crate::outcome::{Applied, Outcome, Report};
use crate::state::Record;

/// `devdb undo`
pub async fn run(app: &App, args: UndoArgs) -> Result<Outcome> {
    let begun = Instant::now();
    let context = app.context_of(Record::latest_former, Overrides::default(), args.timeout)?;
    instance::record(&context)?;
    let mut instance = Instance::open(&context).await?;
    let report = match instance.undo().await? {
        Some(replaced) => {
            let report = report(&mut instance, replaced, Applied::default(), begun).await?;
            Report::Reset(Box::new(report))
        }
        // Another devdb removed the instance while this one waited for the lock.
        None => Report::Nothing,
    };
    Ok(Outcome { command: "undo", report, exit: 0 })
}
