//! Tells whether any transaction of a server has committed since a moment.

use super::connect::{self, Address};
use crate::error::{Kind, Result, ResultExt};

/// How many transactions devdb looks at. After more than these it supposes that one has committed.
const TRANSACTIONS_MAX: u64 = 10_000;

/// The lowest transaction id that has not ended. Transactions with lower ids change nothing more.
///
/// # Errors
/// `NotReady` when devdb cannot log in, `Unexpected` when the server refuses.
pub async fn first_unfinished(address: &Address) -> Result<u64> {
    let mut connection = address.connect().await?;
    let first: i64 = sqlx::query_scalar(
        "SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text::int8",
    )
    .fetch_one(&mut connection)
    .await
    .or_fail(Kind::Unexpected, failed)?;
    connect::close(connection).await;
    // The id is never negative.
    Ok(first.unsigned_abs())
}

/// Whether every transaction with the id `first` or a higher one has been rolled back. False also
/// when one of them goes on, or when the server does not know any more.
///
/// # Errors
/// `NotReady` when devdb cannot log in, `Unexpected` when the server refuses.
pub async fn none_since(first: u64, address: &Address) -> Result<bool> {
    let mut connection = address.connect().await?;
    let none: bool = sqlx::query_scalar(
        "WITH next AS ( \
           SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::int8 AS id) \
         SELECT CASE WHEN id BETWEEN $1 AND $1 + $2 THEN \
           (SELECT coalesce(pg_catalog.bool_and( \
              pg_catalog.pg_xact_status(one::text::xid8) IS NOT DISTINCT FROM 'aborted'), true) \
            FROM pg_catalog.generate_series($1, id - 1) AS one) \
         ELSE false END FROM next",
    )
    .bind(i64::try_from(first).unwrap_or(i64::MAX))
    .bind(i64::try_from(TRANSACTIONS_MAX).unwrap_or(i64::MAX))
    .fetch_one(&mut connection)
    .await
    .or_fail(Kind::Unexpected, failed)?;
    connect::close(connection).await;
    Ok(none)
}

fn failed() -> String {
    "cannot read the state of the transactions".to_owned()
}
