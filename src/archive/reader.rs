//! Reading a file. One walk does all the checking, so that unpacking checks what it unpacks even
//! though [`Archive::verify`] has read the same file before.

use std::cell::RefCell;
use std::fs;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use zstd::stream::read::Decoder;

use super::entry::{Entry, Tree};
use super::pour::{Trace, Watched};
use super::{
    BLOCK, Content, DATA, FORMAT, MANIFEST, Manifest, SEAL, Seal, full_disk, unpack, unusable,
};
use crate::error::{Error, Kind, Result, ResultExt};

/// No manifest or seal that devdb writes is near this many bytes.
const TEXT_MAX: u64 = 1 << 20;

/// What is done with an entry and its content.
type Visit<'a> = &'a mut dyn FnMut(&Entry, &mut dyn Read) -> io::Result<()>;

/// A file whose manifest is of use. The rest may not be.
#[derive(Debug)]
pub struct Archive<P> {
    path: PathBuf,
    file: fs::File,
    manifest: Manifest<P>,
}

/// A file that has been read to its seal and is whole.
#[derive(Debug)]
pub struct Verified<P> {
    archive: Archive<P>,
    seal: Seal,
}

impl<P: DeserializeOwned> Archive<P> {
    /// Opens a file and reads its manifest, whatever size the rest is.
    ///
    /// # Errors
    /// `Snapshot` when it is no file of devdb's, was written by a newer one, or holds something else
    /// than `kind`.
    pub fn open(path: &Path, kind: Content) -> Result<Self> {
        let file = fs::File::open(path)
            .or_fail(Kind::Snapshot, || format!("cannot open the file {}", path.display()))
            .map_err(|error| error.hint("name a file that devdb exported"))?;
        let text = manifest_text(&file).map_err(|error| {
            unusable(path, "it does not begin as the files that devdb exports do").because(error)
        })?;
        let manifest = understood(&text, path, kind)?;
        Ok(Archive { path: path.to_path_buf(), file, manifest })
    }
}

impl<P> Archive<P> {
    /// What the file says about itself.
    pub fn manifest(&self) -> &Manifest<P> {
        &self.manifest
    }

    /// Reads the whole file and checks that it is as its seal says, and that nothing in it would
    /// leave the directory it is unpacked into.
    ///
    /// # Errors
    /// `Snapshot`, naming what is wrong.
    pub fn verify(self) -> Result<Verified<P>> {
        let seal = self.walk(&mut |_, _| Ok(()))?;
        Ok(Verified { archive: self, seal })
    }

    /// Hands each entry of the data directory to `visit`, and checks everything. What was handed
    /// over is as it should be only when this returns.
    fn walk(&self, visit: Visit<'_>) -> Result<Seal> {
        let trace = RefCell::default();
        let bad = |what: String| unusable(&self.path, what);
        let damaged = |error: io::Error| bad(format!("it is damaged or not whole: {error}"));
        let stream = Traced { from: decoder(&self.file).map_err(damaged)?, trace: &trace };
        let mut stream = tar::Archive::new(stream);
        let mut tree = Tree::default();
        let (mut found, mut declared) = (Seal::default(), None);
        // Raw: what makes a name longer than a header is an entry like any other then, and refused
        // before anybody holds a name of any length.
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
                _ => return Err(bad(format!("{name:?} does not belong into it"))),
            }
        }
        only_zeros(stream.into_inner().from).map_err(damaged)?;
        let declared = declared.ok_or_else(|| bad("it has no seal: it is not whole".into()))?;
        let declared: Seal = serde_json::from_slice(&declared)
            .map_err(|error| bad(format!("its seal cannot be read: {error}")))?;
        match declared == found && tree.is_begun() {
            true => Ok(found),
            false => Err(bad(format!("its seal says {declared}, and it holds {found}"))),
        }
    }

    fn hand_over(&self, entry: &Entry, content: &mut dyn Read, visit: Visit<'_>) -> Result<()> {
        let mut content = Watched::new(content, entry.size());
        visit(entry, &mut content).map_err(|error| {
            if content.failed {
                return unusable(&self.path, format!("it is damaged or not whole: {error}"));
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
    /// What the file says about itself.
    pub fn manifest(&self) -> &Manifest<P> {
        &self.archive.manifest
    }

    /// How much is in it.
    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    /// Unpacks the data directory as `directory`, which must not exist. Everything is then ours,
    /// with the permissions that it had; nothing is synced.
    ///
    /// # Errors
    /// `Snapshot` when it cannot be written or the file has changed since it was verified. What was
    /// unpacked by then stays, and must not be used.
    pub fn unpack_into(&self, directory: &Path) -> Result<()> {
        let mut directories = unpack::Directories::default();
        self.archive.walk(&mut |entry, content| {
            unpack::entry(entry, content, directory, &mut directories)
        })?;
        directories.restrict().or_fail(Kind::Snapshot, || {
            format!("cannot set the permissions in {}", directory.display())
        })
    }

    /// Writes the data directory as a tar stream that an engine takes: as the directory `root`,
    /// which has a name, with everything owned by `owner` (user id, group id).
    ///
    /// # Errors
    /// `Snapshot` when `out` fails or the file has changed since it was verified. The stream has no
    /// end mark then, and whoever takes it must be told that it failed.
    pub fn write_tar(&self, root: &Path, owner: (u32, u32), out: &mut dyn Write) -> Result<()> {
        self.archive.walk(&mut |entry, content| {
            let header = entry.header(root, owner).map_err(io::Error::other)?;
            // Not tar's builder: dropped half-way, it ends the stream as if it were whole.
            out.write_all(header.as_bytes())?;
            let size = io::copy(content, out)?;
            out.write_all(&[0; BLOCK][..padding(size)])
        })?;
        out.write_all(&[0; 2 * BLOCK])
            .and_then(|()| out.flush())
            .or_fail(Kind::Snapshot, || format!("cannot hand on {}", self.archive.path.display()))
    }
}

/// How many bytes are missing to a whole block.
fn padding(size: u64) -> usize {
    usize::try_from(size.next_multiple_of(BLOCK as u64) - size).unwrap_or(0)
}

fn decoder(mut file: &fs::File) -> io::Result<Decoder<'static, BufReader<fs::File>>> {
    file.rewind()?;
    Decoder::new(file.try_clone()?)
}

/// The first entry, which is the manifest.
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
    match entry.take(TEXT_MAX + 1).read_to_end(&mut text)? as u64 > TEXT_MAX {
        true => Err(io::Error::other("it describes itself in more words than devdb would")),
        false => Ok(text),
    }
}

fn understood<P: DeserializeOwned>(text: &[u8], path: &Path, kind: Content) -> Result<Manifest<P>> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    #[derive(Deserialize)]
    struct Holds {
        kind: Content,
    }
    let bad = |error| unusable(path, format!("its manifest cannot be read: {error}"));
    let Version { format } = serde_json::from_slice(text).map_err(bad)?;
    if format > FORMAT {
        return Err(Error::new(
            Kind::Snapshot,
            format!("{} was written by a newer devdb (format {format})", path.display()),
        )
        .hint("install that version of devdb"));
    }
    let Holds { kind: held } = serde_json::from_slice(text).map_err(bad)?;
    if held != kind {
        return Err(Error::new(
            Kind::Snapshot,
            format!("{} holds {held}, not {kind}", path.display()),
        )
        .hint(match held {
            Content::Snapshot => "devdb snapshot import FILE",
            Content::Golden => "devdb cache pull FILE",
        }));
    }
    serde_json::from_slice(text).map_err(bad)
}

/// Whatever is after the end of the tar stream is devdb's only when it is nothing.
fn only_zeros(mut rest: impl Read) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match rest.read(&mut buffer)? {
            0 => return Ok(()),
            count if buffer[..count].iter().all(|byte| *byte == 0) => {}
            _ => return Err(io::Error::other("something follows its end")),
        }
    }
}

/// A stream whose bytes are hashed as they are read.
struct Traced<'a, R> {
    from: R,
    trace: &'a RefCell<Trace>,
}

impl<R: Read> Read for Traced<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.trace.borrow_mut().add(&buffer[..read]);
        Ok(read)
    }
}
