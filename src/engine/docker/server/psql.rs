//! Runs psql inside the container, on the terminal or the pipes of this process.

use bollard::container::LogOutput;
use bollard::exec::ResizeExecOptions;
use futures_util::StreamExt;
use tokio::io::{AsyncWriteExt, Stderr, Stdout};
use tokio::signal::unix::{SignalKind, signal};

use super::terminal::{self, RawMode};
use crate::engine::Server;
use crate::engine::docker::Docker;
use crate::engine::docker::exec::{Process, psql_command};
use crate::error::{Kind, Result, ResultExt};

impl Docker {
    /// Runs the image's psql and returns its exit code.
    ///
    /// # Errors
    /// `NotRunning` when the server does not run; `Unexpected` or `NoEngine` when its connection
    /// breaks.
    pub async fn psql(
        &self,
        server: &Server,
        user: &str,
        database: &str,
        arguments: &[String],
    ) -> Result<Option<i32>> {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let command = psql_command(user, database, &arguments);
        let interactive = terminal::is_interactive();
        let process = self.spawn(server, command, interactive).await?;
        let id = process.id.clone();
        // Dropping this value restores the terminal, on every way out.
        let _raw = interactive
            .then(RawMode::enter)
            .transpose()
            .or_fail(Kind::Unexpected, || "cannot switch the terminal to raw mode".into())?;
        if interactive {
            self.resize(&id).await;
        }
        self.relay(process, interactive).await?;
        let code = self.exit_code(&id).await?;
        Ok(Some(i32::try_from(code).unwrap_or(1)))
    }

    async fn relay(&self, process: Process, interactive: bool) -> Result<()> {
        let Process { id, mut output, mut input } = process;
        let (mut stdout, mut stderr) = (tokio::io::stdout(), tokio::io::stderr());
        let mut resized = signal(SignalKind::window_change())
            .or_fail(Kind::Unexpected, || "cannot watch the terminal's size".into())?;
        let mut typed = terminal::stdin();
        let mut input_open = true;
        loop {
            tokio::select! {
                part = output.next() => match part {
                    Some(Ok(part)) => write(&mut stdout, &mut stderr, &part)
                        .await
                        .or_fail(Kind::Unexpected, || "cannot write psql's output".into())?,
                    Some(Err(refusal)) => {
                        return Err(self.failed(&refusal, "the connection to psql broke"));
                    }
                    None => return Ok(()),
                },
                bytes = typed.recv(), if input_open => {
                    let sent = match bytes {
                        Some(bytes) => input.write_all(&bytes).await,
                        None => {
                            input_open = false;
                            input.shutdown().await
                        }
                    };
                    // psql may end without reading all of its input. Its output still follows.
                    input_open &= sent.is_ok();
                },
                _ = resized.recv(), if interactive => self.resize(&id).await,
            }
        }
    }

    /// Adjusts the size of the terminal. A failure must not end psql.
    async fn resize(&self, id: &str) {
        if let Some((height, width)) = terminal::size() {
            let _ = self.client.resize_exec(id, ResizeExecOptions { height, width }).await;
        }
    }
}

async fn write(stdout: &mut Stdout, stderr: &mut Stderr, part: &LogOutput) -> std::io::Result<()> {
    if let LogOutput::StdErr { message } = part {
        stderr.write_all(message).await?;
        stderr.flush().await
    } else {
        stdout.write_all(part.as_ref()).await?;
        stdout.flush().await
    }
}
