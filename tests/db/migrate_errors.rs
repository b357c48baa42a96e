//! What a failing migration says.

use std::time::Duration;

use devdb::db::connect::Address;
use devdb::db::migrate::{load, run};
use devdb::event::Events;
use devdb::spec::OutOfOrder;

use crate::{PATIENCE, Project, execute, server::database, value};

async fn fails(address: &Address, project: &Project) -> String {
    let set = load(&project.files()).unwrap();
    let error =
        run(address, &set, OutOfOrder::Refuse, PATIENCE, &Events::silent()).await.unwrap_err();
    project.text_of(&error)
}

#[tokio::test]
async fn the_place_is_shown_and_earlier_ones_stay_applied() {
    let Some(address) = database().await else { return };
    let project = Project::new(&[
        ("1_a.sql", "CREATE TABLE plants (id int PRIMARY KEY, größe int);"),
        ("2_b.sql", "INSERT INTO plants VALUES (1);"),
        (
            "3_c.sql",
            "-- größer\r\nCREATE TABLE x ();\r\nSELECT größe,\r\n\tgroesse\r\nFROM plants;\r\n",
        ),
        ("4_d.sql", "SELECT 1"),
    ]);
    insta::assert_snapshot!(fails(&address, &project).await, @r#"
    Migration: /…/3_c.sql:4:2: the migration failed
    because column "groesse" does not exist (SQLSTATE 42703)
    2 | CREATE TABLE x ();
    3 | SELECT größe,
    4 |     groesse
      |     ^
    5 | FROM plants;
    note: the 2 migrations before it remain applied, and 2 are pending
    hint: correct the file and run the command again
    "#);
    assert_eq!(value(&address, "SELECT max(version) FROM _sqlx_migrations").await, "2");
    assert_eq!(value(&address, "to_regclass('x')").await, "null");
}

#[tokio::test]
async fn a_statement_is_shown_where_the_server_has_no_position() {
    let Some(address) = database().await else { return };
    let project = Project::new(&[(
        "1_a.sql",
        "CREATE TABLE a (n int UNIQUE);\n\n-- twice\nINSERT INTO a VALUES (1);\nINSERT INTO a\n  VALUES (2), (1);\n",
    )]);
    insta::assert_snapshot!(fails(&address, &project).await, @r#"
    Migration: /…/1_a.sql:5:1: the migration failed
    because duplicate key value violates unique constraint "a_n_key" (SQLSTATE 23505)
    because detail: Key (n)=(1) already exists.
    3 | -- twice
    4 | INSERT INTO a VALUES (1);
    5 | INSERT INTO a
      | ^
    6 |   VALUES (2), (1);
    note: the database is as it was; 1 migration is pending
    hint: correct the file and run the command again
    "#);
    project.write("1_a.sql", "CREATE TABLE a (n int);\nDO $$\nBEGIN\n  PERFORM 1/0;\nEND $$;\n");
    insta::assert_snapshot!(fails(&address, &project).await, @r#"
    Migration: /…/1_a.sql:2:1: the migration failed
    because division by zero (SQLSTATE 22012)
    because context: SQL statement "SELECT 1/0"
    PL/pgSQL function inline_code_block line 3 at PERFORM
    1 | CREATE TABLE a (n int);
    2 | DO $$
      | ^
    3 | BEGIN
    4 |   PERFORM 1/0;
    note: the database is as it was; 1 migration is pending
    hint: correct the file and run the command again
    "#);
}

#[tokio::test]
async fn syntax_errors_and_unknown_types() {
    let Some(address) = database().await else { return };
    let project = Project::new(&[("1_a.sql", "CREATE TABLE a (\n  id uid\n);")]);
    insta::assert_snapshot!(fails(&address, &project).await, @r#"
    Migration: /…/1_a.sql:2:6: the migration failed
    because type "uid" does not exist (SQLSTATE 42704)
    1 | CREATE TABLE a (
    2 |   id uid
      |      ^
    3 | );
    note: the database is as it was; 1 migration is pending
    hint: correct the file and run the command again
    "#);
    project.write("1_a.sql", "CREATE TABLE a (\n  id uuid,\n);\n");
    insta::assert_snapshot!(fails(&address, &project).await, @r#"
    Migration: /…/1_a.sql:3:1: the migration failed
    because syntax error at or near ")" (SQLSTATE 42601)
    1 | CREATE TABLE a (
    2 |   id uuid,
    3 | );
      | ^
    note: the database is as it was; 1 migration is pending
    hint: correct the file and run the command again
    "#);
}

#[tokio::test]
async fn advice_for_what_migrations_in_particular_get_wrong() {
    let Some(address) = database().await else { return };
    let project = Project::new(&[("1_a.sql", "CREATE TABLE a (n int);")]);
    project.write("2_b.sql", "CREATE INDEX CONCURRENTLY a_n ON a (n);");
    insta::assert_snapshot!(fails(&address, &project).await, @r"
    Migration: /…/2_b.sql:1:1: the migration failed
    because CREATE INDEX CONCURRENTLY cannot run inside a transaction block (SQLSTATE 25001)
    1 | CREATE INDEX CONCURRENTLY a_n ON a (n);
      | ^
    note: the migration before it remains applied, and 1 is pending
    hint: move this statement into a file that begins with `-- no-transaction`
    hint: correct the file and run the command again
    ");
}

#[tokio::test]
async fn a_failure_without_a_transaction_may_leave_something() {
    let Some(address) = database().await else { return };
    let project = Project::new(&[
        ("1_a.sql", "CREATE TABLE a (n int); INSERT INTO a VALUES (1), (1);"),
        ("2_b.sql", "-- no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY a_n ON a (n);"),
    ]);
    insta::assert_snapshot!(fails(&address, &project).await, @r#"
    Migration: /…/2_b.sql:2:1: the migration failed
    because could not create unique index "a_n" (SQLSTATE 23505)
    because detail: Key (n)=(1) is duplicated.
    1 | -- no-transaction
    2 | CREATE UNIQUE INDEX CONCURRENTLY a_n ON a (n);
      | ^
    note: the index public.a_n is left INVALID: the next attempt removes it, as does DROP INDEX public.a_n;
    note: the migration before it remains applied, and 1 is pending
    hint: correct the file and run the command again
    "#);
    let invalid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'a_n'::regclass";
    assert_eq!(value(&address, invalid).await, "false");
    // The data is mended, and the same file is run again.
    execute(&address, "DELETE FROM a WHERE ctid = (SELECT min(ctid) FROM a)").await;
    let set = load(&project.files()).unwrap();
    run(&address, &set, OutOfOrder::Refuse, PATIENCE, &Events::silent()).await.unwrap();
    assert_eq!(value(&address, invalid).await, "true");
}

#[tokio::test]
async fn an_invalid_index_is_not_taken_for_a_finished_one() {
    let Some(address) = database().await else { return };
    let project = Project::new(&[
        ("1_a.sql", "CREATE SCHEMA s; CREATE TABLE s.t (n int); INSERT INTO s.t VALUES (1), (1);"),
        (
            "2_b.sql",
            "-- no-transaction\nDROP INDEX CONCURRENTLY IF EXISTS s.\"T n\";\n\
             CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS \"T n\" ON s.t (n);\n\
             CREATE UNIQUE INDEX CONCURRENTLY ON s.t (n, n);",
        ),
    ]);
    let text = fails(&address, &project).await;
    assert!(text.contains("the index s.\"T n\" is left INVALID"), "{text}");
    assert!(text.contains("note: what the statement before it has committed remains"), "{text}");
    // Without the DROP, `IF NOT EXISTS` would keep the INVALID index for ever.
    project.write(
        "2_b.sql",
        "-- no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS \"T n\" ON s.t (n);\n",
    );
    execute(&address, "DELETE FROM s.t WHERE ctid = (SELECT min(ctid) FROM s.t)").await;
    let set = load(&project.files()).unwrap();
    run(&address, &set, OutOfOrder::Refuse, PATIENCE, &Events::silent()).await.unwrap();
    assert_eq!(value(&address, "SELECT bool_and(indisvalid) FROM pg_index").await, "true");
}

#[tokio::test]
async fn an_interrupted_index_is_made_again() {
    let Some(address) = database().await else { return };
    execute(&address, "CREATE TABLE a (n int)").await;
    let project =
        Project::new(&[("1_a.sql", "-- no-transaction\nCREATE INDEX CONCURRENTLY a_n ON a (n);")]);
    let set = load(&project.files()).unwrap();
    let events = Events::silent();
    // Waits for the other transaction, when the INVALID index is there already.
    let mut other = crate::connect(&address).await;
    sqlx::raw_sql("BEGIN; INSERT INTO a VALUES (1)").execute(&mut other).await.unwrap();
    let running = run(&address, &set, OutOfOrder::Refuse, PATIENCE, &events);
    assert!(tokio::time::timeout(Duration::from_millis(900), running).await.is_err());
    let making = "SELECT count(*) FROM pg_stat_progress_create_index \
                  WHERE datname = current_database()";
    while value(&address, making).await != "0" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    let valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'a_n'::regclass";
    assert_eq!(value(&address, valid).await, "false");
    run(&address, &set, OutOfOrder::Refuse, PATIENCE, &Events::silent()).await.unwrap();
    assert_eq!(value(&address, valid).await, "true");
}

#[tokio::test]
async fn what_an_earlier_attempt_left_is_explained() {
    let Some(address) = database().await else { return };
    let project = Project::new(&[(
        "1_a.sql",
        "-- no-transaction\nCREATE TABLE a (n int);\nSELECT 1;\nVACUUM nix;",
    )]);
    let text = fails(&address, &project).await;
    assert!(text.contains("note: the 2 statements before it ran one by one"), "{text}");
    let text = fails(&address, &project).await;
    assert!(text.contains("note: an earlier attempt at this file may have made it"), "{text}");
}

#[tokio::test]
async fn a_failure_names_the_line_of_inline_data() {
    let Some(address) = database().await else { return };
    let project = Project::new(&[(
        "1_a.sql",
        "\\restrict é\nCREATE TABLE a (n int);\nCOPY a FROM stdin;\n1\nzwei\n\\.\nSELECT 1;\n",
    )]);
    insta::assert_snapshot!(fails(&address, &project).await, @r#"
    Migration: /…/1_a.sql:5:1: the migration failed
    because invalid input syntax for type integer: "zwei" (SQLSTATE 22P02)
    because context: COPY a, line 2, column n: "zwei"
    3 | COPY a FROM stdin;
    4 | 1
    5 | zwei
      | ^
    6 | \.
    7 | SELECT 1;
    note: the database is as it was; 1 migration is pending
    hint: correct the file and run the command again
    "#);
    project.write(
        "1_a.sql",
        "CREATE TABLE a (é int);\nCOPY a FROM stdin;\n1\n\\.\nSELECT 'é', nix;\n",
    );
    insta::assert_snapshot!(fails(&address, &project).await, @r#"
    Migration: /…/1_a.sql:5:13: the migration failed
    because column "nix" does not exist (SQLSTATE 42703)
    3 | 1
    4 | \.
    5 | SELECT 'é', nix;
      |             ^
    note: the database is as it was; 1 migration is pending
    hint: correct the file and run the command again
    "#);
}

#[tokio::test]
async fn a_failure_behind_a_commit_says_what_remains() {
    let Some(address) = database().await else { return };
    let project =
        Project::new(&[("1_a.sql", "BEGIN;\nCREATE TABLE a ();\nCOMMIT;\nSELECT nix;\n")]);
    let text = fails(&address, &project).await;
    assert!(
        text.contains("note: the file commits by itself, so changes before its COMMIT"),
        "{text}"
    );
}

#[tokio::test]
async fn the_server_s_hint_about_variables_of_psql() {
    let Some(address) = database().await else { return };
    let project = Project::new(&[("1_a.sql", "SELECT :'name';\n")]);
    let text = fails(&address, &project).await;
    assert!(text.contains("hint: `:name` is a variable of psql"), "{text}");
}

#[tokio::test]
async fn a_server_that_goes_away_is_said() {
    let Some(address) = database().await else { return };
    let project = Project::new(&[("1_a.sql", "SELECT pg_terminate_backend(pg_backend_pid());")]);
    let text = fails(&address, &project).await;
    assert!(text.starts_with("Migration: /…/1_a.sql"), "{text}");
    assert!(text.contains("terminating connection"), "{text}");
}
