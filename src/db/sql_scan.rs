//! Finds the statements of an SQL text. It is not a parser: it knows enough of PostgreSQL's lexical
//! structure (manual, 4.1) to skip comments, strings and quoted names. It also finds what psql reads
//! itself and the server does not understand: psql's commands, and the data below a COPY.

use std::ops::Range;

/// What an SQL text consists of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scan<'a> {
    /// The top-level statements, without empty ones.
    pub statements: Vec<Statement<'a>>,
    /// The commands of psql.
    pub commands: Vec<PsqlCommand<'a>>,
}

/// One top-level statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement<'a> {
    /// The byte offset of its first token.
    pub start: usize,
    /// The byte offset behind its semicolon, or the end of the text.
    pub end: usize,
    /// Its key words and unquoted names outside of parentheses, as written.
    pub words: Vec<&'a str>,
    /// For `COPY … FROM stdin` the bytes of the lines with its data, without the `\.` that ends
    /// them.
    pub data: Option<Range<usize>>,
}

/// A command of psql, such as `\connect other`. It reaches to the end of its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PsqlCommand<'a> {
    /// The byte offset of its backslash.
    pub start: usize,
    /// The byte offset of the end of its line.
    pub end: usize,
    /// What follows the backslash, up to the first blank.
    pub name: &'a str,
}

impl PsqlCommand<'_> {
    /// Whether devdb can leave it out. pg_dump writes these two, so that a dump cannot run commands
    /// on the machine that restores it. devdb runs no commands of psql anyway.
    pub fn is_harmless(&self) -> bool {
        matches!(self.name, "restrict" | "unrestrict")
    }
}

impl<'a> Statement<'a> {
    /// Whether it begins or ends a transaction. Statements for savepoints do not.
    pub fn controls_transaction(&self) -> bool {
        self.begins_transaction() || self.ends_transaction() || self.rolls_back()
    }

    /// Whether it begins a transaction.
    pub fn begins_transaction(&self) -> bool {
        self.is(0, "BEGIN") || (self.is(0, "START") && self.is(1, "TRANSACTION"))
    }

    /// Whether it ends a transaction and keeps its changes.
    pub fn ends_transaction(&self) -> bool {
        self.is(0, "COMMIT")
            || self.is(0, "END")
            || (self.is(0, "PREPARE") && self.is(1, "TRANSACTION"))
    }

    /// Whether it undoes a whole transaction.
    pub fn rolls_back(&self) -> bool {
        self.is(0, "ABORT") || (self.is(0, "ROLLBACK") && !self.has_word("TO"))
    }

    /// Whether it is a COPY whose rows go to the client, which only psql writes down.
    pub fn copies_out(&self) -> bool {
        self.is(0, "COPY") && self.has_words("TO", "STDOUT")
    }

    /// The name of the index that `CREATE INDEX CONCURRENTLY` makes, as written. None for other
    /// statements, and when PostgreSQL chooses the name.
    pub fn concurrent_index(&self, sql: &'a str) -> Option<&'a str> {
        let at = self.words.iter().position(|word| word.eq_ignore_ascii_case("CONCURRENTLY"))?;
        if !self.is(0, "CREATE") || !self.is(at - 1, "INDEX") {
            return None;
        }
        let last = if self.is(at + 1, "IF") && self.is(at + 3, "EXISTS") { at + 3 } else { at };
        let on = (last + 1..self.words.len()).find(|index| self.is(*index, "ON"))?;
        let offset = |word: &str| word.as_ptr().addr() - sql.as_ptr().addr();
        let name =
            sql.get(offset(self.words[last]) + self.words[last].len()..offset(self.words[on]));
        name.map(str::trim).filter(|name| !name.is_empty())
    }

    /// The table of that index, as written.
    pub fn concurrent_table(&self, sql: &'a str) -> Option<&'a str> {
        self.concurrent_index(sql)?;
        let position =
            |wanted: &str| self.words.iter().position(|word| word.eq_ignore_ascii_case(wanted));
        let offset = |word: &str| word.as_ptr().addr() - sql.as_ptr().addr();
        let on = position("ON")?;
        let last = self.words[if self.is(on + 1, "ONLY") { on + 1 } else { on }];
        let end = position("USING").map_or(self.end, |using| offset(self.words[using]));
        let table = sql.get(offset(last) + last.len()..end)?.split('(').next()?;
        Some(table.trim())
    }

    /// Whether it does something `CONCURRENTLY`, which may be left half done.
    pub fn is_concurrent(&self) -> bool {
        self.has_word("CONCURRENTLY")
    }

    fn copies_in(&self) -> bool {
        self.is(0, "COPY") && self.has_words("FROM", "STDIN")
    }

    fn is(&self, index: usize, wanted: &str) -> bool {
        self.words.get(index).is_some_and(|word| word.eq_ignore_ascii_case(wanted))
    }

    fn has_word(&self, wanted: &str) -> bool {
        self.words.iter().any(|word| word.eq_ignore_ascii_case(wanted))
    }

    fn has_words(&self, first: &str, second: &str) -> bool {
        (1..self.words.len()).any(|index| self.is(index - 1, first) && self.is(index, second))
    }
}

/// Finds the statements and psql's commands in a text.
pub(super) fn scan(sql: &str) -> Scan<'_> {
    let mut scanner =
        Scanner { sql, bytes: sql.as_bytes(), at: 0, data: 0..0, commands: Vec::new() };
    let mut statements = Vec::new();
    while let Some(statement) = scanner.statement() {
        statements.push(statement);
    }
    Scan { statements, commands: scanner.commands }
}

/// The top-level statements of a text, without empty ones.
pub(super) fn statements(sql: &str) -> Vec<Statement<'_>> {
    scan(sql).statements
}

struct Scanner<'a> {
    sql: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// The data of the last COPY, with the line that ends it. It may lie ahead: psql reads the rest
    /// of the line with the COPY afterwards.
    data: Range<usize>,
    commands: Vec<PsqlCommand<'a>>,
}

impl<'a> Scanner<'a> {
    fn statement(&mut self) -> Option<Statement<'a>> {
        let mut start = None;
        let mut words = Vec::new();
        let mut depth = 0_usize;
        // The depth in `BEGIN ATOMIC … END` bodies, whose semicolons do not end the statement. As
        // psql does, count BEGIN only in CREATE FUNCTION and CREATE PROCEDURE, and count CASE
        // because it has an END, too.
        let mut blocks = 0_usize;
        while self.skip_blank() {
            let byte = self.bytes[self.at];
            if byte == b';' && depth == 0 && blocks == 0 {
                self.at += 1;
                if start.is_some() {
                    break;
                }
                continue;
            }
            start.get_or_insert(self.at);
            match byte {
                b'(' => (depth, self.at) = (depth + 1, self.at + 1),
                b')' => (depth, self.at) = (depth.saturating_sub(1), self.at + 1),
                _ => {
                    if let Some(word) = self.token().filter(|_| depth == 0) {
                        if defines_routine(&words) {
                            match word.to_ascii_uppercase().as_str() {
                                "BEGIN" => blocks += 1,
                                "CASE" if blocks > 0 => blocks += 1,
                                "END" => blocks = blocks.saturating_sub(1),
                                _ => {}
                            }
                        }
                        words.push(word);
                    }
                }
            }
        }
        let mut statement = Statement { start: start?, end: self.at, words, data: None };
        if statement.copies_in() {
            statement.data = Some(self.copy_data());
        }
        Some(statement)
    }

    /// Finds the data of the COPY that ends here: the lines below it up to `\.`.
    fn copy_data(&mut self) -> Range<usize> {
        let next_line = |at: usize| {
            let rest = &self.bytes[at..];
            at + rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |found| found + 1)
        };
        let mut first = next_line(self.at);
        // A second COPY on one line has its data below that of the first.
        let is_ahead = self.data.start > self.at && self.data.start <= first;
        let ahead = if is_ahead { self.data.start } else { first };
        if is_ahead {
            first = self.data.end;
        }
        let mut line = first;
        while line < self.bytes.len() {
            let next = next_line(line);
            if matches!(&self.bytes[line..next], b"\\." | b"\\.\n" | b"\\.\r\n") {
                self.data = ahead..next;
                return first..line;
            }
            line = next;
        }
        self.data = ahead..line;
        first..line
    }

    /// Skips a command of psql.
    fn command(&mut self) {
        let start = self.at;
        self.skip_while(|byte| byte != b'\n');
        let line = self.sql[start..self.at].trim_end();
        let name = line[1..].split(char::is_whitespace).next().unwrap_or_default();
        self.commands.push(PsqlCommand { start, end: start + line.len(), name });
    }

    /// Skips white space, comments, psql's commands and COPY's data; false at the end.
    fn skip_blank(&mut self) -> bool {
        loop {
            if self.data.contains(&self.at) {
                self.at = self.data.end;
            }
            match self.rest() {
                [] => return false,
                [b'\\', ..] => self.command(),
                [b'-', b'-', ..] => self.skip_while(|byte| byte != b'\n'),
                [b'/', b'*', ..] => self.skip_block_comment(),
                [byte, ..] if byte.is_ascii_whitespace() || *byte == 0x0b => self.at += 1,
                _ => return true,
            }
        }
    }

    /// Block comments nest.
    fn skip_block_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            match self.rest() {
                [] => return,
                [b'/', b'*', ..] => (depth, self.at) = (depth + 1, self.at + 2),
                [b'*', b'/', ..] => (depth, self.at) = (depth - 1, self.at + 2),
                _ => self.at += 1,
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// Skips one token that is no semicolon or parenthesis. Returns it if it is a key word or an
    /// unquoted name.
    fn token(&mut self) -> Option<&'a str> {
        match self.bytes[self.at] {
            b'\'' => self.skip_quoted(b'\'', false),
            b'"' => self.skip_quoted(b'"', false),
            b'$' => self.skip_dollar(),
            b'0'..=b'9' => self.skip_while(|byte| is_word(byte) || byte == b'.'),
            byte if is_word_start(byte) => {
                let start = self.at;
                self.skip_while(is_word);
                let word = &self.sql[start..self.at];
                if self.rest().first() != Some(&b'\'') {
                    return Some(word);
                }
                self.skip_quoted(b'\'', word.eq_ignore_ascii_case("e"));
            }
            _ => self.at += 1,
        }
        None
    }

    /// Skips a string or a quoted name. A doubled quote does not end it; with `escapes` (`E'…'`)
    /// neither does a quote behind a backslash.
    fn skip_quoted(&mut self, quote: u8, escapes: bool) {
        self.at += 1;
        loop {
            match self.rest() {
                [] => return,
                [b'\\', _, ..] if escapes => self.at += 2,
                [a, b, ..] if *a == quote && *b == quote => self.at += 2,
                [a, ..] if *a == quote => {
                    self.at += 1;
                    // A string goes on behind blanks with a line break, and keeps its escapes
                    // (PostgreSQL's manual, 4.1.2.1).
                    let rest = self.rest();
                    let blank = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                    let goes_on = rest[..blank].contains(&b'\n') && rest.get(blank) == Some(&quote);
                    if !(escapes && goes_on) {
                        return;
                    }
                    self.at += blank + 1;
                }
                _ => self.at += 1,
            }
        }
    }

    /// Skips `$tag$…$tag$`, or the single `$` of a parameter.
    fn skip_dollar(&mut self) {
        let rest = self.rest();
        let tag_end = rest.iter().skip(1).position(|byte| !is_word(*byte) || *byte == b'$');
        match tag_end {
            Some(length) if rest[length + 1] == b'$' && (length == 0 || is_word_start(rest[1])) => {
                let tag = &self.sql[self.at..self.at + length + 2];
                let body = self.at + tag.len();
                self.at = self.sql[body..]
                    .find(tag)
                    .map_or(self.bytes.len(), |found| body + found + tag.len());
            }
            _ => self.at += 1,
        }
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.bytes.get(self.at).is_some_and(|byte| wanted(*byte)) {
            self.at += 1;
        }
    }

    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }
}

/// Whether a statement that begins with these words may have a `BEGIN ATOMIC` body.
fn defines_routine(words: &[&str]) -> bool {
    let is = |index: usize, wanted: &[&str]| {
        words
            .get(index)
            .is_some_and(|word| wanted.iter().any(|wanted| word.eq_ignore_ascii_case(wanted)))
    };
    let routine = ["FUNCTION", "PROCEDURE"];
    is(0, &["CREATE"])
        && (is(1, &routine) || (is(1, &["OR"]) && is(2, &["REPLACE"]) && is(3, &routine)))
}

fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_word(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn starts(sql: &str) -> Vec<&str> {
        statements(sql).iter().map(|statement| &sql[statement.start..]).collect()
    }

    fn count(sql: &str) -> usize {
        statements(sql).len()
    }

    #[test]
    fn comments_and_blanks_are_not_statements() {
        assert_eq!(count(""), 0);
        assert_eq!(count(" ;; \n -- select 1;\n /* select 2; /* nested; */ ; */ ;"), 0);
        assert_eq!(count("/* not closed; select 1"), 0);
        assert_eq!(
            starts("-- a\nselect 1;\n/* b */ select 2"),
            ["select 1;\n/* b */ select 2", "select 2"]
        );
    }

    #[test]
    fn semicolons_in_strings_names_and_bodies_do_not_end_a_statement() {
        assert_eq!(count("select 'a;''b;', \"c;\"\"d\", E'e\\';f', U&'g;'; select 2"), 2);
        assert_eq!(count("do $$ begin; end; $$; do $x$ a; $$ b; $x$; select a$b$, 1; select 3"), 4);
        assert_eq!(
            count("create rule r as on insert to t do also (select 1; select 2); select 3"),
            2
        );
        assert_eq!(count("select $1; select 2"), 2);
        assert_eq!(count("select 1e5, 'x'; select 2"), 2);
        assert_eq!(count("select 'it\\'; select 2"), 2);
    }

    #[test]
    fn a_routine_with_an_sql_body_is_one_statement() {
        let sql = "create or replace function f(a int) returns int begin atomic \
                   select case when a > 0 then 1 else 2 end; select 2; end; select 3";
        assert_eq!(count(sql), 2);
        assert_eq!(count("create table begin_t (a int); select 2"), 2);
    }

    #[test]
    fn statements_that_begin_or_end_a_transaction_are_found() {
        let controls = |sql: &str| statements(sql)[0].controls_transaction();
        for sql in [
            "begin",
            "BEGIN ISOLATION LEVEL SERIALIZABLE",
            "start transaction",
            "commit",
            "end",
            "rollback and chain",
            "abort",
            "prepare transaction 'x'",
            "Commit Prepared 'x'",
        ] {
            assert!(controls(sql), "{sql}");
        }
        for sql in [
            "rollback to savepoint s",
            "savepoint s",
            "prepare p as select 1",
            "do $$ begin commit; end $$",
            "\"commit\"",
            "select 1",
        ] {
            assert!(!controls(sql), "{sql}");
        }
    }

    #[test]
    fn the_data_of_a_copy_is_found() {
        let data = |sql: &'static str| {
            let statements = statements(sql);
            statements.iter().map(|one| one.data.clone().map(|data| &sql[data])).collect::<Vec<_>>()
        };
        assert_eq!(
            data("COPY t (a, b) FROM stdin;\n1\t;'\n\\.\nselect 2;"),
            [Some("1\t;'\n"), None]
        );
        assert_eq!(
            data("copy t from stdin with (format csv);\r\n1,2\r\n\\.\r\nselect 2"),
            [Some("1,2\r\n"), None]
        );
        assert_eq!(data("copy t from stdin;\n\\.\n"), [Some("")]);
        assert_eq!(data("copy t from stdin;\n\\N\n\\.x\n"), [Some("\\N\n\\.x\n")]);
        assert_eq!(data("copy t from stdin"), [Some("")]);
        // As psql reads it: the data is below, and the rest of the line comes after it.
        assert_eq!(
            data("copy t from stdin; copy u from stdin; select 3;\n1\n\\.\n2\n\\.\nselect 4"),
            [Some("1\n"), Some("2\n"), None, None]
        );
        assert_eq!(data("copy t from '/stdin'; copy stdin from '/t'; copy t to stdout"), [None; 3]);
    }

    #[test]
    fn commands_of_psql_are_found() {
        let names = |sql: &'static str| {
            scan(sql).commands.iter().map(|command| command.name).collect::<Vec<_>>()
        };
        assert_eq!(
            names(
                "\\restrict a1'b\n-- \\i x\nselect '\\a', $$\\b$$, e'\\'' \\gset\r\n\\unrestrict"
            ),
            ["restrict", "gset", "unrestrict"]
        );
        assert_eq!(starts("\\c other\nselect 1"), ["select 1"]);
        assert_eq!(names("copy t from stdin;\n\\N\n\\."), [""; 0]);
    }

    #[test]
    fn an_index_that_is_made_concurrently_is_found() {
        let name = |sql: &'static str| statements(sql)[0].concurrent_index(sql);
        assert_eq!(name("create unique index concurrently a_n on only t (n)"), Some("a_n"));
        assert_eq!(
            name("CREATE INDEX CONCURRENTLY IF NOT EXISTS \"A on n\" ON \"T\" (n);"),
            Some("\"A on n\"")
        );
        assert_eq!(name("create index concurrently on t (n)"), None);
        assert_eq!(name("create index a_n on t (n)"), None);
        assert_eq!(name("drop index concurrently a_n"), None);
        assert_eq!(name("concurrently"), None);
        let table = |sql: &'static str| statements(sql)[0].concurrent_table(sql);
        assert_eq!(table("create index concurrently i on only s.t (n)"), Some("s.t"));
        assert_eq!(
            table("CREATE INDEX CONCURRENTLY i ON \"T u\" USING gin (n) WHERE n > 0;"),
            Some("\"T u\"")
        );
        assert_eq!(table("create index i on t (n)"), None);
    }

    #[test]
    fn a_string_with_escapes_that_goes_on_in_the_next_line_is_one_string() {
        let sql = "select E'one\\n'\n  'it\\'s; two'; select 2";
        assert_eq!(statements(sql).len(), 2);
        assert_eq!(statements("select E'one' 'x\\'; select 2").len(), 2);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_scanner_panic(
            sql in "(copy t from stdin;|\\\\\\.\n|[-a-z;'\"$/*\\\\ \n()é1]{0,20}){0,6}"
        ) {
            let scan = scan(&sql);
            for Statement { start, end, data, .. } in scan.statements {
                prop_assert!(start < end && sql.get(start..end).is_some());
                prop_assert!(data.is_none_or(|data| sql.get(data).is_some()));
            }
            for PsqlCommand { start, end, .. } in scan.commands {
                prop_assert!(start < end && sql.get(start..end).is_some());
            }
        }
    }
}
