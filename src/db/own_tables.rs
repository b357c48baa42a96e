//! The tables in which devdb records what it did to a database. They belong to the database, so
//! that they are copied, rolled back and removed together with its data.
//!
//! They are in `information_schema`, because no dump contains them there. pg_dump leaves out the
//! schemas of the system, and so do programs that compare schemas, generate code from them or
//! truncate all tables.

use sqlx::PgConnection;

/// The applied seed files.
pub(super) const SEEDS: &str = "information_schema._devdb_seeds";

/// The primary keys of rows in YAML seeds, by table and label.
pub(super) const LABELS: &str = "information_schema._devdb_labels";

/// The commands of other tools that have run.
pub(super) const COMMANDS: &str = "information_schema._devdb_commands";

/// The key that the seeds were encrypted with.
pub(super) const KEY: &str = "information_schema._devdb_key";

/// The checksums of migration files with both line endings, and of the same files with LF.
pub(super) const MIXED: &str = "information_schema._devdb_line_endings";

/// Whether the database has one of these tables.
pub(super) async fn exists(
    connection: &mut PgConnection,
    table: &str,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(table).fetch_one(connection).await
}
