//! Blocking work on a thread outside of the runtime.

use crate::error::{Kind, Result, ResultExt};

/// Runs work that blocks, such as deleting thousands of files, away from the runtime's threads.
pub(super) async fn blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .or_fail(Kind::Unexpected, || format!("cannot {what}"))?
}
