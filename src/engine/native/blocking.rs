//! Work on thousands of files, away from the runtime's own threads.

use crate::error::{Kind, Result, ResultExt};

/// Thousands of files: not on the runtime's own threads.
pub(super) async fn blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .or_fail(Kind::Unexpected, || format!("cannot {what}"))?
}
