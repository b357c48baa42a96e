//! Damaged, forged and foreign files, and directories that devdb does not archive.

use proptest::prelude::*;

use super::*;

#[test]
fn a_file_that_was_cut_off_is_never_used() {
    let home = tempfile::tempdir().unwrap();
    let path = written(home.path());
    let whole = fs::read(&path).unwrap();
    let part = home.path().join("part");
    for length in (0..whole.len()).step_by(1000).chain(whole.len() - 40..whole.len()) {
        fs::write(&part, &whole[..length]).unwrap();
        let error = verified(&part).unwrap_err();
        assert_eq!(error.kind(), Kind::Snapshot, "{length}: {error}");
        assert!(error.message().contains("part"), "{length}: {error}");
        assert!(!error.hints().is_empty());
    }
    fs::write(&part, [whole.as_slice(), b"more"].concat()).unwrap();
    verified(&part).unwrap_err();
    assert!(open(&home.path().join("nonesuch")).unwrap_err().message().contains("nonesuch"));
    assert!(open(home.path()).unwrap_err().to_string().contains("directory"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// One bit in the header of the compressed stream has no meaning. So a changed file may be
    /// accepted, but only if its content is the same.
    #[test]
    fn a_changed_byte_is_found_or_changes_nothing(at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let home = tempfile::tempdir().unwrap();
        let path = written(home.path());
        let seal = verified(&path).unwrap().seal().clone();
        let mut bytes = fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        fs::write(&path, bytes).unwrap();
        if let Ok(verified) = verified(&path) {
            prop_assert_eq!(verified.seal(), &seal);
        }
    }
}

#[test]
fn other_files_formats_and_kinds_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = written(home.path());
    let wrong = Archive::<Payload>::open(&path, ArchiveKind::Golden).unwrap_err();
    assert!(wrong.message().ends_with("contains a snapshot, not a golden state"), "{wrong}");
    let other = Archive::<Vec<u8>>::open(&path, ArchiveKind::Snapshot).unwrap_err();
    assert!(other.to_string().contains("manifest cannot be read"), "{other}");

    let manifest = |text: &str| forged(home.path(), &[(EntryType::Regular, MANIFEST, text)]);
    let newer = manifest("{\"format\": 2, \"kind\": \"cluster\", \"elsewhere\": true}");
    let error = open(&newer).unwrap_err();
    assert!(error.message().contains("written by a newer devdb (format 2)"), "{error}");
    open(&manifest("{\"format\": ")).unwrap_err();
    open(&manifest(&" ".repeat(2_000_000))).unwrap_err();
    open(&forged(home.path(), &[])).unwrap_err();
    fs::write(&path, "PGDMP").unwrap();
    assert!(open(&path).unwrap_err().to_string().contains("does not begin"));
}

/// The type, the name, and the content or target of an entry.
type Forged<'a> = (EntryType, &'a str, &'a str);

/// Writes a file with these entries and a seal that fits them. The first entry is the manifest.
fn forged(home: &Path, entries: &[Forged<'_>]) -> PathBuf {
    use sha2::{Digest, Sha256};
    let mut builder = tar::Builder::new(Vec::new());
    let mut bytes = 0;
    for (kind, name, content) in entries {
        let mut header = tar::Header::new_ustar();
        // `set_path` would refuse names that the reader must refuse.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_mode(0o700);
        header.set_mtime(0);
        header.set_entry_type(*kind);
        let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
        if is_link {
            header.set_link_name_literal(content).unwrap();
        }
        let content = if is_link { "" } else { content };
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
        bytes += content.len() as u64;
    }
    let manifest = entries.first().map_or(0, |(.., text)| text.len() as u64);
    let sha256: Vec<String> =
        Sha256::digest(builder.get_ref()).iter().map(|byte| format!("{byte:02x}")).collect();
    let seal = Seal {
        entries: entries.len().saturating_sub(1) as u64,
        bytes: bytes - manifest,
        sha256: sha256.concat(),
    };
    let seal = serde_json::to_vec(&seal).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_path(SEAL).unwrap();
    header.set_size(seal.len() as u64);
    header.set_cksum();
    builder.append(&header, seal.as_slice()).unwrap();
    let path = home.join("forged");
    let stream = builder.into_inner().unwrap();
    fs::write(&path, zstd::encode_all(stream.as_slice(), 1).unwrap()).unwrap();
    path
}

#[test]
fn entries_that_break_the_rules_are_refused() {
    const GOOD: &str = r#"{"format": 1, "kind": "snapshot", "created": "2026-01-01T00:00:00Z",
        "devdb": "0.1.0", "payload": {"name": "", "major": 15}, "later": 1}"#;
    use EntryType as T;
    let home = tempfile::tempdir().unwrap();
    let try_with = |more: &[Forged<'_>]| {
        let begin = [(T::Regular, MANIFEST, GOOD), (T::Directory, "data", "")];
        verified(&forged(home.path(), &[&begin, more].concat()))
    };
    let tablespaces = (T::Directory, "data/pg_tblspc", "");
    try_with(&[(T::Directory, "data/b", ""), (T::Symlink, "data/b/l", "../x/y")]).unwrap();
    let refused: &[(&[Forged<'_>], &str)] = &[
        (&[(T::Regular, "/etc/passwd", "x")], "it must not contain"),
        (&[(T::Regular, "elsewhere", "x")], "it must not contain"),
        (&[(T::Regular, "data/../x", "x")], "not a plain relative path"),
        (&[(T::Regular, "data/a", "1"), (T::Regular, "data/a", "2")], "twice"),
        (&[(T::Regular, "data/a/b", "x")], "comes before its directory"),
        (
            &[(T::Symlink, "data/l", "b"), (T::Regular, "data/l/x", "")],
            "comes before its directory",
        ),
        (&[(T::Symlink, "data/l", "/etc")], "an absolute path"),
        (&[(T::Symlink, "data/l", "../x")], "outside of the data directory"),
        (&[(T::Symlink, "data/l", "b/../../x")], "\"..\" behind a name"),
        (&[(T::Symlink, "data/l", "")], "an empty path"),
        (&[tablespaces, (T::Symlink, "data/pg_tblspc/16384", "/mnt")], "tablespace"),
        (&[(T::Link, "data/l", "data/x")], "a hard link"),
        (&[(T::Fifo, "data/f", "")], "neither a file nor a directory"),
        (&[(T::Char, "data/f", "")], "neither a file nor a directory"),
        (&[(T::Block, "data/f", "")], "neither a file nor a directory"),
        (&[(T::GNULongName, "data/f", "data/long")], "neither a file nor a directory"),
        (&[(T::GNULongLink, "data/l", "/etc/x")], "a directory (tar type 'K')"),
        (&[(T::GNUSparse, "data/f", "x")], "a directory (tar type 'S')"),
        (&[(T::Continuous, "data/f", "x")], "a directory (tar type '7')"),
        (&[(T::new(b'Z'), "data/f", "x")], "a directory (tar type 'Z')"),
        (&[(T::XHeader, "data/f", "16 path=/etc/x\n")], "neither a file nor a directory"),
        (&[(T::XGlobalHeader, "data/f", "16 path=/etc/x\n")], "a directory (tar type 'g')"),
        (&[(T::XGlobalHeader, "pax_global_header", "16 path=/etc/x\n")], "it must not contain"),
        (&[(T::Regular, MANIFEST, "{}")], "it must not contain"),
        (&[(T::Regular, SEAL, "{}")], "follows its seal"),
    ];
    for (entries, why) in refused {
        let error = try_with(entries).unwrap_err();
        assert!(error.to_string().contains(why), "{entries:?}: {error}");
        assert_eq!(error.kind(), Kind::Snapshot);
    }
    let empty = forged(home.path(), &[(T::Regular, MANIFEST, GOOD)]);
    verified(&empty).unwrap_err();
    let file = [(T::Regular, MANIFEST, GOOD), (T::Regular, "data", "x")];
    verified(&forged(home.path(), &file)).unwrap_err();
}

#[test]
fn a_wrong_seal_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let stream = {
        let path = written(home.path());
        zstd::decode_all(fs::File::open(path).unwrap()).unwrap()
    };
    let at = |text: &str| {
        let mut places = stream.windows(text.len());
        places.rposition(|window| window == text.as_bytes()).unwrap()
    };
    for text in ["\"entries\": 9", "\"bytes\": 20515", "\"sha256\": \""] {
        let mut stream = stream.clone();
        let last = at(text) + text.len();
        let digit = if text.ends_with('"') { last } else { last - 1 };
        stream[digit] = if stream[digit] == b'1' { b'2' } else { b'1' };
        let path = home.path().join("changed");
        fs::write(&path, zstd::encode_all(stream.as_slice(), 1).unwrap()).unwrap();
        let error = verified(&path).unwrap_err();
        assert!(error.to_string().contains("its seal says"), "{error}");
    }
}

#[test]
fn the_error_names_the_file_that_cannot_be_archived() {
    let home = tempfile::tempdir().unwrap();
    let data = data_directory(home.path());
    let path = home.path().join("file");
    let attempt = || {
        let mut writer =
            Writer::create(&path, ArchiveKind::Snapshot, &payload(), IfExists::Refuse).unwrap();
        writer.append_directory(&data, &|_| false).unwrap_err().to_string()
    };
    symlink("/mnt/space", data.join("pg_tblspc/16384")).unwrap();
    let error = attempt();
    assert!(error.contains("data/pg_tblspc/16384") && error.contains("tablespace"), "{error}");
    fs::remove_file(data.join("pg_tblspc/16384")).unwrap();
    let long = data.join("x".repeat(200));
    fs::write(&long, "").unwrap();
    assert!(attempt().contains("cannot be stored"), "{}", attempt());
    fs::remove_file(long).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, data.join("fifo"), rustix::fs::Mode::RUSR).unwrap();
    assert!(attempt().contains("neither a file nor a directory"), "{}", attempt());
    fs::remove_file(data.join("fifo")).unwrap();
    let missing = Writer::create(&path, ArchiveKind::Snapshot, &payload(), IfExists::Refuse)
        .unwrap()
        .append_directory(&home.path().join("nonesuch"), &|_| false);
    assert!(missing.unwrap_err().to_string().contains("nonesuch"));
    let empty = Writer::create(&path, ArchiveKind::Snapshot, &payload(), IfExists::Refuse).unwrap();
    empty.finish().unwrap_err();
    let nowhere = home.path().join("no/file");
    let error = Writer::create(&nowhere, ArchiveKind::Snapshot, &payload(), IfExists::Refuse);
    assert!(error.err().unwrap().message().contains("no/file"));
    assert_eq!(names_in(home.path()), ["pgdata"]);
}
