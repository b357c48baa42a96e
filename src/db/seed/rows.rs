//! Writes the rows of a YAML seed.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use uuid::Uuid;

use super::catalog::{self, Column, Table, Target};
use super::cell::{Cell, Input};
use super::encrypt::Encrypted;
use super::record::Labels;
use super::yaml::{Reference, Row, TableRows, Value, ValueContent};
use super::{diagnose, json, tree};
use crate::db::files::SourceText;
use crate::db::inspect::quote;
use crate::db::place::Place;
use crate::db::server_error;
use crate::db::sql_scan;
use crate::error::{Error, Kind, Result, nearest};

/// The namespace of generated ids. If it changes, every id changes on every machine.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f8d_1c52_7f0b_5c63_9f0e_3a7b_2d5e_9c41);

/// How many rows a file has, and how many of them the server wrote. A trigger can drop a row without
/// an error, or put it into another table.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rows {
    pub read: u64,
    pub written: u64,
}

/// Writes the rows of a file to the database.
pub(super) struct Writer<'a> {
    pub connection: &'a mut PgConnection,
    pub source: &'a SourceText,
    pub labels: &'a mut Labels,
    /// The file's encrypted values.
    pub encrypted: &'a Encrypted,
    /// What the database said about references, so that devdb asks once for each target.
    pub referred: Referred,
}

/// The answers of the database to questions about `!ref`.
#[derive(Default)]
pub(super) struct Referred {
    /// The only column of a table's primary key, by the table's name.
    keys: HashMap<String, Option<String>>,
    /// The value of a column in a row: by table, column, and primary key of the row.
    values: HashMap<(String, String, String), Option<String>>,
}

/// The error when devdb cannot read the catalog.
pub(super) fn schema_error(error: &sqlx::Error) -> Error {
    server_error::explain(Error::new(Kind::Seed, "cannot read the database's schema"), error)
}

/// The error when devdb cannot advance a sequence.
pub(super) fn sequence_error(source: &SourceText, error: &sqlx::Error) -> Error {
    let message = format!("{}: cannot advance a sequence", source.label);
    server_error::explain(Error::new(Kind::Seed, message), error)
}

impl Writer<'_> {
    /// Writes all rows of the file in their order.
    ///
    /// # Errors
    /// `Seed`, with the place of the row or value. The caller must then roll the transaction back.
    pub async fn write(&mut self, tables: &[TableRows]) -> Result<Rows> {
        let mut count = Rows::default();
        for rows in tables {
            let table = self.table(rows).await?;
            for row in &rows.rows {
                count.read += 1;
                count.written += u64::from(self.row(&table, row).await?);
            }
            let named = || rows.rows.iter().flat_map(|row| &row.values).map(|(name, _)| &name.text);
            table
                .advance_sequences(self.connection, |column| {
                    named().any(|name| *name == column.name)
                })
                .await
                .map_err(|error| sequence_error(self.source, &error))?;
        }
        Ok(count)
    }

    fn error(&self, place: Place, message: impl std::fmt::Display) -> Error {
        self.source.error_at(Kind::Seed, place, message)
    }

    async fn table(&mut self, rows: &TableRows) -> Result<Table> {
        let name = &rows.table.text;
        if let Some(table) =
            catalog::table(self.connection, name).await.map_err(|error| schema_error(&error))?
        {
            return Ok(table);
        }
        let similar = catalog::similar_table(self.connection, name).await;
        let similar = similar.map_err(|error| schema_error(&error))?;
        let failure = self.error(rows.table.place, format!("there is no table {name:?}"));
        Err(suggest(failure, similar.as_deref()))
    }

    /// Inserts a row. Returns whether the server wrote it.
    async fn row(&mut self, table: &Table, row: &Row) -> Result<bool> {
        let mut cells = Vec::with_capacity(row.values.len() + 1);
        for (name, value) in &row.values {
            let Some(column) = table.column(&name.text) else {
                let failure = self.error(
                    name.place,
                    format!("the table {} has no column {:?}", table.name, name.text),
                );
                let known = table.columns.iter().map(|column| column.name.as_str());
                return Err(did_you_mean(failure, &name.text, known));
            };
            let input = self.input(table, column, value).await?;
            cells.push(Cell { column, place: value.place, input });
        }
        cells.extend(generated_id(table, row));
        match insert(self.connection, table, &cells).await {
            Ok(Inserted { is_written, key }) => {
                if let Some(key) = key {
                    self.labels.add(&table.name, &row.label.text, key);
                }
                Ok(is_written)
            }
            Err(error) => {
                Err(diagnose::row(self.connection, self.source, table, row, &cells, &error).await)
            }
        }
    }

    async fn input(&mut self, table: &Table, column: &Column, value: &Value) -> Result<Input> {
        let text = match &value.content {
            ValueContent::Null => None,
            ValueContent::Text(text) => Some(text.clone()),
            ValueContent::Nested(node) => Some(self.nested(column, node)?),
            ValueContent::Binary(bytes) => Some(self.bytes(column, value.place, bytes)?),
            ValueContent::Encrypt(_) => self.encrypted.get(&value.place).cloned(),
            ValueContent::Sql(expression) => {
                if sql_scan::statements(expression).len() != 1 || expression.ends_with(';') {
                    return Err(self.error(value.place, "!sql needs one SQL expression"));
                }
                return Ok(Input::Expression(expression.clone()));
            }
            ValueContent::Reference(reference) => {
                Some(self.referred(table, column, value.place, reference).await?)
            }
        };
        Ok(Input::Bound(text))
    }

    /// Bytes as PostgreSQL reads them (its manual, 8.4.1).
    fn bytes(&self, column: &Column, place: Place, bytes: &[u8]) -> Result<String> {
        if column.base_type != "bytea" {
            let Column { name, base_type, .. } = column;
            let message = format!("the column {name:?} of type {base_type} cannot hold bytes");
            return Err(self.error(place, message).hint("use !!binary for a bytea column only"));
        }
        let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
        Ok(format!("\\x{}", digits.collect::<String>()))
    }

    fn nested(&self, column: &Column, node: &tree::Node) -> Result<String> {
        let converted = match &node.content {
            _ if column.is_json => json::to_json(node),
            tree::NodeContent::Sequence(items) if column.is_array => json::to_array(items),
            _ => {
                return Err(self.error(
                    node.place,
                    format!(
                        "the column {:?} of type {} cannot hold {}",
                        column.name,
                        column.base_type,
                        node.kind()
                    ),
                ));
            }
        };
        converted.map_err(|error| self.error(error.place, error.message))
    }

    /// The value of a `!ref`.
    async fn referred(
        &mut self,
        table: &Table,
        column: &Column,
        place: Place,
        reference: &Reference,
    ) -> Result<String> {
        let label = &reference.label;
        let mut targets: Vec<Target> = table.targets(&column.name).collect();
        if let Some(named) = &reference.table {
            let named = super::references::canonical(named);
            targets.retain(|target| target.table == named);
            // Without a foreign key the value is the primary key of the row.
            if targets.is_empty() {
                return self.labels.get(named, label).map(str::to_owned).ok_or_else(|| {
                    self.error(place, format!("no row of {named} has the label {label:?}"))
                });
            }
        }
        if targets.is_empty() {
            return Err(self
                .error(
                    place,
                    format!(
                        "the column {:?} has no foreign key, so the table of {label:?} is unknown",
                        column.name
                    ),
                )
                .hint(format!("name the table, too: !ref TABLE.{label}")));
        }
        for target in &targets {
            if let Some(key) = self.labels.get(&target.table, label).map(str::to_owned) {
                return self.referred_value(target, key, place).await;
            }
        }
        let tables = targets.iter().map(|target| target.table.as_str()).collect::<Vec<_>>();
        let failure =
            self.error(place, format!("no row of {} has the label {label:?}", tables.join(" or ")));
        let known = tables.iter().flat_map(|table| self.labels.of_table(table));
        Err(did_you_mean(failure, label, known))
    }

    /// The value of the column that the foreign key refers to, which need not be the primary key.
    async fn referred_value(
        &mut self,
        target: &Target,
        key: String,
        place: Place,
    ) -> Result<String> {
        let own_key = self.key_of(&target.table).await.map_err(|error| schema_error(&error))?;
        let Some(own_key) = own_key.filter(|own| *own != target.column) else { return Ok(key) };
        let value = self.value_of(target, &own_key, key).await;
        value.map_err(|error| schema_error(&error))?.ok_or_else(|| {
            let Target { table, column, .. } = target;
            self.error(
                place,
                format!("this refers to the column {column} of {table}, which has no value there"),
            )
        })
    }

    /// The only column of a table's primary key.
    async fn key_of(&mut self, table: &str) -> Result<Option<String>, sqlx::Error> {
        if let Some(known) = self.referred.keys.get(table) {
            return Ok(known.clone());
        }
        let key = catalog::table(self.connection, table).await?.and_then(|table| table.key);
        self.referred.keys.insert(table.to_owned(), key.clone());
        Ok(key)
    }

    /// The target's column in the row that has this primary key.
    async fn value_of(
        &mut self,
        target: &Target,
        own_key: &str,
        key: String,
    ) -> Result<Option<String>, sqlx::Error> {
        let asked = (target.table.clone(), target.column.clone(), key);
        if let Some(known) = self.referred.values.get(&asked) {
            return Ok(known.clone());
        }
        let query = format!(
            "SELECT {}::text FROM {} WHERE {}::text = $1",
            quote(&target.column),
            target.sql_name,
            quote(own_key)
        );
        let value: Option<Option<String>> = sqlx::query_scalar(AssertSqlSafe(query))
            .bind(&asked.2)
            .fetch_optional(&mut *self.connection)
            .await?;
        let value = value.flatten();
        self.referred.values.insert(asked, value.clone());
        Ok(value)
    }
}

fn did_you_mean<'a>(failure: Error, word: &str, known: impl Iterator<Item = &'a str>) -> Error {
    suggest(failure, nearest(word, known))
}

/// Adds the hint that another name was probably meant.
pub(super) fn suggest(failure: Error, similar: Option<&str>) -> Error {
    match similar {
        Some(similar) => failure.hint(format!("did you mean {similar:?}?")),
        None => failure,
    }
}

/// Generates the id of a row that has none, if the primary key is one uuid column. The id depends
/// only on table and label, so it is the same on every machine.
fn generated_id<'a>(table: &'a Table, row: &Row) -> Option<Cell<'a>> {
    let key = table.key.as_deref()?;
    if table.key_type() != Some("uuid") || row.values.iter().any(|(name, _)| name.text == key) {
        return None;
    }
    let name = format!("{}/{}", table.name, row.label.text);
    let id = Uuid::new_v5(&NAMESPACE, name.as_bytes());
    Some(Cell {
        column: table.column(key)?,
        place: row.label.place,
        input: Input::Bound(Some(id.to_string())),
    })
}

/// What an INSERT of one row did.
struct Inserted {
    /// False when a trigger dropped the row.
    is_written: bool,
    /// The row's primary key as text, if the key is one column.
    key: Option<String>,
}

async fn insert(
    connection: &mut PgConnection,
    table: &Table,
    cells: &[Cell<'_>],
) -> Result<Inserted, sqlx::Error> {
    let mut sql = format!("INSERT INTO {} ", table.sql_name);
    if cells.is_empty() {
        sql.push_str("DEFAULT VALUES");
    } else {
        let columns: Vec<String> = cells.iter().map(|cell| quote(&cell.column.name)).collect();
        let mut parameters = 0;
        let values: Vec<String> = cells
            .iter()
            .map(|cell| {
                parameters += usize::from(cell.bound().is_some());
                cell.sql(parameters)
            })
            .collect();
        sql.push_str(&format!("({}) VALUES ({})", columns.join(", "), values.join(", ")));
    }
    if let Some(key) = &table.key {
        sql.push_str(&format!(" RETURNING {}::text", quote(key)));
    }
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for text in cells.iter().filter_map(Cell::bound) {
        query = query.bind(text);
    }
    if table.key.is_none() {
        let done = query.execute(connection).await?;
        return Ok(Inserted { is_written: done.rows_affected() > 0, key: None });
    }
    let row = query.fetch_optional(connection).await?;
    let key = row.as_ref().map(|row| row.try_get::<Option<String>, _>(0)).transpose()?;
    Ok(Inserted { is_written: row.is_some(), key: key.flatten() })
}
