//! Reads the files of migrations and seeds, from a directory or from the binary.

use std::path::{Path, PathBuf};

use include_dir::Dir;

use super::place::{self, Place};
use crate::disk;
use crate::error::{Error, Kind, Result, ResultExt};
use crate::spec::Files;

/// A file's text and its path.
#[derive(Debug, Clone)]
pub(super) struct SourceText {
    /// The path as messages show it.
    pub label: String,
    /// The content as on disk.
    pub text: String,
}

impl SourceText {
    /// An error at a place: `label:line:column: message`, with the lines around it.
    pub fn error_at(&self, kind: Kind, place: Place, message: impl std::fmt::Display) -> Error {
        Error::new(kind, format!("{}:{place}: {message}", self.label))
            .excerpt(place::excerpt(&without_secrets(&self.text), place))
    }
}

/// The text with asterisks for the values behind `!encrypt`, which may go on in deeper lines. Lines
/// and columns stay the same.
fn without_secrets(text: &str) -> String {
    let mask = |c: char| if c.is_whitespace() { c } else { '*' };
    let mut masked = String::with_capacity(text.len());
    // The indentation of the line with the tag, as long as deeper lines belong to its value.
    let mut within: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let indentation = line.len() - line.trim_start_matches([' ', '-']).len();
        if !line.trim().is_empty() {
            within = within.filter(|tagged| indentation > *tagged);
        }
        match line.split_once("!encrypt") {
            _ if within.is_some() => masked.extend(line.chars().map(mask)),
            None => masked.push_str(line),
            Some((before, secret)) => {
                within = Some(indentation);
                masked.push_str(before);
                masked.push_str("!encrypt");
                masked.extend(secret.chars().map(mask));
            }
        }
    }
    masked
}

/// A directory of migrations or seeds.
#[derive(Clone)]
pub(super) enum Folder {
    Disk(PathBuf),
    Embedded(&'static Dir<'static>),
    /// It does not exist, and need not.
    Absent,
}

/// The names in a [`Folder`], without those that devdb [passes over](is_passed_over).
pub(super) struct Listing {
    /// The names of files, sorted. A socket or a link to a missing file counts as a file, because
    /// reading it fails and says why.
    pub files: Vec<String>,
    /// The names of directories, sorted.
    pub directories: Vec<String>,
}

/// Endings of files that editors, `patch` and desktops leave, and that people do not mean.
const LEFT_OVER: &[&str] = &["~", ".bak", ".orig", ".rej", ".tmp", ".swp", ".swo", ".swx"];

/// Files that desktops write into a directory.
const OF_DESKTOPS: &[&str] = &["Thumbs.db", "desktop.ini"];

/// Endings of pages that people read.
const PAGES: &[&str] = &[".md", ".txt", ".rst", ".adoc"];

/// Whether devdb says nothing about an entry of a directory: hidden ones, and what editors and
/// desktops leave.
pub(super) fn is_passed_over(name: &str) -> bool {
    name.starts_with('.')
        || (name.starts_with('#') && name.ends_with('#'))
        || LEFT_OVER.iter().any(|ending| name.ends_with(ending))
        || OF_DESKTOPS.contains(&name)
}

/// Whether a file is a page that people read, such as a README.
pub(super) fn is_page(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    PAGES.iter().any(|ending| name.ends_with(ending))
        || (!name.contains('.') && (name.starts_with("readme") || name.starts_with("license")))
}

impl Folder {
    /// Opens the directory that a setting (`migrations.path`) names.
    ///
    /// # Errors
    /// `Config` when the directory does not exist and a person named it.
    pub fn open(files: &Files, embedded: &'static Dir<'static>, setting: &str) -> Result<Folder> {
        let (path, required) = match files {
            Files::Directory { path, required } => (path, required),
            Files::Embedded => return Ok(Folder::Embedded(embedded)),
        };
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Ok(Folder::Disk(path.clone())),
            Ok(_) => Err(Error::new(
                Kind::Config,
                format!("{setting}: {} is not a directory", path.display()),
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => {
                Ok(Folder::Absent)
            }
            Err(error) => {
                Err(Error::new(Kind::Config, format!("{setting}: cannot read {}", path.display()))
                    .because(error)
                    .hint(format!(
                        "mkdir {}   or correct `{setting}` in devdb.yaml",
                        path.display()
                    )))
            }
        }
    }

    /// The subdirectory of this name.
    pub fn directory(&self, name: &str) -> Folder {
        match self {
            Folder::Disk(path) => Folder::Disk(path.join(name)),
            Folder::Embedded(directory) => directory
                .dirs()
                .find(|child| child.path().file_name().is_some_and(|found| found == name))
                .map_or(Folder::Absent, Folder::Embedded),
            Folder::Absent => Folder::Absent,
        }
    }

    /// The names of its files and subdirectories.
    ///
    /// # Errors
    /// `Config` when the directory cannot be read, or a name is not UTF-8.
    pub fn list(&self) -> Result<Listing> {
        let mut listing = Listing { files: Vec::new(), directories: Vec::new() };
        match self {
            Folder::Absent => {}
            Folder::Embedded(directory) => {
                let name =
                    |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
                listing.files.extend(directory.files().filter_map(|file| name(file.path())));
                listing.directories.extend(directory.dirs().filter_map(|dir| name(dir.path())));
            }
            Folder::Disk(path) => {
                let unreadable = || format!("cannot read the directory {}", path.display());
                for entry in std::fs::read_dir(path).or_fail(Kind::Config, unreadable)? {
                    let entry = entry.or_fail(Kind::Config, unreadable)?;
                    let name = match entry.file_name().into_string() {
                        Ok(name) => name,
                        Err(name) if is_passed_over(&name.to_string_lossy()) => continue,
                        Err(name) => return Err(name_not_utf8(path, &name)),
                    };
                    match entry.path().is_dir() {
                        true => listing.directories.push(name),
                        false => listing.files.push(name),
                    }
                }
            }
        }
        for names in [&mut listing.files, &mut listing.directories] {
            names.retain(|name| !is_passed_over(name));
            names.sort();
        }
        Ok(listing)
    }

    /// Its path, if it is a directory on the disk.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Folder::Disk(path) => Some(path),
            Folder::Embedded(_) | Folder::Absent => None,
        }
    }

    /// The path of one of its files as messages show it.
    pub fn label(&self, name: &str) -> String {
        match self {
            Folder::Disk(path) => path.join(name).display().to_string(),
            Folder::Embedded(directory) => {
                format!("the sample project's {}", directory.path().join(name).display())
            }
            Folder::Absent => name.to_owned(),
        }
    }

    /// Reads one of its files.
    ///
    /// # Errors
    /// An error of this `kind` when the file is not a regular file, cannot be read or is not UTF-8.
    pub fn read(&self, name: &str, kind: Kind) -> Result<SourceText> {
        let label = self.label(name);
        let bytes = match self {
            Folder::Disk(path) => disk::read_regular(&path.join(name), kind)?,
            Folder::Embedded(directory) => directory
                .get_file(directory.path().join(name))
                .map(|file| file.contents().to_vec())
                .unwrap_or_default(),
            Folder::Absent => Vec::new(),
        };
        match String::from_utf8(bytes) {
            Ok(text) => Ok(SourceText { label, text }),
            Err(error) => Err(not_utf8(&label, &error, kind)),
        }
    }
}

fn name_not_utf8(directory: &Path, name: &std::ffi::OsStr) -> Error {
    Error::new(Kind::Config, format!("the name {name:?} in {} is not UTF-8", directory.display()))
        .because("devdb and PostgreSQL record the names of files as text")
        .hint("rename the file")
}

/// What a binary file is, and how it becomes SQL text. None for other files.
fn binary(label: &str, bytes: &[u8]) -> Option<(&'static str, String)> {
    let unpack = |program: &str| format!("{program} < {label} > NEW.sql   unpacks the file");
    let restore = || format!("pg_restore -f NEW.sql {label}   writes the archive as SQL");
    match bytes {
        [b'P', b'G', b'D', b'M', b'P', ..] => Some(("an archive of pg_dump -Fc", restore())),
        _ if bytes.starts_with(b"toc.dat\0") => Some(("an archive of pg_dump -Ft", restore())),
        [0x1f, 0x8b, ..] => Some(("compressed by gzip", unpack("gzip -d"))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(("compressed by zstd", unpack("zstd -d"))),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(("compressed by xz", unpack("xz -d"))),
        _ => None,
    }
}

fn not_utf8(label: &str, error: &std::string::FromUtf8Error, kind: Kind) -> Error {
    let bytes = error.as_bytes();
    if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] = bytes {
        return Error::new(kind, format!("{label} is UTF-16")).hint("save the file as UTF-8");
    }
    if let Some((what, hint)) = binary(label, bytes) {
        return Error::new(kind, format!("{label} is {what}, and no SQL text")).hint(hint);
    }
    let valid = error.utf8_error().valid_up_to();
    let place = Place::of_byte(&String::from_utf8_lossy(&bytes[..valid]), valid);
    Error::new(kind, format!("{label}:{place}: not UTF-8"))
        .because(format!("no character begins with the byte 0x{:02x}", bytes[valid]))
        .hint("save the file as UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_a_secret_is_shown() {
        let text = "t:\n  a:\n    key: !encrypt |\n      sk live\n\n      more\n    bad: 1\n";
        let masked = "t:\n  a:\n    key: !encrypt *\n      ** ****\n\n      ****\n    bad: 1\n";
        assert_eq!(without_secrets(text), masked);
        assert_eq!(without_secrets("k: !encrypt\n  x y\nz: 1"), "k: !encrypt\n  * *\nz: 1");
        assert_eq!(without_secrets("k: {a: !encrypt x}\nz: 1"), "k: {a: !encrypt **\nz: 1");
    }

    #[test]
    fn a_binary_file_is_named_with_the_way_to_sql() {
        let directory = tempfile::tempdir().unwrap();
        for (bytes, what, way) in [
            (&b"PGDMP\x01\x0e\xff"[..], "an archive of pg_dump -Fc", "pg_restore -f NEW.sql"),
            (b"toc.dat\0\xff", "an archive of pg_dump -Ft", "pg_restore -f NEW.sql"),
            (b"\x1f\x8b\x08\x00", "compressed by gzip", "gzip -d <"),
            (b"\x28\xb5\x2f\xfd", "compressed by zstd", "zstd -d <"),
        ] {
            std::fs::write(directory.path().join("a.sql"), bytes).unwrap();
            let folder = Folder::Disk(directory.path().to_owned());
            let error = folder.read("a.sql", Kind::Config).err().unwrap();
            assert!(error.message().contains(what), "{error}");
            assert!(error.hints()[0].starts_with(way), "{:?}", error.hints());
        }
    }

    #[test]
    fn text_that_is_not_utf8_is_refused_with_its_place() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.sql"), b"select 1;\nselect '\xfcber';").unwrap();
        std::fs::write(directory.path().join("b.sql"), b"\xff\xfes\0").unwrap();
        let folder = Folder::Disk(directory.path().to_owned());
        let error = folder.read("a.sql", Kind::Config).unwrap_err();
        assert!(error.message().ends_with("a.sql:2:9: not UTF-8"), "{error}");
        let error = folder.read("b.sql", Kind::Config).unwrap_err();
        assert!(error.message().ends_with("b.sql is UTF-16"), "{error}");
    }

    #[test]
    fn what_is_no_file_is_named_and_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let mkfifo = std::process::Command::new("mkfifo").arg(path("a.sql")).status().unwrap();
        assert!(mkfifo.success());
        let _socket = std::os::unix::net::UnixListener::bind(path("b.sql")).unwrap();
        std::os::unix::fs::symlink("/dev/null", path("c.sql")).unwrap();
        std::os::unix::fs::symlink("nowhere.sql", path("d.sql")).unwrap();
        let folder = Folder::Disk(directory.path().to_owned());
        for (name, what) in [
            ("a.sql", "a FIFO"),
            ("b.sql", "a socket"),
            ("c.sql", "a device"),
            ("d.sql", "a link to nowhere.sql, which does not exist"),
        ] {
            let error = folder.read(name, Kind::Seed).unwrap_err();
            assert!(error.message().ends_with(name), "{error}");
            assert!(error.causes()[0].starts_with(&format!("it is {what}")), "{error}");
        }
    }

    #[test]
    fn a_name_that_is_not_utf8_is_named_and_hidden_files_are_not() {
        use std::os::unix::ffi::OsStrExt;
        let directory = tempfile::tempdir().unwrap();
        for name in [".hidden", "1_a.sql~", "1_a.sql.orig", "#1_a.sql#", "Thumbs.db", "1_a.sql"] {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        let folder = Folder::Disk(directory.path().to_owned());
        assert_eq!(folder.list().unwrap().files, ["1_a.sql"]);
        let name = std::ffi::OsStr::from_bytes(b"1_\xff.sql");
        std::fs::write(directory.path().join(name), "").unwrap();
        let error = folder.list().map(|listing| listing.files).unwrap_err();
        assert!(error.message().starts_with("the name \"1_\\xFF.sql\" in "), "{error}");
    }
}
