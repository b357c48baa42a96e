//! Tells whether somebody has written to a server.
//!
//! The transaction ids of a server are the quick and certain answer: as long as the next id stays
//! the same, nobody has written. They also grow when autovacuum collects statistics. Then the
//! server's own counters decide: for each table PostgreSQL counts the rows that were inserted,
//! updated and deleted, and a change of the schema counts in the tables of the catalog. Autovacuum
//! only adds rows to `pg_statistic` and `pg_statistic_ext_data`, so those two do not count.
//!
//! The counters are lost in a crash, and a person can reset them or turn them off. Each of these
//! leaves a sign that is compared too, so that a database never counts as untouched when somebody
//! may have written to it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Row};

use super::connect::{self, Address};
use super::inspect;
use crate::error::{Kind, Result, ResultExt};

/// How long devdb waits until the server has counted what ended sessions did. PostgreSQL 13 and 14
/// count at most twice a second.
const COUNTING_DEADLINE: Duration = Duration::from_secs(5);

/// How often devdb measures when the server works meanwhile.
const MEASURED_AGAIN: u32 = 3;

/// The first version whose sessions count their own writes. Before, a process collects the counts.
const COUNTS_IN_SESSIONS: u32 = 150_000;

/// What a server has counted up to one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writes {
    /// What concerns all databases: when the counters were last lost or reset, what was written to
    /// the catalogs that all databases share, and the roles.
    pub shared: String,
    /// The counters of each database that accepts connections, by its name.
    pub databases: BTreeMap<String, Counters>,
}

/// The counters of one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Rows that were inserted, in the tables of the catalog too.
    pub inserted: i64,
    /// Rows that were updated.
    pub updated: i64,
    /// Rows that were deleted.
    pub deleted: i64,
    /// Uses of sequences. PostgreSQL does not tell reading from writing here.
    pub sequences: i64,
    /// When a person last reset the counters, in the server's words.
    pub reset: String,
}

impl Writes {
    /// Whether nothing was counted since the counters were lost.
    pub fn is_nothing(&self) -> bool {
        let is_nothing = |one: &Counters| {
            (one.inserted, one.updated, one.deleted, one.sequences) == (0, 0, 0, 0)
        };
        self.databases.values().all(is_nothing)
    }
}

/// A moment with which a server is compared.
#[derive(Debug, Clone, Copy)]
pub struct Baseline<'a> {
    /// The server's next transaction id.
    pub next_transaction: u64,
    /// What the server had counted. None when devdb does not know it.
    pub writes: Option<&'a Writes>,
}

/// Which sessions of other clients stay open while devdb reads the counters. A session adds what it
/// wrote to the counters a while after it wrote, and at the latest when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherSessions {
    /// devdb ends them, and waits until they have ended.
    End,
    /// They stay. When one of them may not have counted all its writes yet, there is no answer.
    Leave,
}

/// Whether somebody has written to a server since a baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Nobody has, as long as the next transaction id is this one.
    Untouched(u64),
    /// Somebody has.
    WrittenTo,
    /// devdb cannot tell.
    Unclear,
}

/// What a server has counted, and its next transaction id. Every write of an earlier transaction is
/// counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// The next transaction id.
    pub next_transaction: u64,
    /// The counters.
    pub writes: Writes,
}

/// Compares a running server with a baseline. Asks no more than the next transaction id when that
/// has not changed.
///
/// # Errors
/// `NotReady` when devdb cannot log in, `Unexpected` when the server refuses.
pub async fn since(
    baseline: Baseline<'_>,
    address: &Address,
    others: OtherSessions,
) -> Result<Finding> {
    let mut connection = address.connect().await?;
    let finding = compare(&mut connection, baseline, address, others).await;
    connect::close(connection).await;
    finding
}

/// What a server tells before it is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastLook {
    /// Whether somebody has written to it.
    pub finding: Finding,
    /// The size of its databases and its log, in bytes. None when the server does not tell.
    pub bytes: Option<u64>,
}

/// Makes a server ready for a quick stop, measures it and compares it with a baseline. Ends other
/// sessions when that is needed for the comparison: the stop would end them too.
///
/// # Errors
/// `NotReady` when devdb cannot log in.
pub async fn before_stop(address: &Address, baseline: Option<Baseline<'_>>) -> Result<LastLook> {
    let mut connection = address.connect().await?;
    // A server that cannot do a checkpoint is stopped anyway.
    if let Err(error) = inspect::checkpoint_with(&mut connection, address).await {
        tracing::debug!("{error}");
    }
    let bytes = sqlx::query_scalar(
        "SELECT ((SELECT pg_catalog.sum(pg_catalog.pg_database_size(oid)) \
                  FROM pg_catalog.pg_database) \
               + (SELECT pg_catalog.sum(size) FROM pg_catalog.pg_ls_waldir()))::bigint",
    );
    let bytes: Option<i64> = bytes.fetch_one(&mut connection).await.unwrap_or_default();
    let finding = match baseline {
        Some(baseline) => {
            let finding = compare(&mut connection, baseline, address, OtherSessions::End).await;
            finding.unwrap_or(Finding::Unclear)
        }
        None => Finding::Unclear,
    };
    connect::close(connection).await;
    Ok(LastLook { finding, bytes: bytes.and_then(|bytes| u64::try_from(bytes).ok()) })
}

async fn compare(
    connection: &mut PgConnection,
    baseline: Baseline<'_>,
    address: &Address,
    others: OtherSessions,
) -> Result<Finding> {
    let next = next_transaction(connection).await?;
    if next == baseline.next_transaction {
        return Ok(Finding::Untouched(next));
    }
    let Some(before) = baseline.writes else { return Ok(Finding::Unclear) };
    // Most writes are in the project's own database, and no session has to end to see them.
    if before.databases.get(&address.database) != Some(&counters(connection).await?) {
        return Ok(Finding::WrittenTo);
    }
    let since = Some(baseline.next_transaction);
    let mut finding = Finding::Unclear;
    for _ in 0..MEASURED_AGAIN {
        finding = match measure_with(connection, address, since, others).await? {
            None => Finding::Unclear,
            Some(now) if now.writes == *before => Finding::Untouched(now.next_transaction),
            Some(_) => Finding::WrittenTo,
        };
        // Autovacuum may have worked in the meantime, and a stop has to follow at once.
        let Finding::Untouched(until) = finding else { break };
        if until == next_transaction(connection).await? {
            break;
        }
    }
    Ok(finding)
}

/// Reads a server's counters. None when they do not show every write: the server does not count, a
/// prepared transaction is open, or a session may not have counted all its writes.
///
/// # Errors
/// `NotReady` when devdb cannot log in to each database, `Unexpected` when the server refuses.
pub async fn measure(address: &Address, others: OtherSessions) -> Result<Option<Measured>> {
    let mut connection = address.connect().await?;
    let measured = measure_with(&mut connection, address, None, others).await;
    connect::close(connection).await;
    measured
}

/// `since` is the next transaction id of the baseline; None when this is the baseline.
async fn measure_with(
    connection: &mut PgConnection,
    address: &Address,
    since: Option<u64>,
    others: OtherSessions,
) -> Result<Option<Measured>> {
    let Some(next_transaction) = settle(connection, others).await? else { return Ok(None) };
    let Some(shared) = shared(connection, since).await? else { return Ok(None) };
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT datname::text FROM pg_catalog.pg_database WHERE datallowconn ORDER BY datname",
    )
    .fetch_all(&mut *connection)
    .await
    .or_fail(Kind::Unexpected, failed)?;
    let mut databases = BTreeMap::new();
    for name in names {
        let own = match name == address.database {
            true => counters(connection).await?,
            false => {
                let other = Address { database: name.clone(), ..address.clone() };
                let mut other = other.connect().await?;
                let own = counters(&mut other).await;
                connect::close(other).await;
                own?
            }
        };
        databases.insert(name, own);
    }
    Ok(Some(Measured { next_transaction, writes: Writes { shared, databases } }))
}

/// What concerns all databases. None when the counters do not show every write.
///
/// devdb itself writes to `pg_authid` when it sets the password of a copy, and an engine may do so
/// where nothing is counted. So this looks at the roles themselves: how many there are, and whether
/// one was changed by a transaction that is not older than the baseline.
async fn shared(connection: &mut PgConnection, since: Option<u64>) -> Result<Option<String>> {
    // A row has the lower 32 bits of the id.
    let since = since.map_or(i64::MAX, |since| i64::from(since as u32));
    let row = sqlx::query(
        "SELECT pg_catalog.current_setting('track_counts')::boolean \
                  AND NOT EXISTS (SELECT FROM pg_catalog.pg_prepared_xacts), \
                pg_catalog.concat_ws(' ', \
                  'counting since', (SELECT pg_catalog.date_part('epoch', stats_reset) \
                    FROM pg_catalog.pg_stat_bgwriter), \
                  'shared', (SELECT pg_catalog.concat_ws('/', \
                      pg_catalog.sum(n_tup_ins), pg_catalog.sum(n_tup_upd), \
                      pg_catalog.sum(n_tup_del)) \
                    FROM pg_catalog.pg_stat_all_tables s \
                      JOIN pg_catalog.pg_class c ON c.oid = s.relid \
                    WHERE c.relisshared \
                      AND c.oid <> 'pg_catalog.pg_authid'::pg_catalog.regclass), \
                  'roles', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_authid), \
                  'changed', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_authid \
                    WHERE xmin::pg_catalog.text::bigint >= $1))",
    )
    .bind(since)
    .fetch_one(connection)
    .await
    .or_fail(Kind::Unexpected, failed)?;
    let shows_all: bool = row.try_get(0).or_fail(Kind::Unexpected, failed)?;
    let shared: String = row.try_get(1).or_fail(Kind::Unexpected, failed)?;
    Ok(shows_all.then_some(shared))
}

/// The counters of the connection's database.
async fn counters(connection: &mut PgConnection) -> Result<Counters> {
    let (inserted, updated, deleted, sequences, reset) = sqlx::query_as(
        "SELECT coalesce(pg_catalog.sum(n_tup_ins), 0)::bigint, \
                coalesce(pg_catalog.sum(n_tup_upd), 0)::bigint, \
                coalesce(pg_catalog.sum(n_tup_del), 0)::bigint, \
                (SELECT coalesce(pg_catalog.sum(blks_read + blks_hit), 0)::bigint \
                 FROM pg_catalog.pg_statio_all_sequences), \
                (SELECT coalesce(pg_catalog.date_part('epoch', stats_reset)::text, '') \
                 FROM pg_catalog.pg_stat_database \
                 WHERE datname = pg_catalog.current_database()) \
         FROM pg_catalog.pg_stat_all_tables s JOIN pg_catalog.pg_class c ON c.oid = s.relid \
         WHERE NOT c.relisshared AND s.relid NOT IN ( \
           SELECT pg_catalog.unnest(ARRAY[oid, reltoastrelid]) FROM pg_catalog.pg_class \
           WHERE oid IN ('pg_catalog.pg_statistic'::pg_catalog.regclass, \
                         'pg_catalog.pg_statistic_ext_data'::pg_catalog.regclass))",
    )
    .fetch_one(connection)
    .await
    .or_fail(Kind::Unexpected, failed)?;
    Ok(Counters { inserted, updated, deleted, sequences, reset })
}

/// Waits until the counters show what every transaction has written that is older than the returned
/// id. None when they may not.
async fn settle(connection: &mut PgConnection, others: OtherSessions) -> Result<Option<u64>> {
    let deadline = Instant::now() + COUNTING_DEADLINE;
    let next = loop {
        // This comes before the look at the sessions: whoever writes later changes the id.
        let next = next_transaction(connection).await?;
        if counted_later(connection, others).await? == 0 {
            break next;
        }
        if others == OtherSessions::Leave || Instant::now() >= deadline {
            return Ok(None);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    if connection.server_version_num().is_some_and(|version| version >= COUNTS_IN_SESSIONS) {
        return Ok(Some(next));
    }
    // The collector of PostgreSQL 13 and 14 writes its counts into a file, which may be half a
    // second old. The ended sessions have reported to the collector by now.
    let now: String = sqlx::query_scalar("SELECT pg_catalog.clock_timestamp()::text")
        .fetch_one(&mut *connection)
        .await
        .or_fail(Kind::Unexpected, failed)?;
    while Instant::now() < deadline {
        let is_newer: Option<bool> = sqlx::query_scalar(
            "SELECT pg_catalog.pg_stat_get_snapshot_timestamp() > $1::timestamptz",
        )
        .bind(&now)
        .fetch_one(&mut *connection)
        .await
        .or_fail(Kind::Unexpected, failed)?;
        if is_newer == Some(true) {
            return Ok(Some(next));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(None)
}

/// How many other sessions may have writes that they have not counted. Since version 15 an idle
/// session counts all that it did after ten seconds at the latest.
async fn counted_later(connection: &mut PgConnection, others: OtherSessions) -> Result<i64> {
    let end = "SELECT pg_catalog.count(pg_catalog.pg_terminate_backend(pid)) \
         FROM pg_catalog.pg_stat_activity \
         WHERE pid <> pg_catalog.pg_backend_pid() AND datid IS NOT NULL \
           AND backend_type <> 'autovacuum worker'";
    let leave = "SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity \
         WHERE pid <> pg_catalog.pg_backend_pid() AND datid IS NOT NULL \
           AND backend_type <> 'autovacuum worker' \
           AND NOT (pg_catalog.current_setting('server_version_num')::int >= 150000 \
             AND state = 'idle' \
             AND state_change < pg_catalog.clock_timestamp() - interval '15 seconds')";
    let ask = match others {
        OtherSessions::End => end,
        OtherSessions::Leave => leave,
    };
    sqlx::query_scalar(ask).fetch_one(connection).await.or_fail(Kind::Unexpected, failed)
}

/// The id that the next writing transaction gets.
///
/// # Errors
/// `Unexpected` when the connection is lost.
pub(super) async fn next_transaction(connection: &mut PgConnection) -> Result<u64> {
    let next: i64 = sqlx::query_scalar(
        "SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::int8",
    )
    .fetch_one(connection)
    .await
    .or_fail(Kind::Unexpected, || "cannot read the next transaction id".into())?;
    // The id is never negative.
    Ok(next.unsigned_abs())
}

fn failed() -> String {
    "cannot read what the server has counted".to_owned()
}
