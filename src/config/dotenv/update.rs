//! Writes variables into a person's env file. All other lines stay as they are.

use std::fs::{self, Metadata};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::dotenv_value;
use super::lines::assignments;
use crate::disk::Draft;
use crate::error::{Error, Kind, Result, ResultExt};

const COMMENT: &str = "# Written by devdb; `devdb env --write` updates these lines.";

/// The beginning of a comment that keeps a person's former value.
const FORMER: &str = "# Before devdb: ";

/// What became of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It did not exist and was made.
    Created,
    /// Some of its lines changed, or some were added.
    Updated,
    /// It already held these values and was not written.
    Unchanged,
}

/// Writes `variables` into the env file `path`. A variable that is in the file gets its new value
/// where it stands, in every place. A missing variable is added at the end. Every other byte stays.
/// When devdb writes into a file for the first time, it keeps a person's values as comments. The
/// file is replaced as a whole and keeps its mode; a new file has mode 0600. If `path` is a
/// symbolic link, the file that it leads to is written.
///
/// # Errors
/// `Config` when git tracks the file (the password would become part of the repository), when it is
/// not a regular file, or when it cannot be read or written. The file is then unchanged.
pub fn update_file(path: &Path, variables: &[(String, String)]) -> Result<Changed> {
    let target = target(path)?;
    refuse_tracked(&target)?;
    if target != path {
        refuse_tracked(path)?;
    }
    let cannot = |what: &str| format!("cannot {what} {}", path.display());
    let before = match fs::metadata(&target) {
        Ok(metadata) if metadata.is_file() => Some(metadata),
        Ok(_) => {
            return Err(Error::new(
                Kind::Config,
                format!("{} is not a regular file", path.display()),
            )
            .hint("devdb env   prints the variables instead"));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error).or_fail(Kind::Config, || cannot("read")),
    };
    let old = match before {
        Some(_) => fs::read(&target).or_fail(Kind::Config, || cannot("read"))?,
        None => Vec::new(),
    };
    let new = updated(&old, variables);
    if before.is_some() && new == old {
        return Ok(Changed::Unchanged);
    }
    replace(&target, &new, before.as_ref()).or_fail(Kind::Config, || cannot("write"))?;
    Ok(if before.is_some() { Changed::Updated } else { Changed::Created })
}

/// The path at the end of the symbolic links, which need not exist.
fn target(path: &Path) -> Result<PathBuf> {
    /// More links than any real chain has (Linux's own limit).
    const LINKS: usize = 40;
    let mut target = path.to_owned();
    for _ in 0..LINKS {
        let Ok(link) = fs::read_link(&target) else { return Ok(target) };
        target = target.parent().unwrap_or(Path::new("")).join(link);
    }
    Err(Error::new(
        Kind::Config,
        format!("the symbolic link {} leads back to itself", path.display()),
    )
    .hint(format!("rm {}", path.display())))
}

/// Adds `text` to the end of a file that another program reads line by line, such as `$GITHUB_ENV`.
///
/// # Errors
/// `Config` when git tracks the file, or it cannot be written.
pub fn append(path: &Path, text: &str) -> Result<()> {
    refuse_tracked(path)?;
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .or_fail(Kind::Config, || format!("cannot write {}", path.display()))
}

/// Fails when git tracks the file, because the password would become part of the repository. devdb
/// runs git to find out, since only git can read its index. Without git no file is tracked.
///
/// # Errors
/// `Config`.
pub fn refuse_tracked(path: &Path) -> Result<()> {
    let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else { return Ok(()) };
    let directory = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let tracked = Command::new("git")
        // In a container the checkout often belongs to another user, and git would refuse to read
        // it. This command only reads, and without the file system monitor it runs no hook.
        .args(["-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-C"])
        .arg(directory)
        .args(["ls-files", "--error-unmatch", "--"])
        .arg(literal(name))
        // If a git hook runs devdb, these variables point to the hook's repository and index.
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !tracked {
        return Ok(());
    }
    let shown = path.display();
    Err(Error::new(Kind::Config, format!("{shown} is tracked by git"))
        .because("the database's password would become part of the repository")
        .hint(format!("git rm --cached {shown}, and add it to .gitignore"))
        .hint("or name another file: devdb env --write .env.local"))
}

/// A path that git does not read as a pattern.
fn literal(name: &std::ffi::OsStr) -> std::ffi::OsString {
    let mut pathspec = std::ffi::OsString::from(":(literal)");
    pathspec.push(name);
    pathspec
}

/// The file's text with the variables in it.
fn updated(old: &[u8], variables: &[(String, String)]) -> Vec<u8> {
    let mut new = Vec::with_capacity(old.len() + 256);
    let mut copied = 0;
    let mut missing: Vec<&(String, String)> = variables.iter().collect();
    let windows = old.windows(2).any(|pair| pair == b"\r\n");
    let end: &[u8] = if windows { b"\r\n" } else { b"\n" };
    let is_first = ![COMMENT, FORMER].iter().any(|mark| contains(old, mark));
    for assignment in assignments(old) {
        let Some((name, value)) = variables.iter().find(|(name, _)| *name == assignment.name)
        else {
            continue;
        };
        missing.retain(|(other, _)| other != name);
        let value = dotenv_value(value);
        let former = &old[assignment.value.clone()];
        if is_first && !former.is_empty() && former != value.as_bytes() {
            let before = &old[..assignment.value.start];
            let line = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            new.extend_from_slice(&old[copied..line]);
            copied = line;
            let text = [name.as_bytes(), b"=", former].concat();
            for (number, part) in text.split(|byte| *byte == b'\n').enumerate() {
                new.extend_from_slice(if number == 0 { FORMER.as_bytes() } else { b"# " });
                new.extend_from_slice(part.strip_suffix(b"\r").unwrap_or(part));
                new.extend_from_slice(end);
            }
        }
        new.extend_from_slice(&old[copied..assignment.value.start]);
        new.extend_from_slice(value.as_bytes());
        // Without the space, `A=# why` would become `A=1# why`.
        if old.get(assignment.value.end) == Some(&b'#') {
            new.push(b' ');
        }
        copied = assignment.value.end;
    }
    new.extend_from_slice(&old[copied..]);
    if missing.is_empty() {
        return new;
    }
    if !new.is_empty() {
        if !new.ends_with(b"\n") {
            new.extend_from_slice(end);
        }
        new.extend_from_slice(end);
    }
    new.extend_from_slice(COMMENT.as_bytes());
    new.extend_from_slice(end);
    for (name, value) in missing {
        new.extend_from_slice(format!("{name}={}", dotenv_value(value)).as_bytes());
        new.extend_from_slice(end);
    }
    new
}

fn contains(text: &[u8], part: &str) -> bool {
    text.windows(part.len()).any(|window| window == part.as_bytes())
}

/// Replaces the file as a whole. The new file has the mode and the owner of the old one.
fn replace(target: &Path, text: &[u8], before: Option<&Metadata>) -> std::io::Result<()> {
    let draft = Draft::new(target, text)?;
    if let Some(before) = before {
        draft.try_set_owner(before.uid(), before.gid());
        draft.set_mode(before.mode() & 0o7777)?;
    }
    draft.replace()
}
