//! What devdb wrote into env files: a digest of each value, so that devdb knows its own lines later,
//! also when the database that they describe is gone.

use std::collections::HashSet;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::Store;
use crate::disk;
use crate::error::{Kind, Result, ResultExt};
use crate::spec::digest;

/// How many values devdb remembers at least. One `devdb env --write` writes a dozen.
const REMEMBERED: usize = 5000;

/// The values that devdb wrote into one env file.
#[derive(Debug)]
pub struct Written {
    place: String,
    digests: HashSet<String>,
}

impl Written {
    /// Whether devdb wrote this value of a variable.
    pub fn has(&self, name: &str, value: &str) -> bool {
        self.digests.contains(&digest([&*self.place, name, value]))
    }
}

impl Store {
    fn written_file(&self) -> PathBuf {
        self.root().join("written")
    }

    /// What devdb wrote into the env file at `path`.
    ///
    /// # Errors
    /// `Unexpected` when the list cannot be read.
    pub fn written(&self, path: &Path) -> Result<Written> {
        let file = self.written_file();
        let text = match fs::read_to_string(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            read => read.or_fail(Kind::Unexpected, || format!("cannot read {}", file.display()))?,
        };
        Ok(Written { place: place(path), digests: text.lines().map(str::to_owned).collect() })
    }

    /// Remembers what devdb wrote into the env file at `path`.
    ///
    /// # Errors
    /// `Unexpected` when the list cannot be written.
    pub fn note_written(&self, path: &Path, values: &[(String, String)]) -> Result<()> {
        let file = self.written_file();
        let place = place(path);
        let known = self.written(path)?;
        let lines: String = values
            .iter()
            .filter(|(name, value)| !known.has(name, value))
            .map(|(name, value)| digest([&*place, name, value]) + "\n")
            .collect();
        let write = || {
            if known.digests.len() > 2 * REMEMBERED {
                let text = fs::read_to_string(&file)?;
                let all: Vec<&str> = text.lines().collect();
                let rest = all[all.len().saturating_sub(REMEMBERED)..].join("\n") + "\n";
                disk::Draft::new(&file, rest.as_bytes())?.replace()?;
            }
            // One write at the end of the file, so that two processes do not mix their lines.
            let mut options = fs::OpenOptions::new();
            options.create(true).append(true).mode(0o600);
            options.open(&file)?.write_all(lines.as_bytes())
        };
        write().or_fail(Kind::Unexpected, || format!("cannot write {}", file.display()))
    }
}

/// The path without symbolic links, as far as it exists.
fn place(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let name = path.file_name().unwrap_or_default();
    let whole = path.canonicalize();
    let place =
        whole.or_else(|_| disk::parent(&path).canonicalize().map(|parent| parent.join(name)));
    place.unwrap_or(path).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_known_in_the_file_that_it_was_written_into() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(&home.path().join("data")).unwrap();
        let (here, there) = (home.path().join(".env"), home.path().join("other"));
        let value = |value: &str| vec![("A".to_owned(), value.to_owned())];
        store.note_written(&here, &value("1")).unwrap();
        store.note_written(&here, &value("1")).unwrap();
        // A link to the file is the same file.
        fs::write(&here, "").unwrap();
        std::os::unix::fs::symlink(&here, home.path().join("link")).unwrap();
        let known = store.written(&home.path().join("link")).unwrap();
        assert!(known.has("A", "1") && !known.has("A", "2") && !known.has("B", "1"));
        assert!(!store.written(&there).unwrap().has("A", "1"));
        let text = fs::read_to_string(store.written_file()).unwrap();
        assert_eq!(text.lines().count(), 1);
        let many: Vec<_> = (0..2 * REMEMBERED + 1).map(|n| ("B".into(), n.to_string())).collect();
        store.note_written(&here, &many).unwrap();
        store.note_written(&here, &value("3")).unwrap();
        let known = store.written(&here).unwrap();
        assert!(known.has("A", "3") && known.has("B", "10000") && !known.has("A", "1"));
    }
}
