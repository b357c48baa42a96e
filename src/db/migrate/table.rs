//! The table in which sqlx records migrations. sqlx names it without a schema, so it may be in any.

use sqlx::migrate::{Migrate, MigrateError};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::db::inspect::quote;

/// Its name.
const NAME: &str = "_sqlx_migrations";

/// The table, as SQL names it: `"public"._sqlx_migrations`. None if the database has none. If it has
/// several, because a program migrates a schema of its own, it is the one in `public`, unless only
/// others have rows.
pub(in crate::db) async fn find(
    connection: &mut PgConnection,
) -> Result<Option<String>, sqlx::Error> {
    let schemas: Vec<String> = sqlx::query_scalar(
        "SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relname = $1 AND c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%' \
         ORDER BY n.nspname <> 'public', n.nspname",
    )
    .bind(NAME)
    .fetch_all(&mut *connection)
    .await?;
    let tables: Vec<String> = schemas.iter().map(|schema| in_schema(schema)).collect();
    if tables.len() > 1 {
        for table in &tables {
            if has_rows(connection, table).await? {
                return Ok(Some(table.clone()));
            }
        }
    }
    Ok(tables.into_iter().next())
}

/// [Finds](find) the table or makes it: in the schema in which sqlx would make it, or in `public` if
/// there is no such schema yet.
pub(super) async fn ensure(connection: &mut PgConnection) -> Result<String, MigrateError> {
    if let Some(table) = find(connection).await? {
        return Ok(table);
    }
    let schema: Option<String> = sqlx::query_scalar(
        "SELECT coalesce(current_schema(), \
                (SELECT nspname FROM pg_namespace WHERE nspname = 'public'))::text",
    )
    .fetch_one(&mut *connection)
    .await?;
    // Without a schema the server says what is wrong.
    let table = schema.map_or_else(|| NAME.to_owned(), |schema| in_schema(&schema));
    connection.ensure_migrations_table(&table).await?;
    Ok(table)
}

fn in_schema(schema: &str) -> String {
    format!("{}.{NAME}", quote(schema))
}

async fn has_rows(connection: &mut PgConnection, table: &str) -> Result<bool, sqlx::Error> {
    let query = format!("SELECT EXISTS (SELECT FROM {table})");
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(connection).await
}
