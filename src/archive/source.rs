//! The sources of a data directory: a directory on disk, or the tar stream of a container engine.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::entry::{self, Entry, EntryKind};

/// The names in a directory, sorted, so that the same directory gives the same archive. Empty when
/// the directory no longer exists.
pub(super) fn children(directory: &Path) -> io::Result<Vec<OsString>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names: Vec<OsString> =
        entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<_>>()?;
    names.sort();
    Ok(names)
}

/// The entry for the file or directory `at`, with its content; none when it no longer exists or is
/// a socket.
pub(super) fn described(at: &Path, path: PathBuf) -> io::Result<Option<(Entry, FileContent)>> {
    match look(at, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        seen => seen,
    }
}

fn look(at: &Path, path: PathBuf) -> io::Result<Option<(Entry, FileContent)>> {
    let metadata = fs::symlink_metadata(at)?;
    let file_type = metadata.file_type();
    let (kind, content) = if file_type.is_dir() {
        (EntryKind::Directory, FileContent::Nothing)
    } else if file_type.is_symlink() {
        (EntryKind::Link(fs::read_link(at)?), FileContent::Nothing)
    } else if file_type.is_file() {
        let file = fs::File::open(at)?;
        (EntryKind::File(file.metadata()?.len()), FileContent::File(file))
    } else if file_type.is_socket() {
        return Ok(None);
    } else {
        return Err(io::Error::other("it is neither a file nor a directory"));
    };
    let modified = u64::try_from(metadata.mtime()).unwrap_or(0);
    let mode = metadata.mode() & 0o777;
    Ok(Some((Entry { path, kind, mode, modified }, content)))
}

/// The content of a file, then zeros without end. The length is written before the content is read,
/// and in between a server may shorten the file.
pub(super) enum FileContent {
    Nothing,
    File(fs::File),
}

impl Read for FileContent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self {
            FileContent::Nothing => 0,
            FileContent::File(file) => file.read(buffer)?,
        };
        if read > 0 {
            return Ok(read);
        }
        buffer.fill(0);
        Ok(buffer.len())
    }
}

/// An entry of a tar stream in which the data directory is at `prefix`.
///
/// # Errors
/// The reason why a file must not contain the entry.
pub(super) fn tar_entry(
    entry: &mut tar::Entry<'_, impl Read>,
    prefix: &Path,
) -> Result<Entry, String> {
    let name = PathBuf::from(OsStr::from_bytes(&entry.path_bytes()));
    let outside = || format!("the stream contains {name:?}, which is not in {prefix:?}");
    let path = entry::relative(&name).ok_or_else(outside)?;
    let prefix = entry::relative(prefix).ok_or_else(outside)?;
    let path = path.strip_prefix(&prefix).map_err(|_| outside())?.to_path_buf();
    let mut described = Entry::read(entry.header(), path)?;
    // For long targets and large sizes tar streams have extra entries, which tar has read already.
    match &mut described.kind {
        EntryKind::Link(target) => {
            let bytes = entry.link_name_bytes().unwrap_or_default();
            *target = PathBuf::from(OsStr::from_bytes(&bytes));
        }
        EntryKind::File(size) => *size = entry.size(),
        EntryKind::Directory => {}
    }
    Ok(described)
}

/// A tar stream that must have an end mark. The tar crate accepts a stream that stops between two
/// entries.
pub(super) struct CompleteStream<R> {
    from: R,
    stopped: bool,
}

impl<R: Read> CompleteStream<R> {
    pub(super) fn new(from: R) -> Self {
        CompleteStream { from, stopped: false }
    }

    /// Reads the rest behind the end mark.
    ///
    /// # Errors
    /// When there is no end mark.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.stopped {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends too early"));
        }
        io::copy(&mut self.from, &mut io::sink()).map(drop)
    }
}

impl<R: Read> Read for CompleteStream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.stopped = read == 0 && !buffer.is_empty();
        Ok(read)
    }
}
