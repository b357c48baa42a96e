//! Reads a server's log.

use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt;

use std::time::Duration;

use crate::engine::Server;
use crate::engine::docker::Docker;
use crate::error::Result;

/// How long reading the last lines of a log may take: 2 seconds. They only explain an error.
const TAIL_DEADLINE: Duration = Duration::from_secs(2);

/// How many of the last log lines explain why a server ended.
const TAIL_LINES: &str = "20";

impl Docker {
    /// Reads the last `tail` lines of both streams, or all lines. With `follow`, it goes on until
    /// the server ends.
    ///
    /// # Errors
    /// When the log cannot be read. Some logging drivers of the daemon keep no log.
    pub async fn logs(
        &self,
        server: &Server,
        tail: Option<usize>,
        follow: bool,
        sink: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<()> {
        let tail = tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string());
        let options =
            LogsOptionsBuilder::new().stdout(true).stderr(true).follow(follow).tail(&tail).build();
        let mut parts = std::pin::pin!(self.client.logs(&server.handle, Some(options)));
        while let Some(part) = parts.next().await {
            let part = part.map_err(|refusal| {
                self.failed(
                    &refusal,
                    format!("cannot read the log of the container \"{}\"", server.name),
                )
            })?;
            sink(part.as_ref());
        }
        Ok(())
    }

    pub(crate) async fn log_tail(&self, id: &str) -> String {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(TAIL_LINES).build();
        let mut lines = std::pin::pin!(self.client.logs(id, Some(options)));
        let mut tail = Vec::new();
        let read = async {
            while let Some(Ok(line)) = lines.next().await {
                tail.extend_from_slice(line.as_ref());
            }
        };
        // Part of a log still helps, so ignore a failure.
        let _ = tokio::time::timeout(TAIL_DEADLINE, read).await;
        String::from_utf8_lossy(&tail).trim_end().to_owned()
    }
}
