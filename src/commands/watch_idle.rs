//! The process that stops an unused database on the native engine. devdb starts it; people do not.

use std::time::Duration;

use super::App;
use crate::cli::WatchIdleArgs;
use crate::config::Overrides;
use crate::error::Result;
use crate::instance;
use crate::outcome::{Outcome, Report};

/// `devdb watch-idle`
pub async fn run(app: &App, args: WatchIdleArgs) -> Result<Outcome> {
    let context = app.context(Overrides::default(), None)?;
    if let Some(record) = context.store.load(&args.key)? {
        let patience = Duration::from_secs(args.seconds);
        let context = context.of_record(&record);
        instance::stop_when_idle(&context, patience, &args.launch).await?;
    }
    Ok(Outcome { command: "watch-idle", report: Report::Nothing, exit: 0 })
}
