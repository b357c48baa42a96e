//! Makes the file of a new migration.

use std::io::Write;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use crate::error::{Error, Kind, Result, ResultExt};

/// The longest description in a file's name, in characters.
const LONGEST_DESCRIPTION: usize = 80;

/// Writes `<timestamp>_<name>.sql` into `directory`, which it makes if necessary. The text is the
/// template, with values for `{name}` and `{date}`. The version is newer than the version of every
/// other file. Never overwrites a file.
///
/// # Errors
/// `Usage` when the name has no letter or digit; `Config` when the file cannot be written.
pub fn new_file(
    directory: &Path,
    name: &str,
    now: DateTime<Utc>,
    template: &str,
) -> Result<PathBuf> {
    let description = description(name);
    if description.is_empty() {
        return Err(Error::new(
            Kind::Usage,
            format!("{name:?} has no letter or digit for the migration's name"),
        )
        .hint("devdb migrate new add-serial-number-to-gateways"));
    }
    std::fs::create_dir_all(directory)
        .or_fail(Kind::Config, || format!("cannot make the directory {}", directory.display()))?;
    let stamp: i64 = now.format("%Y%m%d%H%M%S").to_string().parse().unwrap_or_default();
    // Another clock may be ahead, or another file may be from the same second.
    let version = match newest_version(directory)? {
        Some(newest) if newest >= stamp => newest.checked_add(1).ok_or_else(|| {
            Error::new(Kind::Config, format!("no version is newer than {newest}"))
        })?,
        _ => stamp,
    };
    let path = directory.join(format!("{version}_{description}.sql"));
    let text = template
        .replace("{name}", &description.replace('_', " "))
        .replace("{date}", &now.format("%Y-%m-%d").to_string());
    let cannot = || format!("cannot write {}", path.display());
    std::fs::File::create_new(&path)
        .or_fail(Kind::Config, cannot)?
        .write_all(text.as_bytes())
        .or_fail(Kind::Config, cannot)?;
    Ok(path)
}

/// The name in lower case letters, digits and single underscores.
fn description(name: &str) -> String {
    let mut out = String::new();
    for c in name.trim_end_matches(".sql").chars().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
    }
    let cut: String = out.chars().take(LONGEST_DESCRIPTION).collect();
    cut.trim_end_matches('_').to_owned()
}

fn newest_version(directory: &Path) -> Result<Option<i64>> {
    let unreadable = || format!("cannot read the directory {}", directory.display());
    let mut newest = None;
    for entry in std::fs::read_dir(directory).or_fail(Kind::Config, unreadable)? {
        let name = entry.or_fail(Kind::Config, unreadable)?.file_name();
        let name = name.to_string_lossy();
        let version = name.split_once('_').and_then(|(digits, _)| digits.parse().ok());
        newest = newest.max(version.filter(|_| name.ends_with(".sql")));
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-23T14:05:09Z".parse().unwrap()
    }

    #[test]
    fn names_are_timestamped_slugs_from_the_template() {
        let directory = tempfile::tempdir().unwrap();
        let new = |name: &str| {
            let path = new_file(&directory.path().join("m"), name, now(), "-- {name}, {date}\n");
            path.map(|path| {
                let text = std::fs::read_to_string(&path).unwrap();
                (path.file_name().unwrap().to_string_lossy().into_owned(), text)
            })
        };
        let (file, text) = new("Add  Größe, to: gateways!").unwrap();
        assert_eq!(file, "20261123140509_add_größe_to_gateways.sql");
        assert_eq!(text, "-- add größe to gateways, 2026-11-23\n");
        // Another in the same second is newer.
        assert_eq!(new("b").unwrap().0, "20261123140510_b.sql");
        assert_eq!(new("../x.sql").unwrap().0, "20261123140511_x.sql");
        assert_eq!(new("-!-").unwrap_err().kind(), Kind::Usage);
    }

    #[test]
    fn it_is_newer_than_every_other_file() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("20991231235959_a.sql"), "").unwrap();
        let path = new_file(directory.path(), "b", now(), "").unwrap();
        assert!(path.ends_with("20991231235960_b.sql"));
    }
}
