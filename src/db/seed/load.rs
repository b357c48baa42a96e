//! Finds and reads the seed files, and makes all checks that need no database.

use sha2::{Digest, Sha256};

use super::yaml::{TableRows, ValueContent};
use super::{references, yaml};
use crate::db::files::{self, Folder, Listing, SourceText};
use crate::db::place::Place;
use crate::db::{psql, sql_scan};
use crate::embedded;
use crate::error::{Error, Kind, Result, nearest};
use crate::spec::Files;

/// The profile that may have no directory.
const DEFAULT_PROFILE: &str = "dev";

/// The seeds of a project for one profile, checked, in the order in which they are applied.
#[derive(Debug, Clone, Default)]
pub struct SeedSet {
    pub(super) profile: String,
    pub(super) files: Vec<SeedFile>,
}

/// A seed file.
#[derive(Debug, Clone)]
pub struct SeedFile {
    /// The name below the seed directory: `010_a.yaml`, `dev/020_b.csv`.
    pub(super) name: String,
    pub(super) source: SourceText,
    pub(super) checksum: String,
    pub(super) content: SeedContent,
}

/// The content of a seed file.
#[derive(Debug, Clone)]
pub(super) enum SeedContent {
    Yaml(Vec<TableRows>),
    Sql,
    /// CSV for the table that the file's name names.
    Csv(String),
}

impl SeedSet {
    /// The files, in the order in which they are applied.
    pub fn files(&self) -> &[SeedFile] {
        &self.files
    }

    /// The profile.
    pub fn profile(&self) -> &str {
        &self.profile
    }

    /// Whether an `!encrypt` value occurs, so that devdb needs an encryption key.
    pub fn needs_key(&self) -> bool {
        self.files.iter().any(|file| match &file.content {
            SeedContent::Yaml(tables) => tables
                .iter()
                .flat_map(|table| &table.rows)
                .flat_map(|row| &row.values)
                .any(|(_, value)| matches!(value.content, ValueContent::Encrypt(_))),
            SeedContent::Sql | SeedContent::Csv(_) => false,
        })
    }
}

impl SeedFile {
    /// The name below the seed directory.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The SHA-256 of the text with LF line endings, in hexadecimal.
    pub fn checksum(&self) -> &str {
        &self.checksum
    }
}

/// Reads and checks the seeds: first the files in the directory itself, then the files in the
/// profile's directory, each in name order. Reads `.yaml`, `.yml`, `.sql` and `.csv` files. Needs no
/// database.
///
/// # Errors
/// `Config` when the directory or the profile does not exist; `Seed`, with file, line and column,
/// when a file is wrong, or is none of these.
pub fn load(files: &Files, profile: &str) -> Result<SeedSet> {
    load_from(&Folder::open(files, &embedded::SEEDS, "seeds.path")?, profile)
}

fn load_from(folder: &Folder, profile: &str) -> Result<SeedSet> {
    let listing = folder.list()?;
    let has_directory = listing.directories.iter().any(|name| name == profile);
    if profile != DEFAULT_PROFILE && !has_directory {
        let failure = Error::new(
            Kind::Config,
            format!("seeds.profile: {} has no subdirectory {profile:?}", folder.label("")),
        );
        let known = listing.directories.iter().map(String::as_str).chain([DEFAULT_PROFILE]);
        return Err(match nearest(profile, known) {
            Some(near) => failure.hint(format!("did you mean {near:?}?")),
            None => failure.hint(format!("mkdir {}", folder.label(profile))),
        });
    }
    let mut files = read_all(folder, &listing.files, "")?;
    if has_directory {
        let own = folder.directory(profile);
        let listing = own.list()?;
        refuse_directories(&own, &listing)?;
        files.extend(read_all(&own, &listing.files, &format!("{profile}/"))?);
    }
    references::check(&files)?;
    Ok(SeedSet { profile: profile.to_owned(), files })
}

fn read_all(folder: &Folder, names: &[String], prefix: &str) -> Result<Vec<SeedFile>> {
    let mut seeds = Vec::new();
    for name in names {
        let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
        let read = || folder.read(name, Kind::Seed);
        let (source, content) = match extension.to_ascii_lowercase().as_str() {
            "yaml" | "yml" => {
                let source = read()?;
                let tables = yaml::parse(&source)?;
                (source, SeedContent::Yaml(tables))
            }
            "sql" => {
                let source = read()?;
                check_sql(&source)?;
                (source, SeedContent::Sql)
            }
            "csv" => (read()?, SeedContent::Csv(table_of(stem).to_owned())),
            _ if files::is_page(name) => continue,
            _ => return Err(no_seed(folder, name)),
        };
        let lf = source.text.replace("\r\n", "\n");
        let checksum = Sha256::digest(lf).iter().map(|byte| format!("{byte:02x}")).collect();
        seeds.push(SeedFile { name: format!("{prefix}{name}"), source, checksum, content });
    }
    Ok(seeds)
}

/// The error for a file that devdb would otherwise ignore in silence.
fn no_seed(folder: &Folder, name: &str) -> Error {
    let label = folder.label(name);
    let stem = name.split('.').next().unwrap_or(name);
    let failure = Error::new(Kind::Seed, format!("{label} is no seed file"))
        .because("devdb reads .yaml, .yml, .sql and .csv files");
    let extension = name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase());
    match extension.as_deref().unwrap_or_default() {
        "gz" => failure.hint(format!("gunzip {label}")),
        "zst" => failure.hint(format!("unzstd {label}")),
        "dump" | "backup" | "pgdump" => failure
            .hint(format!("pg_restore --data-only -f {} {label}", folder.label(&format!("{stem}.sql"))))
            .hint("or name the command that restores it in devdb.yaml: seeds.command and seeds.inputs"),
        "json" => failure
            .hint("write the rows as YAML (table, label, columns), or as CSV with the columns in the first line"),
        "js" | "ts" | "mjs" | "cjs" | "py" | "rb" | "php" | "sh" | "go" | "rs" | "exs" => failure
            .hint("name the command that runs it in devdb.yaml: seeds.command and seeds.inputs"),
        _ => failure,
    }
    .hint("move it out of this directory, or put a dot before its name")
}

/// Refuses directories inside the directory of a profile, which devdb would ignore. Those beside
/// it belong to other profiles.
fn refuse_directories(profile: &Folder, listing: &Listing) -> Result<()> {
    match listing.directories.first() {
        None => Ok(()),
        Some(name) => Err(Error::new(
            Kind::Seed,
            format!("{} is a directory inside a profile's directory", profile.label(name)),
        )
        .because("devdb reads only the files directly in it")
        .hint("move its files up, or put a dot before its name")),
    }
}

/// The table that a CSV file's name names: `020_readings` → `readings`.
fn table_of(stem: &str) -> &str {
    match stem.split_once(['_', '-']) {
        Some((digits, table)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => table,
        _ => stem,
    }
}

/// Refuses what only psql can do, and statements that begin or end a transaction, because all seeds
/// are applied in one.
fn check_sql(source: &SourceText) -> Result<()> {
    let scan = sql_scan::scan(&source.text);
    let mut failures = psql::refused(source, Kind::Seed, &scan);
    let controls = scan.statements.iter().filter(|statement| statement.controls_transaction());
    failures.extend(controls.map(|statement| {
        let place = Place::of_byte(&source.text, statement.start);
        source
            .error_at(Kind::Seed, place, "a seed may not begin or end a transaction")
            .because("devdb applies all seeds in one transaction")
            .hint("remove the statement")
    }));
    let label = &source.label;
    Error::joined(|count| format!("{label} has {count} faults"), failures).map_or(Ok(()), Err)
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
