use super::super::load;
use super::*;
use crate::spec::Files;

/// Loads `migrations/` of a project with these files, and returns the refusal.
fn refusal(files: &[(&str, &str)]) -> Option<Error> {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join(PROJECT_FILE), "").unwrap();
    let directory = root.path().join("migrations");
    std::fs::create_dir(&directory).unwrap();
    for (name, content) in files {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    load(&Files::Directory { path: directory, required: true }).err()
}

/// The tool that the refusal names, and the section that it says to write.
#[track_caller]
fn told(files: &[(&str, &str)]) -> (String, String) {
    let error = refusal(files).unwrap_or_else(|| panic!("{files:?} are taken for devdb's own"));
    assert_eq!(error.kind(), Kind::Config);
    let Some((_, tool)) = error.message().split_once(OF) else { panic!("{error}") };
    (tool.to_owned(), error.hints()[0].clone())
}

#[test]
fn a_file_with_the_markers_of_another_tool_is_refused() {
    for (text, tool, command) in [
        ("-- migrate:up\ncreate table a ();\n-- migrate:down\ndrop table a;\n", "dbmate", "dbmate"),
        ("create table a ();\n--migrate:down transaction:false\n", "dbmate", "dbmate"),
        (
            "-- +goose Up\r\ncreate table a ();\r\n-- +goose Down\r\n",
            "goose",
            "goose -dir migrations",
        ),
        ("-- +goose up\nselect 1;\n", "goose", "goose"),
        ("-- +migrate Up\nselect 1;\n-- +migrate Down\n", "sql-migrate", "sql-migrate, up"),
        (
            "-- Up Migration\nselect 1;\n\n-- Down Migration\nselect 2;\n",
            "node-pg-migrate",
            "node-pg-migrate",
        ),
        ("select 1;\n--> statement-breakpoint\nselect 2;\n", "Drizzle", "drizzle-kit, migrate"),
        ("select 1;\n---- create above / drop below ----\nselect 2;\n", "tern", "tern, migrate"),
        ("-- rambler up\nselect 1;\n-- rambler down\n", "rambler", "rambler"),
        (
            "--liquibase formatted sql\n--changeset a:1\nselect 1;\n",
            "Liquibase",
            "migrations.command",
        ),
        ("# --- !Ups\nselect 1;\n# --- !Downs\n", "Play evolutions", "migrations.command"),
        ("-- // a\nselect 1;\n-- //@UNDO\nselect 2;\n", "MyBatis Migrations", "migrations.command"),
        ("--! Previous: -\nselect 1;\n", "Graphile Migrate", "graphile-migrate"),
    ] {
        let (found, section) = told(&[("20260301120000_a.sql", text)]);
        assert_eq!(found, tool, "{text}");
        assert!(section.contains(command), "{text}: {section}");
    }
}

#[test]
fn a_comment_that_speaks_of_a_tool_is_no_marker() {
    for text in [
        "-- we had dbmate's migrate:up here\nselect 1;\n",
        "-- up migration\nselect 1;\n",
        "-- down migration is not possible\nselect 1;\n",
        "select '-- +goose Up';\n",
    ] {
        assert!(refusal(&[("1_a.sql", text)]).is_none(), "{text}");
    }
}

#[test]
fn a_directory_that_another_tool_has_made_is_refused() {
    let js = "1772366400000_a.js";
    for (files, tool, command) in [
        (
            &[("20260301120000_init/migration.sql", ""), ("migration_lock.toml", "")][..],
            "Prisma",
            "[npx, prisma, migrate, deploy]",
        ),
        (&[("20260301120000_init/migration.sql", "")], "Prisma", "prisma"),
        (
            &[("2026-03-01-120000_a/up.sql", ""), ("2026-03-01-120000_a/down.sql", "")],
            "Diesel",
            "[diesel, migration, run, --migration-dir, migrations]",
        ),
        (&[("0000_a.sql", "select 1"), ("meta/_journal.json", "{}")], "Drizzle", "drizzle-kit"),
        (
            &[("20260301120000_a/migration.sql", ""), ("20260301120000_a/snapshot.json", "")],
            "Drizzle",
            "drizzle-kit",
        ),
        (
            &[(js, "exports.up = (pgm) => {}")],
            "node-pg-migrate",
            "node-pg-migrate, -m, migrations, up",
        ),
        (&[(js, "exports.up = (knex) => {}")], "Knex", "migrate:latest"),
        (
            &[("1-a.ts", "export class A implements MigrationInterface {}")],
            "TypeORM",
            "migration:run",
        ),
        (&[(js, "module.exports = { up: (queryInterface) => {} }")], "Sequelize", "db:migrate"),
        (&[("1_a.ts", "import { Kysely } from 'kysely'")], "Kysely", "kysely"),
        (&[("1_a.mjs", "nobody knows")], "a JavaScript tool", "migrations.command"),
        (&[("versions/1a_a.py", ""), ("env.py", "")], "Alembic", "[alembic, upgrade, head]"),
        (&[("1a_a.py", "from alembic import op")], "Alembic", "alembic"),
        (
            &[("__init__.py", ""), ("0001_initial.py", "from django.db import models")],
            "Django",
            "manage.py",
        ),
        (
            &[("20260301120000_a.rb", "class A < ActiveRecord::Migration[8.0]")],
            "Rails",
            "db:migrate",
        ),
        (&[("20260301120000_a.exs", "")], "Ecto", "ecto.migrate"),
        (&[("2026_03_01_120000_a.php", "use Illuminate\\Database")], "Laravel", "artisan"),
        (&[("V1__a.sql", "select 1")], "Flyway", "flyway"),
        (&[("V1.2__a.sql", ""), ("R__view.sql", "")], "Flyway", "flyway"),
        (
            &[("V1__a.rs", "use refinery::x")],
            "refinery",
            "[refinery, migrate, -e, DATABASE_URL, -p, migrations]",
        ),
        (&[("m20260301_000001_a.rs", "use sea_orm_migration::prelude")], "SeaORM", "sea-orm-cli"),
        (
            &[("00001_a.go", "goose.AddMigrationContext()")],
            "goose in a Go program",
            "migrations.command",
        ),
        (&[("20260301120000_a.sql", "select 1"), ("atlas.sum", "")], "Atlas", "atlas"),
        (&[("changelog.xml", "<databaseChangeLog>")], "Liquibase", "migrations.command"),
        (&[("20260301120000_A.cs", "")], "Entity Framework Core", "dotnet"),
    ] {
        let (found, section) = told(files);
        assert_eq!(found, tool, "{files:?}");
        assert!(section.contains(command), "{files:?}: {section}");
    }
}

#[test]
fn what_devdb_does_not_read_is_named() {
    let sql = ("20260301120000_a.sql", "select 1;");
    for (name, is) in [
        ("more/b.sql", "more/ is no SQL file"),
        ("20260302120000_b.sql.gz", "20260302120000_b.sql.gz is no SQL file"),
        ("rows.dump", "rows.dump is no SQL file"),
        ("rows.json", "rows.json is no SQL file"),
        ("Makefile", "Makefile is no SQL file"),
    ] {
        let error = refusal(&[sql, (name, "x")]).unwrap();
        assert!(error.message().ends_with(is), "{error}");
    }
    let error = refusal(&[sql, ("a/b.sql", ""), ("c.csv", ""), ("d.bin", "")]).unwrap();
    assert!(error.message().ends_with("c.csv, d.bin, a/ are no SQL files"), "{error}");
}

#[test]
fn pages_for_people_and_what_editors_leave_may_be_there() {
    let error = refusal(&[
        ("20260301120000_a.sql", "select 1;"),
        ("20260301120000_a.sql~", "-- migrate:down"),
        ("20260301120000_a.sql.orig", ""),
        ("README.md", ""),
        ("README", ""),
        (".gitkeep", ""),
        (".old/b.sql", ""),
        ("empty/.gitkeep", ""),
    ]);
    assert!(error.is_none(), "{error:?}");
}

#[test]
fn the_pairs_of_golang_migrate_are_those_of_sqlx() {
    let files = [("000001_a.up.sql", "select 1;"), ("000001_a.down.sql", "select 2;")];
    assert!(refusal(&files).is_none());
}

#[test]
fn a_project_that_has_its_migrations_elsewhere_is_told_so() {
    for (file, text, tool) in [
        ("prisma/migrations/20260301120000_a/migration.sql", "", "Prisma"),
        ("db/migrations/20260301120000_a.sql", "-- migrate:up\n-- migrate:down\n", "dbmate"),
        ("db/migrate/20260301120000_a.rb", "class A < ActiveRecord::Migration[8.0]", "Rails"),
        ("drizzle/meta/_journal.json", "{}", "Drizzle"),
        ("alembic/env.py", "", "Alembic"),
    ] {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join(PROJECT_FILE), "").unwrap();
        let path = root.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        let own = root.path().join("migrations");
        let say = || {
            let files = Files::Directory { path: own.clone(), required: false };
            load(&files).unwrap().elsewhere().map(str::to_owned)
        };
        let said = say().unwrap();
        assert!(said.contains(&format!("migrations of {tool}, and devdb applies none")), "{said}");
        assert!(said.contains("migrations: { command: ["), "{said}");
        std::fs::create_dir(&own).unwrap();
        assert!(say().is_some());
        std::fs::write(own.join("1_a.sql"), "select 1;").unwrap();
        assert_eq!(say(), None);
    }
}
