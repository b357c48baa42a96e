//! What a failing migration says.

use devdb::db::connect::Address;
use devdb::db::migrate::{load, run};
use devdb::event::Events;
use devdb::spec::OutOfOrder;

use crate::{PATIENCE, Project, server::database, value};

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
    hint: correct the file, then run the command again
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
    note: no migration was applied, and 1 is pending
    hint: correct the file, then run the command again
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
    note: no migration was applied, and 1 is pending
    hint: correct the file, then run the command again
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
    note: no migration was applied, and 1 is pending
    hint: correct the file, then run the command again
    "#);
    project.write("1_a.sql", "CREATE TABLE a (\n  id uuid,\n);\n");
    insta::assert_snapshot!(fails(&address, &project).await, @r#"
    Migration: /…/1_a.sql:3:1: the migration failed
    because syntax error at or near ")" (SQLSTATE 42601)
    1 | CREATE TABLE a (
    2 |   id uuid,
    3 | );
      | ^
    note: no migration was applied, and 1 is pending
    hint: correct the file, then run the command again
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
    hint: move this statement into a file of its own, whose first line is `-- no-transaction`
    hint: correct the file, then run the command again
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
    note: the migration ran without a transaction, so some of its changes may remain
    note: the migration before it remains applied, and 1 is pending
    hint: correct the file, then run the command again
    "#);
    let invalid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'a_n'::regclass";
    assert_eq!(value(&address, invalid).await, "false");
}

#[tokio::test]
async fn a_server_that_goes_away_is_said() {
    let Some(address) = database().await else { return };
    let project = Project::new(&[("1_a.sql", "SELECT pg_terminate_backend(pg_backend_pid());")]);
    let text = fails(&address, &project).await;
    assert!(text.starts_with("Migration: /…/1_a.sql"), "{text}");
    assert!(text.contains("terminating connection"), "{text}");
}
