//! Reads which migrations another tool has recorded as applied, in the table of that tool.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, PgConnection};

use super::inspect::quote;
use crate::error::{Kind, Result, ResultExt};

/// What a tool has recorded in a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToolRecord {
    /// The names of the applied migrations, in order.
    Applied(Vec<String>),
    /// The tool records only the newest version.
    At(String),
}

/// What one table of a tool records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByTable {
    /// The table, with its schema.
    pub table: String,
    /// What it records.
    pub record: ToolRecord,
}

impl ByTable {
    /// What this record has that the record of `now` lacks: the tool, or an older dump, has taken it
    /// back. A tool may have gone on by itself, and versions that are no numbers do not tell whether
    /// it did.
    pub fn taken_back(&self, now: Option<&ByTable>) -> Vec<String> {
        let now = now.filter(|now| now.table == self.table).map(|now| &now.record);
        match (&self.record, now) {
            (ToolRecord::Applied(then), Some(ToolRecord::Applied(now))) => {
                let now: HashSet<&String> = now.iter().collect();
                then.iter().filter(|name| !now.contains(name)).cloned().collect()
            }
            (ToolRecord::At(then), Some(ToolRecord::At(now))) => {
                let number = |version: &str| version.parse::<u128>().ok();
                let is_back = number(now).zip(number(then)).is_some_and(|(now, then)| now < then);
                is_back.then(|| then.clone()).into_iter().collect()
            }
            (ToolRecord::Applied(then), _) => then.clone(),
            (ToolRecord::At(then), _) => vec![then.clone()],
        }
    }
}

/// A table in which a tool keeps its record.
struct Table {
    /// A word that the tool's command has.
    tool: &'static str,
    name: &'static str,
    /// The columns by which devdb knows the table.
    columns: &'static [&'static str],
    /// What to select from the table.
    what: &'static str,
    /// What follows the table's name in the query.
    rest: &'static str,
    /// Whether the rows are all applied migrations.
    is_list: bool,
}

const fn list(
    tool: &'static str,
    name: &'static str,
    columns: &'static [&'static str],
    what: &'static str,
    rest: &'static str,
) -> Table {
    Table { tool, name, columns, what, rest, is_list: true }
}

const fn newest(
    tool: &'static str,
    name: &'static str,
    columns: &'static [&'static str],
    what: &'static str,
) -> Table {
    Table { tool, name, columns, what, rest: "", is_list: false }
}

/// Tables with a name that only one tool uses come first.
const TABLES: &[Table] = &[
    list("node-pg-migrate", "pgmigrations", &["id", "name", "run_on"], "name", "ORDER BY id"),
    list(
        "prisma",
        "_prisma_migrations",
        &["migration_name", "started_at", "finished_at", "rolled_back_at"],
        "migration_name",
        "WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL ORDER BY started_at",
    ),
    list("knex", "knex_migrations", &["id", "name"], "name", "ORDER BY id"),
    // goose has one row for each up and each down; version 0 is the empty database.
    list(
        "goose",
        "goose_db_version",
        &["id", "version_id", "is_applied"],
        "version_id::text",
        "one WHERE version_id > 0 AND is_applied AND NOT EXISTS (SELECT FROM {table} later \
         WHERE later.version_id = one.version_id AND later.id > one.id) ORDER BY version_id",
    ),
    list(
        "diesel",
        "__diesel_schema_migrations",
        &["version", "run_on"],
        "version",
        "ORDER BY version",
    ),
    list(
        "flyway",
        "flyway_schema_history",
        &["installed_rank", "script", "type", "success"],
        "script",
        "WHERE success AND type NOT IN ('SCHEMA', 'DELETE') AND type NOT LIKE 'UNDO%' \
         ORDER BY installed_rank",
    ),
    list("sql-migrate", "gorp_migrations", &["id", "applied_at"], "id", "ORDER BY id"),
    list(
        "refinery",
        "refinery_schema_history",
        &["version", "name"],
        "'V' || version || '__' || name",
        "ORDER BY version",
    ),
    list("sequelize", "SequelizeMeta", &["name"], "name", "ORDER BY name"),
    list(
        "drizzle",
        "__drizzle_migrations",
        &["hash", "created_at"],
        "left(hash, 12)",
        "ORDER BY created_at",
    ),
    list("mikro-orm", "mikro_orm_migrations", &["id", "name"], "name", "ORDER BY id"),
    list("kysely", "kysely_migration", &["name", "timestamp"], "name", "ORDER BY name"),
    list(
        "manage.py",
        "django_migrations",
        &["id", "app", "name"],
        "app || '.' || name",
        "ORDER BY id",
    ),
    list(
        "liquibase",
        "databasechangelog",
        &["id", "author", "orderexecuted"],
        "id || ' (' || author || ')'",
        "ORDER BY orderexecuted",
    ),
    list("dotnet", "__EFMigrationsHistory", &["MigrationId"], "\"MigrationId\"", "ORDER BY 1"),
    list("phinx", "phinxlog", &["version"], "version::text", "ORDER BY version"),
    list("doctrine", "doctrine_migration_versions", &["version"], "version", "ORDER BY version"),
    list("sea-orm", "seaql_migrations", &["version"], "version", "ORDER BY version"),
    list("yoyo", "_yoyo_migration", &["migration_id"], "migration_id", "ORDER BY 1"),
    list("atlas", "atlas_schema_revisions", &["version", "applied"], "version", "ORDER BY version"),
    list(
        "sqitch",
        "changes",
        &["change_id", "change", "committed_at"],
        "change",
        "ORDER BY committed_at",
    ),
    list(
        "sqlx",
        "_sqlx_migrations",
        &["version", "description", "success"],
        "version || ' (' || description || ')'",
        "WHERE success ORDER BY version",
    ),
    newest("alembic", "alembic_version", &["version_num"], "version_num"),
    // golang-migrate has one row.
    newest("migrate", "schema_migrations", &["version", "dirty"], "version::text"),
    list("dbmate", "schema_migrations", &["version"], "version::text", "ORDER BY version"),
    newest("tern", "schema_version", &["version"], "version::text"),
    list("typeorm", "migrations", &["id", "timestamp", "name"], "name", "ORDER BY id"),
    list("artisan", "migrations", &["id", "migration", "batch"], "migration", "ORDER BY id"),
    list("db-migrate", "migrations", &["id", "name", "run_on"], "name", "ORDER BY id"),
    list("rambler", "migrations", &["migration"], "migration", "ORDER BY migration"),
];

/// Reads what the tool of `command` has recorded, from the table that was `known` before, if that is
/// still there: an application may have tables of that name in other schemas. None when devdb knows no
/// table in the database that such a tool makes.
///
/// # Errors
/// `Unexpected` when the connection is lost.
pub async fn read(
    connection: &mut PgConnection,
    command: &str,
    known: Option<&str>,
) -> Result<Option<ByTable>> {
    let failed = || "cannot read which migrations another tool has applied".to_owned();
    let names: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
    let found: Vec<Found> = sqlx::query_as(
        "SELECT n.nspname::text AS schema, c.relname::text AS name, \
                array_agg(a.attname::text) AS columns \
         FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 \
         WHERE c.relkind = 'r' AND c.relname = ANY($1) \
         GROUP BY c.oid, n.nspname, c.relname ORDER BY n.nspname",
    )
    .bind(names)
    .fetch_all(&mut *connection)
    .await
    .or_fail(Kind::Unexpected, failed)?;
    let place = |found: &Found| format!("{}.{}", quote(&found.schema), quote(&found.name));
    let (known, others): (Vec<Found>, Vec<Found>) =
        found.into_iter().partition(|found| known.is_some_and(|known| known == place(found)));
    let chosen = choose(&known, command).or_else(|| choose(&others, command));
    let Some((table, found)) = chosen else { return Ok(None) };
    let place = place(found);
    let rest = table.rest.replace("{table}", &place);
    let query = format!("SELECT {} FROM {place} {rest}", table.what);
    let read = sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(connection).await;
    let rows: Vec<String> = match read {
        Ok(rows) => rows,
        // It is another table than its columns say.
        Err(sqlx::Error::Database(_) | sqlx::Error::ColumnDecode { .. }) => return Ok(None),
        Err(error) => return Err(error).or_fail(Kind::Unexpected, failed),
    };
    let record = match table.is_list {
        true => ToolRecord::Applied(rows),
        false if rows.is_empty() => return Ok(None),
        false => ToolRecord::At(rows.join(", ")),
    };
    Ok(Some(ByTable { table: place, record }))
}

/// A table of the database.
#[derive(sqlx::FromRow)]
struct Found {
    schema: String,
    name: String,
    columns: Vec<String>,
}

/// The table of the tool that the command names, or else the first that devdb knows.
fn choose<'a>(found: &'a [Found], command: &str) -> Option<(&'static Table, &'a Found)> {
    let fitting = || {
        TABLES.iter().filter_map(|table| {
            let fits = |found: &&Found| {
                let has = |column: &&str| found.columns.iter().any(|name| name == column);
                found.name == table.name && table.columns.iter().all(has)
            };
            Some((table, found.iter().find(fits)?))
        })
    };
    fitting().find(|(table, _)| command.contains(table.tool)).or_else(|| fitting().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(version: &str) -> ByTable {
        ByTable { table: "public.versions".into(), record: ToolRecord::At(version.into()) }
    }

    fn applied(table: &str, names: &[&str]) -> ByTable {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        ByTable { table: table.into(), record: ToolRecord::Applied(names) }
    }

    #[test]
    fn what_a_tool_lacks_now_was_taken_back_and_what_is_new_was_not() {
        let then = applied("public.migrations", &["1", "2"]);
        let back = |now: Option<ByTable>| then.taken_back(now.as_ref());
        assert_eq!(back(Some(applied("public.migrations", &["2", "1", "3"]))), [""; 0]);
        assert_eq!(back(Some(applied("public.migrations", &["1"]))), ["2"]);
        assert_eq!(back(Some(applied("tenant.migrations", &["1", "2"]))), ["1", "2"]);
        assert_eq!(back(None), ["1", "2"]);
        for (then, now, is_back) in [("5", "6", false), ("5", "5", false), ("10", "9", true)] {
            let found = at(then).taken_back(Some(&at(now)));
            assert_eq!(!found.is_empty(), is_back, "{then} {now}");
        }
        let heads = at("ab12, cd34").taken_back(Some(&at("cd34, ab12")));
        assert_eq!(heads, [""; 0], "the order says nothing");
    }
}
