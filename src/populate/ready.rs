//! Waiting until a server really accepts logins, and noticing at once when it never will.

use std::time::{Duration, Instant};

use secrecy::SecretString;

use crate::db::connect::{Address, wait_for_login};
use crate::engine::{Engine, PrivateServer, Server};
use crate::error::{Error, Kind, Result};
use crate::spec::ServerSpec;

use crate::context::Context;

/// How many lines of its log explain a server that does not answer.
const LOG_TAIL: usize = 10;

/// How to log in to a private server, which has this password.
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
    }
}

/// Waits for a login to a private server, while watching for its death.
///
/// # Errors
/// `NotReady` with the last lines of its log, and `Interrupted`.
pub async fn private(context: &Context, server: &PrivateServer, address: &Address) -> Result<()> {
    let waiting = async {
        tokio::select! {
            exit = server.exited() => {
                let code = exit.code.map(|code| format!(" (exit code {code})")).unwrap_or_default();
                let what = format!(
                    "the server that prepares the database ended{code} before it accepted a login"
                );
                // Said at once; the error with the whole tail follows when it is cleaned up.
                context.events.warn(format!("the server ended: {}", reason(&exit.log_tail)));
                Err(ended(context, what, exit.log_tail))
            }
            login = first_login(address, context.spec.timeout) => {
                login.map_err(|error| error.excerpt(server.log_tail()))
            }
        }
    };
    context.interrupt.guard(waiting).await
}

/// Waits for a login to a server whose user gets a password only when it is up: until then it
/// refuses every one.
///
/// # Errors
/// `NotReady`, and `LoginRefused` when the password is still refused after `timeout`.
pub async fn first_login(address: &Address, timeout: Duration) -> Result<()> {
    let deadline = Instant::now() + timeout;
    loop {
        match wait_for_login(address, timeout).await {
            Err(error) if error.kind() == Kind::LoginRefused && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            login => return login,
        }
    }
}

/// Waits for a login over TCP with a query, while watching for the server's death.
///
/// # Errors
/// `NotReady` with the tail of the server's log, `LoginRefused` when the password is not its own,
/// `Interrupted`.
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
                // Said at once; the error with the whole tail follows when it is cleaned up.
                context.events.warn(format!("the server ended{code}: {}", reason(&exit.log_tail)));
                Err(ended(context, what, exit.log_tail))
            }
            login = wait_for_login(address, context.spec.timeout) => match login {
                Err(error) if error.kind() == Kind::NotReady => {
                    let mut log = Vec::new();
                    let mut sink = |bytes: &[u8]| log.extend_from_slice(bytes);
                    // The error stands without its log, too.
                    drop(engine.logs(server, Some(LOG_TAIL), false, &mut sink).await);
                    Err(error.excerpt(String::from_utf8_lossy(&log).into_owned()))
                }
                login => login,
            },
        }
    };
    context.interrupt.guard(waiting).await
}

/// Why a server ended: what its log gives as the reason, else the last that it said.
fn reason(log_tail: &str) -> &str {
    let fatal = log_tail.lines().rev().find_map(|line| line.split_once("FATAL:"));
    fatal.map_or(log_tail.lines().last().unwrap_or_default(), |(_, reason)| reason).trim()
}

/// The error of a server that ended, with the setting that it did not like.
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
