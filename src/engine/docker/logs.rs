//! A server's log.

use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt;

use super::Docker;
use crate::engine::Server;
use crate::error::Result;

impl Docker {
    /// The last `tail` lines of both streams (all when none), and what follows when `follow`,
    /// until the server ends.
    ///
    /// # Errors
    /// When the log cannot be read: the daemon's logging driver may keep none.
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
}
