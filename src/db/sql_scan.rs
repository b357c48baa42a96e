//! Finds the statements of an SQL text. It is not a parser: it knows enough of PostgreSQL's lexical
//! structure (manual, 4.1) to skip comments, strings and quoted names.

/// One top-level statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement<'a> {
    /// The byte offset of its first token.
    pub start: usize,
    /// Its key words and unquoted names outside of parentheses, as written.
    pub words: Vec<&'a str>,
}

impl Statement<'_> {
    /// Whether it begins or ends a transaction. Statements for savepoints do not.
    pub fn controls_transaction(&self) -> bool {
        let word = |index: usize| self.words.get(index).map(|word| word.to_ascii_uppercase());
        match word(0).as_deref() {
            Some("BEGIN" | "COMMIT" | "END" | "ABORT") => true,
            Some("START" | "PREPARE") => word(1).as_deref() == Some("TRANSACTION"),
            Some("ROLLBACK") => !self.has_word("TO"),
            _ => false,
        }
    }

    /// Whether it is a COPY whose data follows in the file, which only psql can read.
    pub fn copies_inline(&self) -> bool {
        let first = self.words.first();
        first.is_some_and(|word| word.eq_ignore_ascii_case("COPY"))
            && (self.has_word("STDIN") || self.has_word("STDOUT"))
    }

    fn has_word(&self, wanted: &str) -> bool {
        self.words.iter().any(|word| word.eq_ignore_ascii_case(wanted))
    }
}

/// The top-level statements of a text, without empty ones.
pub(super) fn statements(sql: &str) -> Vec<Statement<'_>> {
    let mut scanner = Scanner { sql, bytes: sql.as_bytes(), at: 0 };
    let mut found = Vec::new();
    while let Some(statement) = scanner.statement() {
        found.push(statement);
    }
    found
}

struct Scanner<'a> {
    sql: &'a str,
    bytes: &'a [u8],
    at: usize,
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
        start.map(|start| Statement { start, words })
    }

    /// Skips white space and comments; false at the end.
    fn skip_blank(&mut self) -> bool {
        loop {
            match self.rest() {
                [] => return false,
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
                    return;
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
    fn a_copy_with_its_data_in_the_file_is_found() {
        let inline = |sql: &str| statements(sql)[0].copies_inline();
        assert!(inline("COPY t (a, b) FROM stdin;\n1\t2\n\\."));
        assert!(!inline("copy t from '/stdin'"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_scanner_panic(sql in "[-a-z;'\"$/*\\\\ \n()é1]{0,60}") {
            for statement in statements(&sql) {
                prop_assert!(sql.is_char_boundary(statement.start));
            }
        }
    }
}
