//! Reads the errors of a PostgreSQL server, and adds them to devdb's errors.

use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

use crate::error::Error;

/// The server's error; none when the server did not report the error.
pub(super) fn of(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()
}

/// Whether the server's error has this SQLSTATE (PostgreSQL's manual, appendix A).
pub(super) fn has_code(error: &sqlx::Error, code: &str) -> bool {
    of(error).is_some_and(|error| error.code() == code)
}

/// The position in the SQL text that the server reported: the index of a character, from 0.
pub(super) fn position(error: &sqlx::Error) -> Option<usize> {
    match of(error)?.position()? {
        PgErrorPosition::Original(position) => position.checked_sub(1),
        PgErrorPosition::Internal { .. } => None,
    }
}

/// The line of a COPY's data, from 1, that the server refused: `COPY readings, line 3, column value`
/// is the context of its error. None on a server that translates its messages (`lc_messages`).
pub(super) fn copied_line(error: &sqlx::Error) -> Option<usize> {
    let (_, rest) = of(error)?.r#where()?.lines().next()?.split_once(", line ")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok().filter(|line| *line > 0)
}

/// Adds the server's message, code, detail, statement, context and hint to a failure.
pub(super) fn explain(failure: Error, error: &sqlx::Error) -> Error {
    let Some(server) = of(error) else { return failure.because(error) };
    let mut failure = failure.because(format!("{} (SQLSTATE {})", server.message(), server.code()));
    if let Some(detail) = server.detail() {
        failure = failure.because(format!("detail: {detail}"));
    }
    if let Some(PgErrorPosition::Internal { query, .. }) = server.position() {
        failure = failure.because(format!("in the statement: {}", query.trim()));
    }
    if let Some(context) = server.r#where() {
        failure = failure.because(format!("context: {context}"));
    }
    match server.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
