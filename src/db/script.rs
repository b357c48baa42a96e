//! Runs an SQL file of several statements, and finds the place of a failure. What psql reads itself
//! is taken out of the text: the data below a COPY is sent as psql sends it.

use std::borrow::Cow;
use std::ops::Range;

use futures_util::StreamExt;
use sqlx::{AssertSqlSafe, Either, PgConnection};

use super::files::SourceText;
use super::place::Place;
use super::server_error;
use super::sql_scan::{self, Scan};

/// The size of a chunk that is sent, in bytes. An interrupted command stops between two chunks.
pub(super) const CHUNK_BYTES: usize = 1 << 16;

/// An SQL file.
pub(super) struct Script<'a> {
    text: &'a str,
    /// The text with blanks for what the server does not understand, byte for byte.
    sql: Cow<'a, str>,
    scan: Scan<'a>,
}

/// A part of a script that is sent at once.
pub(super) struct Piece {
    range: Range<usize>,
    /// The number of statements before it.
    before: usize,
    /// The data, if the piece is a COPY.
    data: Option<Range<usize>>,
}

/// A statement of a script failed.
pub(super) struct ScriptError {
    /// The number of statements before it that succeeded.
    pub completed: usize,
    pub error: sqlx::Error,
    /// Where it failed, as a byte offset. None when the server has not reported the error.
    offset: Option<usize>,
}

impl<'a> Script<'a> {
    pub fn of(text: &'a str) -> Self {
        let scan = sql_scan::scan(text);
        let commands = scan.commands.iter().map(|command| command.start..command.end);
        let data = scan.statements.iter().filter_map(|statement| statement.data.clone());
        // The `\.` that ends the data is a command of psql for the server.
        let data = data.map(|data| match text[data.end..].starts_with("\\.") {
            true => data.start..data.end + 2,
            false => data,
        });
        let mut foreign = commands.chain(data).peekable();
        let sql = match foreign.peek() {
            None => Cow::Borrowed(text),
            Some(_) => Cow::Owned(without(text, foreign)),
        };
        Script { text, sql, scan }
    }

    /// The text as in the file.
    pub fn text(&self) -> &'a str {
        self.text
    }

    pub fn scan(&self) -> &Scan<'a> {
        &self.scan
    }

    /// The script in as few pieces as possible.
    pub fn whole(&self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let (mut from, mut before) = (0, 0);
        for (index, statement) in self.scan.statements.iter().enumerate() {
            if statement.data.is_none() {
                continue;
            }
            if index > before {
                pieces.push(Piece { range: from..statement.start, before, data: None });
            }
            pieces.push(self.piece(index));
            (from, before) = (statement.end, index + 1);
        }
        // A text without statements is sent, too, as sqlx does.
        if pieces.is_empty() || before < self.scan.statements.len() {
            pieces.push(Piece { range: from..self.text.len(), before, data: None });
        }
        pieces
    }

    /// The piece of one statement.
    pub fn piece(&self, index: usize) -> Piece {
        let statement = &self.scan.statements[index];
        Piece { range: statement.start..statement.end, before: index, data: statement.data.clone() }
    }

    /// Runs a piece, and returns the number of changed rows.
    pub async fn run(
        &self,
        connection: &mut PgConnection,
        piece: &Piece,
    ) -> Result<u64, ScriptError> {
        let sql = &self.sql[piece.range.clone()];
        if let Some(data) = &piece.data {
            let copied = copy(connection, sql, &self.text[data.clone()]).await;
            return copied.map_err(|error| self.failed(piece, 0, error));
        }
        let (mut rows, mut completed) = (0, 0);
        let mut results = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(connection);
        while let Some(result) = results.next().await {
            match result {
                Ok(Either::Left(done)) => {
                    rows += done.rows_affected();
                    completed += 1;
                }
                Ok(Either::Right(_)) => {}
                Err(error) => return Err(self.failed(piece, completed, error)),
            }
        }
        Ok(rows)
    }

    fn failed(&self, piece: &Piece, completed: usize, error: sqlx::Error) -> ScriptError {
        let completed = piece.before + completed;
        let offset = self.offset(piece, completed, &error);
        ScriptError { completed, error, offset }
    }

    /// Where a piece failed. Many errors have no position; then it is the line of the data, or the
    /// beginning of the statement.
    fn offset(&self, piece: &Piece, completed: usize, error: &sqlx::Error) -> Option<usize> {
        // Other errors, such as a lost connection, have no place.
        server_error::of(error)?;
        if let Some(index) = server_error::position(error) {
            let sql = &self.sql[piece.range.clone()];
            let offset = sql.char_indices().nth(index).map_or(sql.len(), |(offset, _)| offset);
            return Some(piece.range.start + offset);
        }
        if let (Some(data), Some(line)) = (&piece.data, server_error::copied_line(error)) {
            let mut lines = self.text[data.clone()].split_inclusive('\n').take(line - 1);
            return Some(data.start + lines.by_ref().map(str::len).sum::<usize>());
        }
        self.scan.statements.get(completed).map(|statement| statement.start)
    }
}

impl ScriptError {
    /// The place of the failure, if the server has reported it.
    pub fn place(&self, source: &SourceText) -> Option<Place> {
        self.offset.map(|offset| Place::of_byte(&source.text, offset))
    }
}

/// Sends a whole script, as one simple query where sqlx does so, and returns the number of changed
/// rows.
pub(super) async fn execute(
    connection: &mut PgConnection,
    script: &Script<'_>,
) -> Result<u64, ScriptError> {
    let mut rows = 0;
    for piece in script.whole() {
        rows += script.run(connection, &piece).await?;
    }
    Ok(rows)
}

async fn copy(
    connection: &mut PgConnection,
    statement: &str,
    data: &str,
) -> Result<u64, sqlx::Error> {
    let mut copy = connection.copy_in_raw(statement).await?;
    for chunk in data.as_bytes().chunks(CHUNK_BYTES) {
        copy.send(chunk).await?;
    }
    copy.finish().await
}

/// The text with as many blanks for the bytes in these ranges.
fn without(text: &str, ranges: impl Iterator<Item = Range<usize>>) -> String {
    let mut ranges: Vec<_> = ranges.collect();
    ranges.sort_by_key(|range| range.start);
    let mut sql = String::with_capacity(text.len());
    let mut at = 0;
    for range in ranges {
        sql.push_str(&text[at..range.start]);
        sql.extend(std::iter::repeat_n(' ', range.len()));
        at = range.end;
    }
    sql.push_str(&text[at..]);
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the server gets, piece by piece.
    fn sent(text: &str) -> Vec<String> {
        let script = Script::of(text);
        assert_eq!(script.sql.len(), text.len());
        let piece = |piece: Piece| {
            let sql = script.sql[piece.range].trim().to_owned();
            match piece.data {
                Some(data) => format!("{sql} ← {}", &text[data]),
                None => sql,
            }
        };
        script.whole().into_iter().map(piece).collect()
    }

    #[test]
    fn a_script_is_one_piece_unless_it_copies() {
        assert_eq!(sent("-- a\nselect 1; select 2"), ["-- a\nselect 1; select 2"]);
        assert_eq!(sent("-- nothing"), ["-- nothing"]);
        assert_eq!(sent("\\restrict é\nselect 1;\n\\unrestrict é\n"), ["select 1;"]);
        assert_eq!(
            sent("select 1;\ncopy t from stdin;\né\n\\.\nselect 2;\nselect 3;"),
            ["select 1;", "copy t from stdin; ← é\n", "select 2;\nselect 3;"]
        );
        assert_eq!(
            sent("copy t from stdin; copy u from stdin;\n1\n\\.\n2\n\\.\n-- end\n"),
            ["copy t from stdin; ← 1\n", "copy u from stdin; ← 2\n"]
        );
    }
}
