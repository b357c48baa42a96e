//! What a project's SQL does to settings, and what must not follow from it.

use devdb::db::connect::Address;
use devdb::db::migrate::{load, run, status};
use devdb::error::Error;
use devdb::event::Events;
use devdb::spec::OutOfOrder;

use crate::seed::seed;
use crate::{PATIENCE, Project, connect, execute, server::database, value};

async fn migrate(address: &Address, project: &Project) -> Result<usize, Error> {
    let set = load(&project.files()).unwrap();
    let applied = run(address, &set, OutOfOrder::Refuse, PATIENCE, &Events::silent()).await?;
    Ok(applied.len())
}

/// Applies the files one after the other, each by a run of its own.
async fn migrate_step_by_step(address: &Address, files: &[(&str, &str)]) {
    let project = Project::new(&[]);
    for (name, content) in files {
        project.write(name, content);
        assert_eq!(migrate(address, &project).await.unwrap(), 1, "{name}");
    }
    assert_eq!(migrate(address, &project).await.unwrap(), 0);
}

/// The tables and views of a database with their schemas.
const TABLES: &str = "SELECT string_agg(n.nspname || '.' || c.relname, ' ' ORDER BY n.nspname, c.relname) \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'v') \
       AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')";

/// The files give the same schema, with one table of sqlx, in one run and step by step.
async fn same_on_every_way(files: &[(&str, &str)], tables: &str) {
    let Some(at_once) = database().await else { return };
    assert_eq!(migrate(&at_once, &Project::new(files)).await.unwrap(), files.len());
    assert_eq!(migrate(&at_once, &Project::new(files)).await.unwrap(), 0);
    assert_eq!(value(&at_once, TABLES).await, tables, "at once");
    forget_the_role(&at_once).await;
    let Some(stepwise) = database().await else { return };
    migrate_step_by_step(&stepwise, files).await;
    assert_eq!(value(&stepwise, TABLES).await, tables, "step by step");
    forget_the_role(&stepwise).await;
}

/// The tests share a server, so ALTER ROLE is limited to a database and undone.
async fn forget_the_role(address: &Address) {
    execute(
        address,
        "DO $$ BEGIN EXECUTE format('ALTER ROLE postgres IN DATABASE %I RESET ALL', \
         current_database()); END $$",
    )
    .await;
}

#[tokio::test]
async fn a_schema_with_the_users_name_does_not_split_the_history() {
    same_on_every_way(
        &[
            ("1_a.sql", "CREATE TABLE a ();"),
            ("2_b.sql", "CREATE SCHEMA postgres; CREATE TABLE public.b ();"),
            ("3_c.sql", "CREATE TABLE c ();"),
        ],
        "postgres.c public._sqlx_migrations public.a public.b",
    )
    .await;
}

#[tokio::test]
async fn the_settings_of_the_database_and_the_role_do_not_count() {
    let alter_database = "CREATE SCHEMA app; DO $$ BEGIN EXECUTE format( \
         'ALTER DATABASE %I SET search_path = app', current_database()); END $$;";
    let alter_role = "CREATE SCHEMA app; DO $$ BEGIN EXECUTE format( \
         'ALTER ROLE postgres IN DATABASE %I SET search_path = app', current_database()); END $$;";
    for alter in [alter_database, alter_role] {
        same_on_every_way(
            &[("1_a.sql", alter), ("2_b.sql", "CREATE TABLE b ();")],
            "public._sqlx_migrations public.b",
        )
        .await;
    }
}

#[tokio::test]
async fn settings_that_forbid_everything_forbid_devdb_nothing() {
    let Some(address) = database().await else { return };
    let project = Project::new(&[
        ("1_a.sql", "CREATE TABLE a (n int PRIMARY KEY); CREATE TABLE b (n int REFERENCES a);"),
        (
            "2_b.sql",
            "DO $$ DECLARE setting text; BEGIN \
               FOREACH setting IN ARRAY ARRAY['default_transaction_read_only = on', \
                 'statement_timeout = 1', 'lock_timeout = 1', 'app.tenant = ''x''', \
                 'session_replication_role = replica', 'search_path = ''''', \
                 'default_transaction_isolation = serializable'] \
               LOOP EXECUTE format('ALTER DATABASE %I SET ' || setting, current_database()); \
               END LOOP; END $$;",
        ),
    ]);
    assert_eq!(migrate(&address, &project).await.unwrap(), 2);
    project.write(
        "3_c.sql",
        "CREATE TABLE c AS SELECT current_setting('session_replication_role') AS replication, \
             current_setting('app.tenant') AS tenant FROM pg_sleep(0.05);",
    );
    assert_eq!(migrate(&address, &project).await.unwrap(), 1);
    assert_eq!(value(&address, "SELECT replication || tenant FROM public.c").await, "origin");
    let seeds = Project::new(&[("1.yaml", "b:\n  x: {n: 1}\n")]);
    let error = seed(&address, &seeds, "dev").await.unwrap_err();
    assert!(error.causes()[0].contains("foreign key"), "{error:?}");
    seeds.write("1.yaml", "a:\n  x: {n: 1}\n");
    assert_eq!(seed(&address, &seeds, "dev").await.unwrap().applied.len(), 1);
}

#[tokio::test]
async fn the_history_is_found_wherever_it_is() {
    let Some(address) = database().await else { return };
    let project = Project::new(&[
        ("1_a.sql", "CREATE SCHEMA app; ALTER TABLE _sqlx_migrations SET SCHEMA app;"),
        ("2_b.sql", "CREATE TABLE b ();"),
    ]);
    // sqlx cannot record it either, where it has gone.
    let error = migrate(&address, &project).await.unwrap_err();
    assert!(error.message().contains("1_a.sql"), "{error:?}");
    execute(
        &address,
        "CREATE SCHEMA app; CREATE TABLE app._sqlx_migrations (LIKE public._sqlx_migrations \
         INCLUDING ALL); INSERT INTO app._sqlx_migrations \
         VALUES (1, 'a', now(), true, '\\x00', 0); ",
    )
    .await;
    // The one with rows counts, as long as the other has none; then there is only one.
    for sql in ["SELECT 1", "DROP TABLE public._sqlx_migrations"] {
        execute(&address, sql).await;
        let set = load(&project.files()).unwrap();
        let status = status(&mut connect(&address).await, &set).await.unwrap();
        assert_eq!((status.changed.len(), status.pending.len()), (1, 1));
    }
}

/// Files that leave something behind, and what the next file would see of it.
const LEFT_BEHIND: &[(&str, &str)] = &[
    ("SET client_encoding = 'LATIN1'", "current_setting('client_encoding') = 'UTF8'"),
    ("SET standard_conforming_strings = off", "length('\\') = 1"),
    (
        "SET session_replication_role = replica",
        "current_setting('session_replication_role') = 'origin'",
    ),
    ("SET statement_timeout = 1", "current_setting('statement_timeout') = '0'"),
    ("SELECT pg_catalog.set_config('search_path', '', false)", "current_schema() = 'public'"),
    ("SET TimeZone = 'Asia/Tokyo'", "current_setting('TimeZone') = 'UTC'"),
    ("CREATE ROLE nobody_a; SET ROLE nobody_a", "current_user = 'postgres'"),
    ("CREATE ROLE nobody_b; SET SESSION AUTHORIZATION nobody_b", "session_user = 'postgres'"),
    ("CREATE TEMP TABLE left_behind ()", "to_regclass('left_behind') IS NULL"),
    ("PREPARE p AS SELECT 1", "NOT EXISTS (SELECT FROM pg_prepared_statements WHERE name = 'p')"),
    ("DEALLOCATE ALL", "true"),
    (
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "NOT EXISTS (SELECT FROM pg_cursors WHERE name = 'c')",
    ),
    ("LISTEN l", "NOT EXISTS (SELECT pg_listening_channels())"),
];

#[tokio::test]
async fn each_migration_begins_as_the_first_did() {
    let Some(address) = database().await else { return };
    let project = Project::new(&[]);
    let mut version = 0;
    for marker in ["", "-- no-transaction\n"] {
        for (sql, check) in LEFT_BEHIND {
            version += 2;
            // Roles belong to the server, so both rounds see the first one's.
            let sql = match marker {
                "" => (*sql).to_owned(),
                _ => sql.rsplit("; ").next().unwrap_or_default().to_owned(),
            };
            project.write(&format!("{version}_leave.sql"), &format!("{marker}{sql};\n"));
            let check = format!("DO $$ BEGIN ASSERT {check}; END $$;\n");
            project.write(&format!("{}_look.sql", version + 1), &check);
        }
    }
    assert_eq!(migrate(&address, &project).await.unwrap(), 4 * LEFT_BEHIND.len());
    let described = "SELECT count(*) FROM public._sqlx_migrations WHERE execution_time > 0";
    assert_eq!(value(&address, described).await, (4 * LEFT_BEHIND.len()).to_string());
    execute(&address, "DROP ROLE nobody_a; DROP ROLE nobody_b").await;
}

#[tokio::test]
async fn each_seed_begins_as_the_first_did() {
    let Some(address) = database().await else { return };
    execute(&address, "CREATE TABLE t (n int PRIMARY KEY)").await;
    let project = Project::new(&[]);
    for (index, (sql, check)) in LEFT_BEHIND.iter().enumerate() {
        let sql = sql.replace("nobody", "seeder");
        project.write(&format!("{index:03}.a.sql"), &format!("{sql};\n"));
        project
            .write(&format!("{index:03}.b.sql"), &format!("DO $$ BEGIN ASSERT {check}; END $$;\n"));
        project.write(&format!("{index:03}.c.yaml"), &format!("t:\n  r{index}: {{n: {index}}}\n"));
        project.write(&format!("{index:03}_t.csv"), &format!("n\n{}\n", 1000 + index));
    }
    let outcome = seed(&address, &project, "dev").await.unwrap();
    assert_eq!(outcome.applied.len(), 4 * LEFT_BEHIND.len());
    assert_eq!(
        value(&address, "SELECT count(*) FROM t").await,
        (2 * LEFT_BEHIND.len()).to_string()
    );
    execute(&address, "DROP ROLE seeder_a; DROP ROLE seeder_b").await;
}

#[tokio::test]
async fn a_row_that_breaks_a_foreign_key_is_refused_after_a_dump() {
    let Some(address) = database().await else { return };
    execute(
        &address,
        "CREATE TABLE a (n int PRIMARY KEY); CREATE TABLE b (n int PRIMARY KEY REFERENCES a)",
    )
    .await;
    let dump = "SET session_replication_role = replica;\nSELECT 1;\n";
    for (name, rows) in [("2.yaml", "b:\n  x: {n: 1}\n"), ("2_b.csv", "n\n1\n")] {
        let project = Project::new(&[("1.sql", dump), (name, rows)]);
        let error = seed(&address, &project, "dev").await.unwrap_err();
        assert!(error.causes()[0].contains("violates foreign key"), "{error:?}");
    }
}

#[tokio::test]
async fn a_deferred_constraint_belongs_to_the_migration_that_violates_it() {
    let Some(address) = database().await else { return };
    let project = Project::new(&[
        (
            "1_a.sql",
            "CREATE SCHEMA app; CREATE TABLE app.a (n int PRIMARY KEY); \
             CREATE TABLE app.b (n int REFERENCES app.a DEFERRABLE INITIALLY DEFERRED); \
             CREATE FUNCTION app.look() RETURNS trigger LANGUAGE plpgsql \
               AS 'BEGIN PERFORM n FROM a; RETURN NULL; END'; \
             CREATE CONSTRAINT TRIGGER look AFTER INSERT ON app.b DEFERRABLE INITIALLY DEFERRED \
               FOR EACH ROW EXECUTE FUNCTION app.look();",
        ),
        ("2_b.sql", "SET search_path = app; INSERT INTO b VALUES (1); INSERT INTO a VALUES (1);"),
    ]);
    assert_eq!(migrate(&address, &project).await.unwrap(), 2);
    project.write("3_c.sql", "INSERT INTO app.b VALUES (2);");
    let error = migrate(&address, &project).await.unwrap_err();
    insta::assert_snapshot!(project.text_of(&error), @r#"
    Migration: /…/3_c.sql: the migration failed at its end
    because insert or update on table "b" violates foreign key constraint "b_n_fkey" (SQLSTATE 23503)
    because detail: Key (n)=(2) is not present in table "a".
    note: the database is as it was; 1 migration is pending
    hint: correct the file and run the command again
    "#);
}

#[tokio::test]
async fn the_lock_is_held_whatever_a_file_does() {
    let Some(address) = database().await else { return };
    let held = "DO $$ BEGIN ASSERT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' \
                AND pid = pg_backend_pid()); END $$;\n";
    let project = Project::new(&[
        ("1_a.sql", "SELECT pg_advisory_unlock_all();\n"),
        ("2_b.sql", held),
        ("3_c.sql", "-- no-transaction\nDISCARD ALL;\n"),
        ("4_d.sql", held),
    ]);
    assert_eq!(migrate(&address, &project).await.unwrap(), 4);
}

#[tokio::test]
async fn a_role_that_the_user_has_by_default_does_not_count() {
    let Some(address) = database().await else { return };
    let project = Project::new(&[
        ("1_a.sql", "CREATE TABLE a ();"),
        (
            "2_b.sql",
            "CREATE ROLE nobody_c; DO $$ BEGIN EXECUTE format( \
             'ALTER ROLE postgres IN DATABASE %I SET role = nobody_c', current_database()); END $$;",
        ),
    ]);
    assert_eq!(migrate(&address, &project).await.unwrap(), 2);
    project.write("3_c.sql", "DO $$ BEGIN ASSERT current_user = 'postgres'; END $$;");
    assert_eq!(migrate(&address, &project).await.unwrap(), 1);
    let set = load(&project.files()).unwrap();
    let status = status(&mut connect(&address).await, &set).await.unwrap();
    assert!(status.is_current());
    forget_the_role(&address).await;
    execute(&address, "DROP ROLE nobody_c").await;
}
