//! Runs an SQL file of several statements, and finds the place of a failure.

use futures_util::StreamExt;
use sqlx::{AssertSqlSafe, Either, PgConnection};

use super::files::SourceText;
use super::place::Place;
use super::{server_error, sql_scan};

/// A statement of a script failed.
pub(super) struct ScriptError {
    /// The number of statements before it that succeeded.
    pub completed: usize,
    pub error: sqlx::Error,
}

/// Sends a whole script as one simple query, as sqlx does, and returns the number of changed rows.
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
    /// The place of the failure. Many errors have no position; then it is the beginning of the
    /// statement.
    pub fn place(&self, source: &SourceText) -> Option<Place> {
        // Other errors, such as a lost connection, have no place.
        server_error::of(&self.error)?;
        match server_error::position(&self.error) {
            Some(index) => Some(Place::of_char(&source.text, index)),
            None => sql_scan::statements(&source.text)
                .get(self.completed)
                .map(|statement| Place::of_byte(&source.text, statement.start)),
        }
    }
}
