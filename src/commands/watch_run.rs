//! The process that watches over an ephemeral database. devdb starts it; people do not.

use super::App;
use crate::ephemeral::watcher;
use crate::error::Result;
use crate::outcome::{Outcome, Report};
use crate::state::Store;

/// `devdb watch-run`
pub async fn run(app: &App) -> Result<Outcome> {
    let data_dir = app.environment.data_dir()?;
    let store = Store::open(&data_dir)?;
    let engines = app.engines(data_dir, None);
    // Signals to the process group are for devdb. This process ends when its work is done.
    app.interrupt.ignore_signals();
    watcher::watch(&engines, &store).await?;
    Ok(Outcome { command: "watch-run", report: Report::Nothing, exit: 0 })
}
