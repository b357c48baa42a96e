//! Finds the value because of which the server refused a row. For some errors PostgreSQL names the
//! column, for others the constraint. For all others devdb tries each value by itself.

use sqlx::{AssertSqlSafe, PgConnection};

use super::catalog::Table;
use super::cell::Cell;
use super::yaml::Row;
use crate::db::files::SourceText;
use crate::db::inspect::quote;
use crate::db::place::Place;
use crate::db::server_error;
use crate::error::{Error, Kind};

/// The savepoint before a file's rows. devdb goes back to it when a row fails.
pub(super) const SAVEPOINT: &str = "devdb_seed_file";

/// A temporary table with the columns of the real one, without defaults, triggers and constraints.
const PROBE: &str = "devdb_probe";

/// The error for a row that the server refused. Its place is the value that caused it, or the row's
/// label if that value is not known.
pub(super) async fn row(
    connection: &mut PgConnection,
    source: &SourceText,
    table: &Table,
    row: &Row,
    cells: &[Cell<'_>],
    error: &sqlx::Error,
) -> Error {
    let blamed = blame(connection, table, cells, error).await.unwrap_or_default();
    let subject = format!("the server refused the row {:?} of {}", row.label.text, table.name);
    let (place, message) = match &blamed {
        Blamed { place: Some(place), column: Some(column) } => {
            (*place, format!("{subject} because of its column {column:?}"))
        }
        Blamed { place: Some(place), column: None } => (*place, subject),
        Blamed { place: None, column: Some(column) } => {
            (row.label.place, format!("{subject}, which has no value for {column:?}"))
        }
        Blamed { place: None, column: None } => (row.label.place, subject),
    };
    server_error::explain(source.error_at(Kind::Seed, place, message), error)
}

/// The cause of a refusal. If only `place` is known, several columns may be the cause, and it is
/// the place of the first one. If only `column` is known, the row has no value for it.
#[derive(Default)]
struct Blamed {
    place: Option<Place>,
    column: Option<String>,
}

async fn blame(
    connection: &mut PgConnection,
    table: &Table,
    cells: &[Cell<'_>],
    error: &sqlx::Error,
) -> Result<Blamed, sqlx::Error> {
    let Some(server) = server_error::of(error) else { return Ok(Blamed::default()) };
    let place_of =
        |column: &str| cells.iter().find(|cell| cell.column.name == column).map(|cell| cell.place);
    if let Some(column) = server.column() {
        return Ok(Blamed { place: place_of(column), column: Some(column.to_owned()) });
    }
    back_to_savepoint(connection).await?;
    if let Some(constraint) = server.constraint() {
        let columns = table.columns_of_constraint(connection, constraint).await?;
        let single = <[String; 1]>::try_from(columns.clone()).ok().map(|[column]| column);
        let place = columns.iter().find_map(|column| place_of(column));
        return Ok(Blamed { place, column: single.filter(|_| place.is_some()) });
    }
    probe(connection, table, cells).await
}

pub(super) async fn back_to_savepoint(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let sql = format!("ROLLBACK TO SAVEPOINT {SAVEPOINT}");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}

/// Tries to insert the values one by one into an empty table with the same columns. A value that is
/// too long for `varchar(5)` then fails as in the real table.
async fn probe(
    connection: &mut PgConnection,
    table: &Table,
    cells: &[Cell<'_>],
) -> Result<Blamed, sqlx::Error> {
    let create = format!("CREATE TEMPORARY TABLE {PROBE} (LIKE {})", table.sql_name);
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *connection).await?;
    sqlx::raw_sql("SAVEPOINT devdb_probe").execute(&mut *connection).await?;
    for cell in cells {
        let sql = format!(
            "INSERT INTO pg_temp.{PROBE} ({}) VALUES ({})",
            quote(&cell.column.name),
            cell.sql(1)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        if let Some(text) = cell.bound() {
            query = query.bind(text);
        }
        let tried = query.execute(&mut *connection).await;
        sqlx::raw_sql("ROLLBACK TO SAVEPOINT devdb_probe").execute(&mut *connection).await?;
        // 23502: another column, which has no value here, must not be null.
        if tried.is_err_and(|error| !server_error::has_code(&error, "23502")) {
            return Ok(Blamed { place: Some(cell.place), column: Some(cell.column.name.clone()) });
        }
    }
    Ok(Blamed::default())
}
