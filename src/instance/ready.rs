//! Waiting until a server really accepts logins, and noticing at once when it never will.

use crate::db::connect::{Address, wait_for_login};
use crate::engine::{Engine, Server};
use crate::error::{Error, Kind, Result};

use super::Context;

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
                // Said at once; the error with the whole tail follows when it is cleaned up.
                let last = exit.log_tail.lines().last().unwrap_or_default();
                context.events.warn(format!("the server ended{code}: {last}"));
                Err(Error::new(
                    Kind::NotReady,
                    format!("the server {} ended{code} before it accepted a login", server.name),
                )
                .excerpt(exit.log_tail))
            }
            login = wait_for_login(address, context.spec.timeout) => login,
        }
    };
    context.interrupt.guard(waiting).await
}
