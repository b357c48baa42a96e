//! Giving a user a password.

use std::time::{Duration, Instant};

use secrecy::SecretString;

use super::launch::LISTENING_DEADLINE;
use crate::db::connect::{Address, Counting};
use crate::db::password;
use crate::engine::native::generation_directory::GenerationDirectory;
use crate::engine::native::record::{GenerationRecord, ServerNote};
use crate::engine::native::{Native, standalone};
use crate::engine::{STOP_DEADLINE, Server, Status};
use crate::error::{Kind, Result, ResultExt};

impl Native {
    /// Sets a password in single-user mode. A running server is stopped before and started after.
    ///
    /// # Errors
    /// See [`Engine::set_password`](crate::engine::Engine::set_password).
    pub async fn set_password(&self, server: &Server, user: &str, verifier: &str) -> Result<()> {
        let (place, record, mut note) = self.expect(server)?;
        let programs = self.programs_of(&record, &note)?;
        let was_running = matches!(self.status(&place, &note), Status::Running { .. });
        self.stop(server, STOP_DEADLINE).await?;
        let set = standalone::set_password(&programs, &place.pgdata(), user, verifier).await;
        if was_running {
            self.spawn(&place, &record, &mut note, &programs).await?;
        }
        set
    }

    /// Gives the user of a private server on a copy the password, over a socket that nobody else
    /// can reach. A server that ends meanwhile is no error here: the caller waits for a login and
    /// notices.
    pub(super) async fn give_password(
        &self,
        place: &GenerationDirectory,
        record: &GenerationRecord,
        note: &ServerNote,
        verifier: &str,
    ) -> Result<()> {
        let sockets = self.store.socket_directory(&record.owner.key());
        let address = Address {
            host: sockets.to_string_lossy().into_owned(),
            port: note.port,
            database: "postgres".into(),
            user: record.made_with.user.clone(),
            password: SecretString::default(),
            counting: Counting::Off,
        };
        let deadline = Instant::now() + LISTENING_DEADLINE;
        loop {
            match password::set_password(&address, verifier).await {
                Ok(()) => return Ok(()),
                Err(_) if !self.children.is_running(place.directory()) => return Ok(()),
                Err(_) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(3)).await;
                }
                Err(error) => {
                    return Err(error).or_fail(Kind::Unexpected, || {
                        format!("cannot set the password of user {:?}", address.user)
                    });
                }
            }
        }
    }
}
