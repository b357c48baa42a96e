//! `devdb psql`: runs the local psql, or else the one beside the server.

use std::io::ErrorKind;
use std::process::Stdio;

use super::{App, lent};
use crate::cli::PsqlArgs;
use crate::config::Overrides;
use crate::context::Context;
use crate::db::connect::Address;
use crate::db::libpq::hidden_from_psql;
use crate::error::{Error, Kind, Result, ResultExt};
use crate::instance::{self, Observed};
use crate::outcome::{Outcome, Report};

/// `devdb psql`
pub async fn run(app: &App, args: PsqlArgs) -> Result<Outcome> {
    let context = app.context(Overrides::default(), None)?;
    let code = match lent::database(app, &context)? {
        Some(lent) => {
            context.interrupt.ignore_signals();
            local(app, &lent.address, &args.arguments).await?.ok_or_else(no_psql)?
        }
        None => on_instance(app, &context, &args.arguments).await?,
    };
    Ok(Outcome { command: "psql", report: Report::Nothing, exit: u8::try_from(code).unwrap_or(1) })
}

async fn on_instance(app: &App, context: &Context, arguments: &[String]) -> Result<i32> {
    let observed = context.interrupt.guard(Observed::look(context)).await?;
    let server = observed.running()?;
    let address = instance::address(&observed.record, instance::endpoint_of(server)?);
    context.interrupt.ignore_signals();
    if let Some(code) = local(app, &address, arguments).await? {
        return Ok(code);
    }
    let beside = observed.engine.psql(server, &address.user, &address.database, arguments);
    beside.await?.ok_or_else(no_psql)
}

fn no_psql() -> Error {
    Error::new(Kind::Config, "there is no psql on this machine")
        .hint("install it: apt-get install postgresql-client, brew install libpq")
        .hint("devdb url   prints the URL for another client")
}

/// Runs the psql on PATH. None when PATH has none.
async fn local(app: &App, address: &Address, arguments: &[String]) -> Result<Option<i32>> {
    let mut command = tokio::process::Command::new("psql");
    // PG variables of the person's environment must not lead psql to another server.
    for name in hidden_from_psql(app.environment.names("PG")) {
        command.env_remove(name);
    }
    let spawned = command
        .args(arguments)
        // Other users can read the arguments of a process, but not its environment.
        .envs(address.variables())
        .stdin(Stdio::inherit())
        .spawn();
    let mut child = match spawned {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.or_fail(Kind::Unexpected, || "cannot run psql".into())?,
    };
    let status = child.wait().await.or_fail(Kind::Unexpected, || "cannot wait for psql".into())?;
    Ok(Some(status.code().unwrap_or(130)))
}
