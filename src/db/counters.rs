//! What PostgreSQL has counted: the rows that were written, and the uses of sequences.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::error::{Kind, Result, ResultExt};

/// What a server has counted up to one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writes {
    /// Since when the server counts, in its own words: the counters are lost in a crash.
    pub since: String,
    /// Rows that were written in the catalogs that all databases share.
    pub shared: i64,
    /// The counters of each database that accepts connections, by its name.
    pub databases: BTreeMap<String, Counters>,
}

/// The counters of one database. A row counts when it was inserted, updated or deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// When a person last reset the counters, in the server's words.
    pub reset: String,
    /// Rows that were written in the catalog.
    pub catalog: i64,
    /// Rows that were written in each other table, and uses of each sequence, by their object ids.
    /// Those with none are left out. PostgreSQL does not tell reading a sequence from using it.
    pub relations: BTreeMap<u32, i64>,
}

impl Writes {
    /// Whether nothing was counted since the counters were lost.
    pub fn is_nothing(&self) -> bool {
        let is_nothing = |one: &Counters| one.catalog == 0 && one.relations.is_empty();
        self.shared == 0 && self.databases.values().all(is_nothing)
    }

    /// Whether the server has counted nothing from this moment until a later one.
    pub(super) fn is_unchanged(&self, later: &Writes) -> bool {
        let is_unchanged = |(name, later): (&String, &Counters)| match self.databases.get(name) {
            Some(counters) => counters.is_unchanged(later),
            // devdb has made it, as it would count in the shared catalogs otherwise.
            None => later.relations.is_empty() && later.catalog == 0,
        };
        self.since == later.since
            && self.shared == later.shared
            && later.databases.iter().all(is_unchanged)
    }
}

impl Counters {
    /// Whether the server has counted nothing from this moment until a later one.
    pub(super) fn is_unchanged(&self, later: &Counters) -> bool {
        let is_unchanged = |(relation, count)| self.relations.get(relation) == Some(count);
        self.reset == later.reset
            && self.catalog == later.catalog
            && later.relations.iter().all(is_unchanged)
    }
}

/// Since when the server counts, and the rows that were written in the shared catalogs. None when
/// the counters do not show every write.
///
/// # Errors
/// `Unexpected` when the server refuses.
pub(super) async fn shared(connection: &mut PgConnection) -> Result<Option<(String, i64)>> {
    let (shows_all, since, shared): (bool, String, i64) = sqlx::query_as(
        "SELECT pg_catalog.current_setting('track_counts')::boolean \
                  AND NOT EXISTS (SELECT FROM pg_catalog.pg_prepared_xacts), \
                (SELECT coalesce(pg_catalog.date_part('epoch', stats_reset)::text, '') \
                 FROM pg_catalog.pg_stat_bgwriter), \
                (SELECT coalesce(pg_catalog.sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint \
                 FROM pg_catalog.pg_stat_all_tables s \
                   JOIN pg_catalog.pg_class c ON c.oid = s.relid \
                 WHERE c.relisshared)",
    )
    .fetch_one(connection)
    .await
    .or_fail(Kind::Unexpected, failed)?;
    Ok(shows_all.then_some((since, shared)))
}

/// The counters of the connection's database. Objects with lower ids than 16384 belong to the
/// catalog.
///
/// # Errors
/// `Unexpected` when the server refuses.
pub(super) async fn of_database(connection: &mut PgConnection) -> Result<Counters> {
    let (reset, catalog, relations): (String, i64, String) = sqlx::query_as(
        "SELECT (SELECT coalesce(pg_catalog.date_part('epoch', stats_reset)::text, '') \
                 FROM pg_catalog.pg_stat_database \
                 WHERE datname = pg_catalog.current_database()), \
                coalesce(pg_catalog.sum(count) FILTER (WHERE id < 16384), 0)::bigint, \
                coalesce(pg_catalog.jsonb_object_agg(id::text, count) \
                  FILTER (WHERE id >= 16384 AND count > 0), '{}')::text \
         FROM (SELECT s.relid::bigint AS id, n_tup_ins + n_tup_upd + n_tup_del AS count \
               FROM pg_catalog.pg_stat_all_tables s JOIN pg_catalog.pg_class c ON c.oid = s.relid \
               WHERE NOT c.relisshared AND s.relid NOT IN ( \
                 SELECT pg_catalog.unnest(ARRAY[oid, reltoastrelid]) FROM pg_catalog.pg_class \
                 WHERE oid IN ('pg_catalog.pg_statistic'::pg_catalog.regclass, \
                               'pg_catalog.pg_statistic_ext_data'::pg_catalog.regclass)) \
               UNION ALL \
               SELECT relid::bigint, blks_read + blks_hit \
               FROM pg_catalog.pg_statio_all_sequences) AS counted",
    )
    .fetch_one(connection)
    .await
    .or_fail(Kind::Unexpected, failed)?;
    let relations = serde_json::from_str(&relations).or_fail(Kind::Unexpected, failed)?;
    Ok(Counters { reset, catalog, relations })
}

/// What devdb could not do when a question of this file fails.
pub(super) fn failed() -> String {
    "cannot read what the server has counted".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes(catalog: i64, relations: &[(u32, i64)]) -> Writes {
        let relations = relations.iter().copied().collect();
        let counters = Counters { catalog, relations, ..Counters::default() };
        let databases = BTreeMap::from([("shop".to_owned(), counters)]);
        Writes { since: "1.5".into(), shared: 7, databases }
    }

    #[test]
    fn what_devdb_made_or_dropped_is_no_difference_and_what_was_counted_is() {
        let before = writes(100, &[(20_000, 5), (20_001, 1)]);
        assert!(before.is_unchanged(&before));
        assert!(before.is_unchanged(&writes(100, &[(20_001, 1)])), "devdb dropped a table");
        assert!(!before.is_unchanged(&writes(101, &[(20_001, 1)])), "somebody dropped it");
        assert!(!before.is_unchanged(&writes(100, &[(20_000, 6), (20_001, 1)])));
        // More in one and less because of another.
        assert!(!before.is_unchanged(&writes(100, &[(20_001, 6)])));
        assert!(!before.is_unchanged(&writes(100, &[(20_000, 5), (20_002, 1)])), "a new table");

        let mut other = before.clone();
        other.shared += 1;
        assert!(!before.is_unchanged(&other), "a role or a database");
        let mut other = before.clone();
        other.since = "1.6".into();
        assert!(!before.is_unchanged(&other), "the server has crashed");
        let mut other = before.clone();
        other.databases.insert("more".into(), Counters::default());
        assert!(before.is_unchanged(&other), "devdb made a database");
        other.databases.insert("more".into(), Counters { catalog: 1, ..Counters::default() });
        assert!(!before.is_unchanged(&other), "somebody wrote to it");
        let mut other = before.clone();
        other.databases.insert(
            "shop".into(),
            Counters { reset: "2".into(), ..before.databases["shop"].clone() },
        );
        assert!(!before.is_unchanged(&other), "somebody reset the counters");
    }

    #[test]
    fn counters_are_stored_as_they_are() {
        let before = writes(100, &[(20_000, 5)]);
        let text = serde_json::to_string(&before).unwrap();
        assert_eq!(serde_json::from_str::<Writes>(&text).unwrap(), before);
    }
}
