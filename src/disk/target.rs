//! The place of a file that a person named.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::regular::describe;
use crate::error::{Error, Kind, Result, ResultExt};

/// Where a file is to be written.
#[derive(Debug)]
pub struct Target {
    /// The path at the end of the symbolic links.
    pub path: PathBuf,
    /// The regular file that is there.
    pub existing: Option<Metadata>,
}

/// Where to write the file that a person calls `path`. devdb writes a file by renaming another one
/// into its place, which would put a file in the place of a symbolic link, a device or a pipe. So
/// this follows links, and refuses everything that is not a regular file.
///
/// # Errors
/// An error of `kind` when something else than a regular file is there, or it cannot be looked at.
pub fn target(path: &Path, kind: Kind) -> Result<Target> {
    let end = end_of_links(path, kind)?;
    match fs::metadata(&end) {
        Ok(metadata) if metadata.is_file() => Ok(Target { path: end, existing: Some(metadata) }),
        Ok(metadata) => {
            let what = describe(metadata.file_type());
            let error = Error::new(kind, format!("cannot write {}: it is {what}", path.display()));
            Err(match metadata.is_dir() {
                true => error.hint("name a file in that directory"),
                false => error.hint("name a regular file, or one that does not exist yet"),
            })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Ok(Target { path: end, existing: None })
        }
        Err(error) => Err(error).or_fail(kind, || format!("cannot write {}", path.display())),
    }
}

/// The path at the end of the symbolic links, which need not exist.
fn end_of_links(path: &Path, kind: Kind) -> Result<PathBuf> {
    /// More links than any real chain has (Linux's own limit).
    const LINKS: usize = 40;
    let mut end = path.to_owned();
    for _ in 0..LINKS {
        let Ok(link) = fs::read_link(&end) else { return Ok(end) };
        end = end.parent().unwrap_or(Path::new("")).join(link);
    }
    Err(Error::new(kind, format!("the symbolic link {} leads back to itself", path.display()))
        .hint("name another file, or remove the link"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_is_followed_and_what_is_no_file_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        fs::write(path("file"), "x").unwrap();
        symlink("file", path("link")).unwrap();
        symlink("missing", path("dangling")).unwrap();
        symlink("/dev/null", path("null")).unwrap();
        symlink("loop", path("loop")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(path("pipe")).status();
        assert!(made.unwrap().success());
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        let found = |name: &str| target(&path(name), Kind::Config).unwrap();
        assert_eq!(found("link").path, path("file"));
        assert!(found("link").existing.is_some() && found("file").existing.is_some());
        assert_eq!(found("dangling").path, path("missing"));
        assert!(found("dangling").existing.is_none() && found("new").existing.is_none());
        for (name, what) in [
            ("", "a directory"),
            ("null", "a device"),
            ("pipe", "a named pipe"),
            ("socket", "a socket"),
            ("loop", "leads back to itself"),
        ] {
            let error = target(&path(name), Kind::Config).unwrap_err();
            assert!(error.message().contains(what), "{name}: {error}");
            assert_eq!(error.hints().len(), 1);
        }
    }
}
