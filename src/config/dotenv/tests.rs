use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::*;

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

const AWKWARD: &str = "it's \"5 $HOME\" `x` \\ #é\nnext";

#[test]
fn each_format_quotes_in_its_own_way() {
    let all = variables(&[("A", "postgresql://u:p%40@127.0.0.1:25432/d"), ("B", AWKWARD)]);
    insta::assert_snapshot!(render(Format::Dotenv, &all, &[]), @r#"
    A=postgresql://u:p%40@127.0.0.1:25432/d
    B="it's \"5 \$HOME\" "'`'"x"'`'" \\ #é\nnext"
    "#);
    insta::assert_snapshot!(render(Format::Shell, &all, &[]), @r#"
    export A='postgresql://u:p%40@127.0.0.1:25432/d'
    export B='it'\''s "5 $HOME" `x` \ #é
    next'
    "#);
    insta::assert_snapshot!(render(Format::Fish, &all, &[]), @r#"
    set -gx A 'postgresql://u:p%40@127.0.0.1:25432/d'
    set -gx B 'it\'s "5 $HOME" `x` \\ #é
    next'
    "#);
    insta::assert_snapshot!(render(Format::PowerShell, &variables(&[("B", "it's ‘q’")]), &[]), @"$env:B = 'it''s ‘‘q’’'");
    insta::assert_snapshot!(render(Format::GithubEnv, &all, &[]), @r#"
    A=postgresql://u:p%40@127.0.0.1:25432/d
    B<<DEVDB_END
    it's "5 $HOME" `x` \ #é
    next
    DEVDB_END
    "#);
    assert!(
        render(Format::GithubEnv, &variables(&[("C", "x\nDEVDB_END")]), &[])
            .contains("<<DEVDB_END_\n")
    );
    let json: serde_json::Value = serde_json::from_str(&render(Format::Json, &all, &[])).unwrap();
    assert_eq!(json["B"], AWKWARD);
    let order = render(Format::Json, &variables(&[("Z", "1"), ("A", "2")]), &[]);
    assert!(order.find("\"Z\"") < order.find("\"A\""), "{order}");
}

/// What a real POSIX shell makes of it.
#[test]
fn a_shell_reads_back_what_was_written() {
    let all = variables(&[("DEVDB_A", AWKWARD), ("DEVDB_B", ""), ("DEVDB_C", "$(id) !! \r\t;&")]);
    let script =
        render(Format::Shell, &all, &[]) + "printf '%s\\0' \"$DEVDB_A\" \"$DEVDB_B\" \"$DEVDB_C\"";
    let output = Command::new("sh").arg("-c").arg(script).output().unwrap();
    let expected: String = all.iter().map(|(_, value)| format!("{value}\0")).collect();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

fn dotenvy(text: &[u8]) -> Vec<(String, String)> {
    dotenvy::from_read_iter(text).map(Result::unwrap).collect()
}

/// Values that env files can hold: no NUL, no carriage return.
fn value() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~\n]{0,20}", "['\"\\\\$#\n a{}]{0,12}", "[^\0\r]{0,12}"]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn dotenvy_reads_back_what_was_rendered(values in prop::collection::vec(value(), 0..4)) {
        let all: Vec<(String, String)> =
            (0..).zip(values).map(|(number, value)| (format!("V_{number}"), value)).collect();
        prop_assert_eq!(dotenvy(render(Format::Dotenv, &all, &[]).as_bytes()), all);
    }

    /// An update changes its own variables and no other, whatever stood there before.
    #[test]
    fn an_update_is_read_back_and_touches_nothing_else(
        before in prop::collection::vec(("[ABC]", value(), any::<bool>()), 0..5),
        after in prop::collection::vec(("[BCD]", value()), 0..3),
        newline in any::<bool>(),
    ) {
        let mut text: String = before
            .iter()
            .map(|(name, value, export)| {
                let export = if *export { "export " } else { "" };
                format!("# c\n{export}{name}={} # why\n", dotenv_value(value))
            })
            .collect();
        if !newline {
            text.pop();
        }
        let mut set: Vec<(String, String)> = Vec::new();
        for (name, value) in after {
            if set.iter().all(|(other, _)| *other != name) {
                set.push((name, value));
            }
        }
        let mut expected: Vec<(String, String)> = before
            .into_iter()
            .map(|(name, value, _)| {
                let new = set.iter().find(|(other, _)| *other == name);
                let value = new.map_or(value, |(_, value)| value.clone());
                (name, value)
            })
            .collect();
        let missing: Vec<_> =
            set.iter().filter(|(name, _)| expected.iter().all(|(old, _)| old != name)).cloned().collect();
        expected.extend(missing);

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".env");
        fs::write(&path, &text).unwrap();
        update_file(&path, &set, foreign).unwrap();
        let written = fs::read(&path).unwrap();
        prop_assert_eq!(dotenvy(&written), expected);
        prop_assert_eq!(update_file(&path, &set, foreign).unwrap().changed, Changed::Unchanged);
        prop_assert_eq!(fs::read(&path).unwrap(), written);
    }
}

fn foreign(_: &str, _: &str, _: &str) -> Former {
    Former::Foreign
}

fn update(path: &Path, set: &[(String, String)]) -> Changed {
    update_file(path, set, foreign).unwrap().changed
}

/// The file after writing A=1 and B=2 into `before`.
fn after(before: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(".env");
    fs::write(&path, before).unwrap();
    update(&path, &variables(&[("A", "1"), ("B", "x y")]));
    fs::read_to_string(path).unwrap()
}

#[test]
fn own_lines_change_in_place_and_the_rest_stays() {
    assert_eq!(
        after("# mine\n\nZ = 'z'\n  export A = old # why\nB=\"two\nlines\"\n\nA=# again\nlast"),
        "# mine\n\nZ = 'z'\n# Before devdb: A=old\n  export A = 1 # why\n\
         # Before devdb: B=\"two\n# lines\"\nB='x y'\n\nA=1 # again\nlast"
    );
    assert_eq!(after("B='x y'\r\nA=0"), "B='x y'\r\n# Before devdb: A=0\r\nA=1");
    let comment = "# Written by devdb; `devdb env --write` updates these lines.";
    assert_eq!(
        after("Z=1\r\nA=0"),
        format!("Z=1\r\n# Before devdb: A=0\r\nA=1\r\n\r\n{comment}\r\nB='x y'\r\n")
    );
    assert_eq!(after(""), format!("{comment}\nA=1\nB='x y'\n"));
}

#[test]
fn a_persons_value_is_kept_once_in_whatever_order_and_devdbs_own_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(".env");
    let write = |set: &[(&str, &str)], own: &[&str]| {
        let judge = |_: &str, former: &str, _: &str| match own.contains(&former) {
            true => Former::Own,
            false => Former::Foreign,
        };
        let updated = update_file(&path, &variables(set), judge).unwrap();
        (updated.written, fs::read_to_string(&path).unwrap())
    };
    fs::write(&path, "URL=mine\nKEY='my key'\n").unwrap();
    let (written, text) = write(&[("URL", "u1")], &[]);
    assert_eq!(written, variables(&[("URL", "u1")]));
    assert_eq!(text, "# Before devdb: URL=mine\nURL=u1\nKEY='my key'\n");
    // The second time another variable is written too: what is a person's there stays as well.
    let (written, text) = write(&[("URL", "u1"), ("KEY", "k1")], &["u1"]);
    assert_eq!(written, variables(&[("KEY", "k1")]));
    let kept = "# Before devdb: URL=mine\nURL=u1\n# Before devdb: KEY='my key'\nKEY=k1\n";
    assert_eq!(text, kept);
    // A person puts the value back, twice; it is there once.
    fs::write(&path, kept.replace("URL=u1", "URL=mine")).unwrap();
    assert_eq!(write(&[("URL", "u2")], &["u1"]).1, kept.replace("u1", "u2"));
    fs::write(&path, kept.replace("URL=u1", "URL=other # why")).unwrap();
    let (_, text) = write(&[("URL", "u3")], &["u1"]);
    assert!(text.contains("# Before devdb: URL=other\nURL=u3 # why\n"), "{text}");
    // Quotes around the same value are a matter of taste.
    fs::write(&path, "KEY=\"k1\" # mine\n").unwrap();
    assert_eq!(write(&[("KEY", "k1")], &[]).1, "KEY=\"k1\" # mine\n");
}

#[test]
fn a_byte_order_mark_stays_first_and_line_ends_stay_as_they_are() {
    assert_eq!(
        after("\u{feff}A=0\r\nB='two\r\nlines'\r\n"),
        "\u{feff}# Before devdb: A=0\r\nA=1\r\n# Before devdb: B='two\r\n# lines'\r\nB='x y'\r\n"
    );
    assert!(after("\u{feff}").starts_with("\u{feff}# Written by devdb"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(".env");
    fs::write(&path, b"\xff\xfeA\x00=\x001\x00").unwrap();
    let error = update_file(&path, &variables(&[("A", "1")]), foreign).unwrap_err();
    assert!(error.causes()[0].contains("UTF-16"), "{error:?}");
}

#[test]
fn what_git_would_commit_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("-env");
    fs::write(&path, "").unwrap();
    assert!(!is_not_ignored(&path), "outside of a checkout");
    let git = Command::new("git").arg("-C").arg(directory.path()).args(["init", "-q"]).status();
    if !git.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "git is needed in CI");
        return;
    }
    assert!(is_not_ignored(&path));
    fs::write(directory.path().join(".gitignore"), "/-env\n").unwrap();
    assert!(!is_not_ignored(&path));
}

#[test]
fn a_shell_is_told_what_to_remove_and_runs_nothing() {
    let all = variables(&[("A", "it's `echo x >&2; false`")]);
    let unset = ["PGSERVICE", "PGHOSTADDR"];
    let shell = render(Format::Shell, &all, &unset);
    assert!(shell.starts_with("unset PGSERVICE\nunset PGHOSTADDR\nexport A="), "{shell}");
    assert!(render(Format::Fish, &all, &unset).starts_with("set -e PGSERVICE\n"));
    assert!(render(Format::PowerShell, &all, &unset).starts_with("$env:PGSERVICE = $null\n"));
    // Some people let the shell read env files.
    let script = render(Format::Dotenv, &all, &unset) + "printf %s \"$A\"";
    let output = Command::new("sh").arg("-c").arg(script).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), all[0].1);
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn bytes_that_are_no_text_stay() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(".env");
    fs::write(&path, b"# \xff\xfe\nA=0\n").unwrap();
    update(&path, &variables(&[("A", "1")]));
    assert_eq!(fs::read(path).unwrap(), b"# \xff\xfe\n# Before devdb: A=0\nA=1\n");
}

#[test]
fn modes_and_links_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let set = variables(&[("A", "1")]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let path = directory.path().join(".env");
    assert_eq!(update(&path, &set), Changed::Created);
    assert_eq!(mode(&path), 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(update(&path, &variables(&[("A", "2")])), Changed::Updated);
    assert_eq!(mode(&path), 0o640);

    fs::create_dir(directory.path().join("sub")).unwrap();
    let link = directory.path().join("sub/link");
    symlink("../.env", &link).unwrap();
    assert_eq!(update(&link, &set), Changed::Updated);
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&path).unwrap().lines().last(), Some("A=1"));
    let dangling = directory.path().join("dangling");
    symlink("new.env", &dangling).unwrap();
    assert_eq!(update(&dangling, &set), Changed::Created);
    assert!(directory.path().join("new.env").is_file());
    symlink("loop", directory.path().join("loop")).unwrap();
    let error = update_file(&directory.path().join("loop"), &set, foreign).unwrap_err();
    assert!(error.message().contains("leads back to itself"), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 5, "nothing else is left");
}

#[test]
fn what_is_no_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let set = variables(&[("A", "1")]);
    assert!(
        update_file(directory.path(), &set, foreign)
            .unwrap_err()
            .message()
            .contains("it is a directory")
    );
    let nowhere = directory.path().join("no/.env");
    let error = update_file(&nowhere, &set, foreign).unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::Config);
    assert!(error.message().contains("cannot write"), "{error}");
}

#[test]
fn a_file_that_git_tracks_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| {
        let status = Command::new("git").arg("-C").arg(directory.path()).args(arguments).status();
        assert!(status.unwrap().success());
    };
    if Command::new("git").arg("--version").output().is_err() {
        // Not `println!`: the test harness keeps that to itself.
        let _ = writeln!(std::io::stdout(), "\nSKIPPED: dotenv: there is no git on PATH");
        assert!(std::env::var_os("CI").is_none(), "git is needed in CI");
        return;
    }
    git(&["init", "-q"]);
    let set = variables(&[("A", "1")]);
    for name in [".env", "a*b"] {
        let path = directory.path().join(name);
        assert_eq!(update(&path, &set), Changed::Created);
        git(&["add", "-f", name]);
        let error = update_file(&path, &variables(&[("A", "2")]), foreign).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Config);
        assert!(error.message().contains("tracked by git"), "{error}");
        assert!(error.hints()[0].contains("git rm --cached"));
        assert!(fs::read_to_string(&path).unwrap().ends_with("A=1\n"));
    }
    // By another name it is the same file; a name that merely matches a pattern is not.
    let link = directory.path().join("link");
    symlink(".env", &link).unwrap();
    assert!(update_file(&link, &set, foreign).is_err());
    update(&directory.path().join("axb"), &set);
    update(&directory.path().join("a[x]*"), &set);
}
