//! Running an SQL file of several statements, and saying where it failed.

use futures_util::StreamExt;
use sqlx::{AssertSqlSafe, Either, PgConnection};

use super::files::SourceText;
use super::place::Place;
use super::{server_error, sql_scan};

/// A statement of a script failed.
pub(super) struct ScriptError {
    /// How many statements before it succeeded.
    pub completed: usize,
    pub error: sqlx::Error,
}

/// Sends a whole script as one simple query, as sqlx does, and counts the rows it changed.
pub(super) async fn execute(connection: &mut PgConnection, sql: &str) -> Result<u64, ScriptError> {
    let mut rows = 0;
    let mut completed = 0;
    let mut results = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(connection);
    while let Some(result) = results.next().await {
        match result {
            Ok(Either::Left(done)) => {
                rows += done.rows_affected();
                completed += 1;
            }
            Ok(Either::Right(_)) => {}
            Err(error) => return Err(ScriptError { completed, error }),
        }
    }
    Ok(rows)
}

impl ScriptError {
    /// Where it failed: where the server points, else (many errors have no position) where the
    /// statement begins.
    pub fn place(&self, source: &SourceText) -> Option<Place> {
        // An error that is not the server's (a lost connection) is no statement's fault.
        server_error::of(&self.error)?;
        match server_error::position(&self.error) {
            Some(index) => Some(Place::of_char(&source.text, index)),
            None => sql_scan::statements(&source.text)
                .get(self.completed)
                .map(|statement| Place::of_byte(&source.text, statement.start)),
        }
    }
}
