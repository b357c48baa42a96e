//! Reads and checks all migrations before any is applied. File names are as sqlx reads them.

use std::borrow::Cow;
use std::collections::BTreeSet;

use sha2::{Digest, Sha384};
use sqlx::migrate::{Migration, MigrationType};
use sqlx::{AssertSqlSafe, SqlSafeStr};

use super::foreign;
use crate::db::files::{Folder, SourceText};
use crate::db::place::Place;
use crate::db::sql_scan::{self, Statement};
use crate::embedded;
use crate::error::{Error, Kind, Result};
use crate::spec::Files;

/// All migrations of a project, checked, in the order of their versions.
#[derive(Debug, Clone, Default)]
pub struct MigrationSet {
    files: Vec<MigrationFile>,
    /// Why none of them may be applied, if there is such a reason.
    refusal: Option<Error>,
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

    /// Fails when none of the files may be applied, because files of another tool, or something
    /// that is not SQL, are among them.
    ///
    /// # Errors
    /// `Config`, with what to write into devdb.yaml.
    pub fn check_layout(&self) -> Result<()> {
        self.refusal.clone().map_or(Ok(()), Err)
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

    /// The version: the digits of the name, as a number from 1.
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

/// Reads and checks the migrations. No database is needed.
///
/// # Errors
/// `Config`, with file and line, when a name is not a migration's name, two files have one version,
/// a file is empty, unreadable or not UTF-8 or begins with a byte order mark, or a statement could
/// leave a migration half applied.
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
    let listing = folder.list()?;
    let mut refusal = foreign::check(folder, &listing).err();
    if refusal.is_some() {
        // Their names would be wrong for devdb.
        return Ok(MigrationSet { refusal, ..MigrationSet::default() });
    }
    for name in listing.files {
        // sqlx reads only `.sql`. A file with `.SQL` is probably a mistake, so devdb refuses it.
        if !name.to_ascii_lowercase().ends_with(".sql") {
            continue;
        }
        let parsed = FileName::parse(&name)
            .map_err(|reason| misnamed(&folder.label(&name), &name, reason))?;
        match parsed.kind {
            MigrationType::ReversibleDown => reverts.push((parsed.version, name)),
            _ => {
                let source = folder.read(&name, Kind::Config)?;
                refusal = refusal.or(foreign::check_markers(folder, &name, &source).err());
                found.push(MigrationFile::of(source, &name, parsed)?);
            }
        }
    }
    found.sort_by_key(MigrationFile::version);
    if let Some([first, second]) =
        found.windows(2).find(|pair| pair[0].version() == pair[1].version())
    {
        return Err(Error::new(
            Kind::Config,
            format!("two migrations have the version {}", first.version()),
        )
        .because(format!("{} and {}", first.source.label, second.name))
        .hint("give the newer one a later timestamp"));
    }
    let versions: BTreeSet<i64> = found.iter().map(MigrationFile::version).collect();
    if let Some((_, name)) = reverts.iter().find(|(version, _)| !versions.contains(version)) {
        return Err(Error::new(Kind::Config, format!("{} reverts nothing", folder.label(name)))
            .because("there is no migration with this version beside it")
            .hint("the migration that it reverts must have a name that ends in .up.sql"));
    }
    Ok(MigrationSet { files: found, refusal, elsewhere: None })
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
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("it does not begin with digits and an underscore");
        }
        if !name.ends_with(".sql") {
            return Err("its extension is not `.sql` in lower case");
        }
        let version = digits.parse().map_err(|_| "its version is above 9223372036854775807")?;
        if version == 0 {
            return Err("versions begin at 1");
        }
        let kind = MigrationType::from_filename(rest);
        let description = rest.trim_end_matches(kind.suffix()).replace('_', " ");
        if description.is_empty() {
            return Err("it has no description");
        }
        Ok(FileName { version, description, kind })
    }
}

impl MigrationFile {
    fn of(source: SourceText, name: &str, parsed: FileName) -> Result<Self> {
        let text = source.text.as_str();
        let without_transaction = text.starts_with("-- no-transaction");
        check(&source, without_transaction)?;
        let lf = text.replace("\r\n", "\n");
        let crlf = lf.replace('\n', "\r\n");
        Ok(MigrationFile {
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
        })
    }
}

/// Refuses a file that the server or sqlx would read in a wrong way.
fn check(source: &SourceText, without_transaction: bool) -> Result<()> {
    let label = &source.label;
    let text = &source.text;
    if text.starts_with('\u{feff}') {
        return Err(Error::new(Kind::Config, format!("{label} begins with a byte order mark"))
            .because("PostgreSQL reads it as a part of the first statement")
            .hint("save the file as UTF-8 without BOM"));
    }
    if let Some(offset) = text.find('\0') {
        let place = Place::of_byte(text, offset);
        return Err(Error::new(Kind::Config, format!("{label}:{place}: a NUL character"))
            .because("PostgreSQL reads it as the end of the file"));
    }
    let statements = sql_scan::statements(text);
    if statements.is_empty() {
        let content = if text.trim().is_empty() { "is empty" } else { "has only comments" };
        return Err(Error::new(Kind::Config, format!("{label} {content}"))
            .because("a migration without SQL would count as applied")
            .hint("write SQL into the file, or delete the file"));
    }
    let error_at = |statement: &Statement<'_>, message: &str| {
        source.error_at(Kind::Config, Place::of_byte(text, statement.start), message)
    };
    if let Some(copy) = statements.iter().find(|statement| statement.copies_inline()) {
        return Err(error_at(copy, "COPY with its data in the file works only in psql")
            .hint("write INSERT, or put the data into seeds/<number>_<table>.csv"));
    }
    let control = statements.iter().find(|statement| statement.controls_transaction());
    if let Some(control) = control.filter(|_| !without_transaction) {
        return Err(error_at(control, "a migration may not begin or end a transaction")
            .because(
                "devdb runs each migration in a transaction of its own; if that ends too early, a \
                 failure leaves half of the migration applied and unrecorded",
            )
            .hint("remove the statement")
            .hint(
                "if the migration must run without a transaction, make `-- no-transaction` the \
                 file's first line",
            ));
    }
    Ok(())
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
