//! The rules for the entries of a data directory in a file. The writer and the reader apply the
//! same rules, so the reader accepts every file that the writer makes. No entry leads outside of
//! the directory that it is unpacked into.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use tar::{EntryType, Header};

use super::FileOwner;

/// A limit for the memory that names take. No development database has so many files.
const ENTRIES_MAX: usize = 2_000_000;

/// One entry of a data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Relative to the data directory; empty for the data directory itself.
    pub(super) path: PathBuf,
    pub(super) kind: EntryKind,
    /// Permission bits without setuid, setgid and sticky.
    pub(super) mode: u32,
    /// Seconds since 1970.
    pub(super) modified: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EntryKind {
    Directory,
    /// A file with its size in bytes.
    File(u64),
    /// A symbolic link to a relative path.
    Link(PathBuf),
}

impl Entry {
    /// Reads the header of the entry that is at `path` in the data directory.
    ///
    /// # Errors
    /// The reason why a file must not contain the entry.
    pub(super) fn read(header: &Header, path: PathBuf) -> Result<Entry, String> {
        let broken = |error: std::io::Error| format!("{}: {error}", shown(&path));
        let kind = match header.entry_type() {
            EntryType::Directory => EntryKind::Directory,
            EntryType::Regular => EntryKind::File(header.size().map_err(broken)?),
            EntryType::Symlink => {
                let target = header.link_name_bytes().unwrap_or_default();
                EntryKind::Link(PathBuf::from(OsStr::from_bytes(&target)))
            }
            EntryType::Link => return Err(format!("{} is a hard link", shown(&path))),
            other => {
                return Err(format!(
                    "{} is neither a file nor a directory (tar type {:?})",
                    shown(&path),
                    char::from(other.as_byte())
                ));
            }
        };
        let mode = header.mode().map_err(broken)? & 0o777;
        let modified = header.mtime().map_err(broken)?;
        Ok(Entry { path, kind, mode, modified })
    }

    /// The size of its content in bytes.
    pub(super) fn size(&self) -> u64 {
        if let EntryKind::File(size) = self.kind { size } else { 0 }
    }

    /// Its header for a tar stream whose root is `root`. The header never needs extension entries,
    /// so a reader needs little memory for a name.
    ///
    /// # Errors
    /// The reason when its name is too long.
    pub(super) fn header(&self, root: &Path, owner: FileOwner) -> Result<Header, String> {
        let mut header = Header::new_ustar();
        let name = root.join(&self.path);
        header
            .set_path(&name)
            .map_err(|error| format!("the name {} cannot be stored: {error}", shown(&self.path)))?;
        header.set_size(self.size());
        header.set_entry_type(match self.kind {
            EntryKind::Directory => EntryType::Directory,
            EntryKind::File(_) => EntryType::Regular,
            EntryKind::Link(_) => EntryType::Symlink,
        });
        if let EntryKind::Link(target) = &self.kind {
            header.set_link_name_literal(target.as_os_str().as_bytes()).map_err(|error| {
                format!("the target of the link {} cannot be stored: {error}", shown(&self.path))
            })?;
        }
        header.set_mode(self.mode);
        header.set_mtime(self.modified);
        header.set_uid(owner.user_id.into());
        header.set_gid(owner.group_id.into());
        header.set_cksum();
        Ok(header)
    }
}

/// The entries of a data directory that have been read or written so far.
#[derive(Debug, Default)]
pub(super) struct Tree {
    directories: HashSet<PathBuf>,
    others: HashSet<PathBuf>,
}

impl Tree {
    /// Adds an entry. Its parent must be a directory that was added before, so no entry is ever
    /// below a symbolic link.
    ///
    /// # Errors
    /// The reason why the entry must not be there.
    pub(super) fn admit(&mut self, entry: &Entry) -> Result<(), String> {
        let path = &entry.path;
        plain(path)?;
        if self.directories.contains(path) || self.others.contains(path) {
            return Err(format!("it contains {} twice", shown(path)));
        }
        if path.parent().is_some_and(|parent| !self.directories.contains(parent)) {
            return Err(format!("{} comes before its directory", shown(path)));
        }
        if self.directories.len() + self.others.len() >= ENTRIES_MAX {
            return Err(format!("it contains more than {ENTRIES_MAX} entries"));
        }
        if let EntryKind::Link(target) = &entry.kind {
            stays_inside(path, target)?;
        }
        match entry.kind {
            EntryKind::Directory => self.directories.insert(path.clone()),
            _ if path.as_os_str().is_empty() => return Err("data is not a directory".into()),
            _ => self.others.insert(path.clone()),
        };
        Ok(())
    }

    /// Whether the data directory itself was added.
    pub(super) fn is_begun(&self) -> bool {
        !self.directories.is_empty()
    }
}

/// The path without its `.` components; none when it is absolute or has a `..`.
pub(super) fn relative(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::ParentDir => return None,
        }
    }
    Some(clean)
}

fn plain(path: &Path) -> Result<(), String> {
    match relative(path) {
        Some(clean) if clean.as_os_str() == path.as_os_str() => Ok(()),
        _ => Err(format!("{} is not a plain relative path", shown(path))),
    }
}

/// Refuses a link that leads outside of the data directory. `..` may stand only at the beginning of
/// the target: the parents of the link are real directories, but a name in the target may be
/// another link, and then `..` leads to that link's target's parent.
fn stays_inside(path: &Path, target: &Path) -> Result<(), String> {
    let refused =
        |why: &str| Err(format!("{} is a symbolic link to {:?}, {why}", shown(path), target));
    if path.starts_with("pg_tblspc") {
        return refused(
            "a tablespace outside of the data directory; devdb saves data directories only",
        );
    }
    let mut height = path.components().count().saturating_sub(1);
    let mut named = false;
    for component in target.components() {
        match component {
            Component::Normal(_) => named = true,
            Component::CurDir => {}
            Component::ParentDir if named => return refused("which has \"..\" behind a name"),
            Component::ParentDir if height == 0 => {
                return refused("which is outside of the data directory");
            }
            Component::ParentDir => height -= 1,
            Component::Prefix(_) | Component::RootDir => return refused("an absolute path"),
        }
    }
    if target.as_os_str().is_empty() { refused("an empty path") } else { Ok(()) }
}

/// A path of the data directory, for a message. It is quoted because it may have any characters.
fn shown(path: &Path) -> String {
    format!("{:?}", Path::new(super::DATA).join(path))
}
