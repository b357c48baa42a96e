//! The test of the pages, tested: a wrong page fails, and only what differs from run to run is
//! taken for equal.

use crate::page::{self, Block, Step};
use crate::pages::run;
use crate::session::Session;
use crate::{compare, redact};

const PAGE: &str = r#"# A page

```yaml notes/one.yaml
key: value
```

```console
$ cat notes/one.yaml
key: value
$ cd notes && one=1
$ echo "in ${PWD##*/}: $one"
in notes: 1

$ false
$ echo $?
1
$ cat <<'END'
> a here-document
>
> of two lines
> END
a here-document

of two lines
$ echo one \
    two
one two
$ echo "> not more of the command"
> not more of the command
$ no-such-program
bash: no-such-program: command not found
$ echo out; echo err >&2
out
err
$ seq 9
1
...
8
9
```

   ```console
   $ pwd
   /home/you/shop/notes
   ```

```sh
exit 1 # only shown
```
"#;

fn steps(blocks: &[Block]) -> Vec<&Step> {
    let mut steps = Vec::new();
    for block in blocks {
        if let Block::Step(step) = block {
            steps.push(step);
        }
    }
    steps
}

#[test]
fn a_true_page_passes() {
    let blocks = page::blocks(PAGE).unwrap();
    let run = run(&blocks, Session::open(None), "page.md");
    assert_eq!((run.wrong, run.broken), (Vec::<String>::new(), Vec::new()));
}

#[test]
fn a_wrong_page_fails_and_says_where() {
    let page = PAGE.replace("in notes: 1", "in notes: 2").replace("\n8\n9\n", "\n8\n");
    let blocks = page::blocks(&page).unwrap();
    let run = run(&blocks, Session::open(None), "page.md");
    assert_eq!(run.broken, Vec::<String>::new());
    assert_eq!(run.wrong.len(), 2, "{:?}", run.wrong);
    let first = &run.wrong[0];
    assert!(first.starts_with("page.md:11: $ echo \"in ${PWD##*/}: $one\"\n"), "{first}");
    assert!(first.contains("  ! in notes: 2 | in notes: 1\n"), "{first}");
    assert!(run.wrong[1].contains("seq 9"), "{}", run.wrong[1]);
    // What is written in its place makes it true: the `...` that does not fit any more is gone.
    let mended = page::rewritten(&page, &run.refreshed);
    assert!(mended.contains("in notes: 1") && mended.contains("\n...\n8\n9\n"), "{mended}");
}

#[test]
fn a_shell_that_ends_is_an_error() {
    let blocks = page::blocks("```console\n$ exit 3\n$ echo after\nafter\n```\n").unwrap();
    let run = run(&blocks, Session::open(None), "page.md");
    assert_eq!(run.broken.len(), 1, "{:?}", run.broken);
    assert!(run.broken[0].contains("the shell has ended"), "{}", run.broken[0]);
}

#[test]
fn a_page_that_cannot_be_read_says_why() {
    let problem = |text| page::blocks(text).unwrap_err();
    assert!(problem("```console\nls\n```\n").contains("line 2: a console block begins with"));
    assert!(problem("```console\n$ ls\n").contains("not closed"));
}

#[test]
fn blocks_are_found_in_order_and_in_lists() {
    let text = "````text\n```console\n$ not this\n```\n````\n\n- item\n  ```console\n  $ a\n    b\n\n  $ c\n  ```\n";
    let blocks = page::blocks(text).unwrap();
    let steps = steps(&blocks);
    assert_eq!(steps.len(), 2);
    assert_eq!((steps[0].command.as_str(), steps[0].line), ("a", 9));
    assert_eq!(steps[0].expected, ["  b"]);
    let output = vec!["B".to_owned(), String::new(), "C".to_owned()];
    let rewritten = page::rewritten(text, &[(steps[0], output)]);
    assert!(rewritten.ends_with("  $ a\n  B\n\n  C\n\n  $ c\n  ```\n"), "{rewritten}");
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

#[test]
fn three_dots_stand_for_any_number_of_lines() {
    let fits = |expected, actual| compare::matches(&lines(expected), &lines(actual));
    assert!(fits("a\n...\nc", "a\nb\nb\nc"));
    assert!(fits("a\n...\nc", "a\nc"));
    assert!(fits("...", ""));
    assert!(fits("...\nc\n...", "a\nc\nc\nd"));
    assert!(!fits("a\n...\nc", "a\nb\nb"));
    assert!(!fits("a\n...", "b\na"));
    assert!(!fits("a", "a\nb"));
    assert!(!fits("a ...", "a b"));
}

#[test]
fn a_refreshed_output_keeps_its_dots_and_its_values() {
    let refreshed =
        |expected, actual| compare::refreshed(&lines(expected), &lines(actual)).join("\n");
    assert_eq!(refreshed("a (7 ms)\n...\nc\nold", "a (9 ms)\nb\nc\nnew"), "a (7 ms)\n...\nc\nnew");
    assert_eq!(refreshed("gone\n...\nc", "a\nb\nc"), "a\nb\nc");
    assert_eq!(refreshed("a\n...", "a\nb\nc"), "a\n...");
    assert_eq!(refreshed("old", "new"), "new");
}

#[test]
fn values_of_a_run_are_equal() {
    for (one, other) in [
        ("applied 20260105090000_create.sql (7 ms)", "applied 20260105090000_create.sql (120 ms)"),
        (
            "is new and running (docker, PostgreSQL 15.18) in 3.45 s",
            "is new and running (native, PostgreSQL 15.9) in 0.5 s",
        ),
        (
            "postgresql://postgres:***@127.0.0.1:27399/shop",
            "postgresql://postgres:***@127.0.0.1:20001/shop",
        ),
        (
            "postgresql://postgres:abcDEF123@127.0.0.1:1/shop",
            "postgresql://postgres:xyz@127.0.0.1:2/shop",
        ),
        (
            "PGPASSWORD=hCq3v5QyX0Gm6Zt1yWbU7kRd2eNf4sLa",
            "PGPASSWORD=aCq3v5QyX0Gm6Zt1yWbU7kRd2eNf4sLb",
        ),
        ("size 38.2 MiB", "size 8 KiB"),
        ("2026-11-28 19:03", "2027-01-02 03:04"),
        ("migrations/20261128190335_add.sql", "migrations/20270101000000_add.sql"),
        ("generation f3a81b22c0de", "generation 01a81b22c0dd"),
        ("\"took_ms\": 12,", "\"took_ms\": 3456,"),
        ("shop for root is running", "shop for anna is running"),
        ("DEVDB_EPHEMERAL=dk9whjts", "DEVDB_EPHEMERAL=aaaaaaaa"),
        (" dk9whjts  shop for anna  native", " aaaaaaaa  shop for anna  native"),
        ("[main (root-commit) 1234567] Begin", "[main (root-commit) abcdef0] Begin"),
        ("  running  28153  PostgreSQL 15.18  /", "  running  20000  PostgreSQL 15.9   /"),
        ("SIZE       KEPT", "SIZE   KEPT"),
        ("is at generation 2 (docker) in 1 s", "is at generation 2 (native) in 2 s"),
        ("port        28153", "port        5433"),
        ("uptime  59s", "uptime  1m 3s"),
        ("in /home/you/shop", "in /home/anna/shop"),
        ("psql (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", "psql (PostgreSQL) 15.9"),
    ] {
        assert_eq!(redact::line(one), redact::line(other));
    }
}

#[test]
fn wrong_words_are_not() {
    for (one, other) in [
        ("applied 20260105090000_create.sql (7 ms)", "pending 20260105090000_create.sql (7 ms)"),
        ("applied 20260105090000_create.sql", "applied 20260105090000_drop.sql"),
        (
            "is new and running (docker, PostgreSQL 15.18)",
            "is running again (docker, PostgreSQL 15.18)",
        ),
        ("is new (native, PostgreSQL 15.18) in 3 s", "is new (native) in 3 s"),
        (
            "postgresql://postgres:***@127.0.0.1:1/shop",
            "postgresql://postgres:secret@127.0.0.1:1/shop",
        ),
        (
            "postgresql://postgres:***@127.0.0.1:1/shop",
            "postgresql://postgres:***@127.0.0.1:1/mall",
        ),
        ("postgresql://postgres:***@127.0.0.1:1/shop", "postgresql://postgres:***@10.0.0.1:1/shop"),
        ("PGPASSWORD=hCq3v5QyX0Gm6Zt1yWbU7kRd2eNf4sLa", "PGPASSWORD="),
        ("is kept for 7 days", "is kept for 8 days"),
        ("12", "13"),
        ("5 migrations applied", "4 migrations applied"),
        ("it runs on docker", "it runs on native"),
        ("took 3 s", "took 3 MB"),
        ("deadbeef", "defaced"),
        ("engine: /usr/lib/postgresql/15/bin", "engine: /usr/lib/postgresql/16/bin"),
        ("shop for anna is running", "shop for bert is running"),
        ("shop for anna", "for anna shop"),
    ] {
        assert_ne!(redact::line(one), redact::line(other));
    }
}
