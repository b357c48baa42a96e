//! Waits until a server accepts logins. Stops waiting at once when the server ends.

use std::time::{Duration, Instant};

use secrecy::SecretString;

use crate::db::connect::{Address, Counting, wait_for_login};
use crate::engine::{Engine, PrivateServer, Server};
use crate::error::{Error, Kind, Result};
use crate::spec::ServerSpec;

use crate::context::Context;

/// How many lines of a server's log an error shows.
const LOG_TAIL: usize = 10;

/// How long a server that was made from nothing may refuse the login. It has its password before it
/// listens, so a refusal does not change. A tenth of a second would do.
const REFUSAL_DEADLINE: Duration = Duration::from_secs(5);

/// What a private server's data was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MadeFrom {
    /// Nothing: the image's own entrypoint has run initdb.
    Nothing,
    /// A golden state. It gets its password only after it has started.
    State,
}

/// The address of a private server with this password.
pub fn private_address(
    server: &PrivateServer,
    spec: &ServerSpec,
    password: SecretString,
) -> Address {
    let endpoint = server.endpoint();
    Address {
        host: endpoint.host.clone(),
        port: endpoint.port,
        database: spec.database.clone(),
        user: spec.user.clone(),
        password,
        counting: Counting::On,
    }
}

/// Waits for a login to a private server, or for its end.
///
/// # Errors
/// `NotReady` with the last lines of the log, and `Interrupted`.
pub async fn private(
    context: &Context,
    server: &PrivateServer,
    address: &Address,
    made_from: MadeFrom,
) -> Result<()> {
    let timeout = context.spec.timeout;
    let refused_for = match made_from {
        MadeFrom::Nothing => REFUSAL_DEADLINE.min(timeout),
        MadeFrom::State => timeout,
    };
    let with_conventions = |error: Error| {
        match (made_from, server) {
        (MadeFrom::Nothing, PrivateServer::Docker(_)) => error.note(format!(
            "devdb expects an image with the conventions of the official image postgres: POSTGRES_USER, \
             POSTGRES_DB, POSTGRES_PASSWORD_FILE, PGDATA; {} may have others",
            context.spec.server.image
        )),
        _ => error,
    }
    };
    let waiting = async {
        tokio::select! {
            exit = server.exited() => {
                let code = exit.code.map(|code| format!(" (exit code {code})")).unwrap_or_default();
                let what = format!(
                    "the server that prepares the database ended{code} before it accepted a login"
                );
                // A warning now; the error with the log follows after the cleaning up.
                context.events.warn(format!("the server ended: {}", reason(&exit.log_tail)));
                Err(ended(context, what, exit.log_tail))
            }
            login = login_refused_for(address, timeout, refused_for) => {
                login.map_err(|error| {
                    with_conventions(error.without_missing_data().excerpt(server.log_tail()))
                })
            }
        }
    };
    context.interrupt.guard(waiting).await
}

/// Waits for a login to a server that gets its password only after it has started, and refuses
/// every login until then.
///
/// # Errors
/// `NotReady`, and `LoginRefused` when the password is still refused after `timeout`.
pub async fn first_login(address: &Address, timeout: Duration) -> Result<()> {
    login_refused_for(address, timeout, timeout).await
}

/// As [`first_login`]; refusals end the waiting after `refused_for`.
async fn login_refused_for(
    address: &Address,
    timeout: Duration,
    refused_for: Duration,
) -> Result<()> {
    let mut deadline = None;
    loop {
        match wait_for_login(address, timeout).await {
            Err(error)
                if error.kind() == Kind::LoginRefused
                    && Instant::now()
                        < *deadline.get_or_insert_with(|| Instant::now() + refused_for) =>
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            login => return login,
        }
    }
}

/// Waits for a login over TCP with a query, or for the server's end.
///
/// # Errors
/// `NotReady` with the last lines of the log, `LoginRefused` when the server refuses the password,
/// and `Interrupted`.
pub async fn wait(
    context: &Context,
    engine: &Engine,
    server: &Server,
    address: &Address,
) -> Result<()> {
    let waiting = async {
        tokio::select! {
            exit = engine.exited(server) => {
                let code = exit.code.map(|code| format!(" (exit code {code})")).unwrap_or_default();
                let what =
                    format!("the server {} ended{code} before it accepted a login", server.name);
                // A warning now; the error with the log follows after the cleaning up.
                context.events.warn(format!("the server ended{code}: {}", reason(&exit.log_tail)));
                Err(ended(context, what, exit.log_tail).with_missing_data())
            }
            login = wait_for_login(address, context.spec.timeout) => match login {
                Err(error) if error.kind() == Kind::NotReady => {
                    let mut log = Vec::new();
                    let mut sink = |bytes: &[u8]| log.extend_from_slice(bytes);
                    // The error is useful without the log, too.
                    drop(engine.logs(server, Some(LOG_TAIL), false, &mut sink).await);
                    Err(error
                        .excerpt(String::from_utf8_lossy(&log).into_owned())
                        .hint("devdb logs   shows the server's log"))
                }
                login => login,
            },
        }
    };
    context.interrupt.guard(waiting).await
}

/// Why a server ended: the last fatal message of its log, or else the last line.
fn reason(log_tail: &str) -> &str {
    let fatal = log_tail.lines().rev().find_map(|line| line.split_once("FATAL:"));
    fatal.map_or(log_tail.lines().last().unwrap_or_default(), |(_, reason)| reason).trim()
}

/// The error about a server that ended. It names the setting that the server refused.
fn ended(context: &Context, what: String, log_tail: String) -> Error {
    let reason = reason(&log_tail);
    let error = match reason {
        "" => Error::new(Kind::NotReady, what),
        reason => Error::new(Kind::NotReady, what).because(reason),
    };
    let mut settings = context.spec.server.settings.keys();
    let error = match settings.find(|name| reason.contains(&format!("\"{name}\""))) {
        Some(name) => error.hint(format!(
            "change {name} below postgres.settings in devdb.yaml (devdb config shows what is set)"
        )),
        None => error.hint("devdb config   shows the settings it was started with"),
    };
    error.excerpt(log_tail)
}
