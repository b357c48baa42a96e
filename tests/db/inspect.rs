use chrono::Utc;
use devdb::db::checkpoint::checkpoint;
use devdb::db::inspect::{ensure_extensions, holders_of_lock, server};
use devdb::error::Kind;

use crate::{connect, execute, server::database};

#[tokio::test]
async fn a_server_says_what_it_is() {
    let Some(address) = database().await else { return };
    let _other = connect(&address).await;
    let facts = server(&mut connect(&address).await).await.unwrap();
    assert!(facts.version.starts_with("15."), "{facts:?}");
    assert!(facts.version.chars().all(|c| c.is_ascii_digit() || c == '.'), "{facts:?}");
    assert_eq!(facts.major, 15);
    assert_eq!(facts.clients, 1);
    assert!(facts.database_size > 1_000_000, "{facts:?}");
    let age = Utc::now() - facts.started;
    assert!(age.num_seconds() >= 0 && age.num_hours() < 1, "{facts:?}");
    checkpoint(&address).await.unwrap();
}

#[tokio::test]
async fn a_lock_s_holder_is_named_whatever_the_key() {
    let Some(address) = database().await else { return };
    let mut connection = connect(&address).await;
    for key in [1, -1, i64::MIN, i64::MAX, 0x3d32_ad9e_0000_0001] {
        let mut holder = connect(&address).await;
        sqlx::query("SELECT set_config('application_name', 'kettle', false), pg_advisory_lock($1)")
            .bind(key)
            .execute(&mut holder)
            .await
            .unwrap();
        let holders = holders_of_lock(&mut connection, key).await.unwrap();
        assert_eq!(holders.len(), 1, "{key}");
        assert_eq!(holders[0].application, "kettle");
        assert_eq!(holders_of_lock(&mut connection, key ^ 1).await.unwrap(), []);
    }
}

#[tokio::test]
async fn extensions_are_created_once_and_unknown_ones_named() {
    let Some(address) = database().await else { return };
    let mut connection = connect(&address).await;
    let mut ensure = async |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        ensure_extensions(&mut connection, &names).await
    };
    assert_eq!(ensure(&[]).await.unwrap(), [""; 0]);
    // earthdistance needs cube; uuid-ossp needs quotes.
    let created = ensure(&["plpgsql", "earthdistance", "uuid-ossp"]).await.unwrap();
    assert_eq!(created, ["earthdistance", "uuid-ossp"]);
    assert_eq!(ensure(&["cube", "uuid-ossp"]).await.unwrap(), [""; 0]);
    let error = ensure(&["hstore", "pg_trmg"]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert_eq!(error.message(), "postgres.extensions: the server has no extension \"pg_trmg\"");
    assert_eq!(error.hints()[0], "did you mean \"pg_trgm\"?");
    let hstore =
        crate::value(&address, "SELECT count(*) FROM pg_extension WHERE extname = 'hstore'");
    assert_eq!(hstore.await, "0");
    execute(&address, "CHECKPOINT").await;
}
