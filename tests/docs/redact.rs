//! What differs from run to run and from machine to machine, made equal.
//!
//! Each pattern takes away one sort of value and leaves a word for it, so that a missing value and
//! a value of another sort are still found.

use std::sync::LazyLock;

use regex_lite::{Captures, Regex};

/// A pattern and what stands in its place.
struct Rule {
    pattern: Regex,
    placeholder: &'static str,
}

/// In this order: a rule finds what the ones before have left.
static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    [
        // Passwords and keys, before anything inside of them is taken for something else. A masked
        // password stays: that it is masked is what the page says.
        (r"(://[^:/@\s]+:)[^*@\s][^@\s]*@", "${1}<password>@"),
        (r#"(?i)((?:password|_key)"?(?:=|: ?)['"]?)[A-Za-z0-9+/]{16,}=*"#, "${1}<secret>"),
        // Ids: a project's, a commit's, that of a database which lasts for a time.
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<id>"),
        (r"^[0-9a-f]{7} ", "<id> "),
        (r"(\[\S+ (?:\(root-commit\) )?)[0-9a-f]{7,}\]", "${1}<id>]"),
        (r#"(DEVDB_EPHEMERAL=|ephemeral (?:env|stop) |"id": ")[a-z0-9]{8}\b"#, "${1}<id>"),
        (r"^ ?[a-z0-9]{8}(  \S+ for )", "<id>${1}"),
        // Dates and times, and the two as one.
        (
            r"\b20\d\d-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d)?(?:\.\d+)?)?(?:Z| ?UTC|[+-]\d\d:?\d\d)?",
            "<time>",
        ),
        (r"\b\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?: ?UTC)?\b", "<time>"),
        (r"\b20\d{6}-\d{6}\b", "<time>"),
        // A migration's number is the time at which it was made.
        (r"\b20\d{12}(_|\b)", "<time>${1}"),
        (r"\b(?:\d+m ?)?\d+(?:\.\d+)? ?(?:ms|µs|min|s)\b", "<duration>"),
        (r#"("took_ms": |"interrupted_ms": )\d+"#, "${1}<duration>"),
        (r"\b\d+(?:\.\d+)? ?(?:[kKMGT]i?B|bytes|B)\b", "<size>"),
        (r#"("\w*bytes": )\d+"#, "${1}<size>"),
        (r"(127\.0\.0\.1|localhost):\d+", "${1}:<port>"),
        (r#"(?i)(port"?(?:=|: ?| +)"?)\d+"#, "${1}<port>"),
        // In a column of a table.
        (r"(  )[1-6]\d{4}(  |$)", "${1}<port>${2}"),
        // The server's version, also as a package names it.
        (r"\b1\d\.\d+(?: \([^)]*\))?(\W|$)", "<version>${1}"),
        (r"\bv?\d+\.\d+\.\d+\b([^.]|$)", "<version>${1}"),
        (r"\((?:docker|native)([,)])", "(<engine>${1}"),
        (r"(/home|/Users)/[\w.-]+", "<home>"),
        (r" for (?:anna|root)\b", " for <developer>"),
    ]
    .into_iter()
    .map(|(pattern, placeholder)| Rule { pattern: Regex::new(pattern).unwrap(), placeholder })
    .collect()
});

static SPACES: LazyLock<Regex> = LazyLock::new(|| Regex::new("  +").unwrap());
static HEX: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b[0-9a-f]{7,}\b").unwrap());
static BASE64: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[A-Za-z0-9+/]{32,}={0,2}").unwrap());

/// A line without what differs from run to run.
pub fn line(text: &str) -> String {
    let text = text.trim_end();
    let words = text.trim_start();
    // A table's columns are as wide as what is in them.
    let mut line = text[..text.len() - words.len()].to_owned();
    line.push_str(&SPACES.replace_all(words, "  "));
    for rule in RULES.iter() {
        line = rule.pattern.replace_all(&line, rule.placeholder).into_owned();
    }
    let mixed = |word: &str, needed: &[fn(char) -> bool]| {
        needed.iter().all(|is_needed| word.contains(*is_needed))
    };
    let is_digit = |c: char| c.is_ascii_digit();
    let is_letter = |c: char| c.is_ascii_alphabetic();
    // A word of the letters a to f, and a number, are neither an id nor a digest.
    let line = HEX.replace_all(&line, |found: &Captures<'_>| {
        if mixed(&found[0], &[is_digit, is_letter]) { "<id>".into() } else { found[0].to_owned() }
    });
    // A path has slashes too, but not all three sorts of characters.
    let sorts: [fn(char) -> bool; 3] =
        [is_digit, |c| c.is_ascii_lowercase(), |c| c.is_ascii_uppercase()];
    let line = BASE64.replace_all(&line, |found: &Captures<'_>| {
        if mixed(&found[0], &sorts) { "<secret>".into() } else { found[0].to_owned() }
    });
    line.into_owned()
}
