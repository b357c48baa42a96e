//! Finds the assignments in an env file, so that one value can be replaced and all other bytes
//! stay.

use std::ops::Range;

/// One assignment in an env file.
#[derive(Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The variable.
    pub name: String,
    /// Where its value is, with its quotes. It may span lines. A comment behind it is not part of
    /// it.
    pub value: Range<usize>,
}

/// The length of a byte order mark at the beginning of a file.
pub fn mark_length(text: &[u8]) -> usize {
    if text.starts_with("\u{feff}".as_bytes()) { 3 } else { 0 }
}

/// What a value means: without its quotes, and with what its escapes stand for.
pub fn meaning(value: &[u8]) -> String {
    let mut out = Vec::with_capacity(value.len());
    let mut at = 0;
    while let Some(&byte) = value.get(at) {
        let quoted = match byte {
            b'\'' | b'"' | b'`' => closing_quote(value, at + 1, byte),
            _ => None,
        };
        match quoted {
            Some(end) if byte == b'"' => unescape(&value[at + 1..end], &mut out),
            Some(end) => out.extend_from_slice(&value[at + 1..end]),
            None => out.push(byte),
        }
        at = quoted.unwrap_or(at) + 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn unescape(text: &[u8], out: &mut Vec<u8>) {
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => match bytes.next() {
                Some(b'n') => out.push(b'\n'),
                Some(&other) => out.push(other),
                None => out.push(byte),
            },
            _ => out.push(byte),
        }
    }
}

/// Every assignment of a file, in order. Other lines are skipped.
pub fn assignments(text: &[u8]) -> Vec<Assignment> {
    let mut found = Vec::new();
    let mut start = mark_length(text);
    while start < text.len() {
        let end = line_end(text, start);
        start = match assignment(text, start..end) {
            Some(one) => {
                let next = line_end(text, one.value.end);
                found.push(one);
                next
            }
            None => end,
        };
    }
    found
}

/// The index after the line feed that ends the line at `at`.
fn line_end(text: &[u8], at: usize) -> usize {
    text[at..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |found| at + found + 1)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn skip_blanks(text: &[u8], mut at: usize) -> usize {
    while text.get(at).is_some_and(|byte| is_blank(*byte)) {
        at += 1;
    }
    at
}

fn word(text: &[u8], at: usize) -> &[u8] {
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    let length = text[at..].iter().take_while(|byte| part(byte)).count();
    &text[at..at + length]
}

/// An assignment that begins in this line: `[export ]NAME = value # comment`. Its value may end in
/// a later line.
fn assignment(text: &[u8], line: Range<usize>) -> Option<Assignment> {
    let mut at = skip_blanks(text, line.start);
    let mut name = word(text, at);
    let after = at + name.len();
    if name == b"export" && text.get(after).is_some_and(|byte| is_blank(*byte)) {
        let next = skip_blanks(text, after);
        if text.get(next) != Some(&b'=') {
            at = next;
            name = word(text, at);
        }
    }
    if name.is_empty() {
        return None;
    }
    let equals = skip_blanks(text, at + name.len());
    if text.get(equals) != Some(&b'=') {
        return None;
    }
    let begin = skip_blanks(text, equals + 1);
    let value = begin..value_end(text, begin, line.end);
    Some(Assignment { name: String::from_utf8_lossy(name).into_owned(), value })
}

fn value_end(text: &[u8], begin: usize, line_end: usize) -> usize {
    if let Some(end) = quoted_end(text, begin) {
        return end;
    }
    let line = &text[begin..line_end];
    // A comment begins with a # at the start of the value or behind a blank.
    let comment = (0..line.len())
        .find(|at| line[*at] == b'#' && (*at == 0 || is_blank(line[*at - 1])))
        .unwrap_or(line.len());
    let length = line[..comment].trim_ascii_end().len();
    begin + length
}

/// The end of a value that begins with a quoted part; other parts may follow without a blank. None
/// when it does not begin so.
fn quoted_end(text: &[u8], begin: usize) -> Option<usize> {
    let quote = |at: usize| text.get(at).copied().filter(|byte| b"'\"`".contains(byte));
    let part = |at: usize| closing_quote(text, at + 1, quote(at)?).map(|end| end + 1);
    let mut at = part(begin)?;
    while let Some(byte) = text.get(at) {
        at = match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b'#' => break,
            _ => part(at).unwrap_or(at + 1),
        };
    }
    Some(at)
}

/// A backslash escapes a quote in double quotes. dotenvy also skips a quote behind a backslash in
/// single quotes when it looks for the end of the value, and so does Node's dotenv in all three kinds of
/// quotes, so this function does the same.
fn closing_quote(text: &[u8], mut at: usize, quote: u8) -> Option<usize> {
    while let Some(byte) = text.get(at) {
        match *byte {
            b'\\' => at += 1,
            byte if byte == quote => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        assignments(text.as_bytes())
            .into_iter()
            .map(|one| (one.name, text[one.value].to_owned()))
            .collect()
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn values_end_where_readers_end_them() {
        assert_eq!(
            read("A=1\r\n# B=2\r\n export  C = x y # why\nD=a#b\nE=\nF= # none\nexport=1\nG"),
            pairs(&[("A", "1"), ("C", "x y"), ("D", "a#b"), ("E", ""), ("F", ""), ("export", "1")])
        );
    }

    #[test]
    fn quoted_values_may_span_lines() {
        assert_eq!(
            read("A='one\nB=two' # c\nC=\"x\\\"\nD=y\"\nE='open\nF=1\n"),
            pairs(&[("A", "'one\nB=two'"), ("C", "\"x\\\"\nD=y\""), ("E", "'open"), ("F", "1")])
        );
    }

    #[test]
    fn parts_without_a_blank_between_them_are_one_value() {
        let text = "A=\"it's \"'`'\"x \\\" y\\n\" # c\nB='x'#c\nC=`a'b` d\n";
        let all = assignments(text.as_bytes());
        let values: Vec<_> =
            all.iter().map(|one| meaning(&text.as_bytes()[one.value.clone()])).collect();
        assert_eq!(values, ["it's `x \" y\n", "x", "a'b"]);
    }

    #[test]
    fn a_byte_order_mark_is_not_part_of_a_name() {
        assert_eq!(read("\u{feff}A=1"), pairs(&[("A", "1")]));
    }
}
