//! Runs the server's own psql inside its container.

use std::pin::Pin;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error as Refusal;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use futures_util::Stream;
use tokio::io::AsyncWrite;

use super::{Docker, failure};
use crate::engine::Server;
use crate::error::{Error, Kind, Result};

/// The OS user that owns the server. Its number differs between images, so devdb uses the name.
const OS_USER: &str = "postgres";

/// In Debian's images, such as the official one, `psql` and `pg_isready` are Perl scripts that look
/// for the real programs. They take ten times as long to start. In other images the directory is
/// missing, which does no harm.
pub(super) const PROGRAMS_FIRST: &str = r#"PATH="/usr/lib/postgresql/$PG_MAJOR/bin:$PATH""#;

/// How long a process may take to end after its output has ended: 5 seconds.
const EXIT_DEADLINE: Duration = Duration::from_secs(5);

/// A process inside a container.
pub(super) struct Process {
    pub(super) id: String,
    pub(super) output: Pin<Box<dyn Stream<Item = Result<LogOutput, Refusal>> + Send>>,
    pub(super) input: Pin<Box<dyn AsyncWrite + Send>>,
}

impl Docker {
    /// Starts a process in a server's container, as the postgres user.
    pub(super) async fn spawn(
        &self,
        server: &Server,
        command: Vec<String>,
        terminal: bool,
    ) -> Result<Process> {
        let what = || format!("cannot run psql in the container \"{}\"", server.name);
        let options = CreateExecOptions {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(terminal),
            user: Some(OS_USER.to_owned()),
            cmd: Some(command),
            ..Default::default()
        };
        let created = self.client.create_exec(&server.handle, options).await;
        let id = created
            .map_err(|refusal| match failure::status(&refusal) {
                Some(409) => Error::new(Kind::NotRunning, what())
                    .because(failure::text(&refusal))
                    .hint("devdb start"),
                _ => self.failed(&refusal, what()),
            })?
            .id;
        let options = StartExecOptions { tty: terminal, ..Default::default() };
        let started = self.client.start_exec(&id, Some(options)).await;
        match started.map_err(|refusal| self.failed(&refusal, what()))? {
            StartExecResults::Attached { output, input } => Ok(Process { id, output, input }),
            StartExecResults::Detached => {
                Err(Error::new(Kind::Unexpected, what()).because("the engine did not attach it"))
            }
        }
    }

    /// The exit code of a process whose output has ended.
    pub(super) async fn exit_code(&self, id: &str) -> Result<i64> {
        let ended = async {
            loop {
                let process = self.client.inspect_exec(id).await.map_err(|refusal| {
                    self.failed(&refusal, "cannot ask how the process in the container ended")
                })?;
                if process.running != Some(true)
                    && let Some(code) = process.exit_code
                {
                    return Ok(code);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(EXIT_DEADLINE, ended).await.unwrap_or_else(|_| {
            Err(Error::new(Kind::Unexpected, "the process in the container does not end"))
        })
    }
}

/// The command line of psql over the server's own socket.
pub(super) fn psql_command(user: &str, database: &str, arguments: &[&str]) -> Vec<String> {
    let fixed = ["psql", "-U", user, "-d", database];
    fixed.iter().chain(arguments).map(|&word| word.to_owned()).collect()
}
