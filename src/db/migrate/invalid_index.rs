//! Indexes that a failed or interrupted `CREATE INDEX CONCURRENTLY` has left. PostgreSQL keeps them
//! as INVALID: no query uses them, and their names are taken.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::db::sql_scan::Statement;

/// The statement that finds them, without those that another session is just making. Partitioned
/// indexes are INVALID until each partition has one, which is no fault.
const FIND: &str = "\
    SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) \
    FROM pg_catalog.pg_index i \
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname <> 'pg_toast' \
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p \
                    WHERE p.index_relid = i.indexrelid)";

/// The names of all INVALID indexes, qualified and quoted. None when the connection is lost.
pub(super) async fn all(connection: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar(FIND).fetch_all(connection).await.unwrap_or_default()
}

/// Removes the INVALID index that has the name of the index that `statement` is about to make, on
/// the same table. Returns its name.
pub(super) async fn remove_former(
    connection: &mut PgConnection,
    statement: &Statement<'_>,
    sql: &str,
) -> Option<String> {
    let name = statement.concurrent_index(sql)?;
    let table = statement.concurrent_table(sql)?;
    let query = format!(
        "{FIND} AND c.relname = (pg_catalog.parse_ident($1))[1] \
         AND i.indrelid = pg_catalog.to_regclass($2)"
    );
    let found = sqlx::query_scalar(AssertSqlSafe(query))
        .bind(name)
        .bind(table)
        .fetch_optional(&mut *connection)
        .await;
    let index: String = found.ok().flatten()?;
    let drop = AssertSqlSafe(format!("DROP INDEX {index}"));
    // When it cannot be removed, the statement itself fails and says why.
    sqlx::raw_sql(drop).execute(connection).await.ok()?;
    Some(index)
}
