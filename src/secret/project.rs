//! The key that devdb makes for a project whose owner gave it none.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::Key;
use crate::disk;
use crate::error::{Error, Kind, Result, ResultExt};

/// The key that devdb made for a project, made now if there is none (then `true`). It is kept
/// outside the repository, in `<data_dir>/keys/<project_id>`, for its owner's eyes only. Two
/// processes at once get the same.
///
/// # Errors
/// `Secret` when the file cannot be read or written, or holds no key. It is never replaced: what
/// was encrypted with it would be lost.
pub fn project_key(data_dir: &Path, project_id: &str) -> Result<(Key, bool)> {
    let usable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if project_id.is_empty() || !project_id.chars().all(usable) {
        return Err(Error::new(Kind::Secret, format!("{project_id:?} is no project's id")));
    }
    let directory = data_dir.join("keys");
    let path = directory.join(project_id);
    if let Some(key) = read(&path)? {
        return Ok((key, false));
    }
    let key = Key::generate();
    disk::private_directory(&directory)
        .map_err(|error| error.with_kind(Kind::Secret).context(failed("write", &path)))?;
    // The directory may have been made by someone else, with another mode.
    fs::set_permissions(&directory, Permissions::from_mode(0o700))
        .or_fail(Kind::Secret, || failed("write", &path))?;
    match write(&path, &key) {
        Ok(()) => Ok((key, true)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => match read(&path)? {
            Some(key) => Ok((key, false)),
            None => Err(error).or_fail(Kind::Secret, || failed("write", &path)),
        },
        Err(error) => Err(error).or_fail(Kind::Secret, || failed("write", &path)),
    }
}

/// The key that devdb made for a project, none when there is none yet.
///
/// # Errors
/// As [`project_key`]; nothing is made.
pub fn existing_project_key(data_dir: &Path, project_id: &str) -> Result<Option<Key>> {
    read(&data_dir.join("keys").join(project_id))
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
        let (first, created) = project_key(data.path(), "p-1").unwrap();
        assert!(created);
        let (second, created) = project_key(data.path(), "p-1").unwrap();
        assert!(!created);
        assert_eq!(first.to_base64(), second.to_base64());
        let (other, _) = project_key(data.path(), "p-2").unwrap();
        assert_ne!(first.to_base64(), other.to_base64());
        let mode =
            |path: &str| fs::metadata(data.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("keys"), mode("keys/p-1")), (0o700, 0o600));
    }

    #[test]
    fn many_at_once_get_the_same() {
        let data = tempfile::tempdir().unwrap();
        let keys: Vec<(Key, bool)> = std::thread::scope(|scope| {
            let all: Vec<_> =
                (0..16).map(|_| scope.spawn(|| project_key(data.path(), "p").unwrap())).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(keys.iter().filter(|(_, created)| *created).count(), 1);
        assert!(keys.iter().all(|(key, _)| key.to_base64() == keys[0].0.to_base64()));
        assert_eq!(fs::read_dir(data.path().join("keys")).unwrap().count(), 1, "nothing is left");
    }

    #[test]
    fn a_broken_key_is_kept_and_named() {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir(data.path().join("keys")).unwrap();
        fs::write(data.path().join("keys/p"), "c2hvcnQ=\n").unwrap();
        let error = project_key(data.path(), "p").unwrap_err();
        assert!(error.message().contains("keys/p has 5 bytes, not 32"), "{error}");
        assert_eq!(fs::read_to_string(data.path().join("keys/p")).unwrap(), "c2hvcnQ=\n");
        assert!(project_key(data.path(), "../p").is_err());
    }
}
