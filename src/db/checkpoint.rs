//! Makes a running server ready for a quick stop.

use std::time::Duration;

use sqlx::PgConnection;

use super::connect::Address;
use crate::error::{Kind, Result, ResultExt};

/// How long a checkpoint may take. A server that needs longer has another problem.
const CHECKPOINT_DEADLINE: Duration = Duration::from_secs(60);

/// Makes the server write all changes to its data files, so that it can stop quickly.
///
/// # Errors
/// `NotReady` when devdb cannot log in, `Unexpected` when the server refuses.
pub async fn checkpoint(address: &Address) -> Result<()> {
    checkpoint_with(&mut address.connect().await?, address).await
}

/// As [`checkpoint`], on a connection that is open.
pub(super) async fn checkpoint_with(
    connection: &mut PgConnection,
    address: &Address,
) -> Result<()> {
    let failed = || format!("CHECKPOINT failed on {}", address.masked_url());
    let checkpoint = sqlx::raw_sql("CHECKPOINT").execute(connection);
    match tokio::time::timeout(CHECKPOINT_DEADLINE, checkpoint).await {
        Ok(done) => done.map(drop).or_fail(Kind::Unexpected, failed),
        Err(late) => Err(late).or_fail(Kind::Unexpected, failed),
    }
}
