//! Finds and reads the seed files, and makes all checks that need no database.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::file::{Seed, SeedContent, SeedFile};
use super::known::{Known, Stats};
use super::yaml::ValueContent;
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
    /// The directory; none for a set without seeds.
    directory: Option<Files>,
    /// The contents, once they were read.
    seeds: OnceLock<Arc<Vec<Seed>>>,
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
        self.files.iter().any(|file| file.encrypts)
    }

    /// Whether an `!encrypt` value occurs in one of the files with these names.
    pub fn encrypts(&self, names: &[String]) -> bool {
        self.files.iter().any(|file| file.encrypts && names.contains(&file.name))
    }

    /// The contents of the files. Reads them now, if [`load`] did not have to.
    ///
    /// # Errors
    /// As [`load`]; `Config` when a file has changed since.
    pub(super) fn seeds(&self) -> Result<Arc<Vec<Seed>>> {
        if let Some(seeds) = self.seeds.get() {
            return Ok(Arc::clone(seeds));
        }
        let Some(directory) = &self.directory else { return Ok(Arc::default()) };
        let seeds = read(&find(directory, &self.profile)?)?;
        if !seeds.iter().map(|seed| &seed.file).eq(&self.files) {
            return Err(Error::new(Kind::Config, "the seed files have just changed")
                .hint("run the command again"));
        }
        Ok(Arc::clone(self.seeds.get_or_init(|| Arc::new(seeds))))
    }
}

impl SeedContent {
    fn encrypts(&self) -> bool {
        match self {
            SeedContent::Yaml(tables) => tables
                .iter()
                .flat_map(|table| &table.rows)
                .flat_map(|row| &row.values)
                .any(|(_, value)| matches!(value.content, ValueContent::Encrypt(_))),
            SeedContent::Sql | SeedContent::Csv(_) => false,
        }
    }
}

/// Reads and checks the seeds: first the files in the directory itself, then the files in the
/// profile's directory, each in name order. Reads `.yaml`, `.yml`, `.sql` and `.csv` files. Needs no
/// database. With a file for `notes`, devdb checks again only what has changed since it wrote them.
///
/// # Errors
/// `Config` when the directory or the profile does not exist; `Seed`, with file, line and column,
/// when a file is wrong, or is none of these.
pub fn load(directory: &Files, profile: &str, notes: Option<&Path>) -> Result<SeedSet> {
    let now = SystemTime::now();
    let found = find(directory, profile)?;
    let paths: Option<Vec<PathBuf>> = found.iter().map(Found::path).collect();
    let notes = notes.zip(paths);
    let set = |files: Vec<SeedFile>, seeds: OnceLock<Arc<Vec<Seed>>>| SeedSet {
        profile: profile.to_owned(),
        files,
        directory: Some(directory.clone()),
        seeds,
    };
    if let Some((notes, paths)) = &notes
        && let Some(files) = Known::read(notes).and_then(|known| known.all(paths))
    {
        return Ok(set(files, OnceLock::new()));
    }
    let stats = notes.map(|(notes, paths)| (notes, Stats::of(paths, now)));
    let seeds = read(&found)?;
    let files: Vec<SeedFile> = seeds.iter().map(|seed| seed.file.clone()).collect();
    if let Some((notes, stats)) = stats {
        Known::note(notes, stats, &files);
    }
    Ok(set(files, OnceLock::from(Arc::new(seeds))))
}

/// A seed file that was found and not read yet.
struct Found {
    folder: Folder,
    /// The name in the folder.
    file: String,
    /// The name below the seed directory.
    name: String,
}

impl Found {
    /// The path, if it is a file on the disk.
    fn path(&self) -> Option<PathBuf> {
        Some(self.folder.path()?.join(&self.file))
    }
}

/// Whether the profile has a directory, or needs none. True when devdb cannot look.
pub fn has_profile(directory: &Files, profile: &str) -> bool {
    let listing = Folder::open(directory, &embedded::SEEDS, "seeds.path").and_then(|it| it.list());
    listing.map_or(true, |listing| profile == DEFAULT_PROFILE || has_directory(&listing, profile))
}

fn has_directory(listing: &Listing, profile: &str) -> bool {
    listing.directories.iter().any(|name| name == profile)
}

fn find(directory: &Files, profile: &str) -> Result<Vec<Found>> {
    let folder = Folder::open(directory, &embedded::SEEDS, "seeds.path")?;
    let listing = folder.list()?;
    let has_directory = has_directory(&listing, profile);
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
    let mut found = find_in(&folder, &listing.files, "")?;
    if has_directory {
        let own = folder.directory(profile);
        let listing = own.list()?;
        refuse_directories(&own, &listing)?;
        found.extend(find_in(&own, &listing.files, &format!("{profile}/"))?);
    }
    Ok(found)
}

fn find_in(folder: &Folder, names: &[String], prefix: &str) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for name in names {
        match extension(name).as_str() {
            "yaml" | "yml" | "sql" | "csv" => found.push(Found {
                folder: folder.clone(),
                file: name.clone(),
                name: format!("{prefix}{name}"),
            }),
            _ if files::is_page(name) => {}
            _ => return Err(no_seed(folder, name)),
        }
    }
    Ok(found)
}

/// What follows the last dot of a file's name, in small letters.
fn extension(name: &str) -> String {
    name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).unwrap_or_default()
}

fn read(found: &[Found]) -> Result<Vec<Seed>> {
    let seeds: Vec<Seed> = found.iter().map(read_one).collect::<Result<_>>()?;
    references::check(&seeds)?;
    Ok(seeds)
}

fn read_one(found: &Found) -> Result<Seed> {
    let source = found.folder.read(&found.file, Kind::Seed)?;
    let content = match extension(&found.file).as_str() {
        "sql" => {
            check_sql(&source)?;
            SeedContent::Sql
        }
        "csv" => {
            let stem = found.file.rsplit_once('.').map_or("", |(stem, _)| stem);
            SeedContent::Csv(table_of(stem).to_owned())
        }
        _ => SeedContent::Yaml(yaml::parse(&source)?),
    };
    let lf = source.text.replace("\r\n", "\n");
    let checksum = Sha256::digest(lf).iter().map(|byte| format!("{byte:02x}")).collect();
    let file = SeedFile { name: found.name.clone(), checksum, encrypts: content.encrypts() };
    Ok(Seed { file, source, content })
}

/// The error for a file that devdb would otherwise ignore in silence.
fn no_seed(folder: &Folder, name: &str) -> Error {
    let label = folder.label(name);
    let stem = name.split('.').next().unwrap_or(name);
    let failure = Error::new(Kind::Seed, format!("{label} is no seed file"))
        .because("devdb reads .yaml, .yml, .sql and .csv files");
    match extension(name).as_str() {
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
