//! Reads from the database's catalog the tables, columns and foreign keys that seeds need.

use sqlx::postgres::types::Oid;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::db::inspect::quote;
use crate::error::nearest;

/// A table, or a view or foreign table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    oid: Oid,
    /// `gateways`; in another schema than public with the schema: `iot.gateways`. Generated ids of
    /// rows depend on this name.
    pub name: String,
    /// The schema and the name, quoted.
    pub sql_name: String,
    pub columns: Vec<Column>,
    /// The column of the primary key, if the key has only one.
    pub key: Option<String>,
    references: Vec<ForeignKey>,
}

#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct Column {
    pub name: String,
    /// Its type in SQL, without length or precision; for a domain, the domain's base type. A cast
    /// to `varchar(5)` would cut a value that is too long; a cast to `varchar` does not.
    pub base_type: String,
    pub is_array: bool,
    pub is_json: bool,
    /// The ascending sequence that the column owns (`serial`, `GENERATED AS IDENTITY`).
    pub sequence: Option<Oid>,
}

/// A column of a foreign key, and the column that it refers to.
#[derive(Debug, Clone, sqlx::FromRow)]
struct ForeignKey {
    column: String,
    schema: String,
    table: String,
    referred: String,
}

/// The column that a foreign key refers to.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The table's name, as in [`Table::name`].
    pub table: String,
    pub sql_name: String,
    pub column: String,
}

impl Table {
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The type of the primary key's column.
    pub fn key_type(&self) -> Option<&str> {
        Some(self.column(self.key.as_deref()?)?.base_type.as_str())
    }

    /// The targets of a column's foreign keys.
    pub fn targets(&self, column: &str) -> impl Iterator<Item = Target> {
        self.references.iter().filter(move |reference| reference.column == column).map(
            |reference| Target {
                table: display_name(&reference.schema, &reference.table),
                sql_name: sql_name(&reference.schema, &reference.table),
                column: reference.referred.clone(),
            },
        )
    }

    /// Sets the sequences of the columns that were written to the highest number in the column. A
    /// sequence with a higher number stays as it is.
    pub async fn advance_sequences(
        &self,
        connection: &mut PgConnection,
        written: impl Fn(&Column) -> bool,
    ) -> Result<(), sqlx::Error> {
        for column in &self.columns {
            let Some(sequence) = column.sequence.filter(|_| written(column)) else { continue };
            let advance = format!(
                "SELECT setval($1::regclass, highest) \
                 FROM (SELECT max({})::int8 AS highest FROM {}) AS column_values, pg_sequence \
                 WHERE seqrelid = $1 AND highest <= seqmax AND \
                       coalesce(highest > pg_sequence_last_value($1::regclass), highest >= seqstart)",
                quote(&column.name),
                self.sql_name
            );
            sqlx::query(AssertSqlSafe(advance)).bind(sequence).execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// The columns of a constraint or a unique index of this table.
    pub async fn columns_of_constraint(
        &self,
        connection: &mut PgConnection,
        constraint: &str,
    ) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar(
            "SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 \
             AND (EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = $1 AND c.conname = $2 \
                          AND a.attnum = ANY(c.conkey)) \
               OR EXISTS (SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid \
                          WHERE i.indrelid = $1 AND x.relname = $2 AND a.attnum = ANY(i.indkey))) \
             ORDER BY a.attnum",
        )
        .bind(self.oid)
        .bind(constraint)
        .fetch_all(connection)
        .await
    }
}

fn display_name(schema: &str, table: &str) -> String {
    if schema == "public" { table.to_owned() } else { format!("{schema}.{table}") }
}

fn sql_name(schema: &str, table: &str) -> String {
    format!("{}.{}", quote(schema), quote(table))
}

/// Finds a table by its name, which may begin with a schema. Case matters. None when there is no
/// such table.
pub(super) async fn table(
    connection: &mut PgConnection,
    name: &str,
) -> Result<Option<Table>, sqlx::Error> {
    let quoted = name.split('.').map(quote).collect::<Vec<_>>().join(".");
    let found: Option<(Oid, String, String)> = sqlx::query_as(
        "SELECT c.oid, n.nspname::text, c.relname::text \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.oid = to_regclass($1) AND c.relkind IN ('r', 'p', 'v', 'f')",
    )
    .bind(quoted)
    .fetch_optional(&mut *connection)
    .await?;
    let Some((oid, schema, table)) = found else { return Ok(None) };
    let key: Vec<String> = sqlx::query_scalar(
        "SELECT a.attname::text FROM pg_index i \
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey) \
         WHERE i.indrelid = $1 AND i.indisprimary",
    )
    .bind(oid)
    .fetch_all(&mut *connection)
    .await?;
    Ok(Some(Table {
        oid,
        name: display_name(&schema, &table),
        sql_name: sql_name(&schema, &table),
        columns: columns(connection, oid).await?,
        key: <[String; 1]>::try_from(key).ok().map(|[column]| column),
        references: references(connection, oid).await?,
    }))
}

async fn columns(connection: &mut PgConnection, table: Oid) -> Result<Vec<Column>, sqlx::Error> {
    // With -1 as the type's modifier, format_type writes `bpchar`. With NULL it writes `character`,
    // which means character(1).
    sqlx::query_as(
        "SELECT a.attname::text AS name, format_type(base.oid, -1) AS base_type, \
                base.typcategory = 'A' AS is_array, \
                base.oid IN ('json'::regtype, 'jsonb'::regtype) AS is_json, \
                (SELECT s.seqrelid FROM pg_depend d JOIN pg_sequence s ON s.seqrelid = d.objid \
                 WHERE d.classid = 'pg_class'::regclass AND d.refclassid = d.classid \
                   AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum \
                   AND d.deptype IN ('a', 'i') AND s.seqincrement > 0 \
                   AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) LIMIT 1 \
                ) AS sequence \
         FROM pg_attribute a CROSS JOIN LATERAL ( \
             WITH RECURSIVE chain AS ( \
                 SELECT t.oid, t.typtype, t.typbasetype, t.typcategory \
                 FROM pg_type t WHERE t.oid = a.atttypid \
                 UNION ALL \
                 SELECT t.oid, t.typtype, t.typbasetype, t.typcategory \
                 FROM chain c JOIN pg_type t ON t.oid = c.typbasetype WHERE c.typtype = 'd') \
             SELECT oid, typcategory FROM chain WHERE typtype <> 'd') base \
         WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
    )
    .bind(table)
    .fetch_all(connection)
    .await
}

async fn references(
    connection: &mut PgConnection,
    table: Oid,
) -> Result<Vec<ForeignKey>, sqlx::Error> {
    sqlx::query_as(
        "SELECT own.attname::text AS column, n.nspname::text AS schema, c.relname::text AS table, \
                their.attname::text AS referred \
         FROM pg_constraint f \
         CROSS JOIN LATERAL unnest(f.conkey, f.confkey) AS pair(own, their) \
         JOIN pg_attribute own ON own.attrelid = f.conrelid AND own.attnum = pair.own \
         JOIN pg_attribute their ON their.attrelid = f.confrelid AND their.attnum = pair.their \
         JOIN pg_class c ON c.oid = f.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE f.conrelid = $1 AND f.contype = 'f' ORDER BY f.conname",
    )
    .bind(table)
    .fetch_all(connection)
    .await
}

/// The name that somebody probably meant who wrote the name of a table that does not exist: the
/// table of this name in another schema, or else the most similar name.
pub(super) async fn similar_table(
    connection: &mut PgConnection,
    name: &str,
) -> Result<Option<String>, sqlx::Error> {
    let known = table_names(connection).await?;
    let namesake =
        known.iter().find(|known| known.split_once('.').is_some_and(|(_, of)| of == name));
    let similar = || nearest(name, known.iter().map(String::as_str));
    Ok(namesake.map(String::as_str).or_else(similar).map(str::to_owned))
}

/// The names of all tables of the project, as seeds write them.
async fn table_names(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let names: Vec<(String, String)> = sqlx::query_as(
        "SELECT n.nspname::text, c.relname::text \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'v', 'f') AND c.relname <> '_sqlx_migrations' \
           AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')",
    )
    .fetch_all(connection)
    .await?;
    Ok(names.into_iter().map(|(schema, table)| display_name(&schema, &table)).collect())
}
