//! What may be in a data directory that is carried in a file. The writer and the reader apply the
//! same rules, so that nothing is written that cannot be read, and nothing is read that would leave
//! the directory it is unpacked into.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use tar::{EntryType, Header};

/// More files than any development database has; it bounds the memory that names take.
const ENTRIES_MAX: usize = 2_000_000;

/// One entry of a data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Relative to the data directory; empty for itself.
    pub(super) path: PathBuf,
    pub(super) what: What,
    /// Permission bits, without setuid, setgid and sticky.
    pub(super) mode: u32,
    /// Seconds since 1970.
    pub(super) modified: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Directory,
    /// A file of so many bytes.
    File(u64),
    /// A symbolic link to a relative path.
    Link(PathBuf),
}

impl Entry {
    /// Reads a header; `path` is where it is in the data directory. The reason, when it is not to be
    /// carried.
    pub(super) fn read(header: &Header, path: PathBuf) -> Result<Entry, String> {
        let broken = |error: std::io::Error| format!("{}: {error}", shown(&path));
        let kind = header.entry_type();
        let what = match kind {
            EntryType::Directory => What::Directory,
            EntryType::Regular => What::File(header.size().map_err(broken)?),
            EntryType::Symlink => {
                let target = header.link_name_bytes().unwrap_or_default();
                What::Link(PathBuf::from(OsStr::from_bytes(&target)))
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
        Ok(Entry { path, what, mode, modified })
    }

    /// How many bytes its content has.
    pub(super) fn size(&self) -> u64 {
        if let What::File(size) = self.what { size } else { 0 }
    }

    /// Its header below `root`, in the plain form that needs no extension entries: whoever reads it
    /// need not hold names of any length. The reason, when its name is too long for that.
    pub(super) fn header(&self, root: &Path, owner: (u32, u32)) -> Result<Header, String> {
        let mut header = Header::new_ustar();
        let name = root.join(&self.path);
        header
            .set_path(&name)
            .map_err(|error| format!("{} cannot be named: {error}", shown(&self.path)))?;
        header.set_size(self.size());
        header.set_entry_type(match self.what {
            What::Directory => EntryType::Directory,
            What::File(_) => EntryType::Regular,
            What::Link(_) => EntryType::Symlink,
        });
        if let What::Link(target) = &self.what {
            header
                .set_link_name_literal(target.as_os_str().as_bytes())
                .map_err(|error| format!("the link {}: {error}", shown(&self.path)))?;
        }
        header.set_mode(self.mode);
        header.set_mtime(self.modified);
        header.set_uid(owner.0.into());
        header.set_gid(owner.1.into());
        header.set_cksum();
        Ok(header)
    }
}

/// The entries so far of a data directory.
#[derive(Debug, Default)]
pub(super) struct Tree {
    directories: HashSet<PathBuf>,
    others: HashSet<PathBuf>,
}

impl Tree {
    /// Takes one more entry. The reason, when it must not be there. An entry's parent must have come
    /// before it, and as a directory: so none is ever below a symbolic link.
    pub(super) fn admit(&mut self, entry: &Entry) -> Result<(), String> {
        let path = &entry.path;
        plain(path)?;
        if self.directories.contains(path) || self.others.contains(path) {
            return Err(format!("{} is there twice", shown(path)));
        }
        if path.parent().is_some_and(|parent| !self.directories.contains(parent)) {
            return Err(format!("{} is in no directory that came before it", shown(path)));
        }
        if self.directories.len() + self.others.len() >= ENTRIES_MAX {
            return Err(format!("there are more than {ENTRIES_MAX} entries"));
        }
        if let What::Link(target) = &entry.what {
            stays_inside(path, target)?;
        }
        match entry.what {
            What::Directory => self.directories.insert(path.clone()),
            _ if path.as_os_str().is_empty() => return Err("data is not a directory".into()),
            _ => self.others.insert(path.clone()),
        };
        Ok(())
    }

    /// Whether the data directory itself has been there.
    pub(super) fn is_begun(&self) -> bool {
        !self.directories.is_empty()
    }
}

/// A path without its `.` components; none when it is absolute or goes up.
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
        _ => Err(format!("{} is no plain relative path", shown(path))),
    }
}

/// `..` may only lead: the parents of a link are real directories, but what a name leads through
/// may be another link, and what is above that is not what it looks like.
fn stays_inside(path: &Path, target: &Path) -> Result<(), String> {
    let refused = |why: &str| {
        Err(format!("{} is a symbolic link to {}, {why}", shown(path), target.display()))
    };
    if path.starts_with("pg_tblspc") {
        return refused(
            "a tablespace outside the data directory: devdb carries data directories only",
        );
    }
    let mut height = path.components().count().saturating_sub(1);
    let mut named = false;
    for component in target.components() {
        match component {
            Component::Normal(_) => named = true,
            Component::CurDir => {}
            Component::ParentDir if named => return refused("and goes up after a name"),
            Component::ParentDir if height == 0 => return refused("outside the data directory"),
            Component::ParentDir => height -= 1,
            Component::Prefix(_) | Component::RootDir => return refused("an absolute path"),
        }
    }
    if target.as_os_str().is_empty() { refused("which is nothing") } else { Ok(()) }
}

/// A path of the data directory, for a message. It may hold anything, so it is quoted.
fn shown(path: &Path) -> String {
    format!("{:?}", Path::new(super::DATA).join(path))
}
