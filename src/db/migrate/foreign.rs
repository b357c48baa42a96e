//! Recognises the migrations of other tools, which devdb must not run as its own: half of a dbmate
//! file takes back what the other half did. Also refuses what devdb would ignore in silence.

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;

use super::tools::{self, MARKERS, SOURCES, Tool};
use crate::db::files::{self, Folder, Listing, SourceText};
use crate::error::{Error, Kind, Result};

/// The file that makes a directory a project.
const PROJECT_FILE: &str = "devdb.yaml";

/// How much of a file is read to find out which tool it belongs to.
const HEAD: u64 = 64 * 1024;

/// The words that an error about another tool's files has.
const OF: &str = " has migrations of ";

/// How many files an error names.
const NAMED: usize = 5;

/// Refuses a directory that another tool's files, or other entries than SQL files, are in. Pages
/// for people, such as a README, may be there.
///
/// # Errors
/// `Config`, with the tool and what to write into devdb.yaml.
pub(super) fn check(folder: &Folder, listing: &Listing) -> Result<()> {
    let Some(path) = folder.path() else { return Ok(()) };
    let directories = inside(folder, listing)?;
    if let Some((tool, evidence)) = tool_by_names(path, listing, &directories) {
        return Err(belongs_to(folder, tool).because(evidence));
    }
    let is_ignored = |name: &&String| !is_sql(name) && !files::is_page(name);
    let mut ignored: Vec<String> = listing.files.iter().filter(is_ignored).cloned().collect();
    let full = directories.iter().filter(|inside| !inside.is_empty());
    ignored.extend(full.map(|inside| format!("{}/", inside.name)));
    match ignored.is_empty() {
        true => Ok(()),
        false => Err(not_sql(path, &ignored)),
    }
}

fn inside<'a>(folder: &Folder, listing: &'a Listing) -> Result<Vec<Inside<'a>>> {
    let names = listing.directories.iter();
    names.map(|name| Ok(Inside { name, listing: folder.directory(name).list()? })).collect()
}

/// The tool that the names in a directory show, and how one sees it.
fn tool_by_names(
    path: &Path,
    listing: &Listing,
    directories: &[Inside<'_>],
) -> Option<(&'static Tool, String)> {
    directories.iter().find_map(Inside::tool).or_else(|| {
        listing.files.iter().find_map(|name| {
            let tool = tool_of_file(path, name)?;
            Some((tool, format!("{name} is a file of {}", tool.name)))
        })
    })
}

/// Refuses a file that another tool reads in parts, as its markers say.
///
/// # Errors
/// `Config`, with the line, the tool and what to write into devdb.yaml.
pub(super) fn check_markers(folder: &Folder, name: &str, source: &SourceText) -> Result<()> {
    let Some((tool, number, line)) = marker(source) else { return Ok(()) };
    let evidence = format!("{name}:{number} has a marker of {}: {line}", tool.name);
    Err(belongs_to(folder, tool)
        .because(evidence)
        .because("devdb would run the whole file, also what takes its changes back"))
}

/// The first line that only another tool understands, with its number.
fn marker(source: &SourceText) -> Option<(&'static Tool, usize, &str)> {
    MARKERS.iter().find_map(|marker| {
        let mut lines = source.text.lines().enumerate();
        let (index, line) = lines.find(|(_, line)| marker.is_in(line))?;
        Some((marker.tool, index + 1, line.trim()))
    })
}

/// Migrations of another tool in a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherTool {
    /// The tool's name.
    pub name: &'static str,
    /// Where its migrations are, relative to the project.
    pub place: &'static str,
    /// The section of devdb.yaml that lets the tool apply them. None when every project calls the
    /// tool in a way of its own.
    pub section: Option<String>,
}

/// Looks for migrations of another tool in a project that may have no devdb.yaml yet.
pub fn other_tool(root: &Path) -> Option<OtherTool> {
    PLACES.iter().find_map(|place| {
        let path = root.join(place);
        let folder = Folder::Disk(path.clone());
        let listing = folder.list().ok().filter(|_| path.is_dir())?;
        let directories = inside(&folder, &listing).ok()?;
        let by_marker = || {
            let name = listing.files.iter().find(|name| is_sql(name))?;
            let source = folder.read(name, Kind::Config).ok()?;
            marker(&source).map(|(tool, ..)| tool)
        };
        let by_names = tool_by_names(&path, &listing, &directories).map(|(tool, _)| tool);
        let tool = by_names.or_else(by_marker)?;
        Some(OtherTool { name: tool.name, place, section: tool.section(root, place) })
    })
}

/// Where other tools keep their migrations, relative to the project.
const PLACES: &[&str] = &[
    "prisma/migrations",
    "src/prisma/migrations",
    "packages/db/prisma/migrations",
    "drizzle",
    "db/migrations",
    "db/migrate",
    "alembic",
    "database/migrations",
    "priv/repo/migrations",
    "src/main/resources/db/migration",
    "sql/migrations",
    "sql/schema",
    "sql",
    "schema",
    "pkg/migrations",
    "internal/migrations",
    "internal/db/migrations",
    "crates/db/migrations",
    "src/migrations",
    "src/db/migrations",
    "migration/src",
    "migrations",
];

/// What to say when a directory has no migrations, but another one of the project has those of
/// another tool.
pub(super) fn elsewhere(directory: &Path) -> Option<String> {
    let root = directory.ancestors().skip(1).find(|above| above.join(PROJECT_FILE).exists())?;
    let others = PLACES.iter().map(|place| root.join(place));
    let error = others.filter(|place| place != directory && place.is_dir()).find_map(|place| {
        let folder = Folder::Disk(place);
        let listing = folder.list().ok()?;
        let refusal = check(&folder, &listing).err().or_else(|| {
            let name = listing.files.iter().find(|name| is_sql(name))?;
            let source = folder.read(name, Kind::Config).ok()?;
            check_markers(&folder, name, &source).err()
        })?;
        refusal.message().contains(OF).then_some(refusal)
    })?;
    let hint = error.hints().first()?;
    Some(format!("{}, and devdb applies none of them. To change that: {hint}", error.message()))
}

/// A subdirectory and what is in it.
struct Inside<'a> {
    name: &'a str,
    listing: Listing,
}

impl Inside<'_> {
    fn is_empty(&self) -> bool {
        let Listing { files, directories } = &self.listing;
        (files.is_empty() && directories.is_empty()) || self.name == "__pycache__"
    }

    fn has(&self, file: &str) -> bool {
        self.listing.files.iter().any(|name| name == file)
    }

    /// The tool that keeps its migrations in such a directory, and how one sees it.
    fn tool(&self) -> Option<(&'static Tool, String)> {
        let (tool, file) = tools::LAYOUTS.iter().find_map(|layout| {
            let fits = layout.directory.is_none_or(|name| name == self.name);
            let missing = layout.files.iter().any(|file| !self.has(file));
            (fits && !missing).then_some((layout.tool, layout.files[0]))
        })?;
        Some((tool, format!("{}/{file} is where {} keeps it", self.name, tool.name)))
    }
}

/// The tool that a file belongs to, by its name or by what is in it.
fn tool_of_file(directory: &Path, name: &str) -> Option<&'static Tool> {
    if let Some((_, tool)) = tools::FILES.iter().find(|(file, _)| *file == name) {
        return Some(tool);
    }
    if is_sql(name) {
        return is_flyway_name(name).then(|| versioned_by(directory));
    }
    let (_, extension) = name.rsplit_once('.')?;
    let mut sources = SOURCES.iter().filter(|source| source.extensions.contains(&extension));
    let first = sources.clone().next()?;
    let head = head(&directory.join(name));
    let by_content = sources.find(|source| source.words.iter().any(|word| head.contains(word)));
    match by_content {
        Some(source) => Some(source.tool),
        // Any file of this kind can only be another tool's.
        None => first.is_certain().then_some(first.tool),
    }
}

fn is_sql(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".sql")
}

/// `V1__users.sql`, `V1.2__x.sql`, `U1__x.sql`, `B3__x.sql` or `R__view.sql`.
fn is_flyway_name(name: &str) -> bool {
    let Some((version, _)) = name.split_once("__") else { return false };
    let digits = |rest: &str| {
        rest.starts_with(|c: char| c.is_ascii_digit())
            && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'_')
    };
    version == "R" || version.strip_prefix(['V', 'U', 'B']).is_some_and(digits)
}

/// refinery took its names from Flyway; a Rust project uses refinery.
fn versioned_by(directory: &Path) -> &'static Tool {
    let is_rust = directory.ancestors().take(3).any(|above| above.join("Cargo.toml").exists());
    if is_rust { &tools::REFINERY } else { &tools::FLYWAY }
}

fn head(path: &Path) -> String {
    let mut head = Vec::new();
    if path.is_file()
        && let Ok(file) = std::fs::File::open(path)
    {
        // What cannot be read has no words.
        drop(file.take(HEAD).read_to_end(&mut head));
    }
    String::from_utf8_lossy(&head).into_owned()
}

fn belongs_to(folder: &Folder, tool: &Tool) -> Error {
    let failure = Error::new(
        Kind::Config,
        format!("{}{OF}{}", folder.label("").trim_end_matches('/'), tool.name),
    )
    .note(format!(
        "devdb does not run the files of {} itself. It runs the command that applies them, \
         whenever the files have changed",
        tool.name
    ));
    let section = folder.path().and_then(|path| section(path, tool));
    match section {
        Some(section) => {
            failure.hint(format!("{section}   in devdb.yaml, in place of the section `migrations`"))
        }
        None => failure.hint(
            "name the command that applies them in devdb.yaml: migrations.command, and the files \
             that it reads: migrations.inputs",
        ),
    }
}

/// The section of devdb.yaml that lets a tool apply the files of a directory, on one line.
fn section(directory: &Path, tool: &Tool) -> Option<String> {
    let root = directory.ancestors().find(|above| above.join(PROJECT_FILE).exists())?;
    let inside = directory.strip_prefix(root).ok()?.to_str()?;
    tool.section(root, inside)
}

fn not_sql(directory: &Path, ignored: &[String]) -> Error {
    let mut names = ignored.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if let Some(more @ 1..) = ignored.len().checked_sub(NAMED) {
        _ = write!(names, " and {more} more");
    }
    let is = if ignored.len() == 1 { "is no SQL file" } else { "are no SQL files" };
    let compressed = ignored.iter().find_map(|name| {
        [".gz", ".zst", ".bz2", ".xz", ".zip"].iter().find(|ending| name.ends_with(**ending))
    });
    let failure = Error::new(Kind::Config, format!("{}: {names} {is}", directory.display()))
        .because("devdb applies the .sql files directly in this directory and nothing else");
    match compressed {
        Some(_) => failure.hint("unpack the file, or move it out of this directory"),
        None if ignored.iter().all(|name| name.ends_with('/')) => failure
            .hint("move the SQL files up into the directory itself, or name another directory in `migrations.path`")
            .hint("put a dot before the name of a directory that devdb is not to read"),
        None => failure
            .hint("move it out of this directory, or put a dot before its name")
            .hint(
                "if another tool reads it, name that tool's command in devdb.yaml: \
                 migrations.command and migrations.inputs",
            ),
    }
}

#[cfg(test)]
#[path = "foreign_tests.rs"]
mod tests;
