use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use devdb::db::connect::Address;
use devdb::db::seed::{Encrypt, Encrypting, SeedOutcome, SeedSet, apply, load, status};
use devdb::error::{Error, Kind, Result};
use devdb::event::Events;

use crate::{Project, connect, execute, server::database, value};

fn set(project: &Project, profile: &str) -> SeedSet {
    load(&project.files(), profile).unwrap()
}

/// An encryption that must not be asked for.
fn no_key() -> Encrypt {
    Arc::new(|_| Err(Error::new(Kind::Secret, "ENCRYPTION_KEY is not set")))
}

async fn seed(address: &Address, project: &Project, profile: &str) -> Result<SeedOutcome> {
    let set = set(project, profile);
    apply(
        address,
        &set,
        |names: &[String]| Encrypting::begin(&set, names, no_key()),
        &Events::silent(),
    )
    .await
}

fn files(outcome: &SeedOutcome) -> Vec<(&str, u64)> {
    outcome.applied.iter().map(|file| (file.file.as_str(), file.rows)).collect()
}

#[tokio::test]
async fn values_of_all_kinds_arrive() {
    let Some(address) = database().await else { return };
    execute(
        &address,
        "CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE DOMAIN short AS varchar(3);
         CREATE TABLE t (id uuid PRIMARY KEY, a int, b numeric(6,2), c varchar(5), d char(3), e bool,
             f timestamptz, g jsonb, h text[], i int[], j mood, k short, l bytea, m text DEFAULT 'd',
             n text DEFAULT 'd', o interval, p \"char\", q bit(3), r json, s mood[], t int4range)",
    )
    .await;
    let project = Project::new(&[(
        "1.yaml",
        "t:\n  r:\n    a: 007\n    b: 1.50\n    c: '12345'\n    d: ab\n    e: yes\n    f: 2026-01-05T10:00:00+01:00\n    \
         g: {x: 1.50, y: [null, true, \"z\"]}\n    h: [a b, 'c\"d', null]\n    i: [[1, 2], [3, 4]]\n    j: good\n    k: abc\n    \
         l: \\x00ff\n    m: ~\n    o: 1 day 2 hours\n    p: x\n    q: 101\n    r: '{\"raw\":  1}'\n    s: [bad]\n    t: '[1,5)'\n",
    )]);
    assert_eq!(files(&seed(&address, &project, "dev").await.unwrap()), [("1.yaml", 1)]);
    let row = "SELECT concat_ws('|', a, b, c, d, e, f AT TIME ZONE 'UTC', g, h, i, j, k, l, m IS NULL, n, o, p, q, r, s, t) FROM t";
    assert_eq!(
        value(&address, row).await,
        r#"7|1.50|12345|ab |t|2026-01-05 09:00:00|{"x": 1.50, "y": [null, true, "z"]}|{"a b","c\"d",NULL}|{{1,2},{3,4}}|good|abc|\x00ff|t|d|1 day 02:00:00|x|101|{"raw":  1}|{bad}|[1,5)"#
    );
}

#[tokio::test]
async fn rows_refer_to_each_other_by_label() {
    let Some(address) = database().await else { return };
    execute(
        &address,
        "CREATE SCHEMA iot;
         CREATE TABLE orgs (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), slug text UNIQUE);
         CREATE TABLE iot.kinds (id serial PRIMARY KEY, name text);
         CREATE TABLE codes (code text PRIMARY KEY);
         CREATE TABLE iot.devices (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             org uuid REFERENCES orgs, org_slug text REFERENCES orgs (slug),
             kind int REFERENCES iot.kinds, code text REFERENCES codes, parent bigint REFERENCES iot.devices,
             loose text, made timestamptz)",
    )
    .await;
    let project = Project::new(&[
        (
            "1.yaml",
            "orgs:\n  acme: {slug: ac}\n  blank:\niot.kinds:\n  pump: {name: Pump}\ncodes:\n  red: {code: R}\n\
             iot.devices:\n  main:\n    org: !ref acme\n    org_slug: !ref orgs.acme\n    kind: !ref iot.kinds.pump\n    code: !ref red\n    made: !sql now() -- today\n",
        ),
        (
            "2.yaml",
            "iot.devices:\n  sub: {parent: !ref main, org: !ref public.orgs.acme, loose: !ref codes.red}\n",
        ),
    ]);
    seed(&address, &project, "dev").await.unwrap();
    assert_eq!(
        value(&address, "SELECT concat_ws('|', d.org = o.id, d.org_slug, d.kind, d.code, d.made = now() - (now() - d.made)) \
                         FROM iot.devices d, orgs o WHERE o.slug = 'ac' AND d.id = 1").await,
        "t|ac|1|R|t"
    );
    assert_eq!(
        value(&address, "SELECT concat_ws('|', parent, loose) FROM iot.devices WHERE id = 2").await,
        "1|R"
    );
    // A file that comes later refers to rows of files that were applied before.
    project.write("3.yaml", "iot.devices:\n  third: {parent: !ref sub, kind: !ref pump}\n");
    assert_eq!(files(&seed(&address, &project, "dev").await.unwrap()), [("3.yaml", 1)]);
    assert_eq!(
        value(&address, "SELECT concat_ws('|', parent, kind) FROM iot.devices WHERE id = 3").await,
        "2|1"
    );
}

#[tokio::test]
async fn nothing_is_applied_twice_and_changes_are_told() {
    let Some(address) = database().await else { return };
    execute(&address, "CREATE TABLE t (n int)").await;
    let project = Project::new(&[
        ("1.sql", "INSERT INTO t VALUES (1);"),
        ("2_t.csv", "\u{feff}n\r\n2\r\n3\r\n"),
        ("dev/3.yml", "t:\n  r: {n: 4}\n"),
        ("demo/3.yml", "t:\n  r: {n: 5}\n"),
    ]);
    let now = status(&mut connect(&address).await, &set(&project, "dev")).await.unwrap();
    assert_eq!((now.applied.len(), now.pending.len()), (0, 3));
    assert_eq!(value(&address, "to_regnamespace('_devdb')").await, "null");
    let outcome = seed(&address, &project, "dev").await.unwrap();
    assert_eq!(files(&outcome), [("1.sql", 1), ("2_t.csv", 2), ("dev/3.yml", 1)]);
    assert_eq!(seed(&address, &project, "dev").await.unwrap(), SeedOutcome::default());

    project.write("1.sql", "INSERT INTO t VALUES (1);\r\n");
    project.write("2_t.csv", "\u{feff}n\n2\n3\n");
    project.remove("dev/3.yml");
    project.write("dev/4.yml", "t:\n  s: {n: 6}\n");
    let outcome = seed(&address, &project, "dev").await.unwrap();
    assert_eq!(files(&outcome), [("dev/4.yml", 1)]);
    assert_eq!(outcome.changed, ["1.sql"]);
    assert_eq!(outcome.missing, ["dev/3.yml"]);
    // Another profile brings its own files, and is not asked about the first one's.
    let now = status(&mut connect(&address).await, &set(&project, "demo")).await.unwrap();
    assert_eq!(now.pending, ["demo/3.yml"]);
    assert_eq!((now.changed.len(), now.missing.len(), now.applied.len()), (1, 0, 4));
    assert_eq!(
        value(&address, "SELECT string_agg(n::text, ' ' ORDER BY n) FROM t").await,
        "1 2 3 4 6"
    );
}

#[tokio::test]
async fn the_key_is_asked_for_only_where_something_is_encrypted() {
    let Some(address) = database().await else { return };
    execute(&address, "CREATE TABLE t (a text)").await;
    let project = Project::new(&[("1.yaml", "t:\n  r: {a: clear}\n")]);
    seed(&address, &project, "dev").await.unwrap();
    project.write("2.yaml", "t:\n  s: {a: !encrypt secret}\n  t: {a: !encrypt ' x '}\n");
    let error = seed(&address, &project, "dev").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Secret);
    assert_eq!(
        project.text_of(&error),
        "Secret: /…/2.yaml:2:10: cannot encrypt the value\nbecause ENCRYPTION_KEY is not set"
    );
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let encrypt: Encrypt = Arc::new(move |clear| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(format!("<{clear}>"))
    });
    let set = set(&project, "dev");
    let encrypting = |names: &[String]| Encrypting::begin(&set, names, encrypt);
    apply(&address, &set, encrypting, &Events::silent()).await.unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    // What is applied needs no key any more.
    project.write("3.sql", "SELECT 1;");
    seed(&address, &project, "dev").await.unwrap();
    assert_eq!(
        value(&address, "SELECT string_agg(a, ',' ORDER BY a) FROM t").await,
        "< x >,<secret>,clear"
    );
}

#[tokio::test]
async fn eight_at_once_seed_once() {
    let Some(address) = database().await else { return };
    execute(&address, "CREATE TABLE t (n int)").await;
    let project = Project::new(&[("1.sql", "INSERT INTO t VALUES (1); SELECT pg_sleep(0.1);")]);
    let outcomes =
        futures_util::future::join_all((0..8).map(|_| seed(&address, &project, "dev"))).await;
    let applied: usize = outcomes.into_iter().map(|outcome| outcome.unwrap().applied.len()).sum();
    assert_eq!(applied, 1);
    assert_eq!(value(&address, "SELECT count(*) FROM t").await, "1");
}

#[tokio::test]
async fn interrupted_seeds_leave_nothing() {
    let Some(address) = database().await else { return };
    execute(&address, "CREATE TABLE t (n int)").await;
    let project =
        Project::new(&[("1.yaml", "t:\n  r: {n: 1}\n"), ("2.sql", "SELECT pg_sleep(60);")]);
    let running = seed(&address, &project, "dev");
    assert!(tokio::time::timeout(Duration::from_millis(700), running).await.is_err());
    let start = Instant::now();
    let busy = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' \
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    while value(&address, busy).await != "0" {
        assert!(start.elapsed() < Duration::from_secs(5), "it goes on without its client");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(value(&address, "SELECT count(*) FROM t").await, "0");
    assert_eq!(value(&address, "to_regnamespace('_devdb')").await, "null");
    project.write("2.sql", "SELECT 1");
    assert_eq!(seed(&address, &project, "dev").await.unwrap().applied.len(), 2);
}

#[tokio::test]
async fn a_dump_that_empties_the_search_path_harms_no_other_file() {
    let Some(address) = database().await else { return };
    execute(&address, "CREATE TABLE t (n int)").await;
    let project = Project::new(&[
        (
            "1.sql",
            "SELECT pg_catalog.set_config('search_path', '', false);\nINSERT INTO public.t VALUES (1);",
        ),
        ("2.yaml", "t:\n  r: {n: 2}\n"),
    ]);
    seed(&address, &project, "dev").await.unwrap();
    assert_eq!(value(&address, "SELECT count(*) FROM t").await, "2");
}

#[tokio::test]
async fn many_rows() {
    let Some(address) = database().await else { return };
    execute(&address, "CREATE TABLE t (n int PRIMARY KEY, s text)").await;
    let csv: String = std::iter::once("n,s\n".to_owned())
        .chain((0..100_000).map(|n| format!("{n},row {n}\n")))
        .collect();
    let yaml: String = std::iter::once("t:\n".to_owned())
        .chain((0..2000).map(|n| format!("  r{n}: {{n: {}, s: x}}\n", n + 1_000_000)))
        .collect();
    let project = Project::new(&[("1_t.csv", &csv), ("2.yaml", &yaml)]);
    let start = Instant::now();
    let set = set(&project, "dev");
    println!("read in {:?}", start.elapsed());
    let outcome = apply(
        &address,
        &set,
        |names: &[String]| Encrypting::begin(&set, names, no_key()),
        &Events::silent(),
    )
    .await
    .unwrap();
    println!("{:?}", outcome.applied);
    assert_eq!(files(&outcome), [("1_t.csv", 100_000), ("2.yaml", 2000)]);
}
