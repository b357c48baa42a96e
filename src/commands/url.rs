//! `devdb url`: prints the URL from the record alone, so it is fast and works while the server
//! starts.

use super::{App, env};
use crate::config::Overrides;
use crate::error::Result;
use crate::outcome::{Outcome, Report, UrlReport};

/// `devdb url`
pub fn run(app: &App) -> Result<Outcome> {
    let context = app.context(Overrides::default(), None)?;
    let address = env::present(app, &context)?;
    env::warn_of_overrides(app);
    Ok(Outcome { command: "url", report: Report::Url(UrlReport { url: address.url() }), exit: 0 })
}
