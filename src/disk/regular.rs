//! Reads files that people have put somewhere, and nothing that is not a file.

use std::fs::FileType;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use crate::error::{Error, Kind, Result, ResultExt};

/// The content of a regular file. Anything else is refused, because reading a FIFO may wait for
/// ever.
///
/// # Errors
/// An error of this `kind` when it is not a regular file or cannot be read.
pub fn read_regular(path: &Path, kind: Kind) -> Result<Vec<u8>> {
    let failed = || format!("cannot read {}", path.display());
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            return Err(Error::new(kind, failed())
                .because(format!("it is {}, not a file", describe(found.file_type())))
                .hint("put a file in its place, or remove it"));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if let Ok(target) = std::fs::read_link(path) {
                return Err(Error::new(kind, failed())
                    .because(format!("it is a link to {}, which does not exist", target.display()))
                    .hint("correct the link, or remove it"));
            }
        }
        // Reading it says why.
        Ok(_) | Err(_) => {}
    }
    std::fs::read(path).or_fail(kind, failed)
}

/// What is in the place of a file, for people.
pub(super) fn describe(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a FIFO (a named pipe)",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_block_device() || kind.is_char_device() => "a device",
        _ => "something else",
    }
}
