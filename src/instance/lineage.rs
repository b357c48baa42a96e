//! What cannot change about an existing data directory, and the errors when a setting asks for it.

use crate::error::{Error, Kind, Result};
use crate::spec::{EngineChoice, EngineKind, MadeWith};

/// Fails when the settings ask for another engine than the instance lives on.
///
/// # Errors
/// `Config`, with hints.
pub fn check_engine(lives_on: EngineKind, wanted: EngineChoice) -> Result<()> {
    let asked_for = match wanted {
        EngineChoice::Auto => return Ok(()),
        EngineChoice::Docker => EngineKind::Docker,
        EngineChoice::Native => EngineKind::Native,
    };
    match asked_for == lives_on {
        true => Ok(()),
        false => Err(Error::new(Kind::Config, format!("this database uses the engine {lives_on}"))
            .because("a database keeps its engine, because its data cannot move to another engine")
            .hint(format!("devdb up --instance NAME --engine {asked_for}   creates a second one"))
            .hint("or leave the engine as it was (devdb config shows where it is set)")),
    }
}

/// Fails when a server as `wanted` cannot run on data made as `made`.
///
/// # Errors
/// `Config`, with every difference and the command that makes a new generation.
pub fn check(made: &MadeWith, wanted: &MadeWith) -> Result<()> {
    let differences = differences(made, wanted);
    if differences.is_empty() {
        return Ok(());
    }
    // A flag of the failed command does not count for the next one.
    let version = match made.major == wanted.major {
        true => String::new(),
        false => format!(" --postgres {}", wanted.major),
    };
    Err(Error::new(Kind::Config, "an existing database cannot change this")
        .because(differences.join(", "))
        .hint(format!(
            "devdb reset{version}   makes a fresh database with these settings and keeps the old one \
             a while"
        ))
        .hint("or change the setting back (devdb config shows where each setting comes from)"))
}

/// Fails when a server as `wanted` cannot run on a copy that was made as `made`. `what` names the
/// action that failed.
///
/// # Errors
/// `Config`, with every difference.
pub fn check_copy(made: &MadeWith, wanted: &MadeWith, what: impl FnOnce() -> String) -> Result<()> {
    let differences = differences(made, wanted);
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::new(Kind::Config, what())
        .because(format!("its data was made with other settings: {}", differences.join(", ")))
        .hint("change the setting back (devdb config shows where each setting comes from)"))
}

/// The differences between `made` and `wanted`, in words.
pub fn differences(made: &MadeWith, wanted: &MadeWith) -> Vec<String> {
    let mut differences = Vec::new();
    if made.major != wanted.major {
        differences.push(format!("PostgreSQL {} → {}", made.major, wanted.major));
    } else if !same_lineage(&made.image, &wanted.image) {
        // Another distribution has another C library, which sorts text in another order: indexes on
        // text would be silently wrong.
        differences.push(format!("image {} → {}", made.image, wanted.image));
    }
    if made.database != wanted.database {
        differences.push(format!("database {:?} → {:?}", made.database, wanted.database));
    }
    if made.user != wanted.user {
        differences.push(format!("user {:?} → {:?}", made.user, wanted.user));
    }
    differences
}

/// Whether a data directory of one image fits the other: they have the same repository and variant,
/// as `postgres:15.4-alpine` and `postgres:15-alpine` do. This does not compare major versions.
fn same_lineage(a: &str, b: &str) -> bool {
    fn parts(reference: &str) -> (&str, &str) {
        let reference = reference.split('@').next().unwrap_or(reference);
        let (repository, tag) = match reference.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, tag),
            _ => (reference, ""),
        };
        let repository = repository.trim_start_matches("docker.io/").trim_start_matches("library/");
        (repository, tag.split_once('-').map_or("", |(_, variant)| variant))
    }
    a == b || parts(a) == parts(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(image: &str) -> MadeWith {
        MadeWith { major: 15, image: image.into(), database: "d".into(), user: "u".into() }
    }

    #[test]
    fn a_patch_release_fits_and_another_variant_does_not() {
        for (a, b, fits) in [
            ("postgres:15", "postgres:15.6", true),
            ("postgres:15", "docker.io/library/postgres:15@sha256:00", true),
            ("postgres:15-alpine", "postgres:15", false),
            ("localhost:5000/postgres:15", "localhost:5000/postgres:15.1", true),
            ("postgis/postgis:15-3.4", "postgres:15", false),
        ] {
            assert_eq!(check(&made(a), &made(b)).is_ok(), fits, "{a} {b}");
        }
    }

    #[test]
    fn every_difference_is_named() {
        let wanted =
            MadeWith { major: 16, image: String::new(), database: "e".into(), user: "u".into() };
        let error = check(&made(""), &wanted).unwrap_err();
        assert_eq!(error.causes()[0], "PostgreSQL 15 → 16, database \"d\" → \"e\"");
        assert!(error.hints()[0].starts_with("devdb reset --postgres 16   "));
    }
}
