//! Reads all migrations. File names are as sqlx reads them.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::num::{IntErrorKind, ParseIntError};

use sha2::{Digest, Sha384};
use sqlx::migrate::{Migration, MigrationType};
use sqlx::{AssertSqlSafe, SqlSafeStr};

use super::check::{self, NO_TRANSACTION};
use super::foreign;
use crate::db::files::{Folder, SourceText};
use crate::embedded;
use crate::error::{Error, Kind, Result};
use crate::spec::Files;

/// All migrations of a project, checked, in the order of their versions.
#[derive(Debug, Clone, Default)]
pub struct MigrationSet {
    files: Vec<MigrationFile>,
    /// The down files that have no up file.
    pub(super) without_up: Vec<String>,
    /// What to say when there are none here, but those of another tool elsewhere in the project.
    elsewhere: Option<String>,
}

/// The file of a migration.
#[derive(Debug, Clone)]
pub struct MigrationFile {
    pub(super) source: SourceText,
    pub(super) name: String,
    pub(super) migration: Migration,
    /// The SHA-384 of the text with LF line endings.
    lf_checksum: Vec<u8>,
    /// The SHA-384 of the text with CRLF line endings.
    crlf_checksum: Vec<u8>,
}

impl MigrationSet {
    /// The files, oldest first.
    pub fn files(&self) -> &[MigrationFile] {
        &self.files
    }

    /// What to say when the project has no migrations for devdb, but those of another tool.
    pub fn elsewhere(&self) -> Option<&str> {
        self.elsewhere.as_deref()
    }

    /// Whether some files have other line endings than LF.
    pub fn has_other_line_endings(&self) -> bool {
        self.files.iter().any(|file| file.checksum() != file.lf_checksum)
    }

    /// Checks the files behind the first `count`, which are about to be applied.
    ///
    /// # Errors
    /// `Config`, with the places, when no server can run some of them.
    pub fn check_behind(&self, count: usize) -> Result<()> {
        check::check(&self.files.iter().skip(count).collect::<Vec<_>>())
    }

    /// The newest version; none when there is no migration.
    pub fn newest(&self) -> Option<i64> {
        self.files.last().map(MigrationFile::version)
    }
}

impl MigrationFile {
    /// The file's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version: the digits of the name, as a number.
    pub fn version(&self) -> i64 {
        self.migration.version
    }

    /// The description: the rest of the name, with blanks for underscores.
    pub fn description(&self) -> &str {
        &self.migration.description
    }

    /// The SHA-384 of the text with LF line endings, in hexadecimal. It does not depend on the line
    /// endings that git writes on this machine.
    pub fn fingerprint(&self) -> String {
        self.lf_checksum.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The checksum as sqlx computes it from the file that is there.
    pub(super) fn checksum(&self) -> &[u8] {
        &self.migration.checksum
    }

    /// The checksum of the text with LF line endings.
    pub(super) fn lf_checksum(&self) -> &[u8] {
        &self.lf_checksum
    }

    /// Whether the file has both LF and CRLF line endings.
    pub(super) fn is_mixed(&self) -> bool {
        self.checksum() != self.lf_checksum && self.checksum() != self.crlf_checksum
    }

    /// Whether a recorded checksum fits this file with any line endings.
    pub(super) fn has_checksum(&self, recorded: &[u8]) -> bool {
        recorded == &*self.migration.checksum
            || recorded == self.lf_checksum
            || recorded == self.crlf_checksum
    }
}

/// Reads the migrations. No database is needed. What they contain is checked when they are about to
/// be applied.
///
/// # Errors
/// `Config` when names are not a migration's names, two files have one version, files are
/// unreadable or not UTF-8, or files of another tool or none that devdb reads are among them.
pub fn load(files: &Files) -> Result<MigrationSet> {
    let mut set = load_from(&Folder::open(files, &embedded::MIGRATIONS, "migrations.path")?)?;
    if let (Files::Directory { path, .. }, true) = (files, set.files.is_empty()) {
        set.elsewhere = foreign::elsewhere(path);
    }
    Ok(set)
}

fn load_from(folder: &Folder) -> Result<MigrationSet> {
    let mut found: Vec<MigrationFile> = Vec::new();
    let mut reverts = Vec::new();
    let mut failures = Vec::new();
    let listing = folder.list()?;
    foreign::check(folder, &listing)?;
    for name in listing.files {
        // sqlx reads only `.sql`. A file with `.SQL` is probably a mistake, so devdb refuses it.
        if !name.to_ascii_lowercase().ends_with(".sql") {
            continue;
        }
        match FileName::parse(&name) {
            Err(reason) => failures.push(misnamed(&folder.label(&name), &name, reason)),
            Ok(parsed) if parsed.kind == MigrationType::ReversibleDown => {
                reverts.push((parsed.version, name));
            }
            Ok(parsed) => match folder.read(&name, Kind::Config) {
                Ok(source) => {
                    foreign::check_markers(folder, &name, &source)?;
                    found.push(MigrationFile::of(source, &name, parsed));
                }
                Err(error) => failures.push(error),
            },
        }
    }
    let unusable = |count| format!("{count} files of migrations cannot be used");
    if let Some(error) = Error::joined(unusable, failures) {
        return Err(error);
    }
    found.sort_by_key(MigrationFile::version);
    let twins = found.windows(2).filter(|pair| pair[0].version() == pair[1].version());
    let twins = twins.map(|pair| {
        let message = format!("two migrations have the version {}", pair[0].version());
        Error::new(Kind::Config, message)
            .because(format!("{} and {}", pair[0].source.label, pair[1].name))
            .hint("give the one that no database has yet a later timestamp")
    });
    if let Some(error) = Error::joined(|_| "versions occur twice".to_owned(), twins.collect()) {
        return Err(error);
    }
    let versions: BTreeSet<i64> = found.iter().map(MigrationFile::version).collect();
    reverts.retain(|(version, _)| !versions.contains(version));
    let without_up = reverts.into_iter().map(|(_, name)| name).collect();
    Ok(MigrationSet { files: found, without_up, elsewhere: None })
}

fn misnamed(label: &str, name: &str, reason: &str) -> Error {
    let words: Vec<&str> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty() && !word.eq_ignore_ascii_case("sql"))
        .collect();
    Error::new(Kind::Config, format!("{label} is not a migration's name"))
        .because(reason)
        .hint("name it <YYYYMMDDHHMMSS>_<what_it_does>.sql, or move it out of this directory")
        .hint(format!("devdb migrate new {}   makes a file with a right name", words.join("-")))
}

struct FileName {
    version: i64,
    description: String,
    kind: MigrationType,
}

impl FileName {
    /// Splits a name as sqlx does (`resolve_blocking`). Names that sqlx ignores are errors.
    ///
    /// # Errors
    /// The reason.
    fn parse(name: &str) -> std::result::Result<Self, &'static str> {
        let (digits, rest) = name.split_once('_').ok_or("there is no underscore in it")?;
        if !name.ends_with(".sql") {
            return Err("its extension is not `.sql` in lower case");
        }
        let version = digits.parse().map_err(|error: ParseIntError| match error.kind() {
            IntErrorKind::PosOverflow => "its version is above 9223372036854775807",
            _ => "it does not begin with digits and an underscore",
        })?;
        let kind = MigrationType::from_filename(rest);
        let description = rest.trim_end_matches(kind.suffix()).replace('_', " ");
        Ok(FileName { version, description, kind })
    }
}

impl MigrationFile {
    fn of(source: SourceText, name: &str, parsed: FileName) -> Self {
        let text = source.text.as_str();
        let without_transaction = text.starts_with(NO_TRANSACTION);
        let lf = text.replace("\r\n", "\n");
        let crlf = lf.replace('\n', "\r\n");
        MigrationFile {
            lf_checksum: Sha384::digest(&lf).to_vec(),
            crlf_checksum: Sha384::digest(&crlf).to_vec(),
            migration: Migration::new(
                parsed.version,
                Cow::Owned(parsed.description),
                parsed.kind,
                AssertSqlSafe(text).into_sql_str(),
                without_transaction,
            ),
            name: name.to_owned(),
            source,
        }
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
