//! The key that devdb makes for a project when nobody set one.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{Found, Key};
use crate::disk;
use crate::error::{Error, Kind, Result, ResultExt};

/// The key that devdb keeps for a project. If there is none, devdb makes it now. The file is
/// `<data_dir>/keys/<project_id>`, outside the repository, and only its owner can read it. Two
/// processes that make the key at the same time get the same one.
///
/// # Errors
/// `Secret` when the file cannot be read or written, or does not hold a key. devdb never replaces
/// the file: everything that was encrypted with the key would be lost.
pub fn project_key(data_dir: &Path, project_id: &str) -> Result<Found> {
    let usable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if project_id.is_empty() || !project_id.chars().all(usable) {
        return Err(Error::new(Kind::Secret, format!("{project_id:?} is not the id of a project")));
    }
    let directory = data_dir.join("keys");
    let path = directory.join(project_id);
    if let Some(key) = read(&path)? {
        return Ok(Found { key, created: false });
    }
    let key = Key::generate();
    disk::private_directory(&directory)
        .map_err(|error| error.with_kind(Kind::Secret).context(failed("write", &path)))?;
    // The directory may have been made by someone else, with another mode.
    fs::set_permissions(&directory, Permissions::from_mode(0o700))
        .or_fail(Kind::Secret, || failed("write", &path))?;
    match write(&path, &key) {
        Ok(()) => Ok(Found { key, created: true }),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => match read(&path)? {
            Some(key) => Ok(Found { key, created: false }),
            None => Err(error).or_fail(Kind::Secret, || failed("write", &path)),
        },
        Err(error) => Err(error).or_fail(Kind::Secret, || failed("write", &path)),
    }
}

/// The key that devdb keeps for a project, if it has made one.
///
/// # Errors
/// As [`project_key`].
pub fn existing_project_key(data_dir: &Path, project_id: &str) -> Result<Option<Key>> {
    read(&project_key_file(data_dir, project_id))
}

/// The file of the key that devdb makes for a project.
pub fn project_key_file(data_dir: &Path, project_id: &str) -> PathBuf {
    data_dir.join("keys").join(project_id)
}

fn failed(what: &str, path: &Path) -> String {
    format!("cannot {what} the project's key {}", path.display())
}

fn read(path: &Path) -> Result<Option<Key>> {
    match fs::read_to_string(path).map(Zeroizing::new) {
        Ok(text) => {
            let origin = path.display().to_string();
            let key = Key::parse(&text, &origin);
            key.map(Some).map_err(|error| error.hint(format!("restore {origin} from a backup")))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).or_fail(Kind::Secret, || failed("read", path)),
    }
}

/// Writes a new key. Fails with `AlreadyExists` when another process was faster.
fn write(path: &Path, key: &Key) -> std::io::Result<()> {
    let base64 = key.to_base64();
    let mut text = Zeroizing::new(Vec::with_capacity(base64.len() + 1));
    text.extend_from_slice(base64.as_bytes());
    text.push(b'\n');
    disk::Draft::new(path, &text)?.create()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_only() {
        let data = tempfile::tempdir().unwrap();
        let [first, again, other] =
            ["p-1", "p-1", "p-2"].map(|project| project_key(data.path(), project).unwrap());
        assert!(first.created && !again.created && other.created);
        assert_eq!(first.key.to_base64(), again.key.to_base64());
        assert_ne!(first.key.to_base64(), other.key.to_base64());
        let mode =
            |path: &str| fs::metadata(data.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("keys"), mode("keys/p-1")), (0o700, 0o600));
    }

    #[test]
    fn many_at_once_get_the_same() {
        let data = tempfile::tempdir().unwrap();
        let keys: Vec<Found> = std::thread::scope(|scope| {
            let all: Vec<_> =
                (0..16).map(|_| scope.spawn(|| project_key(data.path(), "p").unwrap())).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(keys.iter().filter(|found| found.created).count(), 1);
        assert!(keys.iter().all(|found| found.key.to_base64() == keys[0].key.to_base64()));
        assert_eq!(fs::read_dir(data.path().join("keys")).unwrap().count(), 1, "nothing is left");
    }

    #[test]
    fn a_broken_key_is_kept_and_named() {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir(data.path().join("keys")).unwrap();
        fs::write(data.path().join("keys/p"), "c2hvcnQ=\n").unwrap();
        let error = project_key(data.path(), "p").err().unwrap();
        assert!(error.message().contains("keys/p has 5 bytes, not 32"), "{error}");
        assert_eq!(fs::read_to_string(data.path().join("keys/p")).unwrap(), "c2hvcnQ=\n");
        assert!(project_key(data.path(), "../p").is_err());
    }
}
