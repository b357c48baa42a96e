//! Reads a file. [`Archive::walk`] makes all checks. Unpacking uses it too, so devdb checks the
//! file again if it has changed since [`Archive::verify`].

use std::cell::RefCell;
use std::fs;
use std::io::{self, BufReader, IsTerminal, Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use zstd::stream::read::Decoder;

use super::entry::{Entry, Tree};
use super::tar_stream::{ExactReader, TrailingHash};
use super::{
    ArchiveKind, BLOCK, DATA, FORMAT, FileOwner, MANIFEST, Manifest, SEAL, STANDARD_STREAM, Seal,
    full_disk, unpack, unusable,
};
use crate::error::{Error, Kind, Result, ResultExt};

/// A limit for the size of the manifest and the seal, in bytes. devdb writes much smaller ones.
const JSON_BYTES_MAX: u64 = 1 << 20;

/// A function that gets each entry with its content.
type Visit<'a> = &'a mut dyn FnMut(&Entry, &mut dyn Read) -> io::Result<()>;

/// A file whose manifest was read. The rest is not checked yet.
#[derive(Debug)]
pub struct Archive<P> {
    path: PathBuf,
    file: fs::File,
    manifest: Manifest<P>,
}

/// A file that was read to its end and fits its seal.
#[derive(Debug)]
pub struct Verified<P> {
    archive: Archive<P>,
    seal: Seal,
}

impl<P: DeserializeOwned> Archive<P> {
    /// Opens a file and reads only its manifest. [`STANDARD_STREAM`] stands for standard input,
    /// which is copied into a file without a name, because devdb reads an archive twice.
    ///
    /// # Errors
    /// `Snapshot` when devdb did not write the file, a newer devdb wrote it, or its kind is not
    /// `kind`.
    pub fn open(path: &Path, kind: ArchiveKind) -> Result<Self> {
        let (file, path) = match path == Path::new(STANDARD_STREAM) {
            true => (standard_input()?, Path::new("standard input")),
            false => (opened(path)?, path),
        };
        let text = manifest_text(&file).map_err(|error| {
            unusable(path, "it does not begin as a file that devdb exported").because(error)
        })?;
        let manifest = parse_manifest(&text, path, kind)?;
        Ok(Archive { path: path.to_path_buf(), file, manifest })
    }
}

fn opened(path: &Path) -> Result<fs::File> {
    fs::File::open(path)
        .or_fail(Kind::Snapshot, || format!("cannot open the file {}", path.display()))
        .map_err(|error| error.hint("name a file that devdb exported"))
}

fn standard_input() -> Result<fs::File> {
    let input = io::stdin();
    if input.is_terminal() {
        return Err(Error::new(Kind::Usage, "devdb does not read the file from a terminal")
            .hint("give it the file: devdb … - < FILE"));
    }
    let copied = tempfile::tempfile().and_then(|mut file| {
        io::copy(&mut input.lock(), &mut file)?;
        file.rewind()?;
        Ok(file)
    });
    copied.or_fail(Kind::Snapshot, || "cannot read standard input".into())
}

impl<P> Archive<P> {
    /// The file's manifest.
    pub fn manifest(&self) -> &Manifest<P> {
        &self.manifest
    }

    /// Reads the whole file. Checks that it fits its seal, and that no entry leads outside of the
    /// directory that it is unpacked into.
    ///
    /// # Errors
    /// `Snapshot` with the reason.
    pub fn verify(self) -> Result<Verified<P>> {
        let seal = self.walk(&mut |_, _| Ok(()))?;
        Ok(Verified { archive: self, seal })
    }

    /// Hands each entry of the data directory to `visit`, and checks the whole file. The entries
    /// may be used only if this succeeds.
    fn walk(&self, visit: Visit<'_>) -> Result<Seal> {
        let trace = RefCell::default();
        let bad = |what: String| unusable(&self.path, what);
        let damaged = |error: io::Error| bad(damage(&error));
        let stream = HashingReader { from: decoder(&self.file).map_err(damaged)?, trace: &trace };
        let mut stream = tar::Archive::new(stream);
        let mut tree = Tree::default();
        let (mut found, mut declared) = (Seal::default(), None);
        // In raw mode tar does not interpret the entries for long names, and the rules refuse them.
        // Otherwise tar would read a name of any length into memory.
        for (index, entry) in stream.entries().map_err(damaged)?.raw(true).enumerate() {
            let mut entry = entry.map_err(damaged)?;
            let name = entry.path().map_err(damaged)?.into_owned();
            match name.strip_prefix(DATA) {
                _ if declared.is_some() => return Err(bad(format!("{name:?} follows its seal"))),
                _ if index == 0 && name == Path::new(MANIFEST) => {}
                _ if name == Path::new(SEAL) => {
                    found.sha256 = trace.borrow().before_this_block();
                    declared = Some(text(&mut entry).map_err(damaged)?);
                }
                Ok(path) if index > 0 => {
                    let described = Entry::read(entry.header(), path.to_path_buf()).map_err(bad)?;
                    tree.admit(&described).map_err(bad)?;
                    self.hand_over(&described, &mut entry, visit)?;
                    found.entries += 1;
                    found.bytes += described.size();
                }
                _ => return Err(bad(format!("it must not contain {name:?}"))),
            }
        }
        only_zeros(stream.into_inner().from).map_err(damaged)?;
        let declared = declared.ok_or_else(|| bad("it is incomplete: it has no seal".into()))?;
        let declared: Seal = serde_json::from_slice(&declared)
            .map_err(|error| bad(format!("its seal cannot be read: {error}")))?;
        match declared == found && tree.is_begun() {
            true => Ok(found),
            false => Err(bad(format!("its seal says {declared}, but it contains {found}"))),
        }
    }

    fn hand_over(&self, entry: &Entry, content: &mut dyn Read, visit: Visit<'_>) -> Result<()> {
        let mut content = ExactReader::new(content, entry.size());
        visit(entry, &mut content).map_err(|error| {
            if content.failed {
                return unusable(&self.path, damage(&error));
            }
            let full = full_disk(&error);
            let failure = Error::new(
                Kind::Snapshot,
                format!("cannot copy {:?} out of {}", entry.path, self.path.display()),
            )
            .because(error);
            if full { failure.hint("make room on that disk") } else { failure }
        })
    }
}

impl<P> Verified<P> {
    /// The file's manifest.
    pub fn manifest(&self) -> &Manifest<P> {
        &self.archive.manifest
    }

    /// The file's seal.
    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    /// Unpacks the data directory as `directory`, which must not exist. devdb's user owns the
    /// files, which get their former permissions. This does not sync them to disk.
    ///
    /// # Errors
    /// `Snapshot` when the directory cannot be written, or the file has changed since it was
    /// verified. The unpacked files stay then, and must not be used.
    pub fn unpack_into(&self, directory: &Path) -> Result<()> {
        let mut directories = unpack::Directories::default();
        self.archive.walk(&mut |entry, content| {
            unpack::entry(entry, content, directory, &mut directories)
        })?;
        directories.restrict().or_fail(Kind::Snapshot, || {
            format!("cannot set the permissions in {}", directory.display())
        })
    }

    /// Writes the data directory as a tar stream for an engine. In the stream its path is `root`,
    /// which must not be empty, and `owner` owns all files.
    ///
    /// # Errors
    /// `Snapshot` when `out` fails or the file has changed since it was verified. The stream has no
    /// end mark then, and the caller must tell its receiver that it failed.
    pub fn write_tar(&self, root: &Path, owner: FileOwner, out: &mut dyn Write) -> Result<()> {
        self.archive.walk(&mut |entry, content| {
            let header = entry.header(root, owner).map_err(io::Error::other)?;
            // tar's builder would write the end mark even if it is dropped halfway.
            out.write_all(header.as_bytes())?;
            let size = io::copy(content, out)?;
            out.write_all(&[0; BLOCK][..padding(size)])
        })?;
        out.write_all(&[0; 2 * BLOCK])
            .and_then(|()| out.flush())
            .or_fail(Kind::Snapshot, || format!("cannot send {}", self.archive.path.display()))
    }
}

fn damage(error: &io::Error) -> String {
    format!("it is damaged or incomplete: {error}")
}

/// How many bytes fill the last block of a content of `size` bytes.
fn padding(size: u64) -> usize {
    usize::try_from(size.next_multiple_of(BLOCK as u64) - size).unwrap_or(0)
}

fn decoder(mut file: &fs::File) -> io::Result<Decoder<'static, BufReader<fs::File>>> {
    file.rewind()?;
    Decoder::new(file.try_clone()?)
}

/// The text of the first entry, which must be the manifest.
fn manifest_text(file: &fs::File) -> io::Result<Vec<u8>> {
    let mut stream = tar::Archive::new(decoder(file)?);
    let first = stream.entries()?.raw(true).next();
    let mut first = first.ok_or_else(|| io::Error::other("it is empty"))??;
    if first.path()? != Path::new(MANIFEST) {
        return Err(io::Error::other(format!("its first entry is {:?}", first.path()?)));
    }
    text(&mut first)
}

fn text(entry: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    match entry.take(JSON_BYTES_MAX + 1).read_to_end(&mut text)? as u64 > JSON_BYTES_MAX {
        true => Err(io::Error::other("its manifest or its seal is too large")),
        false => Ok(text),
    }
}

fn parse_manifest<P: DeserializeOwned>(
    text: &[u8],
    path: &Path,
    kind: ArchiveKind,
) -> Result<Manifest<P>> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    #[derive(Deserialize)]
    struct Holds {
        kind: ArchiveKind,
    }
    let bad = |error| unusable(path, format!("its manifest cannot be read: {error}"));
    let Version { format } = serde_json::from_slice(text).map_err(bad)?;
    if format > FORMAT {
        return Err(Error::new(
            Kind::Snapshot,
            format!("{} was written by a newer devdb (format {format})", path.display()),
        )
        .hint("install a newer version of devdb"));
    }
    let Holds { kind: held } = serde_json::from_slice(text).map_err(bad)?;
    if held != kind {
        return Err(Error::new(
            Kind::Snapshot,
            format!("{} contains {held}, not {kind}", path.display()),
        )
        .hint(match held {
            ArchiveKind::Snapshot => "devdb snapshot import FILE",
            ArchiveKind::Golden => "devdb cache pull FILE",
        }));
    }
    serde_json::from_slice(text).map_err(bad)
}

/// Checks that only zeros follow the end mark of the tar stream.
fn only_zeros(mut rest: impl Read) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match rest.read(&mut buffer)? {
            0 => return Ok(()),
            count if buffer[..count].iter().all(|byte| *byte == 0) => {}
            _ => return Err(io::Error::other("there is data behind its end")),
        }
    }
}

/// Hashes the bytes of a stream while they are read.
struct HashingReader<'a, R> {
    from: R,
    trace: &'a RefCell<TrailingHash>,
}

impl<R: Read> Read for HashingReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.trace.borrow_mut().add(&buffer[..read]);
        Ok(read)
    }
}
