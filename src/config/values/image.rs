//! Image references, and the PostgreSQL version that an image's tag names.

use super::{Checked, problem};

/// `postgres.image`: a reference as Docker writes them.
pub fn image(text: &str) -> Checked<String> {
    let allowed =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@');
    let (repository, tag) = split_image(text);
    let name = repository.split_once('/').map_or(repository, |(_, rest)| rest);
    let usable = !text.is_empty()
        && text.chars().all(allowed)
        && repository.split('/').all(|part| !part.is_empty())
        && !name.contains(|c: char| c.is_ascii_uppercase())
        && tag.is_none_or(|tag| !tag.is_empty() && tag.len() <= 128);
    if usable {
        return Ok(text.to_owned());
    }
    problem(
        format!("{text:?} is not an image reference"),
        "write repository:tag, the repository in lower case: postgres:15, postgis/postgis:15-3.4",
    )
}

/// The repository, and the tag if there is one. A colon before the last slash is a registry's port.
fn split_image(image: &str) -> (&str, Option<&str>) {
    let image = image.split_once('@').map_or(image, |(name, _digest)| name);
    let last = image.rfind('/').map_or(0, |slash| slash + 1);
    match image[last..].split_once(':') {
        Some((name, tag)) => (&image[..last + name.len()], Some(tag)),
        None => (image, None),
    }
}

/// PostgreSQL's major version that an image's tag names: `postgres:15.4-alpine`,
/// `postgis/postgis:15-3.4`, `pgvector/pgvector:pg15`, `timescale/timescaledb:2.11.0-pg15`. None
/// when the tag does not name it, such as `latest` or a version of the image itself.
pub fn image_major(image: &str) -> Option<u16> {
    let (repository, tag) = split_image(image);
    let tag = tag?;
    let marked = tag
        .split(['-', '_', '.'])
        .find_map(|part| part.strip_prefix("pg").filter(|rest| !rest.is_empty()))
        .and_then(|rest| rest.parse().ok());
    if marked.is_some() {
        return marked;
    }
    let name = repository.rsplit('/').next()?;
    if !name.contains("postgres") && name != "postgis" {
        return None;
    }
    // More digits than two are a date.
    let digits = tag.split(|c: char| !c.is_ascii_digit()).next()?;
    if digits.len() > 2 { None } else { digits.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_tell_their_major_version() {
        for (image, major) in [
            ("postgres:15", Some(15)),
            ("postgres:15.4-alpine", Some(15)),
            ("postgres:9.6", Some(9)),
            ("postgres:latest", None),
            ("postgres", None),
            ("localhost:5000/postgres", None),
            ("localhost:5000/postgres:16@sha256:00", Some(16)),
            ("postgis/postgis:15-3.4", Some(15)),
            ("pgvector/pgvector:pg17", Some(17)),
            ("pgvector/pgvector:0.8.0-pg17", Some(17)),
            ("timescale/timescaledb:2.11.0-pg15", Some(15)),
            ("registry.example/app/db:3", None),
            ("supabase/postgres:15.1.0.117", Some(15)),
            ("postgres:20240101", None),
        ] {
            assert_eq!(image_major(image), major, "{image}");
            assert!(super::image(image).is_ok(), "{image}");
        }
        for bad in ["", "post gres", "Postgres:15", "postgres:", "/postgres", "a//b"] {
            assert!(image(bad).is_err(), "{bad}");
        }
    }
}
