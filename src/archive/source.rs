//! What a writer reads from: the files of a directory, or the tar stream of a container engine.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::entry::{self, Entry, What};

/// The names in a directory, in order, so that the same directory gives the same file. None when it
/// has gone.
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

/// The entry for what is at `at`, with its content; none when it has gone or is a socket.
pub(super) fn described(at: &Path, path: PathBuf) -> io::Result<Option<(Entry, Content)>> {
    match look(at, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        seen => seen,
    }
}

fn look(at: &Path, path: PathBuf) -> io::Result<Option<(Entry, Content)>> {
    let metadata = fs::symlink_metadata(at)?;
    let kind = metadata.file_type();
    let (what, content) = if kind.is_dir() {
        (What::Directory, Content::Nothing)
    } else if kind.is_symlink() {
        (What::Link(fs::read_link(at)?), Content::Nothing)
    } else if kind.is_file() {
        let file = fs::File::open(at)?;
        (What::File(file.metadata()?.len()), Content::File(file))
    } else if kind.is_socket() {
        return Ok(None);
    } else {
        return Err(io::Error::other("it is neither a file nor a directory"));
    };
    let modified = u64::try_from(metadata.mtime()).unwrap_or(0);
    let mode = metadata.mode() & 0o777;
    Ok(Some((Entry { path, what, mode, modified }, content)))
}

/// What is in a file, and after that zeros: the length was written before the content is read, and
/// a server may have shortened the file by then.
pub(super) enum Content {
    Nothing,
    File(fs::File),
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self {
            Content::Nothing => 0,
            Content::File(file) => file.read(buffer)?,
        };
        if read > 0 {
            return Ok(read);
        }
        buffer.fill(0);
        Ok(buffer.len())
    }
}

/// The entry of a tar stream, below `prefix`. The reason, when it is not to be carried.
pub(super) fn tar_entry(
    entry: &mut tar::Entry<'_, impl Read>,
    prefix: &Path,
) -> Result<Entry, String> {
    let name = PathBuf::from(OsStr::from_bytes(&entry.path_bytes()));
    let outside = || format!("the stream holds {name:?}, which is not in {prefix:?}");
    let path = entry::relative(&name).ok_or_else(outside)?;
    let prefix = entry::relative(prefix).ok_or_else(outside)?;
    let path = path.strip_prefix(&prefix).map_err(|_| outside())?.to_path_buf();
    let mut described = Entry::read(entry.header(), path)?;
    // Long names, long targets and long sizes are in entries of their own, which tar has read.
    match &mut described.what {
        What::Link(target) => {
            let bytes = entry.link_name_bytes().unwrap_or_default();
            *target = PathBuf::from(OsStr::from_bytes(&bytes));
        }
        What::File(size) => *size = entry.size(),
        What::Directory => {}
    }
    Ok(described)
}

/// A tar stream that must not just stop: tar itself takes a stream that breaks off between two
/// entries as a whole one.
pub(super) struct ToTheEnd<R> {
    from: R,
    stopped: bool,
}

impl<R: Read> ToTheEnd<R> {
    pub(super) fn new(from: R) -> Self {
        ToTheEnd { from, stopped: false }
    }

    /// Reads what is after the end mark.
    ///
    /// # Errors
    /// When there was no end mark.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.stopped {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended too early"));
        }
        io::copy(&mut self.from, &mut io::sink()).map(drop)
    }
}

impl<R: Read> Read for ToTheEnd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.stopped = read == 0 && !buffer.is_empty();
        Ok(read)
    }
}
