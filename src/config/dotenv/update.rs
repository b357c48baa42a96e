//! Writes variables into a person's env file. All other lines stay as they are.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::dotenv_value;
use super::lines::{assignments, mark_length, meaning};
use crate::disk::{self, Draft};
use crate::error::{Error, Kind, Result, ResultExt, shell_word};

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

/// What a value is that another one is to replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Former {
    /// devdb wrote it. It is replaced.
    Own,
    /// A person wrote it, and it says the same. It stays.
    Right,
    /// A person wrote it. It is replaced, and stays in the file as a comment.
    Foreign,
}

/// Judges a value by the variable's name, the value and the new value.
pub trait Judge: Fn(&str, &str, &str) -> Former {}

impl<F: Fn(&str, &str, &str) -> Former> Judge for F {}

/// The result of an update.
#[derive(Debug)]
pub struct Updated {
    /// What became of the file.
    pub changed: Changed,
    /// The variables that were changed or added.
    pub written: Vec<(String, String)>,
}

/// Writes `variables` into the env file `path`. A variable that is in the file gets its new value
/// where it stands, in every place. A missing variable is added at the end. Every other byte stays.
/// `judge` says what becomes of a former value; a comment that keeps one is there once.
/// The file is replaced as a whole and keeps its mode; a new file has mode 0600. If `path` is a
/// symbolic link, the file that it leads to is written.
///
/// # Errors
/// `Config` when git tracks the file (the password would become part of the repository), when it is
/// not a regular file of UTF-8, or when it cannot be read or written. The file is then unchanged.
pub fn update_file(
    path: &Path,
    variables: &[(String, String)],
    judge: impl Judge,
) -> Result<Updated> {
    let target = checked(path)?;
    let cannot = |what: &str| format!("cannot {what} {}", path.display());
    let old = match target.existing {
        Some(_) => fs::read(&target.path).or_fail(Kind::Config, || cannot("read"))?,
        None => Vec::new(),
    };
    if [b"\xff\xfe", b"\xfe\xff"].iter().any(|mark| old.starts_with(*mark)) {
        return Err(Error::new(Kind::Config, cannot("write"))
            .because("it is UTF-16, which programs cannot read as an env file")
            .hint("save it as UTF-8, then try again"));
    }
    let mut update = Update::of(&old, &judge);
    update.replace(variables);
    update.append(variables);
    let Update { new, written, .. } = update;
    if target.existing.is_some() && new == old {
        return Ok(Updated { changed: Changed::Unchanged, written });
    }
    replace(&target.path, &new, target.existing.as_ref())
        .or_fail(Kind::Config, || cannot("write"))?;
    let changed = if target.existing.is_some() { Changed::Updated } else { Changed::Created };
    Ok(Updated { changed, written })
}

/// Fails early when devdb may not write the file.
///
/// # Errors
/// `Config` when git tracks it, or something else than a regular file is there.
pub fn refuse(path: &Path) -> Result<()> {
    checked(path).map(drop)
}

/// Where the file is. Refuses what git tracks and what is no file.
fn checked(path: &Path) -> Result<disk::Target> {
    let target = disk::target(path, Kind::Config)
        .map_err(|error| error.hint("devdb env   prints the variables instead"))?;
    refuse_tracked(&target.path)?;
    if target.path != path {
        refuse_tracked(path)?;
    }
    Ok(target)
}

/// Adds `text` to the end of a file that another program reads line by line, such as `$GITHUB_ENV`.
///
/// # Errors
/// `Config` when git tracks the file, or it cannot be written.
pub fn append(path: &Path, text: &str) -> Result<()> {
    let target = checked(path)?;
    let old = match target.existing {
        Some(_) => fs::read(&target.path)
            .or_fail(Kind::Config, || format!("cannot read {}", path.display()))?,
        None => Vec::new(),
    };
    // Another program may have left its last line without an end.
    let gap = if old.is_empty() || old.ends_with(b"\n") { "" } else { "\n" };
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(target.path)
        .and_then(|mut file| file.write_all(format!("{gap}{text}").as_bytes()))
        .or_fail(Kind::Config, || format!("cannot write {}", path.display()))
}

/// Fails when git tracks the file, because the password would become part of the repository. devdb
/// runs git to find out, since only git can read its index. Without git no file is tracked.
///
/// # Errors
/// `Config`.
fn refuse_tracked(path: &Path) -> Result<()> {
    if git(path, &["ls-files", "--error-unmatch", "--"], true) != Some(0) {
        return Ok(());
    }
    let shown = path.display();
    Err(Error::new(Kind::Config, format!("{shown} is tracked by git"))
        .because("the database's password would become part of the repository")
        .hint(format!(
            "git rm --cached {}   keeps the file and takes it out of git; then add it to .gitignore",
            shell_word(&shown.to_string())
        ))
        .hint("or name another file: devdb env --write .env.local"))
}

/// Whether the file lies in a git checkout whose rules do not ignore it, so that `git add .` would
/// make the password part of the repository.
pub fn is_not_ignored(path: &Path) -> bool {
    let path = disk::target(path, Kind::Config).map_or(path.to_owned(), |target| target.path);
    // The code is 1 for a file that is not ignored, and 128 outside of a checkout.
    git(&path, &["check-ignore", "-q", "--"], false) == Some(1)
}

/// The exit code of a git command about a file. None when git cannot run.
fn git(path: &Path, arguments: &[&str], as_pattern: bool) -> Option<i32> {
    let (name, parent) = (path.file_name()?, path.parent()?);
    let directory = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let status = Command::new("git")
        // In a container the checkout often belongs to another user, and git would refuse to read
        // it. This command only reads, and without the file system monitor it runs no hook.
        .args(["-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-C"])
        .arg(directory)
        .args(arguments)
        .arg(if as_pattern { literal(name) } else { here(name) })
        // If a git hook runs devdb, these variables point to the hook's repository and index.
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.ok()?.code()
}

/// A path that git does not read as a pattern.
fn literal(name: &OsStr) -> PathBuf {
    let mut pathspec = std::ffi::OsString::from(":(literal)");
    pathspec.push(name);
    pathspec.into()
}

/// A path that git does not read as an option.
fn here(name: &OsStr) -> PathBuf {
    Path::new(".").join(name)
}

/// The new text of a file while it is made.
struct Update<'a> {
    old: &'a [u8],
    judge: &'a dyn Judge,
    /// The line end of the file.
    end: &'static str,
    new: Vec<u8>,
    /// The variables that were changed or added.
    written: Vec<(String, String)>,
}

impl<'a> Update<'a> {
    fn of(old: &'a [u8], judge: &'a dyn Judge) -> Self {
        let windows = old.windows(2).any(|pair| pair == b"\r\n");
        let end = if windows { "\r\n" } else { "\n" };
        Update { old, judge, end, new: Vec::with_capacity(old.len() + 512), written: Vec::new() }
    }

    /// Copies the file with the new values where the old ones stand.
    fn replace(&mut self, variables: &[(String, String)]) {
        let mut copied = 0;
        for assignment in assignments(self.old) {
            let Some((name, value)) = variables.iter().find(|(name, _)| *name == assignment.name)
            else {
                continue;
            };
            let (begin, end) = (assignment.value.start, assignment.value.end);
            let former = &self.old[begin..end];
            let rendered = dotenv_value(value);
            let means = meaning(former);
            // A person may have put a plain value into quotes.
            let is_right = former == rendered.as_bytes() || (rendered == *value && means == *value);
            let verdict = match former.is_empty() {
                true => Former::Own,
                false if is_right => Former::Right,
                false => (self.judge)(name, &means, value),
            };
            if verdict == Former::Right {
                continue;
            }
            if verdict == Former::Foreign {
                let line = self.old[..begin].iter().rposition(|byte| *byte == b'\n');
                let line = line.map_or(mark_length(self.old), |at| at + 1);
                self.new.extend_from_slice(&self.old[copied..line]);
                copied = line;
                self.keep(name, former);
            }
            self.new.extend_from_slice(&self.old[copied..begin]);
            self.new.extend_from_slice(rendered.as_bytes());
            // Without the space, `A=# why` would become `A=1# why`.
            if self.old.get(end) == Some(&b'#') {
                self.new.push(b' ');
            }
            copied = end;
            self.note(name, value);
        }
        self.new.extend_from_slice(&self.old[copied..]);
    }

    /// Adds a comment with a former value, unless the file has it.
    fn keep(&mut self, name: &str, value: &[u8]) {
        let text = [name.as_bytes(), b"=", value].concat();
        let mut comment = Vec::new();
        for (number, part) in text.split(|byte| *byte == b'\n').enumerate() {
            comment.extend_from_slice(if number == 0 { FORMER.as_bytes() } else { b"# " });
            comment.extend_from_slice(part.strip_suffix(b"\r").unwrap_or(part));
            comment.extend_from_slice(self.end.as_bytes());
        }
        if !(has_line(self.old, &comment) || has_line(&self.new, &comment)) {
            self.new.extend_from_slice(&comment);
        }
    }

    /// Adds the variables that the file lacks at its end.
    fn append(&mut self, variables: &[(String, String)]) {
        let present = assignments(self.old);
        let is_missing =
            |variable: &&(String, String)| present.iter().all(|one| one.name != variable.0);
        let missing: Vec<_> = variables.iter().filter(is_missing).collect();
        if missing.is_empty() {
            return;
        }
        if self.new.len() > mark_length(&self.new) {
            if !self.new.ends_with(b"\n") {
                self.new.extend_from_slice(self.end.as_bytes());
            }
            self.new.extend_from_slice(self.end.as_bytes());
        }
        self.new.extend_from_slice(COMMENT.as_bytes());
        self.new.extend_from_slice(self.end.as_bytes());
        for (name, value) in missing {
            let line = format!("{name}={}{}", dotenv_value(value), self.end);
            self.new.extend_from_slice(line.as_bytes());
            self.note(name, value);
        }
    }

    fn note(&mut self, name: &str, value: &str) {
        let pair = (name.to_owned(), value.to_owned());
        if !self.written.contains(&pair) {
            self.written.push(pair);
        }
    }
}

/// Whether a text has these whole lines. The last line of the text may lack its end.
fn has_line(text: &[u8], lines: &[u8]) -> bool {
    let text = [b"\n", text, b"\n"].concat();
    let lines = [b"\n", lines].concat();
    text.windows(lines.len()).any(|window| window == lines)
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
