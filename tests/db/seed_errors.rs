//! What a seed that cannot be applied says. Nothing has changed then.

use std::sync::Arc;

use devdb::db::connect::Address;
use devdb::db::seed::{Encrypting, apply, load};
use devdb::event::Events;

use crate::{Project, execute, server::database, value};

const SCHEMA: &str = "
    CREATE TABLE orgs (id uuid PRIMARY KEY, name varchar(5) NOT NULL, tier int CHECK (tier < 4),
        day date, size smallint, ids int[], born timestamptz);
    CREATE TABLE sites (id serial PRIMARY KEY, org_id uuid NOT NULL REFERENCES orgs, code text,
        CONSTRAINT one_code UNIQUE (org_id, code));
    CREATE UNIQUE INDEX live_code ON sites (lower(code)) WHERE code <> '';
    CREATE TABLE lines (word text, raw bytea);
    CREATE TABLE readings (at date, celsius real)";

async fn fails(address: &Address, files: &[(&str, &str)]) -> String {
    let project = Project::new(files);
    let set = load(&project.files(), "dev", None).unwrap();
    let encrypt = Arc::new(|clear: &str| Ok(clear.to_owned()));
    let error = apply(
        address,
        &set,
        |names: &[String]| Encrypting::begin(&set, names, encrypt),
        &Events::silent(),
    )
    .await
    .unwrap_err();
    let untouched = "SELECT (SELECT count(*) FROM orgs) + (SELECT count(*) FROM readings) \
                     + count(*) FROM pg_class WHERE relname LIKE '\\_devdb%'";
    assert_eq!(value(address, untouched).await, "0");
    project.text_of(&error)
}

/// A row that is accepted, so that something is there to be rolled back.
const GOOD: &str = "orgs:\n  acme: {name: ACME}\n";

async fn yaml_fails(address: &Address, yaml: &str) -> String {
    fails(address, &[("1.yaml", GOOD), ("2.yaml", yaml)]).await
}

#[tokio::test]
async fn unknown_names() {
    let Some(address) = database().await else { return };
    execute(&address, SCHEMA).await;
    insta::assert_snapshot!(yaml_fails(&address, "ogrs:\n  a: {name: A}\n").await, @r#"
    Seed: /…/2.yaml:1:1: there is no table "ogrs"
    1 | ogrs:
      | ^
    2 |   a: {name: A}
    hint: did you mean "orgs"?
    "#);
    insta::assert_snapshot!(yaml_fails(&address, "orgs:\n  a:\n    name: A\n    teir: 1\n").await, @r#"
    Seed: /…/2.yaml:4:5: the table orgs has no column "teir"
    2 |   a:
    3 |     name: A
    4 |     teir: 1
      |     ^
    hint: did you mean "tier"?
    "#);
    insta::assert_snapshot!(yaml_fails(&address, "sites:\n  a: {org_id: !ref acme}\n  b: {org_id: !ref a}\n").await, @r#"
    Seed: /…/2.yaml:3:15: no row of orgs has the label "a"
    1 | sites:
    2 |   a: {org_id: !ref acme}
    3 |   b: {org_id: !ref a}
      |               ^
    hint: did you mean "acme"?
    "#);
    insta::assert_snapshot!(yaml_fails(&address, "sites:\n  a: {code: !ref acme}\n").await, @r#"
    Seed: /…/2.yaml:2:13: the column "code" has no foreign key, so the table of "acme" is unknown
    1 | sites:
    2 |   a: {code: !ref acme}
      |             ^
    hint: name the table, too: !ref TABLE.acme
    "#);
}

#[tokio::test]
async fn values_that_their_column_refuses() {
    let Some(address) = database().await else { return };
    execute(&address, SCHEMA).await;
    insta::assert_snapshot!(yaml_fails(&address, "orgs:\n  a:\n    tier: 1\n    name: Größe-6\n").await, @r#"
    Seed: /…/2.yaml:4:11: the server refused the row "a" of orgs because of its column "name"
    because value too long for type character varying(5) (SQLSTATE 22001)
    2 |   a:
    3 |     tier: 1
    4 |     name: Größe-6
      |           ^
    "#);
    insta::assert_snapshot!(yaml_fails(&address, "orgs:\n  a:\n    name: A\n    born: 2026-01-05\n    day: 2026-02-30\n").await, @r#"
    Seed: /…/2.yaml:5:10: the server refused the row "a" of orgs because of its column "day"
    because date/time field value out of range: "2026-02-30" (SQLSTATE 22008)
    3 |     name: A
    4 |     born: 2026-01-05
    5 |     day: 2026-02-30
      |          ^
    "#);
    insta::assert_snapshot!(yaml_fails(&address, "orgs:\n  a:\n    name: !encrypt päss wörd\n").await, @r#"
    Seed: /…/2.yaml:3:11: the server refused the row "a" of orgs because of its column "name"
    because value too long for type character varying(5) (SQLSTATE 22001)
    1 | orgs:
    2 |   a:
    3 |     name: !encrypt **** ****
      |           ^
    "#);
    insta::assert_snapshot!(yaml_fails(&address, "orgs:\n  a: {name: A, size: 70000}\n").await, @r#"
    Seed: /…/2.yaml:2:22: the server refused the row "a" of orgs because of its column "size"
    because value "70000" is out of range for type smallint (SQLSTATE 22003)
    1 | orgs:
    2 |   a: {name: A, size: 70000}
      |                      ^
    "#);
    insta::assert_snapshot!(yaml_fails(&address, "orgs:\n  a: {name: {x: 1}}\n").await, @r#"
    Seed: /…/2.yaml:2:13: the column "name" of type character varying cannot hold a mapping
    1 | orgs:
    2 |   a: {name: {x: 1}}
      |             ^
    "#);
    insta::assert_snapshot!(yaml_fails(&address, "orgs:\n  a: {name: A, ids: [1, x]}\n").await, @r#"
    Seed: /…/2.yaml:2:21: the server refused the row "a" of orgs because of its column "ids"
    because invalid input syntax for type integer: "x" (SQLSTATE 22P02)
    1 | orgs:
    2 |   a: {name: A, ids: [1, x]}
      |                     ^
    "#);
    insta::assert_snapshot!(yaml_fails(&address, "orgs:\n  a: {name: A, born: !sql now( }\n").await, @r#"
    Seed: /…/2.yaml:2:22: the server refused the row "a" of orgs because of its column "born"
    because syntax error at or near "RETURNING" (SQLSTATE 42601)
    1 | orgs:
    2 |   a: {name: A, born: !sql now( }
      |                      ^
    "#);
    insta::assert_snapshot!(yaml_fails(&address, "orgs:\n  a: {name: A, born: !sql now(); drop table orgs}\n").await, @r"
    Seed: /…/2.yaml:2:22: !sql needs one SQL expression
    1 | orgs:
    2 |   a: {name: A, born: !sql now(); drop table orgs}
      |                      ^
    ");
}

#[tokio::test]
async fn bytes_belong_into_bytea_only() {
    let Some(address) = database().await else { return };
    execute(&address, SCHEMA).await;
    insta::assert_snapshot!(yaml_fails(&address, "lines:\n  a: {word: !!binary AP8=}\n").await, @r#"
    Seed: /…/2.yaml:2:13: the column "word" of type text cannot hold bytes
    1 | lines:
    2 |   a: {word: !!binary AP8=}
      |             ^
    hint: use !!binary for a bytea column only
    "#);
}

#[tokio::test]
async fn constraints() {
    let Some(address) = database().await else { return };
    execute(&address, SCHEMA).await;
    insta::assert_snapshot!(yaml_fails(&address, "orgs:\n  a: {tier: 1}\n").await, @r#"
    Seed: /…/2.yaml:2:3: the server refused the row "a" of orgs, which has no value for "name"
    because null value in column "name" of relation "orgs" violates not-null constraint (SQLSTATE 23502)
    because detail: Failing row contains (9197e5c0-34a0-51c5-b10c-dfc7086a5694, null, 1, null, null, null, null).
    1 | orgs:
    2 |   a: {tier: 1}
      |   ^
    "#);
    insta::assert_snapshot!(yaml_fails(&address, "orgs:\n  a:\n    name: null\n").await, @r#"
    Seed: /…/2.yaml:3:11: the server refused the row "a" of orgs because of its column "name"
    because null value in column "name" of relation "orgs" violates not-null constraint (SQLSTATE 23502)
    because detail: Failing row contains (9197e5c0-34a0-51c5-b10c-dfc7086a5694, null, null, null, null, null, null).
    1 | orgs:
    2 |   a:
    3 |     name: null
      |           ^
    "#);
    insta::assert_snapshot!(yaml_fails(&address, "orgs:\n  a:\n    name: A\n    tier: 4\n").await, @r#"
    Seed: /…/2.yaml:4:11: the server refused the row "a" of orgs because of its column "tier"
    because new row for relation "orgs" violates check constraint "orgs_tier_check" (SQLSTATE 23514)
    because detail: Failing row contains (9197e5c0-34a0-51c5-b10c-dfc7086a5694, A, 4, null, null, null, null).
    2 |   a:
    3 |     name: A
    4 |     tier: 4
      |           ^
    "#);
    insta::assert_snapshot!(yaml_fails(&address, "sites:\n  a: {org_id: 6f8d1c52-7f0b-5c63-9f0e-3a7b2d5e9c41}\n").await, @r#"
    Seed: /…/2.yaml:2:15: the server refused the row "a" of sites because of its column "org_id"
    because insert or update on table "sites" violates foreign key constraint "sites_org_id_fkey" (SQLSTATE 23503)
    because detail: Key (org_id)=(6f8d1c52-7f0b-5c63-9f0e-3a7b2d5e9c41) is not present in table "orgs".
    1 | sites:
    2 |   a: {org_id: 6f8d1c52-7f0b-5c63-9f0e-3a7b2d5e9c41}
      |               ^
    "#);
    insta::assert_snapshot!(yaml_fails(&address, "sites:\n  a: {org_id: !ref acme, code: x}\n  b:\n    code: X\n    org_id: !ref acme\n").await, @r#"
    Seed: /…/2.yaml:3:3: the server refused the row "b" of sites
    because duplicate key value violates unique constraint "live_code" (SQLSTATE 23505)
    because detail: Key (lower(code))=(x) already exists.
    1 | sites:
    2 |   a: {org_id: !ref acme, code: x}
    3 |   b:
      |   ^
    4 |     code: X
    5 |     org_id: !ref acme
    "#);
}

#[tokio::test]
async fn sql_and_csv_files() {
    let Some(address) = database().await else { return };
    execute(&address, SCHEMA).await;
    let sql = "INSERT INTO readings\n  VALUES ('2026-01-01', 1.5);\nINSERT INTO readings (att)\n  VALUES (1);\n";
    insta::assert_snapshot!(fails(&address, &[("1.yaml", GOOD), ("2.sql", sql)]).await, @r#"
    Seed: /…/2.sql:3:23: the seed failed
    because column "att" of relation "readings" does not exist (SQLSTATE 42703)
    1 | INSERT INTO readings
    2 |   VALUES ('2026-01-01', 1.5);
    3 | INSERT INTO readings (att)
      |                       ^
    4 |   VALUES (1);
    "#);
    let sql = "INSERT INTO orgs (id, name) SELECT id, name FROM orgs;\n";
    insta::assert_snapshot!(fails(&address, &[("1.yaml", GOOD), ("2.sql", sql)]).await, @r#"
    Seed: /…/2.sql:1:1: the seed failed
    because duplicate key value violates unique constraint "orgs_pkey" (SQLSTATE 23505)
    because detail: Key (id)=(02622825-ad05-534f-841d-2001bededcbd) already exists.
    1 | INSERT INTO orgs (id, name) SELECT id, name FROM orgs;
      | ^
    "#);
    let csv = "at,celsius\n2026-01-01,1.5\n2026-01-02,warm\n";
    insta::assert_snapshot!(fails(&address, &[("1_readings.csv", csv)]).await, @r#"
    Seed: /…/1_readings.csv:3:12: the server refused the row
    because invalid input syntax for type real: "warm" (SQLSTATE 22P02)
    because context: COPY readings, line 3, column celsius: "warm"
    1 | at,celsius
    2 | 2026-01-01,1.5
    3 | 2026-01-02,warm
      |            ^
    "#);
    insta::assert_snapshot!(fails(&address, &[("1_readings.csv", "at,celsius\n2026-01-01\n")]).await, @r#"
    Seed: /…/1_readings.csv:2:1: the server refused the row
    because missing data for column "celsius" (SQLSTATE 22P04)
    because context: COPY readings, line 2: "2026-01-01"
    1 | at,celsius
    2 | 2026-01-01
      | ^
    "#);
    insta::assert_snapshot!(fails(&address, &[("1_readings.csv", "at,\"celcius\"\n")]).await, @r#"
    Seed: /…/1_readings.csv:1:4: the table readings has no column "celcius"
    1 | at,"celcius"
      |    ^
    hint: did you mean "celsius"?
    "#);
    insta::assert_snapshot!(fails(&address, &[("1_readings.csv", "AT, Celsius\n2026-01-01,1\n")]).await, @r#"
    Seed: /…/1_readings.csv:1:1: the table readings has no column "AT"
    1 | AT, Celsius
      | ^
    2 | 2026-01-01,1
    hint: did you mean "at"?
    "#);
    insta::assert_snapshot!(fails(&address, &[("1_lines.csv", "word\none\n\\.\ntwo\n")]).await, @r#"
    Seed: /…/1_lines.csv:3:1: the server takes this line for the end of the data
    because the file has more rows
    1 | word
    2 | one
    3 | \.
      | ^
    4 | two
    hint: write the value in quotes: "\."
    "#);
    insta::assert_snapshot!(fails(&address, &[("1_readings.csv", "at;celsius\n1;2\n")]).await, @r#"
    Seed: /…/1_readings.csv:1:1: the table readings has no column "at;celsius"
    1 | at;celsius
      | ^
    2 | 1;2
    hint: separate columns with commas
    "#);
    insta::assert_snapshot!(fails(&address, &[("1_reading.csv", csv)]).await, @r#"
    Seed: /…/1_reading.csv: there is no table "reading"
    hint: did you mean "readings"?
    hint: name a CSV file <number>_<table>.csv
    "#);
    insta::assert_snapshot!(fails(&address, &[("1_readings.csv", "")]).await, @r"
    Seed: /…/1_readings.csv is empty
    hint: write the names of the columns into its first line
    ");
}

#[tokio::test]
async fn deferred_constraints_are_checked_at_the_end() {
    let Some(address) = database().await else { return };
    execute(
        &address,
        "CREATE TABLE t (n int PRIMARY KEY, m int REFERENCES t DEFERRABLE INITIALLY DEFERRED)",
    )
    .await;
    let seed = async |files: &[(&str, &str)]| {
        let project = Project::new(files);
        let set = load(&project.files(), "dev", None).unwrap();
        let encrypt = Arc::new(|clear: &str| Ok(clear.to_owned()));
        let result = apply(
            &address,
            &set,
            |names: &[String]| Encrypting::begin(&set, names, encrypt),
            &Events::silent(),
        )
        .await;
        result.map_err(|error| project.text_of(&error))
    };
    insta::assert_snapshot!(seed(&[("1.yaml", "t:\n  a: {n: 1, m: 2}\n")]).await.unwrap_err(), @r#"
    Seed: the seeds together violate a deferred constraint
    because insert or update on table "t" violates foreign key constraint "t_m_fkey" (SQLSTATE 23503)
    because detail: Key (m)=(2) is not present in table "t".
    "#);
    seed(&[("1.yaml", "t:\n  a: {n: 1, m: 2}\n"), ("2.yaml", "t:\n  b: {n: 2, m: 1}\n")])
        .await
        .unwrap();
}
