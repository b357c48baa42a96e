//! Applies CSV seeds. The header names the columns; COPY reads the rest.

use sqlx::PgConnection;

use super::catalog;
use super::file::Seed;
use super::rows::{Rows, schema_error, sequence_error, suggest};
use crate::db::inspect::quote;
use crate::db::place::Place;
use crate::db::server_error;
use crate::error::{Error, Kind, Result, nearest};

/// The size of a chunk that is sent, in bytes. An interrupted command stops between two chunks.
const CHUNK_BYTES: usize = 1 << 16;

/// The line that ends the data of COPY.
const END_OF_DATA: &str = "\\.";

/// Copies a CSV file into its table.
///
/// # Errors
/// `Seed`, with the line if it is known. The caller must then roll the transaction back.
pub(super) async fn copy(
    connection: &mut PgConnection,
    file: &Seed,
    table_name: &str,
) -> Result<Rows> {
    // Spreadsheet programs write a byte order mark.
    let text = file.source.text.strip_prefix('\u{feff}').unwrap_or(&file.source.text);
    let columns = header(file, text)?;
    let table = known_table(connection, file, table_name).await?;
    for (place, column) in &columns {
        if table.column(column).is_none() {
            let failure = file.source.error_at(
                Kind::Seed,
                *place,
                format!("the table {} has no column {column:?}", table.name),
            );
            let known = table.columns.iter().map(|column| column.name.as_str());
            return Err(match nearest(column, known) {
                _ if column.contains([';', '\t']) => failure.hint("separate columns with commas"),
                Some(near) => failure.hint(format!("did you mean {near:?}?")),
                None => failure,
            });
        }
    }
    let names: Vec<String> = columns.iter().map(|(_, column)| quote(column)).collect();
    let statement = format!(
        "COPY {} ({}) FROM STDIN WITH (FORMAT csv, HEADER true)",
        table.sql_name,
        names.join(", ")
    );
    let written = send(connection, &statement, text)
        .await
        .map_err(|error| refused(file, &columns, &error))?;
    let rows = Rows { read: records(text), written };
    check_that_all_was_read(file, text, rows)?;
    table
        .advance_sequences(connection, |column| {
            columns.iter().any(|(_, name)| *name == column.name)
        })
        .await
        .map_err(|error| sequence_error(&file.source, &error))?;
    Ok(rows)
}

/// How many records the text has below its header. The server takes an empty line for a row of a
/// table with one column, so it may write more.
fn records(text: &str) -> u64 {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let mut record = csv::ByteRecord::new();
    let mut count = 0;
    while reader.read_byte_record(&mut record).unwrap_or(false) {
        count += 1;
    }
    count
}

/// Fails when the server stopped reading at a line that holds only `\.`. PostgreSQL before 18 takes
/// such a line for the end of the data (its manual, COPY, "CSV Format"). A trigger may also drop
/// rows, so a smaller number alone is no error.
fn check_that_all_was_read(file: &Seed, text: &str, rows: Rows) -> Result<()> {
    let Some(end) = text.lines().position(|line| line == END_OF_DATA) else { return Ok(()) };
    if rows.read == rows.written {
        return Ok(());
    }
    let place = Place { line: end + 1, column: 1 };
    let message = "the server takes this line for the end of the data";
    Err(file
        .source
        .error_at(Kind::Seed, place, message)
        .because("the file has more rows")
        .hint("write the value in quotes: \"\\.\""))
}

async fn send(
    connection: &mut PgConnection,
    statement: &str,
    text: &str,
) -> Result<u64, sqlx::Error> {
    let mut copy = connection.copy_in_raw(statement).await?;
    for chunk in text.as_bytes().chunks(CHUNK_BYTES) {
        copy.send(chunk).await?;
    }
    copy.finish().await
}

async fn known_table(
    connection: &mut PgConnection,
    file: &Seed,
    name: &str,
) -> Result<catalog::Table> {
    if let Some(table) =
        catalog::table(connection, name).await.map_err(|error| schema_error(&error))?
    {
        return Ok(table);
    }
    let similar = catalog::similar_table(connection, name).await;
    let similar = similar.map_err(|error| schema_error(&error))?;
    let failure =
        Error::new(Kind::Seed, format!("{}: there is no table {name:?}", file.source.label));
    Err(suggest(failure, similar.as_deref()).hint("name a CSV file <number>_<table>.csv"))
}

/// The columns in the first line, with their places.
fn header(file: &Seed, text: &str) -> Result<Vec<(Place, String)>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let record = match reader.records().next() {
        Some(Ok(record)) => record,
        Some(Err(error)) => {
            return Err(
                Error::new(Kind::Seed, format!("{} is not CSV", file.source.label)).because(error)
            );
        }
        None => {
            return Err(Error::new(Kind::Seed, format!("{} is empty", file.source.label))
                .hint("write the names of the columns into its first line"));
        }
    };
    let places = field_places(text.lines().next().unwrap_or_default());
    let columns = record.iter().enumerate().map(|(index, name)| {
        let column = places.get(index).copied().unwrap_or(1);
        (Place { line: 1, column }, name.to_owned())
    });
    Ok(columns.collect())
}

/// The columns in which the fields of a line begin, in characters from 1.
fn field_places(line: &str) -> Vec<usize> {
    let mut places = vec![1];
    let mut quoted = false;
    for (column, c) in (1..).zip(line.chars()) {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => places.push(column + 1),
            _ => {}
        }
    }
    places
}

fn refused(file: &Seed, columns: &[(Place, String)], error: &sqlx::Error) -> Error {
    let failure = match place_of(file, columns, error) {
        Some(place) => file.source.error_at(Kind::Seed, place, "the server refused the row"),
        None => Error::new(Kind::Seed, format!("{}: the server refused a row", file.source.label)),
    };
    server_error::explain(failure, error)
}

/// The place in the context of COPY's error: `COPY readings, line 3, column value: "abc"`. None on
/// a server that translates its messages (`lc_messages`).
fn place_of(file: &Seed, columns: &[(Place, String)], error: &sqlx::Error) -> Option<Place> {
    let context = server_error::of(error)?.r#where()?.lines().next()?;
    let (_, rest) = context.split_once(", line ")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let line: usize = rest[..digits].parse().ok()?;
    let text = file.source.text.lines().nth(line.checked_sub(1)?)?;
    let column = rest.split_once(", column ").and_then(|(_, rest)| {
        let name = rest.split_once(':').map_or(rest, |(name, _)| name);
        let index = columns.iter().position(|(_, column)| column == name)?;
        field_places(text).get(index).copied()
    });
    Some(Place { line, column: column.unwrap_or(1) })
}
