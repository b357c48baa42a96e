//! Writes and reads whole files.

mod refused;

use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tar::EntryType;

use super::entry::{Entry, EntryKind};
use super::tar_stream::{Failure, SealedTar};
use super::*;
use crate::error::Result;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Payload {
    name: String,
    major: u32,
}

fn payload() -> Payload {
    Payload { name: "before the merge".into(), major: 15 }
}

/// Makes a directory that looks like a data directory.
fn data_directory(home: &Path) -> PathBuf {
    let data = home.join("pgdata");
    fs::create_dir_all(data.join("base/5")).unwrap();
    fs::create_dir(data.join("pg_tblspc")).unwrap();
    fs::write(data.join("PG_VERSION"), "15\n").unwrap();
    fs::write(data.join("empty"), "").unwrap();
    fs::write(data.join("postmaster.pid"), "1").unwrap();
    fs::write(data.join("base/5/1259"), noise(20_000)).unwrap();
    fs::write(data.join("base/5/block"), [7; 512]).unwrap();
    symlink("../PG_VERSION", data.join("base/link")).unwrap();
    fs::set_permissions(data.join("PG_VERSION"), Permissions::from_mode(0o4640)).unwrap();
    fs::set_permissions(data.join("base"), Permissions::from_mode(0o500)).unwrap();
    fs::set_permissions(&data, Permissions::from_mode(0o700)).unwrap();
    data
}

/// Bytes that do not compress; the same bytes each time.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

fn no_pid(path: &Path) -> bool {
    path == Path::new("postmaster.pid")
}

fn written(home: &Path) -> PathBuf {
    let path = home.join("a file.tar.zst");
    let data = data_directory(home);
    let mut writer =
        Writer::create(&path, ArchiveKind::Snapshot, &payload(), IfExists::Refuse).unwrap();
    writer.append_directory(&data, &no_pid).unwrap();
    writer.finish().unwrap();
    path
}

fn open(path: &Path) -> Result<Archive<Payload>> {
    Archive::open(path, ArchiveKind::Snapshot)
}

fn verified(path: &Path) -> Result<Verified<Payload>> {
    open(path)?.verify()
}

/// The entries of a directory: path, mode, and content or target.
fn listing(root: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    fn walk(root: &Path, at: &Path, all: &mut Vec<(PathBuf, u32, Vec<u8>)>) {
        let metadata = fs::symlink_metadata(at).unwrap();
        let content = if metadata.is_symlink() {
            fs::read_link(at).unwrap().into_os_string().into_encoded_bytes()
        } else if metadata.is_file() {
            fs::read(at).unwrap()
        } else {
            Vec::new()
        };
        let path = at.strip_prefix(root).unwrap().to_path_buf();
        all.push((path, metadata.permissions().mode() & 0o7777, content));
        if metadata.is_dir() {
            for entry in fs::read_dir(at).unwrap() {
                walk(root, &entry.unwrap().path(), all);
            }
        }
    }
    let mut all = Vec::new();
    walk(root, root, &mut all);
    all.sort();
    all
}

/// The entries that an archive of the directory has: without `postmaster.pid` and without setuid.
fn archived(root: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    let all = listing(root).into_iter().filter(|(path, ..)| !no_pid(path));
    all.map(|(path, mode, content)| (path, mode & 0o777, content)).collect()
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_directory_comes_back_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let path = written(home.path());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names_in(home.path()), ["a file.tar.zst", "pgdata"]);
    let archive = open(&path).unwrap();
    assert_eq!(archive.manifest().payload, payload());
    assert_eq!(archive.manifest().devdb, env!("CARGO_PKG_VERSION"));
    let verified = archive.verify().unwrap();
    assert_eq!((verified.seal().entries, verified.seal().bytes), (9, 20_515));
    let back = home.path().join("back");
    verified.unpack_into(&back).unwrap();
    assert_eq!(listing(&back), archived(&home.path().join("pgdata")));
    let again = verified.unpack_into(&back).unwrap_err();
    assert!(again.to_string().contains("exists"), "{again}");
}

#[test]
fn a_tar_stream_comes_in_and_goes_out() {
    let home = tempfile::tempdir().unwrap();
    let first = verified(&written(home.path())).unwrap();
    let mut stream = Vec::new();
    first
        .write_tar(Path::new("pg/data"), FileOwner { user_id: 999, group_id: 998 }, &mut stream)
        .unwrap();
    for entry in tar::Archive::new(stream.as_slice()).entries().unwrap() {
        let entry = entry.unwrap();
        assert!(entry.path().unwrap().starts_with("pg/data"));
        assert_eq!((entry.header().uid().unwrap(), entry.header().gid().unwrap()), (999, 998));
    }

    let second = home.path().join("second");
    let mut writer =
        Writer::create(&second, ArchiveKind::Golden, &payload(), IfExists::Refuse).unwrap();
    writer.append_tar(stream.as_slice(), Path::new("./pg/data/"), &|_| false).unwrap();
    assert_eq!(&writer.finish().unwrap().bytes, &first.seal().bytes);
    let golden: Archive<Payload> = Archive::open(&second, ArchiveKind::Golden).unwrap();
    golden.verify().unwrap().unpack_into(&home.path().join("back")).unwrap();
    assert_eq!(listing(&home.path().join("back")), archived(&home.path().join("pgdata")));

    // The stream of an engine may break off anywhere, also between two entries.
    let whole = stream.len() - 1024;
    for length in (0..=whole).step_by(512).chain([whole - 1, 700]) {
        let mut writer =
            Writer::create(&second, ArchiveKind::Golden, &payload(), IfExists::Replace).unwrap();
        let error =
            writer.append_tar(&stream[..length], Path::new("pg/data"), &|_| false).unwrap_err();
        assert!(error.to_string().contains("cannot read the data directory"), "{length}: {error}");
    }
    assert!(verified_golden(&second), "the former file is still there");
    assert_eq!(names_in(home.path()), ["a file.tar.zst", "back", "pgdata", "second"]);
}

fn verified_golden(path: &Path) -> bool {
    Archive::<Payload>::open(path, ArchiveKind::Golden)
        .is_ok_and(|archive| archive.verify().is_ok())
}

#[test]
fn a_skipped_directory_is_left_out_with_its_files() {
    let home = tempfile::tempdir().unwrap();
    let first = verified(&written(home.path())).unwrap();
    let mut stream = Vec::new();
    first.write_tar(Path::new("data"), FileOwner::ROOT, &mut stream).unwrap();
    let skip = |path: &Path| path == Path::new("base");
    let bytes = |fill: &dyn Fn(&mut Writer) -> Result<()>| {
        let path = home.path().join("part");
        let mut writer =
            Writer::create(&path, ArchiveKind::Snapshot, &payload(), IfExists::Replace).unwrap();
        fill(&mut writer).unwrap();
        writer.finish().unwrap().bytes
    };
    let of_tar = bytes(&|writer| writer.append_tar(&stream[..], Path::new("data"), &skip));
    assert_eq!(of_tar, 3);
    let data = home.path().join("pgdata");
    assert_eq!(bytes(&|writer| writer.append_directory(&data, &skip)), 4);
}

#[test]
fn an_existing_file_is_replaced_only_with_if_exists_replace() {
    let home = tempfile::tempdir().unwrap();
    let path = written(home.path());
    let before = fs::read(&path).unwrap();
    let create = |if_exists| Writer::create(&path, ArchiveKind::Snapshot, &payload(), if_exists);
    let error = create(IfExists::Refuse).err().unwrap();
    assert_eq!(error.kind(), Kind::Snapshot);
    assert!(error.message().contains("already exists"), "{error}");
    // A writer that is dropped halfway leaves the target as it is.
    let mut writer = create(IfExists::Replace).unwrap();
    writer.append_directory(&home.path().join("pgdata"), &|_| false).unwrap();
    drop(writer);
    assert_eq!(fs::read(&path).unwrap(), before);
    // The target appears while the file is written.
    fs::rename(&path, home.path().join("aside")).unwrap();
    let mut late = create(IfExists::Refuse).unwrap();
    late.append_directory(&home.path().join("pgdata"), &|_| false).unwrap();
    fs::write(&path, "somebody else's").unwrap();
    assert!(late.finish().unwrap_err().message().contains("already exists"));
    assert_eq!(fs::read(&path).unwrap(), b"somebody else's");
    assert_eq!(names_in(home.path()), ["a file.tar.zst", "aside", "pgdata"]);
}

#[test]
fn only_an_abandoned_draft_is_removed() {
    let home = tempfile::tempdir().unwrap();
    let path = written(home.path());
    let left = home.path().join(".a file.tar.zst.dead.partial");
    fs::write(&left, "").unwrap();
    let mut writer =
        Writer::create(&path, ArchiveKind::Snapshot, &payload(), IfExists::Replace).unwrap();
    writer.append_directory(&home.path().join("pgdata"), &|_| false).unwrap();
    remove_drafts(&path);
    assert!(!left.exists());
    writer.finish().unwrap();
    assert_eq!(names_in(home.path()), ["a file.tar.zst", "pgdata"]);
}

/// A disk with room for so many bytes.
struct Small(usize);

impl Write for Small {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = self.0.min(bytes.len());
        self.0 -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_error_differs_for_a_full_disk_and_a_broken_source() {
    let file = Entry { path: "".into(), kind: EntryKind::Directory, mode: 0o700, modified: 0 };
    let big = Entry { path: "f".into(), kind: EntryKind::File(5000), ..file.clone() };
    let mut tar = SealedTar::new(Small(3000));
    tar.entry(&file, io::empty()).unwrap();
    let full = tar.entry(&big, io::repeat(1)).unwrap_err();
    assert!(matches!(&full, Failure::Write(error) if full_disk(error)), "{full:?}");

    let mut tar = SealedTar::new(Small(30_000));
    tar.entry(&file, io::empty()).unwrap();
    let short = tar.entry(&big, io::repeat(1).take(4999)).unwrap_err();
    assert!(matches!(short, Failure::Read(_)), "{short:?}");

    let home = tempfile::tempdir().unwrap();
    let verified = verified(&written(home.path())).unwrap();
    let error = verified.write_tar(Path::new("x"), FileOwner::ROOT, &mut Small(9000)).unwrap_err();
    assert!(error.hints().iter().any(|hint| hint.contains("make room")), "{error}");
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_filled_up() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("f");
    fs::write(&file, [7; 1000]).unwrap();
    let (entry, mut content) = source::described(&file, "f".into()).unwrap().unwrap();
    fs::write(&file, [7; 10]).unwrap();
    assert_eq!(entry.size(), 1000);
    let mut read = Vec::new();
    (&mut content).take(entry.size()).read_to_end(&mut read).unwrap();
    assert_eq!(read, [vec![7; 10], vec![0; 990]].concat());
    fs::remove_file(&file).unwrap();
    assert!(source::described(&file, "f".into()).unwrap().is_none());
}

/// Streams one file that is larger than the memory that the test may use.
#[test]
fn a_large_file_streams_through() {
    const SIZE: u64 = 600 << 20;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("large");
    let mut writer =
        Writer::create(&path, ArchiveKind::Golden, &payload(), IfExists::Refuse).unwrap();
    let header = |kind, name: &str, size| {
        let mut header = tar::Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_entry_type(kind);
        header.set_mode(0o700);
        header.set_mtime(0);
        header.set_size(size);
        header.set_cksum();
        io::Cursor::new(header.as_bytes().to_vec())
    };
    let stream = header(EntryType::Directory, "data", 0)
        .chain(header(EntryType::Regular, "data/16384", SIZE))
        .chain(io::repeat(9).take(SIZE))
        .chain(io::repeat(0).take(1024));
    writer.append_tar(stream, Path::new("data"), &|_| false).unwrap();
    assert_eq!(writer.finish().unwrap().bytes, SIZE);
    let verified: Verified<Payload> =
        Archive::open(&path, ArchiveKind::Golden).unwrap().verify().unwrap();
    let mut out = Counted(0);
    verified.write_tar(Path::new("x"), FileOwner::ROOT, &mut out).unwrap();
    assert_eq!(out.0, SIZE + 4 * 512);
    let peak = peak_memory_kib();
    assert!(peak < 400 << 10, "{peak} KiB");
}

struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The most memory in KiB that this process has used so far, with all its tests.
fn peak_memory_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}
