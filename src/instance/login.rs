//! Logging in to a server that was started, and setting the recorded password where the server has
//! another one.

use std::time::{Duration, Instant};

use secrecy::ExposeSecret;

use super::{Instance, address, endpoint_of, idle};
use crate::db::scram;
use crate::engine::{Engine, Server};
use crate::error::{Kind, Result};
use crate::populate::ready;
use crate::state::Record;

/// Which password a server should accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Password {
    /// The recorded one. When the server refuses it, the record was lost or somebody changed the
    /// password. devdb then sets the recorded one again and reports it.
    Recorded,
    /// The password in the copied data, which may be another instance's.
    OfTheCopy,
}

impl Instance<'_> {
    /// Waits for a login. When the server refuses the recorded password, devdb sets it again. From
    /// then on the server is in use, and may stop by itself when nobody uses it.
    pub(super) async fn log_in(
        &self,
        engine: &Engine,
        record: &Record,
        server: &Server,
        password: Password,
    ) -> Result<()> {
        self.wait_for_login(engine, record, server, password).await?;
        if let Err(error) = idle::watch(self.context, record, server) {
            self.context.events.warn(format!("the database will not stop by itself: {error}"));
        }
        Ok(())
    }

    async fn wait_for_login(
        &self,
        engine: &Engine,
        record: &Record,
        server: &Server,
        password: Password,
    ) -> Result<()> {
        let context = self.context;
        let address = address(record, endpoint_of(server)?);
        match ready::wait(context, engine, server, &address).await {
            Err(error) if error.kind() == Kind::LoginRefused => {
                if password == Password::Recorded {
                    context.events.note(format!(
                        "the server refused the recorded password of {}, so devdb set it again",
                        address.user
                    ));
                }
                let verifier = scram::verifier(record.password.expose_secret());
                context
                    .interrupt
                    .guard(set_password(
                        engine,
                        server,
                        &address.user,
                        &verifier,
                        context.spec.timeout,
                    ))
                    .await?;
                ready::wait(context, engine, server, &address).await
            }
            other => other,
        }
    }
}

impl Instance<'_> {
    /// Sets the password of a rebuilt record on the server that runs: the one it had was in the record
    /// that was lost. A server that is just starting gets it from the next `up`.
    pub(super) async fn give_password(&self, engine: &Engine, record: &Record) -> Result<()> {
        let server = self.current_server(engine, record).await?;
        let Some(server) = server.filter(Server::is_running) else { return Ok(()) };
        let address = address(record, endpoint_of(&server)?);
        let interrupt = &self.context.interrupt;
        match interrupt.guard(address.connect()).await {
            Err(error) if error.kind() == Kind::LoginRefused => {}
            _ => return Ok(()),
        }
        let verifier = scram::verifier(record.password.expose_secret());
        match interrupt.guard(engine.set_password(&server, &address.user, &verifier)).await {
            Ok(()) => self.context.events.note(format!(
                "{} has a new password, because the old one was in the record",
                address.user
            )),
            Err(error) => tracing::debug!("the password was not set: {error}"),
        }
        Ok(())
    }
}

/// Sets the password. Tries again until `timeout`, because the server may still be starting.
async fn set_password(
    engine: &Engine,
    server: &Server,
    user: &str,
    verifier: &str,
    timeout: Duration,
) -> Result<()> {
    let deadline = Instant::now() + timeout;
    loop {
        match engine.set_password(server, user, verifier).await {
            Err(_) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            other => return other,
        }
    }
}
