//! Does autovacuum's work for tables that devdb itself has changed. The server does not count what
//! devdb writes to a person's database, so autovacuum does not know of it.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};

use super::connect::{self, Address, Counting};
use crate::error::{Kind, Result, ResultExt};

/// How long it may take. What is not done then, autovacuum does when somebody writes more.
const DEADLINE: Duration = Duration::from_secs(30);

/// Tables that have grown by a tenth since they were last analyzed, which is when autovacuum would
/// analyze them. The size of a table that somebody has locked is not asked.
const GROWN: &str = "SELECT pg_catalog.string_agg(pg_catalog.format('%I.%I', nspname, relname), ', ') \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE relkind IN ('r', 'm') AND relpersistence <> 't' AND c.oid >= 16384 \
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_locks \
                       WHERE relation = c.oid AND mode = 'AccessExclusiveLock') \
       AND pg_catalog.pg_relation_size(c.oid) \
           > 1.1 * relpages * pg_catalog.current_setting('block_size')::int";

/// Vacuums and analyzes the tables that have grown. A failure does not matter, because the data is
/// complete without it.
pub async fn refresh(address: &Address) {
    let refreshing = async {
        // PostgreSQL remembers what a VACUUM has found only in a session that counts.
        let mut connection = address.counting(Counting::On).connect().await?;
        let refreshed = refresh_with(&mut connection).await;
        connect::close(connection).await;
        refreshed
    };
    match tokio::time::timeout(DEADLINE, refreshing).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("{error}"),
        Err(late) => tracing::debug!("the tables that have grown were not analyzed: {late}"),
    }
}

async fn refresh_with(connection: &mut PgConnection) -> Result<()> {
    let failed = || "cannot analyze the tables that have grown".to_owned();
    let grown: Option<String> = sqlx::query_scalar(GROWN)
        .fetch_one(&mut *connection)
        .await
        .or_fail(Kind::Unexpected, failed)?;
    let Some(grown) = grown else { return Ok(()) };
    let vacuum = format!("VACUUM (ANALYZE, SKIP_LOCKED) {grown}");
    sqlx::raw_sql(AssertSqlSafe(vacuum))
        .execute(connection)
        .await
        .or_fail(Kind::Unexpected, failed)?;
    Ok(())
}
