//! What devdb records in a database, and what a project's settings do to it.

use std::process::Command;
use std::time::Duration;

use crate::on_both_engines;
use crate::sandbox::{Sandbox, psql};

on_both_engines! {
    no_dump_contains_what_devdb_records,
    a_schema_with_the_users_name_splits_no_history,
    the_search_path_of_the_settings_counts_on_every_way,
    a_user_who_could_never_log_in_is_refused_at_once,
}

fn no_dump_contains_what_devdb_records(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let url = sandbox.url();
    let dump = |arguments: &[&str]| {
        let output = Command::new("pg_dump").args(arguments).arg(&url).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for arguments in [&["-Fp"][..], &["-Fc"], &["-s"], &["-a"], &["-C", "-c"], &["-N", "public"]] {
        let dumped = dump(arguments);
        assert!(!dumped.contains("_devdb"), "{arguments:?}:\n{dumped}");
    }
    // pg_dumpall passes the URL on to pg_dump without the password.
    let password = url.split([':', '@']).nth(2).unwrap();
    let mut dump_all = Command::new("pg_dumpall");
    let all = dump_all.args(["-d", &url]).env("PGPASSWORD", password).output().unwrap();
    assert!(all.status.success(), "{}", String::from_utf8_lossy(&all.stderr));
    assert!(!String::from_utf8_lossy(&all.stdout).contains("_devdb"));
    // A dump restored over the database takes back none of it.
    let file = sandbox.path("dump.sql");
    std::fs::write(&file, dump(&["-c", "--if-exists"])).unwrap();
    let restored = Command::new("psql")
        .args([&url, "-Xqv", "ON_ERROR_STOP=1", "-f"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    // Nor does whoever empties the database: this is what test helpers do.
    sandbox.sql(
        "do $$ declare s text; begin for s in select nspname from pg_namespace \
           where nspname not like 'pg\\_%' and nspname not in ('information_schema', 'public') \
           loop execute format('drop schema %I cascade', s); end loop; end $$; \
         drop extension plpgsql; create extension plpgsql",
    );
    sandbox.run(&["up"]).ok();
    assert_eq!(sandbox.sql("select count(*) from items"), "1");
    sandbox.run(&["status", "--check"]).ok();
}

fn a_schema_with_the_users_name_splits_no_history(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.write("devdb.yaml", "project: shop\npostgres: { user: roster }\n");
    sandbox.write("migrations/20260102000000_schema.sql", "CREATE SCHEMA roster;\n");
    sandbox.run(&["up"]).ok();
    sandbox.write("migrations/20260103000000_more.sql", "CREATE TABLE more ();\n");
    for _ in 0..2 {
        sandbox.run(&["up"]).ok();
    }
    let schemas = "select string_agg(n.nspname || '.' || relname, ' ' order by 1) \
                   from (select * from pg_class order by relname) c \
                   join pg_namespace n on n.oid = relnamespace \
                   where relname in ('_sqlx_migrations', 'items', 'more')";
    let step_by_step = sandbox.sql(schemas);
    assert!(step_by_step.contains("public._sqlx_migrations"), "{step_by_step}");
    sandbox.run(&["reset"]).ok();
    assert_eq!(sandbox.sql(schemas), step_by_step);
    sandbox.run(&["status", "--check"]).ok();
}

fn the_search_path_of_the_settings_counts_on_every_way(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.write(
        "devdb.yaml",
        "project: shop\npostgres:\n  extensions: [citext]\n  settings: { search_path: 'app, public' }\n",
    );
    sandbox.write(
        "migrations/20260101000000_create_items.sql",
        "CREATE SCHEMA app;\nCREATE TABLE items (name citext NOT NULL);\n\
         DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = nowhere', \
         current_database()); END $$;\n",
    );
    sandbox.write("seeds/010_items.yaml", "items:\n  first:\n    name: First\n");
    sandbox.run(&["up"]).ok();
    sandbox.write("migrations/20260102000000_more.sql", "CREATE TABLE more ();\n");
    sandbox.run(&["up"]).ok();
    let schemas = "select string_agg(relnamespace::regnamespace || '.' || relname, ' ') \
                   from (select * from pg_class order by relname) c \
                   where relname in ('_sqlx_migrations', 'items', 'more')";
    let expected = "public._sqlx_migrations app.items app.more";
    assert_eq!(sandbox.sql(schemas), expected);
    sandbox.run(&["reset"]).ok();
    assert_eq!(sandbox.sql(schemas), expected);
    assert_eq!(sandbox.sql("select name from app.items"), "First");
    sandbox.run(&["status", "--check"]).ok();
}

fn a_user_who_could_never_log_in_is_refused_at_once(sandbox: &Sandbox) {
    sandbox.project();
    for user in ["a,b", "a$b", "a😀"] {
        sandbox.write("devdb.yaml", &format!("project: shop\npostgres: {{ user: '{user}' }}\n"));
        for command in ["config", "up"] {
            let refused = sandbox.run(&[command]);
            assert!(refused.took < Duration::from_secs(3), "{:?}", refused.took);
            drop(refused.exits(3).says("devdb.yaml:2").says("letters, digits"));
        }
    }
    // A database may have every name, and a user almost every other.
    sandbox.write(
        "devdb.yaml",
        "project: shop\npostgres: { user: 'a=b %c', database: 'a=b, \"$c\" 😀' }\n",
    );
    sandbox.run(&["up"]).ok();
    let me = psql(&sandbox.url(), "select current_user || current_database()").ok().line();
    assert_eq!(me, "a=b %ca=b, \"$c\" 😀");
}
