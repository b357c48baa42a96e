//! `devdb logs`

use std::io::{self, Write};

use tokio_util::sync::CancellationToken;

use super::App;
use crate::cli::LogsArgs;
use crate::config::Overrides;
use crate::error::{Error, Kind, Result};
use crate::instance::Observed;
use crate::outcome::{Outcome, Report};

/// `devdb logs`
pub async fn run(app: &App, args: LogsArgs) -> Result<Outcome> {
    let context = app.context(Overrides::default(), None)?;
    let observed = context.interrupt.guard(Observed::look(&context)).await?;
    let server = observed.server.as_ref().ok_or_else(|| {
        Error::new(
            Kind::NotRunning,
            "the database is down, and its log was removed with the server",
        )
        .hint("devdb up")
    })?;
    let closed = CancellationToken::new();
    let mut sink = |bytes: &[u8]| {
        let mut stdout = io::stdout().lock();
        if stdout.write_all(bytes).and_then(|()| stdout.flush()).is_err() {
            // A closed pipe means that the reader has read enough, as in `devdb logs -f | head`.
            closed.cancel();
        }
    };
    let reading = async {
        tokio::select! {
            read = observed.engine.logs(server, args.lines, args.follow, &mut sink) => read,
            () = closed.cancelled() => Ok(()),
        }
    };
    match context.interrupt.guard(reading).await {
        // A person ends following with Ctrl-C.
        Err(error) if args.follow && error.kind() == Kind::Interrupted => {}
        other => other?,
    }
    Ok(Outcome { command: "logs", report: Report::Nothing, exit: 0 })
}
