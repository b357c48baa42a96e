use super::*;
use std::path::Path;

fn load_dir(directory: &Path, profile: &str) -> Result<SeedSet> {
    load(&Files::Directory { path: directory.to_owned(), required: true }, profile, None)
}

fn write(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    directory
}

/// The whole error with its hints, without the temporary directory's name.
fn refused(files: &[(&str, &str)]) -> String {
    let directory = write(files);
    let error = load_dir(directory.path(), "dev").unwrap_err();
    assert_eq!(error.kind(), Kind::Seed);
    let mut text = error.to_string();
    for part in error.excerpt_text().into_iter().chain(error.hints().iter().map(String::as_str)) {
        text.push('\n');
        text.push_str(part);
    }
    text.replace(&format!("{}/", directory.path().display()), "seeds/")
}

fn names(set: &SeedSet) -> Vec<&str> {
    set.files().iter().map(SeedFile::name).collect()
}

#[test]
fn common_files_come_before_files_of_the_profile() {
    let directory = write(&[
        ("020_b.sql", "select 1"),
        ("010_a.yaml", ""),
        ("README.md", ""),
        (".hidden.yaml", "]"),
        ("dev/005_c.CSV", "id\n"),
        ("demo/001_d.yml", "# nothing"),
    ]);
    let load = |profile| load_dir(directory.path(), profile);
    assert_eq!(names(&load("dev").unwrap()), ["010_a.yaml", "020_b.sql", "dev/005_c.CSV"]);
    assert_eq!(names(&load("demo").unwrap()), ["010_a.yaml", "020_b.sql", "demo/001_d.yml"]);
    let error = load("dmeo").unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.message().ends_with("has no subdirectory \"dmeo\""), "{error}");
    assert_eq!(error.hints(), ["did you mean \"demo\"?"]);
}

#[test]
fn a_csv_file_names_its_table() {
    assert_eq!(table_of("020_readings"), "readings");
    assert_eq!(table_of("7-iot.readings"), "iot.readings");
    assert_eq!(table_of("sensor_readings"), "sensor_readings");
}

#[test]
fn comments_change_the_checksum_and_line_endings_do_not() {
    let checksum = |text: &str| {
        let directory = write(&[("a.yaml", text)]);
        load_dir(directory.path(), "dev").unwrap().files()[0].checksum().to_owned()
    };
    assert_eq!(checksum("# a\nt:\n  r: {a: 1}\n"), checksum("# a\r\nt:\r\n  r: {a: 1}\r\n"));
    assert_ne!(checksum("# a\n"), checksum("# b\n"));
}

#[test]
fn the_sample_project_loads_and_needs_a_key() {
    let set = load(&Files::Embedded, "dev", None).unwrap();
    assert_eq!(names(&set), ["010_organizations.yaml", "020_factories.yaml", "030_gateways.yaml"]);
    assert!(set.needs_key());
    let directory = write(&[("a.yaml", "t: {r: {a: 1}}")]);
    assert!(!load_dir(directory.path(), "dev").unwrap().needs_key());
}

#[test]
fn every_template_exists_and_the_seed_template_loads() {
    for name in ["devdb.yaml", "env.example", "gitignore", "migration.sql", "seed.yaml"] {
        assert!(embedded::template(name).is_some_and(|text| !text.is_empty()), "{name}");
    }
    // All lines of the example are comments, so a first `devdb up` applies nothing.
    let directory = write(&[("010_example.yaml", embedded::template("seed.yaml").unwrap())]);
    load_dir(directory.path(), "dev").unwrap();
    let uncommented: Vec<&str> = embedded::template("seed.yaml")
        .unwrap()
        .lines()
        .skip_while(|line| !line.starts_with("# organizations:"))
        .map(|line| line.trim_start_matches('#').strip_prefix(' ').unwrap_or_default())
        .collect();
    let directory = write(&[("010_example.yaml", &uncommented.join("\n"))]);
    load_dir(directory.path(), "dev").unwrap();
}

#[test]
fn wrong_shapes_are_refused_with_their_place() {
    insta::assert_snapshot!(refused(&[("a.yaml", "t:\n  r:\n    a: [1\n  s: 2\n")]), @r"
    seeds/a.yaml:4:4: this is not YAML: invalid indentation
    2 |   r:
    3 |     a: [1
    4 |   s: 2
      |    ^
    ");
    insta::assert_snapshot!(refused(&[("a.yaml", "- a\n")]), @r"
    seeds/a.yaml:1:1: a seed file is a mapping of table names, each with its rows; this is a list
    1 | - a
      | ^
    organizations:
      acme:
        name: ACME
    ");
    insta::assert_snapshot!(refused(&[("a.yaml", "t:\r\n  r: 5\r\n")]), @r"
    seeds/a.yaml:2:6: a row is a mapping of column names, each with its value; this is a single value
    1 | t:
    2 |   r: 5
      |      ^
    organizations:
      acme:
        name: ACME
    ");
    insta::assert_snapshot!(refused(&[("a.yaml", "t: {r: {}}\n---\nu: {}\n")]), @r"
    seeds/a.yaml:3:1: a second document begins here
    1 | t: {r: {}}
    2 | ---
    3 | u: {}
      | ^
    ");
    insta::assert_snapshot!(refused(&[("a.yaml", "t:\n  r:\n    a: !rfe x\n")]), @r"
    seeds/a.yaml:3:8: unknown tag !rfe
    1 | t:
    2 |   r:
    3 |     a: !rfe x
      |        ^
    did you mean !ref?
    ");
    insta::assert_snapshot!(refused(&[("a.yaml", "t:\n  r:\n    a: !encrypt [x]\n")]), @r"
    seeds/a.yaml:3:8: !encrypt needs a single value; this is a list
    1 | t:
    2 |   r:
    3 |     a: !encrypt ***
      |        ^
    ");
    insta::assert_snapshot!(refused(&[("a.yaml", "t:\n  v1.2:\n    a: 1\n")]), @r#"
    seeds/a.yaml:2:3: the label "v1.2" is empty or contains a dot
    1 | t:
    2 |   v1.2:
      |   ^
    3 |     a: 1
    choose a label without a dot; in `!ref table.label` the dot ends the table
    "#);
}

#[test]
fn names_that_occur_twice_are_refused() {
    insta::assert_snapshot!(refused(&[("a.yaml", "t: {}\nt: {}\n")]), @r#"
    seeds/a.yaml:2:1: the table "t" occurs twice, first on line 1
    1 | t: {}
    2 | t: {}
      | ^
    "#);
    insta::assert_snapshot!(refused(&[("a.yaml", "t:\n  r: {}\n  r: {}\n")]), @r#"
    seeds/a.yaml:3:3: two rows of t have the label "r", the first on line 2
    1 | t:
    2 |   r: {}
    3 |   r: {}
      |   ^
    "#);
    insta::assert_snapshot!(refused(&[("a.yaml", "t:\n  r: {a: 1, a: 2}\n")]), @r#"
    seeds/a.yaml:2:13: the column "a" occurs twice, first on line 2
    1 | t:
    2 |   r: {a: 1, a: 2}
      |             ^
    "#);
    insta::assert_snapshot!(refused(&[("a.yaml", "t: {r: {}}"), ("dev/b.yaml", "public.t:\n  r: {}\n")]), @r#"
    seeds/dev/b.yaml:2:3: two rows of t have the label "r", the first in seeds/a.yaml:1:5
    1 | public.t:
    2 |   r: {}
      |   ^
    "#);
}

#[test]
fn a_reference_needs_a_row_before_it() {
    let rows = "orgs:\n  acme: {}\n";
    insta::assert_snapshot!(refused(&[("a.yaml", rows), ("b.yaml", "t:\n  r: {a: !ref acne}\n")]), @r#"
    seeds/b.yaml:2:10: no row has the label "acne"
    1 | t:
    2 |   r: {a: !ref acne}
      |          ^
    did you mean "acme"?
    "#);
    insta::assert_snapshot!(refused(&[("a.yaml", rows), ("b.yaml", "t:\n  r: {a: !ref t.acme}\n")]), @r#"
    seeds/b.yaml:2:10: no row of t has the label "acme"
    1 | t:
    2 |   r: {a: !ref t.acme}
      |          ^
    a row of orgs has it: !ref orgs.acme
    "#);
    insta::assert_snapshot!(refused(&[("c.yaml", rows), ("b.yaml", "t:\n  r: {a: !ref acme}\n")]), @r#"
    seeds/b.yaml:2:10: the row "acme" comes later, in seeds/c.yaml:2:3
    1 | t:
    2 |   r: {a: !ref acme}
      |          ^
    move that row before this one; devdb writes rows in the order of the files
    "#);
    insta::assert_snapshot!(refused(&[("b.yaml", "t:\n  r: {a: !ref r}\n")]), @r#"
    seeds/b.yaml:2:10: "r" is the label of this row itself, which is not written yet
    1 | t:
    2 |   r: {a: !ref r}
      |          ^
    "#);
}

#[test]
fn sql_that_would_end_the_transaction_is_refused() {
    insta::assert_snapshot!(refused(&[("a.sql", "insert into t values (1);\nCOMMIT;\n")]), @r"
    seeds/a.sql:2:1: a seed may not begin or end a transaction: devdb applies all seeds in one transaction
    1 | insert into t values (1);
    2 | COMMIT;
      | ^
    remove the statement
    ");
    insta::assert_snapshot!(refused(&[("a.sql", "begin;\n\\c other\nend;\n")]), @r"
    seeds/a.sql has 3 faults: seeds/a.sql:2:1: \c is a command of psql; the server does not know it: seeds/a.sql:1:1: a seed may not begin or end a transaction: devdb applies all seeds in one transaction: seeds/a.sql:3:1: a seed may not begin or end a transaction: devdb applies all seeds in one transaction
    remove \connect: devdb is connected to the project's database, as its owner
    remove the statement
    ");
    insta::assert_snapshot!(refused(&[("a.sql", "rollback")]), @r"
    seeds/a.sql:1:1: a seed may not begin or end a transaction: devdb applies all seeds in one transaction
    1 | rollback
      | ^
    remove the statement
    ");
}

#[test]
fn aliases_are_followed_up_to_a_limit() {
    let directory = write(&[("a.yaml", "t:\n  r: &r {a: 1}\n  s: *r\n")]);
    let set = load_dir(directory.path(), "dev").unwrap();
    let seeds = set.seeds().unwrap();
    let SeedContent::Yaml(tables) = &seeds[0].content else { panic!("not YAML") };
    assert_eq!(tables[0].rows[1].values.len(), 1);
    let mut bomb = String::from("t:\n  r:\n    a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..8 {
        let before = format!("*a{}", level - 1);
        let items = vec![before; 10].join(", ");
        bomb.push_str(&format!("    a{level}: &a{level} [{items}]\n"));
    }
    let text = refused(&[("a.yaml", &bomb)]);
    assert!(text.contains("aliases repeat too many values"), "{text}");
}

#[test]
fn a_file_that_devdb_does_not_read_is_named() {
    for (name, hint) in [
        ("a.sql.gz", "gunzip seeds/a.sql.gz"),
        ("a.dump", "pg_restore --data-only -f seeds/a.sql seeds/a.dump"),
        ("a.json", "write the rows as YAML"),
        ("dev/seed.ts", "seeds.command"),
        ("Makefile", "move it out"),
    ] {
        let text = refused(&[("b.yaml", "t:\n  r: {a: 1}\n"), (name, "x")]);
        let mut lines = text.lines();
        let first = format!("seeds/{name} is no seed file: ");
        assert!(lines.next().unwrap().starts_with(&first), "{text}");
        assert!(lines.next().unwrap().contains(hint), "{text}");
    }
    let text = refused(&[("dev/more/a.sql", "select 1")]);
    assert!(text.starts_with("seeds/dev/more is a directory inside a profile's"), "{text}");
    // Directories beside that of the profile belong to other profiles.
    let other = write(&[("a.yaml", "t:\n  r: {a: 1}\n"), ("demo/x.json", ""), (".old/x.json", "")]);
    assert_eq!(load_dir(other.path(), "dev").unwrap().files().len(), 1);
}

/// A seed that devdb read long after its last change.
fn noted(text: &str) -> (tempfile::TempDir, std::path::PathBuf, SeedSet) {
    let directory = write(&[("a.yaml", text), ("dev/b.csv", "id\n1\n")]);
    let notes = directory.path().join("notes/1");
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let set = load(&dir(directory.path()), "dev", Some(&notes)).unwrap();
    (directory, notes, set)
}

fn dir(path: &Path) -> Files {
    Files::Directory { path: path.to_owned(), required: true }
}

#[test]
fn a_file_that_has_not_changed_is_not_read_again() {
    let (directory, notes, first) = noted("t: {r: {a: !encrypt b}}");
    let again = load(&dir(directory.path()), "dev", Some(&notes)).unwrap();
    assert!(first.seeds.get().is_some() && again.seeds.get().is_none(), "it was read again");
    assert_eq!(again.files, first.files);
    assert!(again.needs_key());
    assert_eq!(again.seeds().unwrap().len(), 2);
    // Another profile and a changed file are read.
    std::fs::write(directory.path().join("a.yaml"), "t: {r: {a: !encrypt c}}").unwrap();
    let changed = load(&dir(directory.path()), "dev", Some(&notes)).unwrap();
    assert!(changed.seeds.get().is_some());
    assert_ne!(changed.files, first.files);
    // What has just changed is not noted, because a second change might not show.
    assert!(load(&dir(directory.path()), "dev", Some(&notes)).unwrap().seeds.get().is_some());
    let error = again_without_contents(&first).seeds().unwrap_err();
    assert_eq!(error.message(), "the seed files have just changed");
}

fn again_without_contents(set: &SeedSet) -> SeedSet {
    SeedSet { seeds: OnceLock::new(), ..set.clone() }
}

#[test]
fn damaged_notes_are_no_error() {
    let (directory, notes, first) = noted("t: {r: {a: 1}}");
    let text = std::fs::read_to_string(&notes).unwrap();
    std::fs::write(&notes, text.replace(first.files[0].checksum(), "0123")).unwrap();
    let again = load(&dir(directory.path()), "dev", Some(&notes)).unwrap();
    assert_eq!(again.files, first.files);
}
