//! The log of a server. Each generation has one file, and every start appends to it.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use crate::engine::Server;
use crate::engine::native::Native;
use crate::error::{Kind, Result, ResultExt};

/// The interval at which devdb reads a log that it follows.
const FOLLOW: Duration = Duration::from_millis(200);

/// The size above which the next start puts the log aside: 10 MiB.
const ROTATE_AT: u64 = 10 * 1024 * 1024;

/// The number of bytes that devdb reads at a time.
const CHUNK: usize = 64 * 1024;

impl Native {
    /// Reads the log file.
    ///
    /// # Errors
    /// See [`Engine::logs`](crate::engine::Engine::logs).
    pub async fn logs(
        &self,
        server: &Server,
        tail: Option<usize>,
        follow: bool,
        sink: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<()> {
        let (place, ..) = self.expect(server)?;
        let cannot = || format!("cannot read {}", place.log().display());
        let Some(mut log) = Reader::open(&place.log(), tail).or_fail(Kind::Unexpected, cannot)?
        else {
            return Ok(());
        };
        loop {
            // This comes before the read, so that the last lines of a server that ends are not
            // missed.
            let runs = follow
                && self.server(&server.handle).await?.is_some_and(|server| server.is_running());
            log.drain(sink).or_fail(Kind::Unexpected, cannot)?;
            if !runs {
                return Ok(());
            }
            tokio::time::sleep(FOLLOW).await;
        }
    }
}

/// Opens the log for a start, and returns the position at which the lines of this start begin. One
/// old log is kept.
///
/// # Errors
/// The errors of the file system.
pub(super) fn open(path: &Path) -> io::Result<(File, u64)> {
    if fs::metadata(path).is_ok_and(|log| log.len() > ROTATE_AT) {
        fs::rename(path, path.with_extension("1"))?;
    }
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let start = log.metadata()?.len();
    Ok((log, start))
}

/// The last `count` lines after the first `from` bytes.
pub(crate) fn tail(path: &Path, from: u64, count: usize) -> String {
    let read = || -> io::Result<String> {
        let mut log = File::open(path)?;
        let (_, text) = last_lines(&mut log, from, count)?;
        Ok(String::from_utf8_lossy(&text).trim_end().to_owned())
    };
    read().unwrap_or_default()
}

/// Reads a log from a position onwards.
struct Reader {
    log: File,
}

impl Reader {
    /// Opens the log at its last `tail` lines, or at the beginning. None when there is no log yet.
    ///
    /// # Errors
    /// The errors of the file system.
    pub fn open(path: &Path, tail: Option<usize>) -> io::Result<Option<Self>> {
        let mut log = match File::open(path) {
            Ok(log) => log,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if let Some(count) = tail {
            let (at, _) = last_lines(&mut log, 0, count)?;
            log.seek(SeekFrom::Start(at))?;
        }
        Ok(Some(Reader { log }))
    }

    /// Gives `sink` everything that was written since the last call.
    ///
    /// # Errors
    /// The errors of the file system.
    pub fn drain(&mut self, sink: &mut (dyn FnMut(&[u8]) + Send)) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        loop {
            match self.log.read(&mut buffer)? {
                0 => return Ok(()),
                count => sink(buffer.get(..count).unwrap_or_default()),
            }
        }
    }
}

/// The last `count` lines after the first `from` bytes, and their position. The log may have
/// millions of lines, so this reads backwards.
fn last_lines(log: &mut File, from: u64, count: usize) -> io::Result<(u64, Vec<u8>)> {
    let mut at = log.metadata()?.len();
    let mut text: VecDeque<u8> = VecDeque::new();
    // The newline at the very end closes the last line and begins no other.
    let enough = |text: &VecDeque<u8>| {
        text.iter().rev().skip(1).filter(|byte| **byte == b'\n').count() >= count
    };
    while at > from && !enough(&text) {
        let step = (CHUNK as u64).min(at - from);
        at -= step;
        log.seek(SeekFrom::Start(at))?;
        let mut chunk = Vec::new();
        log.by_ref().take(step).read_to_end(&mut chunk)?;
        chunk.into_iter().rev().for_each(|byte| text.push_front(byte));
    }
    let text = Vec::from(text);
    let ends: Vec<usize> = text
        .iter()
        .enumerate()
        .take(text.len().saturating_sub(1))
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(place, _)| place + 1)
        .collect();
    let skip = match count {
        0 => text.len(),
        // When there are more than `count` lines, `count` newlines come before the last `count`
        // lines.
        _ => ends.len().checked_sub(count).and_then(|index| ends.get(index)).copied().unwrap_or(0),
    };
    Ok((at + skip as u64, text.get(skip..).unwrap_or_default().to_vec()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn log(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn the_tail_is_the_last_lines_of_this_start_only() {
        let file = log("old\none\ntwo\nthree\n");
        assert_eq!(tail(file.path(), 4, 20), "one\ntwo\nthree");
        assert_eq!(tail(file.path(), 0, 2), "two\nthree");
        assert_eq!(tail(file.path(), 0, 1), "three");
        assert_eq!(tail(file.path(), 0, 0), "");
        assert_eq!(tail(file.path(), 18, 20), "");
        assert_eq!(tail(Path::new("/nonexistent"), 0, 20), "");
        assert_eq!(tail(log("no newline").path(), 0, 3), "no newline");
        assert_eq!(tail(log("a\n\nb\n").path(), 0, 2), "\nb");
    }

    #[test]
    fn a_tail_longer_than_one_read_is_whole() {
        let text: String = (0..20_000).map(|number| format!("line {number}\n")).collect();
        let got = tail(log(&text).path(), 0, 15_000);
        assert!(got.starts_with("line 5000\n") && got.ends_with("line 19999"));
    }

    #[test]
    fn a_reader_goes_on_where_it_was() {
        let mut file = log("one\ntwo\n");
        let mut reader = Reader::open(file.path(), Some(1)).unwrap().unwrap();
        let mut got = Vec::new();
        reader.drain(&mut |bytes| got.extend_from_slice(bytes)).unwrap();
        file.write_all(b"three\n").unwrap();
        reader.drain(&mut |bytes| got.extend_from_slice(bytes)).unwrap();
        assert_eq!(got, b"two\nthree\n");
        assert!(Reader::open(Path::new("/nonexistent"), None).unwrap().is_none());
    }
}
