//! Names of projects, developers and instances, and of what PostgreSQL and seeds know by name.

use super::{Checked, has_control, problem};
use crate::spec::EPHEMERAL;

/// A name for people: that of a project or a developer.
pub fn label(text: &str) -> Checked<String> {
    name_of_at_most(100, text)
}

/// An instance's name. It may be longer than other names, because it can be that of a git branch.
pub fn instance(text: &str) -> Checked<String> {
    if text.starts_with(EPHEMERAL) {
        return problem(
            format!("{text:?} begins like the names of devdb's own instances"),
            format!("write a name that does not begin with \"{EPHEMERAL}\""),
        );
    }
    name_of_at_most(255, text)
}

fn name_of_at_most(limit: usize, text: &str) -> Checked<String> {
    if text.trim().is_empty() {
        return problem("the name is empty", format!("write a name of 1 to {limit} characters"));
    }
    if text.chars().count() > limit || has_control(text) {
        return problem(
            format!("{text:?} cannot be used as a name"),
            format!("write a name of 1 to {limit} characters, without control characters"),
        );
    }
    Ok(text.to_owned())
}

fn identifier(text: &str, what: &str) -> Checked<String> {
    // PostgreSQL shortens longer names and does not say so.
    let hint = format!("a {what}'s name has 1 to 63 bytes and no control characters");
    if text.is_empty() {
        return problem(format!("the {what}'s name is empty"), hint);
    }
    if text.len() > 63 {
        return problem(format!("{text:?} has {} bytes", text.len()), hint);
    }
    if has_control(text) {
        return problem(format!("{text:?} has control characters"), hint);
    }
    Ok(text.to_owned())
}

/// `postgres.database`.
pub fn database(text: &str) -> Checked<String> {
    if matches!(text, "template0" | "template1") {
        return problem(
            format!("{text:?} is PostgreSQL's own template"),
            "choose another name: PostgreSQL copies this database whenever it makes a new one",
        );
    }
    identifier(text, "database")
}

/// `postgres.user`.
pub fn user(text: &str) -> Checked<String> {
    if text.starts_with("pg_") || matches!(text, "public" | "none") {
        return problem(
            format!("{text:?} is reserved by PostgreSQL"),
            "choose a name that does not begin with pg_ and is not public or none",
        );
    }
    if let Some(sign) = text.chars().find(|c| !c.is_control() && !is_allowed_in_user(*c)) {
        return problem(
            format!(
                "the user {text:?} contains {sign:?}, with which PostgreSQL lets nobody log in"
            ),
            format!(
                "use letters, digits, blanks and the other signs of ASCII, but none of \
                 {NOT_IN_USER}"
            ),
        );
    }
    identifier(text, "user")
}

/// Signs of ASCII that the name of a server's first user cannot have. initdb makes the extension
/// plpgsql for this user, and PostgreSQL allows the owner of an extension none of `"$'\\`. The comma
/// separates the parts of a login's first message (RFC 5802), in which drivers send the name as it
/// is.
const NOT_IN_USER: &str = "\" $ ' \\ ,";

/// Of other characters only letters and digits: SASLprep, through which drivers send the name,
/// refuses most others, such as emoji.
fn is_allowed_in_user(c: char) -> bool {
    c.is_alphanumeric() || c == ' ' || (c.is_ascii_graphic() && !NOT_IN_USER.contains(c))
}

/// One of `postgres.extensions`.
pub fn extension(text: &str) -> Checked<String> {
    identifier(text, "extension")
}

/// `seeds.profile`: the name of a directory below the directory of the seeds.
pub fn profile(text: &str) -> Checked<String> {
    if text.is_empty() || text.starts_with('.') || text.contains(['/', '\\']) || has_control(text) {
        return problem(
            format!("{text:?} is no name of a seed profile"),
            "write the name of a directory below the seeds: dev, test, demo",
        );
    }
    Ok(text.to_owned())
}

/// `secrets.key_env`: the name of an environment variable.
pub fn variable(text: &str) -> Checked<String> {
    let mut chars = text.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if first && chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(text.to_owned());
    }
    problem(
        // The text is not shown, because people paste the key itself here.
        "this is not the name of an environment variable".to_owned(),
        "write the variable's name (letters, digits, _), never the key: ENCRYPTION_KEY",
    )
}

/// Makes a database's name from a project's. It has lower case ASCII letters, digits and `_`, so
/// that nobody has to quote it in SQL.
pub fn database_for(project: &str) -> String {
    let mut name = String::new();
    for c in project.chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    name.truncate(59);
    let name = name.trim_matches('_');
    match name.bytes().next() {
        None => "app".to_owned(),
        Some(b'0'..=b'9') => format!("db_{name}"),
        Some(_) if matches!(name, "template0" | "template1") => format!("db_{name}"),
        Some(_) => name.to_owned(),
    }
}
