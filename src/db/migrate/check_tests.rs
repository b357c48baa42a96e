use super::*;
use crate::db::migrate::{MigrationSet, load};
use crate::spec::Files;

fn set(directory: &tempfile::TempDir, files: &[(&str, &str)]) -> MigrationSet {
    for (name, content) in files {
        std::fs::write(directory.path().join(name), content).unwrap();
    }
    load(&Files::Directory { path: directory.path().to_owned(), required: true }).unwrap()
}

/// The whole error, without the temporary directory's name.
fn refused(files: &[(&str, &str)]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let error = set(&directory, files).check_behind(0).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    let parts = std::iter::once(error.to_string())
        .chain(error.excerpt_text().map(str::to_owned))
        .chain(error.hints().iter().map(|hint| format!("hint: {hint}")));
    let text = parts.collect::<Vec<_>>().join("\n");
    text.replace(&format!("{}/", directory.path().display()), "migrations/")
}

fn warned(files: &[(&str, &str)]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let set = set(&directory, files);
    set.check_behind(0).unwrap();
    warnings(&set.files().iter().collect::<Vec<_>>())
}

#[test]
fn what_no_server_can_run_is_refused() {
    insta::assert_snapshot!(refused(&[("1_a.sql", "\u{feff}select 1")]), @r"
    migrations/1_a.sql begins with a byte order mark: PostgreSQL reads it as a part of the first statement
    hint: save the file as UTF-8 without BOM
    ");
    insta::assert_snapshot!(refused(&[("1_a.sql", "select 1;\0")]), @"migrations/1_a.sql:1:10: a NUL character: PostgreSQL reads it as the end of the file");
    insta::assert_snapshot!(refused(&[("1_a.sql", "create table a ();\n\\connect other\n\\connect more\n")]), @r"
    migrations/1_a.sql:2:1: \connect is a command of psql; the server does not know it
    1 | create table a ();
    2 | \connect other
      | ^
    3 | \connect more
    hint: remove \connect: devdb is connected to the project's database, as its owner
    ");
    insta::assert_snapshot!(refused(&[("1_a.sql", "copy t to stdout;")]), @r"
    migrations/1_a.sql:1:1: COPY … TO STDOUT prints rows, which only psql can do
    1 | copy t to stdout;
      | ^
    hint: remove the COPY … TO STDOUT
    ");
}

#[test]
fn all_faults_of_all_files_are_said_at_once() {
    insta::assert_snapshot!(refused(&[
        ("1_a.sql", "\\echo a\n\\i b.sql\nselect 1;"),
        ("2_b.sql", "select 1;"),
        ("3_c.sql", "\\include d.sql"),
    ]), @r"
    migrations have 3 faults: migrations/1_a.sql:1:1: \echo is a command of psql; the server does not know it: migrations/1_a.sql:2:1: \i is a command of psql; the server does not know it: migrations/3_c.sql:1:1: \include is a command of psql; the server does not know it
    hint: remove the psql commands that only change what psql prints
    hint: replace \i by the text of that file, or make that file one of this directory
    ");
}

#[test]
fn what_is_not_going_to_be_run_is_not_checked() {
    let directory = tempfile::tempdir().unwrap();
    let set = set(&directory, &[("1_a.sql", "\\i b.sql"), ("2_b.sql", "select 1;")]);
    assert!(set.check_behind(0).is_err());
    set.check_behind(1).unwrap();
}

#[test]
fn what_sqlx_applies_is_only_warned_of() {
    insta::assert_snapshot!(warned(&[
        ("1_a.sql", "BEGIN;\ncreate table a ();\nCOMMIT;\n"),
        ("2_b.sql", "-- later\n"),
        ("3_c.sql", ""),
        ("4_d.sql", "-- no-transaction\nbegin; select 1"),
        ("5_e.sql", "select 1;\nrollback;"),
        ("6_f.sql", "-- no-transaction\nbegin; select 1; end"),
        ("7_g.sql", "begin; create table g ();"),
        ("8_h.sql", "create table h (); commit;"),
    ]).join("\n"), @r"
    2_b.sql, 3_c.sql have no SQL statement and count as applied: SQL that is added to them later does not run
    1_a.sql, 8_h.sql commit by themselves: if one fails or is interrupted after its COMMIT, its changes stay in the database, but it does not count as applied
    5_e.sql undoes its changes with a ROLLBACK, and counts as applied
    4_d.sql begins a transaction and does not end it: devdb commits it
    ");
    assert_eq!(warned(&[("1_a.sql", "savepoint s; select 1; rollback to s;")]), [""; 0]);
}

#[test]
fn a_near_miss_of_the_marker_is_said() {
    for (text, line) in [
        ("-- a\n-- no-transaction\nselect 1", 2),
        ("--no-transaction\nselect 1", 1),
        ("-- NO-TRANSACTION\nselect 1", 1),
        (" -- no-transaction\nselect 1", 1),
        ("\n-- no-transaction\nselect 1", 2),
        ("/* no-transaction */\nselect 1", 1),
        ("-- no transaction\r\nselect 1", 1),
        ("create table a ();\n-- no-transaction\nvacuum;", 2),
    ] {
        let warned = warned(&[("1_a.sql", text)]).join("\n");
        let expected = format!("1_a.sql runs in a transaction, although its line {line} is `");
        assert!(warned.starts_with(&expected), "{text:?}: {warned}");
    }
    insta::assert_snapshot!(warned(&[("1_a.sql", "-- No-Transaction\r\nselect 1;")]).join("\n"), @"1_a.sql runs in a transaction, although its line 1 is `-- No-Transaction`: only a file that begins with `-- no-transaction`, in exactly this form, runs without one");
    insta::assert_snapshot!(warned(&[("1_a.sql", "-- no-transactions please\nselect 1;")]).join("\n"), @"1_a.sql runs without a transaction, because its first line, `-- no-transactions please`, begins with `-- no-transaction`");
    for text in [
        "-- no-transaction\nselect 1",
        "-- no-transaction: an index\nselect 1",
        "select 1; -- there is no transaction here",
        "select '\nno-transaction'",
    ] {
        assert_eq!(warned(&[("1_a.sql", text)]), [""; 0], "{text:?}");
    }
}
