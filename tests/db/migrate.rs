use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use devdb::db::connect::Address;
use devdb::db::migrate::{Applied, MigrationSet, load, run, status};
use devdb::error::{Kind, Result};
use devdb::event::{Event, Events};
use devdb::spec::OutOfOrder;
use sqlx::migrate::{Migrate, Migrator};

use crate::{PATIENCE, Project, connect, execute, server::database, value};

fn set(project: &Project) -> MigrationSet {
    load(&project.files()).unwrap()
}

async fn migrate(address: &Address, project: &Project) -> Result<Vec<Applied>> {
    run(address, &set(project), OutOfOrder::Refuse, PATIENCE, &Events::silent()).await
}

fn files(applied: &[Applied]) -> Vec<&str> {
    applied.iter().map(|applied| applied.file.as_str()).collect()
}

#[tokio::test]
async fn pending_ones_are_applied_in_order_with_an_event_each() {
    let Some(address) = database().await else { return };
    let project = Project::new(&[
        ("2_b.sql", "INSERT INTO a VALUES (2);"),
        ("1_a.sql", "CREATE TABLE a (n int); INSERT INTO a VALUES (1);"),
    ]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let events = Events::new({
        let seen = Arc::clone(&seen);
        move |event| {
            if let Event::MigrationApplied { version, file, .. } = event {
                seen.lock().unwrap().push((version, file));
            }
        }
    });
    let applied =
        run(&address, &set(&project), OutOfOrder::Refuse, PATIENCE, &events).await.unwrap();
    assert_eq!(files(&applied), ["1_a.sql", "2_b.sql"]);
    assert_eq!(*seen.lock().unwrap(), [(1, "1_a.sql".into()), (2, "2_b.sql".into())]);
    assert_eq!(value(&address, "SELECT string_agg(n::text, ' ') FROM a").await, "1 2");
    assert_eq!(
        value(&address, "SELECT bool_and(success AND execution_time > 0) FROM _sqlx_migrations")
            .await,
        "true"
    );
    assert_eq!(migrate(&address, &project).await.unwrap(), []);

    project.write("3_c.sql", "INSERT INTO a VALUES (3);");
    let now = status(&mut connect(&address).await, &set(&project)).await.unwrap();
    assert_eq!(now.applied.len(), 2);
    assert_eq!(now.applied[0].description, "a");
    assert_eq!(now.pending[0].file, "3_c.sql");
    assert!(now.out_of_order.is_empty() && !now.is_current());
    assert_eq!(files(&migrate(&address, &project).await.unwrap()), ["3_c.sql"]);
}

#[tokio::test]
async fn a_status_changes_nothing() {
    let Some(address) = database().await else { return };
    let project = Project::new(&[("1_a.sql", "SELECT 1")]);
    let now = status(&mut connect(&address).await, &set(&project)).await.unwrap();
    assert_eq!(now.pending.len(), 1);
    assert_eq!(value(&address, "to_regclass('_sqlx_migrations')").await, "null");
    // Nor does a run with nothing to do.
    let empty = Project::new(&[]);
    assert_eq!(migrate(&address, &empty).await.unwrap(), []);
    assert_eq!(value(&address, "to_regclass('_sqlx_migrations')").await, "null");
}

#[tokio::test]
async fn sqlx_goes_on_where_devdb_stopped_and_the_other_way_round() {
    let Some(address) = database().await else { return };
    let project = Project::new(&[
        ("1_create_a.up.sql", "CREATE TABLE a (n int);\n"),
        ("1_create_a.down.sql", "DROP TABLE a;\n"),
        ("2_fill.sql", "INSERT INTO a VALUES (1);\r\n"),
    ]);
    migrate(&address, &project).await.unwrap();
    project.write("3_more.sql", "INSERT INTO a VALUES (2);");
    let sqlx_run = async || {
        let migrator = Migrator::new(project.path()).await.unwrap();
        migrator.run(&mut connect(&address).await).await
    };
    sqlx_run().await.unwrap();
    assert_eq!(value(&address, "SELECT count(*) FROM a").await, "2");
    project.write("4_last.sql", "INSERT INTO a VALUES (3);");
    assert_eq!(files(&migrate(&address, &project).await.unwrap()), ["4_last.sql"]);
    sqlx_run().await.unwrap();
    assert_eq!(
        value(
            &address,
            "SELECT string_agg(description, ', ' ORDER BY version) FROM _sqlx_migrations"
        )
        .await,
        "create a, fill, more, last"
    );
}

#[tokio::test]
async fn line_endings_are_no_change() {
    let Some(address) = database().await else { return };
    let project =
        Project::new(&[("1_a.sql", "SELECT 1;\r\nSELECT 2;\r\n"), ("2_b.sql", "SELECT 1;\n")]);
    migrate(&address, &project).await.unwrap();
    project.write("1_a.sql", "SELECT 1;\nSELECT 2;\n");
    project.write("2_b.sql", "SELECT 1;\r\n");
    assert_eq!(migrate(&address, &project).await.unwrap(), []);
    project.write("2_b.sql", "SELECT 1; ");
    assert_eq!(migrate(&address, &project).await.unwrap_err().kind(), Kind::Drift);
}

#[tokio::test]
async fn two_runs_at_once_apply_each_migration_once() {
    let Some(address) = database().await else { return };
    let mut files = vec![("1_a.sql".to_owned(), "CREATE TABLE a (n int);".to_owned())];
    files.extend((2..30).map(|n| (format!("{n}_x.sql"), format!("INSERT INTO a VALUES ({n});"))));
    let files: Vec<_> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let project = Project::new(&files);
    let migrator = Migrator::new(project.path()).await.unwrap();
    let mut connection = connect(&address).await;
    let (one, two, three) = tokio::join!(
        migrate(&address, &project),
        migrate(&address, &project),
        migrator.run(&mut connection)
    );
    three.unwrap();
    assert!(one.unwrap().len() + two.unwrap().len() <= 29);
    assert_eq!(value(&address, "SELECT count(*) FROM a").await, "28");
}

#[tokio::test]
async fn a_lock_that_another_holds_is_waited_for_and_then_its_holder_named() {
    let Some(address) = database().await else { return };
    let project = Project::new(&[("1_a.sql", "SELECT current_setting('lock_timeout')")]);
    let mut other = connect(&address).await;
    execute_on(&mut other, "SET application_name = 'sqlx-cli'").await;
    other.lock().await.unwrap();
    let patience = Duration::from_millis(300);
    let start = Instant::now();
    let error = run(&address, &set(&project), OutOfOrder::Refuse, patience, &Events::silent())
        .await
        .unwrap_err();
    assert!(start.elapsed() >= patience && start.elapsed() < Duration::from_secs(5));
    assert_eq!(error.kind(), Kind::Locked);
    let text = project.text_of(&error);
    assert!(
        text.contains("application \"sqlx-cli\", user postgres) has held it for more than 300ms"),
        "{text}"
    );
    assert!(text.contains("pg_terminate_backend("), "{text}");
    other.unlock().await.unwrap();
    assert_eq!(migrate(&address, &project).await.unwrap().len(), 1);
}

async fn execute_on(connection: &mut sqlx::PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(connection).await.unwrap();
}

#[tokio::test]
async fn an_interrupted_migration_is_rolled_back_and_ends_on_the_server() {
    let Some(address) = database().await else { return };
    let project = Project::new(&[
        ("1_a.sql", "CREATE TABLE a (n int);"),
        ("2_b.sql", "CREATE TABLE b (n int); SELECT pg_sleep(60); CREATE TABLE c (n int);"),
    ]);
    let running = migrate(&address, &project);
    assert!(tokio::time::timeout(Duration::from_millis(700), running).await.is_err());
    let start = Instant::now();
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                    AND query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()";
    while value(&address, sleeping).await != "0" {
        assert!(start.elapsed() < Duration::from_secs(5), "it goes on without its client");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("gone from the server after {:?}", start.elapsed());
    assert_eq!(
        value(&address, "SELECT string_agg(version::text, ' ') FROM _sqlx_migrations").await,
        "1"
    );
    assert_eq!(value(&address, "to_regclass('b')").await, "null");
    project.write("2_b.sql", "CREATE TABLE b (n int);");
    assert_eq!(files(&migrate(&address, &project).await.unwrap()), ["2_b.sql"]);
}

#[tokio::test]
async fn without_a_transaction_what_cannot_run_in_one_runs() {
    let Some(address) = database().await else { return };
    let project = Project::new(&[
        ("1_a.sql", "CREATE TABLE a (n int);"),
        ("2_b.sql", "-- no-transaction\nCREATE INDEX CONCURRENTLY a_n ON a (n);"),
    ]);
    migrate(&address, &project).await.unwrap();
    assert_eq!(value(&address, "to_regclass('a_n')").await, "a_n");
    // Each statement runs alone.
    project.write(
        "3_c.sql",
        "-- no-transaction\r\nCREATE INDEX CONCURRENTLY ON a (n, n);\r\n\
         CREATE INDEX CONCURRENTLY ON a (n DESC);\r\nCREATE TABLE c (n int);\r\nVACUUM c;\r\n\
         CREATE TYPE mood AS ENUM ('well');\r\nALTER TYPE mood ADD VALUE 'better';\r\n\
         CREATE TABLE d (mood mood DEFAULT 'better'); BEGIN; INSERT INTO c VALUES (1); COMMIT;\r\n\
         COPY c FROM stdin;\r\n2\r\n\\.\r\nBEGIN; INSERT INTO c VALUES (3)\r\n",
    );
    migrate(&address, &project).await.unwrap();
    assert_eq!(value(&address, "SELECT string_agg(n::text, ' ') FROM c").await, "1 2 3");
    assert_eq!(value(&address, "SELECT max(version) FROM _sqlx_migrations").await, "3");
}

/// The names and bodies of everything that sqlx records, and what the files made.
const RESULT: &str = "SELECT string_agg(concat_ws(',', version, description, success, checksum), ' ' \
     ORDER BY version) || (SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class \
     WHERE relnamespace = 'public'::regnamespace) FROM _sqlx_migrations";

#[tokio::test]
async fn what_sqlx_applies_is_applied_in_its_way() {
    let (Some(ours), Some(theirs)) = (database().await, database().await) else { return };
    let project = Project::new(&[
        ("0_zero.sql", "CREATE TABLE zero ();"),
        ("1_a.sql", "BEGIN;\nCREATE TABLE a (n int);\nCOMMIT;\n"),
        ("2_b.sql", "-- Nothing to do.\n"),
        ("3_c.sql", ""),
        ("4_d.sql", "CREATE TABLE d (); ROLLBACK; CREATE TABLE d2 ();"),
        ("5_e.sql", "COMMIT; CREATE TABLE e (); BEGIN; CREATE TABLE e2 ();"),
        ("6_.sql", "BEGIN; CREATE TABLE f ();"),
        ("7_g.down.sql", "DROP TABLE g;"),
        ("8_h.sql", "-- no-transactions please\nCREATE TABLE h ();"),
    ]);
    let warned = Arc::new(Mutex::new(Vec::new()));
    let events = Events::new({
        let warned = Arc::clone(&warned);
        move |event| {
            if let Event::Warning { text } = event {
                warned.lock().unwrap().push(text);
            }
        }
    });
    run(&ours, &set(&project), OutOfOrder::Refuse, PATIENCE, &events).await.unwrap();
    let migrator = Migrator::new(project.path()).await.unwrap();
    migrator.run(&mut connect(&theirs).await).await.unwrap();
    assert_eq!(value(&ours, RESULT).await, value(&theirs, RESULT).await);
    migrator.run(&mut connect(&ours).await).await.unwrap();
    let warned = warned.lock().unwrap().join("\n");
    for name in ["1_a.sql", "2_b.sql, 3_c.sql", "4_d.sql", "5_e.sql", "7_g.down.sql", "8_h.sql"] {
        assert!(warned.contains(name), "{name}: {warned}");
    }
}

#[tokio::test]
async fn a_dump_for_psql_is_a_migration() {
    let Some(address) = database().await else { return };
    let project = Project::new(&[(
        "1_dump.sql",
        "--\n-- PostgreSQL database dump\n--\n\n\\restrict aBc1'\n\nCREATE TABLE a (n int, t text);\n\
         COPY a (n, t) FROM stdin;\n1\t;\\n'\n2\t\\N\n\\.\n\n\
         CREATE TABLE b (n int); COPY b FROM stdin WITH (FORMAT csv);\n3\n\\.\n\n\\unrestrict aBc1'\n",
    )]);
    migrate(&address, &project).await.unwrap();
    assert_eq!(
        value(&address, "SELECT string_agg(n || coalesce(t, '-'), '|') FROM a").await,
        "1;\n'|2-"
    );
    assert_eq!(value(&address, "SELECT n FROM b").await, "3");
    let migrator = Migrator::new(project.path()).await.unwrap();
    migrator.run(&mut connect(&address).await).await.unwrap();
}

#[tokio::test]
async fn out_of_order_and_missing_files_are_drift_unless_allowed() {
    let Some(address) = database().await else { return };
    let project = Project::new(&[
        ("1_a.sql", "CREATE TABLE a (n int);"),
        ("3_c.sql", "SELECT 3"),
        ("5_e.sql", "SELECT 5"),
    ]);
    migrate(&address, &project).await.unwrap();
    project.write("2_b.sql", "INSERT INTO a VALUES (2)");
    let error = migrate(&address, &project).await.unwrap_err();
    insta::assert_snapshot!(project.text_of(&error), @r"
    Drift: the applied migrations and the files disagree
    because 2_b.sql is older than the newest applied migration, 5_e.sql
    hint: set `migrations.out_of_order: allow` in devdb.yaml
    hint: or, if no other database has the file yet, give it a newer timestamp
    hint: devdb reset   builds a new database from the files and keeps the old one
    ");
    assert_eq!(value(&address, "SELECT count(*) FROM a").await, "0");
    let applied = run(&address, &set(&project), OutOfOrder::Allow, PATIENCE, &Events::silent())
        .await
        .unwrap();
    assert_eq!(files(&applied), ["2_b.sql"]);

    project.write("3_c.sql", "SELECT 4");
    project.remove("5_e.sql");
    project.write("6_f.sql", "SELECT 6");
    execute(&address, "UPDATE _sqlx_migrations SET success = false WHERE version = 1").await;
    let error = run(&address, &set(&project), OutOfOrder::Allow, PATIENCE, &Events::silent())
        .await
        .unwrap_err();
    insta::assert_snapshot!(project.text_of(&error), @r"
    Drift: the applied migrations and the files disagree
    because 3_c.sql has changed since it was applied
    because 5 (e) is applied, but its file is gone
    because 1_a.sql was begun by another tool and not finished
    hint: git diff HEAD -- '*3_c.sql'   shows what is not committed of a file that git knows; take it back
    hint: git log -p --all -- '*3_c.sql'   shows its commits on all branches; revert the one that changed it
    hint: devdb migrate new NAME   makes a new migration; move your change into it, and restore the old file
    hint: devdb reset   builds a new database from the files and keeps the old one
    ");
    let now = status(&mut connect(&address).await, &set(&project)).await.unwrap();
    let json = serde_json::to_value(&now).unwrap();
    assert_eq!(json["changed"][0]["file"], "3_c.sql");
    assert_eq!(json["missing"][0]["version"], 5);
    assert_eq!(json["dirty"][0]["version"], 1);
    assert_eq!(json["pending"][0]["file"], "6_f.sql");
}

#[tokio::test]
async fn a_thousand_small_migrations() {
    let Some(address) = database().await else { return };
    let files: Vec<_> = (1..=1000)
        .map(|n| (format!("{n:04}_t.sql"), format!("CREATE TABLE t{n} (id int PRIMARY KEY);")))
        .collect();
    let files: Vec<_> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let project = Project::new(&files);
    let start = Instant::now();
    let set = set(&project);
    let loaded = start.elapsed();
    run(&address, &set, OutOfOrder::Refuse, PATIENCE, &Events::silent()).await.unwrap();
    let applied = start.elapsed() - loaded;
    let start = Instant::now();
    assert!(status(&mut connect(&address).await, &set).await.unwrap().is_current());
    println!(
        "1000 migrations: read in {loaded:?}, applied in {applied:?}, status in {:?}",
        start.elapsed()
    );
}
