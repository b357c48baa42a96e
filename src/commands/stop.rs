//! `devdb stop`

use super::{App, said};
use crate::config::Overrides;
use crate::error::Result;
use crate::instance::{self, Instance};
use crate::outcome::Outcome;

/// `devdb stop`
pub async fn run(app: &App) -> Result<Outcome> {
    let context = app.context(Overrides::default(), None)?;
    instance::record(&context)?;
    let stopped = Instance::open(&context).await?.stop().await?;
    Ok(said(
        "stop",
        stopped,
        if stopped { "the server is stopped" } else { "the server was not running" },
    ))
}
