//! The sample project, as the binary carries it.

use std::sync::Arc;

use devdb::db::connect::Address;
use devdb::db::{migrate, seed};
use devdb::event::Events;
use devdb::spec::{Files, OutOfOrder};

use crate::{PATIENCE, connect, server::database, value};

fn encrypt() -> seed::Encrypt {
    Arc::new(|clear| Ok(format!("<{clear}>")))
}

async fn up(address: &Address) {
    let migrations = migrate::load(&Files::Embedded).unwrap();
    migrate::run(address, &migrations, OutOfOrder::Refuse, PATIENCE, &Events::silent())
        .await
        .unwrap();
    let seeds = seed::load(&Files::Embedded, "dev", None).unwrap();
    let encrypting = |names: &[String]| seed::Encrypting::begin(&seeds, names, encrypt());
    let outcome = seed::apply(address, &seeds, encrypting, &Events::silent()).await.unwrap();
    let rows: Vec<u64> = outcome.applied.iter().map(|file| file.rows).collect();
    assert_eq!(rows, [2, 4, 12]);
    assert!(seed::status(&mut connect(address).await, &seeds).await.unwrap().is_current());
}

#[tokio::test]
async fn it_has_what_it_promises() {
    let Some(address) = database().await else { return };
    up(&address).await;
    for (query, expected) in [
        ("SELECT count(*) FROM organizations", "2"),
        ("SELECT count(DISTINCT timezone) FROM factories", "4"),
        ("SELECT count(*) FROM factories f JOIN pg_timezone_names t ON t.name = f.timezone", "4"),
        ("SELECT count(*) FROM gateways", "12"),
        ("SELECT count(*) FROM gateways WHERE last_seen_at IS NULL", "1"),
        ("SELECT count(*) FROM gateways WHERE model IS NULL", "1"),
        ("SELECT count(*) FROM gateways WHERE deleted_at IS NOT NULL", "1"),
        (
            "SELECT count(*) FROM gateways g JOIN gateways d USING (gateway_id) \
          WHERE g.deleted_at IS NULL AND d.deleted_at IS NOT NULL",
            "1",
        ),
        ("SELECT count(*) FROM gateways WHERE url !~ '^wss?://'", "0"),
        ("SELECT count(*) FROM gateways WHERE url = 'ws://192.168.1.100:8080'", "1"),
        (
            "SELECT col_description('gateways'::regclass, attnum) ~ 'WebSocket' FROM pg_attribute \
          WHERE attrelid = 'gateways'::regclass AND attname = 'url'",
            "true",
        ),
        ("SELECT count(*) > 2 FROM gateways WHERE name ~ '[^ -~]'", "true"),
        ("SELECT count(*) > 2 FROM gateways WHERE metadata = '{}'", "true"),
        (
            "SELECT metadata #>> '{network,mac}' FROM gateways WHERE gateway_id = 'MTI-GW-0A1B2C01'",
            "00:1b:c5:0a:1b:01",
        ),
        (
            "SELECT metadata #>> '{shifts}' FROM factories WHERE timezone = 'Asia/Tokyo'",
            r#"[{"to": "16:00", "from": "08:00"}, {"to": "24:00", "from": "16:00"}]"#,
        ),
        (
            "SELECT password_encrypted FROM gateways WHERE gateway_id = 'MTI-GW-0A1B2C02'",
            "<Regal: Süd & Nord>",
        ),
    ] {
        assert_eq!(value(&address, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn ids_are_the_same_on_every_machine() {
    let (Some(one), Some(two)) = (database().await, database().await) else { return };
    up(&one).await;
    up(&two).await;
    let ids = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM gateways";
    assert_eq!(value(&one, ids).await, value(&two, ids).await);
    let bremen = "SELECT id FROM factories WHERE timezone = 'Europe/Berlin'";
    assert_eq!(value(&one, bremen).await, "abc5d0b3-242d-5072-9004-017789e6ce5d");
}

#[tokio::test]
async fn its_schema_is_as_described() {
    let Some(address) = database().await else { return };
    up(&address).await;
    let commented = "SELECT count(*) FILTER (WHERE col_description(attrelid, attnum) IS NULL) \
        FROM pg_attribute WHERE attnum > 0 AND attrelid IN \
        ('organizations'::regclass, 'factories'::regclass, 'gateways'::regclass)";
    assert_eq!(value(&address, commented).await, "0");
    let indexes = "SELECT string_agg(indexdef, E'\\n' ORDER BY indexname) FROM pg_indexes \
        WHERE schemaname = 'public' AND indexname !~ '_pkey$'";
    insta::assert_snapshot!(value(&address, indexes).await, @r"
    CREATE INDEX factories_not_deleted_idx ON public.factories USING btree (deleted_at) WHERE (deleted_at IS NULL)
    CREATE INDEX factories_organization_id_idx ON public.factories USING btree (organization_id)
    CREATE INDEX gateways_factory_id_idx ON public.gateways USING btree (factory_id)
    CREATE UNIQUE INDEX gateways_gateway_id_key ON public.gateways USING btree (gateway_id) WHERE (deleted_at IS NULL)
    CREATE INDEX gateways_last_seen_at_idx ON public.gateways USING btree (last_seen_at)
    CREATE INDEX gateways_metadata_idx ON public.gateways USING gin (metadata jsonb_path_ops)
    CREATE INDEX gateways_not_deleted_idx ON public.gateways USING btree (deleted_at) WHERE (deleted_at IS NULL)
    CREATE INDEX organizations_name_idx ON public.organizations USING btree (name)
    CREATE INDEX organizations_not_deleted_idx ON public.organizations USING btree (deleted_at) WHERE (deleted_at IS NULL)
    ");
    let columns = "SELECT string_agg(format('%s.%s %s%s%s', attrelid::regclass, attname, \
            format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN ' not null' END, \
            ' ' || pg_get_expr(adbin, adrelid)), E'\\n' ORDER BY attrelid::regclass::text, attnum) \
        FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum \
        WHERE attnum > 0 AND attrelid IN \
        ('organizations'::regclass, 'factories'::regclass, 'gateways'::regclass)";
    insta::assert_snapshot!(value(&address, columns).await, @r"
    factories.id uuid not null gen_random_uuid()
    factories.organization_id uuid not null
    factories.name character varying(255) not null
    factories.location character varying(500)
    factories.timezone character varying(100) not null 'UTC'::character varying
    factories.metadata jsonb not null '{}'::jsonb
    factories.created_at timestamp with time zone not null now()
    factories.updated_at timestamp with time zone not null now()
    factories.deleted_at timestamp with time zone
    gateways.id uuid not null gen_random_uuid()
    gateways.factory_id uuid not null
    gateways.gateway_id character varying(255) not null
    gateways.name character varying(255) not null
    gateways.url character varying(500) not null
    gateways.email character varying(255) not null
    gateways.password_encrypted text not null
    gateways.model character varying(100)
    gateways.firmware_version character varying(50)
    gateways.last_seen_at timestamp with time zone
    gateways.metadata jsonb not null '{}'::jsonb
    gateways.created_at timestamp with time zone not null now()
    gateways.updated_at timestamp with time zone not null now()
    gateways.deleted_at timestamp with time zone
    organizations.id uuid not null gen_random_uuid()
    organizations.name character varying(255) not null
    organizations.created_at timestamp with time zone not null now()
    organizations.updated_at timestamp with time zone not null now()
    organizations.deleted_at timestamp with time zone
    ");
    // The trigger, and a device that is registered again only after it was deleted.
    crate::execute(&address, "UPDATE organizations SET name = name || '!'").await;
    let touched = "SELECT bool_and(updated_at > created_at) FROM organizations";
    assert_eq!(value(&address, touched).await, "true");
    crate::execute(&address, "DELETE FROM organizations").await;
    assert_eq!(value(&address, "SELECT count(*) FROM gateways").await, "0");
}
