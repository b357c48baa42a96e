use super::*;
use std::path::Path;

fn load_dir(directory: &Path) -> Result<MigrationSet> {
    load(&Files::Directory { path: directory.to_owned(), required: true })
}

/// Loads files given as (name, content).
fn load_files(files: &[(&str, &[u8])]) -> Result<MigrationSet> {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(directory.path().join(name), content).unwrap();
    }
    load_dir(directory.path())
}

/// The whole error, without the temporary directory's name.
fn refused(files: &[(&str, &[u8])]) -> String {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(directory.path().join(name), content).unwrap();
    }
    let error = load_dir(directory.path()).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    let mut text = error.to_string();
    if let Some(excerpt) = error.excerpt_text() {
        text.push('\n');
        text.push_str(excerpt);
    }
    text.replace(&format!("{}/", directory.path().display()), "migrations/")
}

#[test]
fn names_and_checksums_are_read_as_sqlx_reads_them() {
    let set = load_files(&[
        ("2_add_b_c.sql", b"select 2;\r\n"),
        ("1_first.up.sql", b"select 1;"),
        ("1_first.down.sql", b""),
        ("README.md", b"not a migration"),
        (".hidden.sql", b""),
    ])
    .unwrap();
    let names: Vec<_> =
        set.files().iter().map(|file| (file.version(), file.description())).collect();
    assert_eq!(names, [(1, "first"), (2, "add b c")]);
    let file = &set.files()[1];
    assert_eq!(&*file.migration.checksum, &Sha384::digest(b"select 2;\r\n")[..]);
    assert!(file.has_checksum(&Sha384::digest(b"select 2;\r\n")));
    assert!(file.has_checksum(&Sha384::digest(b"select 2;\n")));
    assert!(!file.has_checksum(&Sha384::digest(b"select 2;")));
}

#[test]
fn line_endings_do_not_change_the_fingerprint() {
    let fingerprint =
        |content: &[u8]| load_files(&[("1_a.sql", content)]).unwrap().files()[0].fingerprint();
    assert_eq!(fingerprint(b"select\n1"), fingerprint(b"select\r\n1"));
    assert_ne!(fingerprint(b"select\n1"), fingerprint(b"select 1"));
}

#[test]
fn the_sample_project_loads() {
    let set = load(&Files::Embedded).unwrap();
    assert_eq!(set.files().len(), 5);
    assert!(set.files()[0].name().starts_with("20260105090000_"));
    assert_eq!(set.newest(), Some(set.files()[4].version()));
}

#[test]
fn only_a_directory_that_a_person_named_must_exist() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("migrations");
    let set = load(&Files::Directory { path: path.clone(), required: false }).unwrap();
    assert!(set.files().is_empty());
    let error = load(&Files::Directory { path, required: true }).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.message().starts_with("migrations.path: cannot read"), "{error}");
}

#[test]
fn wrong_names_are_refused() {
    for (name, reason) in [
        ("notes.sql", "there is no underscore in it"),
        ("create_users.sql", "it does not begin with digits and an underscore"),
        ("99999999999999999999_far.sql", "its version is above 9223372036854775807"),
        ("1_shout.SQL", "its extension is not `.sql` in lower case"),
    ] {
        assert_eq!(
            refused(&[(name, b"select 1")]),
            format!("migrations/{name} is not a migration's name: {reason}")
        );
    }
}

#[test]
fn names_that_sqlx_takes_are_taken() {
    let set = load_files(&[
        ("0_init.sql", b"select 1"),
        ("1_.sql", b"select 1"),
        ("7_a.down.sql", b"drop table a"),
    ])
    .unwrap();
    assert_eq!(set.files().iter().map(MigrationFile::version).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(set.without_up, ["7_a.down.sql"]);
}

#[test]
fn two_files_with_one_version_are_refused() {
    insta::assert_snapshot!(
        refused(&[("7_a.sql", b"select 1"), ("07_b.up.sql", b"select 1")]),
        @"two migrations have the version 7: migrations/07_b.up.sql and 7_a.sql"
    );
}

#[test]
fn all_files_that_cannot_be_used_are_named_at_once() {
    insta::assert_snapshot!(
        refused(&[
            ("1_a.sql", b"select '\xe4'"),
            ("notes.sql", b""),
            ("b_2.sql", b""),
            ("3_c.sql", b"select 1"),
        ]),
        @"3 files of migrations cannot be used: migrations/1_a.sql:1:9: not UTF-8: no character begins with the byte 0xe4: migrations/b_2.sql is not a migration's name: it does not begin with digits and an underscore: migrations/notes.sql is not a migration's name: there is no underscore in it"
    );
}

#[cfg(unix)]
#[test]
fn a_link_to_a_missing_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", directory.path().join("1_a.sql")).unwrap();
    let error = load_dir(directory.path()).unwrap_err();
    assert!(error.message().starts_with("cannot read"), "{error}");
    assert!(error.message().ends_with("1_a.sql"), "{error}");
    assert_eq!(error.causes(), ["it is a link to /nowhere/at/all, which does not exist"]);
}
