//! What each setting may be. The same text means the same thing in a file, a variable or a flag,
//! so these functions know nothing of where it stands; whoever calls them adds that.

mod cache;
mod image;

use crate::error::nearest;
use crate::spec::{Durability, EPHEMERAL, EngineChoice, Isolation, PortChoice};
pub use cache::{size, states};
pub use image::{image, image_major};

/// PostgreSQL's major versions that devdb serves.
pub const VERSIONS: std::ops::RangeInclusive<u16> = 13..=18;

/// Why a value cannot be used, and what can.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    /// `"x" is not a port`.
    pub what: String,
    /// What to write instead.
    pub hint: String,
}

type Checked<T> = Result<T, Problem>;

fn problem<T>(what: impl Into<String>, hint: impl Into<String>) -> Checked<T> {
    Err(Problem { what: what.into(), hint: hint.into() })
}

/// One of a few words.
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

/// `postgres.durability`.
pub fn durability(text: &str) -> Checked<Durability> {
    word(
        text,
        "a durability",
        &[("full", Durability::Full), ("relaxed", Durability::Relaxed), ("none", Durability::None)],
    )
}

/// `migrations.out_of_order`: whether it is allowed.
pub fn out_of_order(text: &str) -> Checked<bool> {
    word(text, "a rule for files out of order", &[("refuse", false), ("allow", true)])
}

/// `postgres.version`.
pub fn version(text: &str) -> Checked<u16> {
    let allowed = format!("a major version from {} to {}", VERSIONS.start(), VERSIONS.end());
    if let Some((major, minor)) = text.split_once('.') {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if digits(major) && minor.split('.').all(digits) {
            return problem(
                format!("{text:?} names a minor version, and devdb chooses by major version only"),
                format!("write {major}; postgres.image can name an exact image: postgres:{text}"),
            );
        }
    }
    match text.parse::<u16>() {
        Ok(major) if VERSIONS.contains(&major) => Ok(major),
        Ok(_) => problem(format!("PostgreSQL {text} is not supported"), format!("use {allowed}")),
        Err(_) => {
            problem(format!("{text:?} is not a PostgreSQL version"), format!("use {allowed}"))
        }
    }
}

/// `postgres.port`.
pub fn port(text: &str) -> Checked<PortChoice> {
    const ALLOWED: &str = "auto, or a number from 1 to 65535 (1024 and above need no privileges)";
    if text == "auto" {
        return Ok(PortChoice::Auto);
    }
    match text.parse::<i128>() {
        Ok(number) => match u16::try_from(number) {
            Ok(port) if port > 0 => Ok(PortChoice::Fixed(port)),
            _ => {
                problem(format!("{number} is out of the range of ports"), format!("use {ALLOWED}"))
            }
        },
        Err(_) => problem(format!("{text:?} is not a port"), format!("use {ALLOWED}")),
    }
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// A name for people: the project, a developer.
pub fn label(text: &str) -> Checked<String> {
    name_of_at_most(100, text)
}

/// An instance's name: git's branches have longer ones than people.
pub fn instance(text: &str) -> Checked<String> {
    if text.starts_with(EPHEMERAL) {
        return problem(
            format!("{text:?} is a name of devdb's own"),
            format!("write one that does not begin with \"{EPHEMERAL}\""),
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
            format!("{text:?} is no usable name"),
            format!("write a name of 1 to {limit} characters, without control characters"),
        );
    }
    Ok(text.to_owned())
}

/// `generations.keep`: how many.
pub fn keep(text: &str) -> Checked<u16> {
    number(text, "a number of generations", 100)
}

/// `generations.days`: how long.
pub fn days(text: &str) -> Checked<u16> {
    number(text, "a number of days", 3650)
}

/// A whole number from 0.
fn number(text: &str, what: &str, most: u16) -> Checked<u16> {
    match text.parse::<u16>() {
        Ok(number) if number <= most => Ok(number),
        _ => problem(
            format!("{text:?} is not {what}"),
            format!("use a whole number from 0 to {most}"),
        ),
    }
}

fn identifier(text: &str, what: &str) -> Checked<String> {
    // PostgreSQL cuts longer names off in silence.
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
            "choose another name; every new database would be a copy of it",
        );
    }
    identifier(text, "database")
}

/// `postgres.user`.
pub fn user(text: &str) -> Checked<String> {
    if text.starts_with("pg_") || matches!(text, "public" | "none") {
        return problem(
            format!("{text:?} is reserved by PostgreSQL"),
            "a role's name cannot begin with pg_, nor be public or none",
        );
    }
    identifier(text, "user")
}

/// One of `postgres.extensions`.
pub fn extension(text: &str) -> Checked<String> {
    identifier(text, "extension")
}

/// Settings that devdb decides: they say where the server listens, who gets in, and where its
/// files are.
const DEVDB_DECIDES: &[&str] = &[
    "config_file",
    "data_directory",
    "external_pid_file",
    "hba_file",
    "ident_file",
    "listen_addresses",
    "unix_socket_directories",
    "unix_socket_group",
    "unix_socket_permissions",
];

/// The name of one of `postgres.settings`.
pub fn setting_name(text: &str) -> Checked<()> {
    let plain = text.to_ascii_lowercase();
    match plain.as_str() {
        "port" => {
            return problem("\"port\" is not set here", "postgres.port is where to say the port");
        }
        "password_encryption" => {
            return problem(
                "devdb decides \"password_encryption\" itself",
                "remove it: logins are always scram-sha-256",
            );
        }
        name if DEVDB_DECIDES.contains(&name) => {
            return problem(
                format!("devdb decides {text:?} itself"),
                "remove it: devdb's servers listen on 127.0.0.1 only and keep their own files",
            );
        }
        _ => {}
    }
    let mut chars = text.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if first && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$')) {
        return Ok(());
    }
    problem(
        format!("{text:?} is no name of a PostgreSQL setting"),
        "letters, digits, _ and one dot for an extension's setting: shared_buffers, pg_trgm.limit",
    )
}

/// The value of one of `postgres.settings`.
pub fn setting_value(text: Option<&str>) -> Checked<String> {
    match text {
        None => problem("the setting has no value", "write '' for an empty one"),
        Some(text) if text.contains('\0') => problem("the value has a NUL in it", "remove it"),
        Some(text) => Ok(text.to_owned()),
    }
}

/// `seeds.profile`: the name of a directory below the seeds.
pub fn profile(text: &str) -> Checked<String> {
    if text.is_empty() || text.starts_with('.') || text.contains(['/', '\\']) || has_control(text) {
        return problem(
            format!("{text:?} is no name of a seed profile"),
            "a profile is a directory's name below the seeds: dev, test, demo",
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
        // Not shown: people paste the key itself here.
        "this is no name of an environment variable".to_owned(),
        "write the variable's name (letters, digits, _), never the key: ENCRYPTION_KEY",
    )
}

/// A path as written; that it exists is checked where it is known what it is relative to.
pub fn path(text: &str) -> Checked<String> {
    if text.is_empty() || text.contains('\0') {
        return problem("the path is empty", "write a path relative to devdb.yaml: migrations");
    }
    Ok(text.to_owned())
}

/// One of `migrations.command` or `seeds.command`.
pub fn word_of_command(text: &str) -> Checked<String> {
    if text.contains('\0') {
        return problem("the word has a NUL in it", "remove it");
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
        return problem(format!("{text:?} is an absolute path, another on each machine"), EXAMPLE);
    }
    match glob::Pattern::new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => problem(format!("{text:?} is no glob: {}", error.msg), EXAMPLE),
    }
}

/// A database's name made from a project's: lower case ASCII letters, digits and `_`, so that
/// nobody has to quote it.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ports() {
        assert_eq!(port("auto"), Ok(PortChoice::Auto));
        assert_eq!(port("1"), Ok(PortChoice::Fixed(1)));
        assert_eq!(port("65535"), Ok(PortChoice::Fixed(65535)));
        for bad in ["0", "65536", "-1", "99999999999999999999", "5432.0", "", "Auto", "0x1"] {
            assert!(port(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn versions() {
        for major in VERSIONS {
            assert_eq!(version(&major.to_string()), Ok(major));
        }
        assert!(version("15.4").unwrap_err().what.contains("minor version"));
        assert!(version("12").unwrap_err().what.contains("not supported"));
        assert!(version("19").unwrap_err().hint.contains("13 to 18"));
        for bad in ["", "latest", "-15", "15.", "v15"] {
            assert!(version(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_mistyped_word_finds_the_right_one() {
        assert!(engine("doker").unwrap_err().hint.contains("did you mean docker?"));
        assert!(engine("Docker").unwrap_err().hint.contains("did you mean docker?"));
        assert!(durability("ful").unwrap_err().hint.contains("did you mean full?"));
        assert!(isolation("branches").unwrap_err().hint.contains("did you mean branch?"));
    }

    #[test]
    fn retention_is_a_whole_number_within_reason() {
        assert_eq!((keep("0"), keep("100"), days("3650")), (Ok(0), Ok(100), Ok(3650)));
        for bad in ["101", "-1", "", "2.5", "two", "99999999999"] {
            assert!(keep(bad).unwrap_err().hint.contains("0 to 100"), "{bad}");
        }
        assert!(days("3651").unwrap_err().what.contains("a number of days"));
    }

    #[test]
    fn names() {
        assert!(label(&"a".repeat(101)).is_err());
        assert!(instance(&"a/B".repeat(85)).is_ok());
        assert!(instance(&"a".repeat(256)).is_err());
        assert!(instance("run:12345678").is_err());
        assert!(instance("run-12345678").is_ok());
        assert!(database(&"a".repeat(63)).is_ok());
        assert!(database(&"ä".repeat(32)).is_err(), "64 bytes");
        for bad in ["", "a\0b", "template1"] {
            assert!(database(bad).is_err(), "{bad:?}");
        }
        assert!(user("pg_x").is_err());
        assert!(label("  ").is_err());
        for bad in ["", "..", "a/b", ".hidden"] {
            assert!(profile(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "1A", "A-B", "c2VjcmV0=="] {
            let problem = variable(bad).unwrap_err();
            assert!(bad.is_empty() || !problem.what.contains(bad), "{problem:?}");
        }
    }

    #[test]
    fn settings_that_devdb_decides_are_refused() {
        for name in ["port", "listen_addresses", "Data_Directory", "password_encryption"] {
            assert!(setting_name(name).is_err(), "{name}");
        }
        for name in ["shared_buffers", "pg_trgm.similarity_threshold", "_x"] {
            assert!(setting_name(name).is_ok(), "{name}");
        }
        assert!(setting_name("a b").is_err());
    }

    #[test]
    fn a_database_is_named_after_the_project() {
        for (project, name) in [
            ("mti-wifi", "mti_wifi"),
            ("sample", "sample"),
            ("My Project (2)", "my_project_2"),
            ("日本", "app"),
            ("2fast", "db_2fast"),
            ("template1", "db_template1"),
        ] {
            assert_eq!(database_for(project), name);
        }
    }

    proptest! {
        #[test]
        fn every_project_name_makes_a_database_name(project in ".*") {
            prop_assert!(database(&database_for(&project)).is_ok());
        }

        #[test]
        fn checks_never_panic(text in ".*") {
            let _ = (engine(&text), version(&text), port(&text));
            let _ = (image(&text), image_major(&text), setting_value(Some(&text)));
            let _ = (setting_name(&text), profile(&text), variable(&text), user(&text));
            let _ = (word_of_command(&text), input(&text));
        }

        #[test]
        fn every_port_is_a_port(number in 1u16..) {
            prop_assert_eq!(port(&number.to_string()), Ok(PortChoice::Fixed(number)));
        }
    }
}
