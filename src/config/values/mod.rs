//! Which values each setting accepts. A text means the same in a file, a variable or a flag, so
//! these functions do not know where it stands; their caller adds the place to the error.

mod cache;
mod image;
mod names;
mod postgres;

use std::time::Duration;

use crate::error::nearest;
use crate::spec::{Durability, EngineChoice, Isolation, OutOfOrder};
pub use cache::{size, states};
pub use image::{image, image_major};
pub use names::{database, database_for, extension, instance, label, profile, user, variable};
pub use postgres::{port, setting_name, setting_value, version};

/// Why a value cannot be used, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    /// Why: `"x" is not a port`.
    pub what: String,
    /// What to write instead.
    pub hint: String,
}

/// The shortest and the longest time of `idle`: a second, and a year.
const IDLE_MIN: Duration = Duration::from_secs(1);
const IDLE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

type Checked<T> = Result<T, Problem>;

fn problem<T>(what: impl Into<String>, hint: impl Into<String>) -> Checked<T> {
    Err(Problem { what: what.into(), hint: hint.into() })
}

/// One of the words in a list.
fn word<T: Copy>(text: &str, what: &str, words: &[(&str, T)]) -> Checked<T> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let hint = match nearest(&text.to_lowercase(), names.iter().copied()) {
        Some(meant) => format!("did you mean {meant}? Allowed: {}", names.join(", ")),
        None => format!("allowed: {}", names.join(", ")),
    };
    problem(format!("{text:?} is not {what}"), hint)
}

/// `engine`.
pub fn engine(text: &str) -> Checked<EngineChoice> {
    word(
        text,
        "an engine",
        &[
            ("auto", EngineChoice::Auto),
            ("docker", EngineChoice::Docker),
            ("native", EngineChoice::Native),
        ],
    )
}

/// `isolation`.
pub fn isolation(text: &str) -> Checked<Isolation> {
    word(
        text,
        "a kind of isolation",
        &[("developer", Isolation::Developer), ("branch", Isolation::Branch)],
    )
}

/// `idle`: how long a database goes on without a client. None: for ever.
pub fn idle(text: &str) -> Checked<Option<Duration>> {
    let example = "write a time such as 30m or 2h, of a second to a year, or off";
    match humantime::parse_duration(text) {
        _ if text == "off" => Ok(None),
        Ok(time) if (IDLE_MIN..=IDLE_MAX).contains(&time) => Ok(Some(time)),
        _ => problem(format!("{text:?} is not a time without clients"), example),
    }
}

/// `postgres.durability`.
pub fn durability(text: &str) -> Checked<Durability> {
    word(
        text,
        "a durability",
        &[("full", Durability::Full), ("relaxed", Durability::Relaxed), ("none", Durability::None)],
    )
}

/// `migrations.out_of_order`: whether devdb may apply an older file.
pub fn out_of_order(text: &str) -> Checked<OutOfOrder> {
    let words = [("refuse", OutOfOrder::Refuse), ("allow", OutOfOrder::Allow)];
    word(text, "a rule for files out of order", &words)
}

/// `migrations.keep_before`.
pub fn yes_or_no(text: &str) -> Checked<bool> {
    word(text, "true or false", &[("true", true), ("false", false)])
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// `generations.days`: how many days.
pub fn days(text: &str) -> Checked<u16> {
    match text.parse::<u16>() {
        Ok(number @ 0..=3650) => Ok(number),
        _ => problem(
            format!("{text:?} is not a number of days"),
            "use a whole number from 0 to 3650",
        ),
    }
}

/// A path. [`super::decide`] checks that it exists, since it knows what the path is relative to.
pub fn path(text: &str) -> Checked<String> {
    if text.is_empty() || text.contains('\0') {
        return problem("the path is empty", "write a path relative to devdb.yaml: migrations");
    }
    Ok(text.to_owned())
}

/// One of `migrations.command` or `seeds.command`.
pub fn word_of_command(text: &str) -> Checked<String> {
    if text.contains('\0') {
        return problem("the word contains a NUL character", "remove it");
    }
    Ok(text.to_owned())
}

/// One of `migrations.inputs` or `seeds.inputs`: a glob.
pub fn input(text: &str) -> Checked<String> {
    const EXAMPLE: &str = "write a glob relative to devdb.yaml: migrations/**, src/seed.ts";
    if text.is_empty() || text.contains('\0') {
        return problem("the glob is empty", EXAMPLE);
    }
    if text.starts_with('/') {
        return problem(
            format!("{text:?} is an absolute path, which differs between machines"),
            EXAMPLE,
        );
    }
    match glob::Pattern::new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => problem(format!("{text:?} is no glob: {}", error.msg), EXAMPLE),
    }
}

#[cfg(test)]
mod tests;
