//! `devdb psql`: runs the local psql, or else the one beside the server.

use std::io::ErrorKind;
use std::process::Stdio;

use secrecy::ExposeSecret;

use super::App;
use crate::cli::PsqlArgs;
use crate::config::Overrides;
use crate::error::{Error, Kind, Result, ResultExt};
use crate::instance::{self, Observed};
use crate::outcome::{Outcome, Report};

/// `devdb psql`
pub async fn run(app: &App, args: PsqlArgs) -> Result<Outcome> {
    let context = app.context(Overrides::default(), None)?;
    let observed = context.interrupt.guard(Observed::look(&context)).await?;
    let server = observed.running()?;
    let address = instance::address(&observed.record, instance::endpoint_of(server)?);
    context.interrupt.ignore_signals();
    let code = match local(app, &address, &args.arguments).await? {
        Some(code) => code,
        None => observed
            .engine
            .psql(server, &address.user, &address.database, &args.arguments)
            .await?
            .ok_or_else(|| {
                Error::new(Kind::Config, "there is no psql on this machine")
                    .hint("install it: apt-get install postgresql-client, brew install libpq")
                    .hint("devdb url   prints the URL for another client")
            })?,
    };
    Ok(Outcome { command: "psql", report: Report::Nothing, exit: u8::try_from(code).unwrap_or(1) })
}

/// Runs the psql on PATH. None when PATH has none.
async fn local(
    app: &App,
    address: &crate::db::connect::Address,
    arguments: &[String],
) -> Result<Option<i32>> {
    let mut command = tokio::process::Command::new("psql");
    // PG variables of the person's environment must not lead psql to another server.
    for name in app.environment.names("PG").filter(|name| *name != "PGCLIENTENCODING") {
        command.env_remove(name);
    }
    let spawned = command
        .args(arguments)
        .env("PGHOST", &address.host)
        .env("PGPORT", address.port.to_string())
        .env("PGDATABASE", &address.database)
        .env("PGUSER", &address.user)
        // Other users can read the arguments of a process, but not its environment.
        .env("PGPASSWORD", address.password.expose_secret())
        .stdin(Stdio::inherit())
        .spawn();
    let mut child = match spawned {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.or_fail(Kind::Unexpected, || "cannot run psql".into())?,
    };
    let status = child.wait().await.or_fail(Kind::Unexpected, || "cannot wait for psql".into())?;
    Ok(Some(status.code().unwrap_or(130)))
}
