//! Tells whether somebody has written to a server.
//!
//! The transaction ids of a server are the quick and certain answer: as long as the next id stays
//! the same, nobody has written. They also grow when autovacuum collects statistics. Then the
//! server's own counters decide: for each table PostgreSQL counts the rows that were inserted,
//! updated and deleted, and a change of the schema counts in the tables of the catalog. Autovacuum
//! only adds rows to `pg_statistic` and `pg_statistic_ext_data`, so those two do not count.
//!
//! devdb turns the counters off in its own sessions on a person's database, and in those of other
//! tools' commands. So what they do counts as nobody's write, also when somebody writes meanwhile.
//! They may drop what has been counted, and make what has not: a table that is missing or new is no
//! difference, because a person's DROP and CREATE count in the tables of the catalog.
//!
//! The counters are lost in a crash, and a person can reset them or turn them off. Each of these
//! leaves a sign that is compared too, so that a database never counts as untouched when somebody
//! may have written to it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection};

use super::checkpoint;
use super::connect::{self, Address, Counting};
use super::counters::{self, Writes};
use crate::error::{Kind, Result, ResultExt};

/// How long devdb waits until the server has counted what ended sessions did. PostgreSQL 13 and 14
/// count at most twice a second.
const COUNTING_DEADLINE: Duration = Duration::from_secs(5);

/// How long devdb waits until the server has ended the sessions that devdb has closed.
const CLOSING_DEADLINE: Duration = Duration::from_secs(1);

/// How often devdb measures when the server works meanwhile.
const MEASURED_AGAIN: u32 = 3;

/// The first version whose sessions count their own writes. Before, a process collects the counts.
const COUNTS_IN_SESSIONS: u32 = 150_000;

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

impl Finding {
    /// The next transaction id that shows, while it stays the same, that nobody has written. None
    /// when somebody has, and when devdb cannot tell.
    pub fn untouched_until(self) -> Option<u64> {
        match self {
            Finding::Untouched(until) => Some(until),
            Finding::WrittenTo | Finding::Unclear => None,
        }
    }
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
    let address = &address.counting(Counting::On);
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
    let address = &address.counting(Counting::On);
    let mut connection = address.connect().await?;
    // A server that cannot do a checkpoint is stopped anyway.
    if let Err(error) = checkpoint::checkpoint_with(&mut connection, address).await {
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
    let own = before.databases.get(&address.database);
    let now = counters::of_database(connection).await?;
    if !own.is_some_and(|own| own.is_unchanged(&now)) {
        return Ok(Finding::WrittenTo);
    }
    let mut finding = Finding::Unclear;
    for _ in 0..MEASURED_AGAIN {
        finding = match measure_with(connection, address, others).await? {
            None => Finding::Unclear,
            Some(now) if before.is_unchanged(&now.writes) => {
                Finding::Untouched(now.next_transaction)
            }
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
    let address = &address.counting(Counting::On);
    let mut connection = address.connect().await?;
    let measured = measure_with(&mut connection, address, others).await;
    connect::close(connection).await;
    measured
}

async fn measure_with(
    connection: &mut PgConnection,
    address: &Address,
    others: OtherSessions,
) -> Result<Option<Measured>> {
    let Some(next_transaction) = settle(connection, others).await? else { return Ok(None) };
    let Some((since, shared)) = counters::shared(connection).await? else { return Ok(None) };
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT datname::text FROM pg_catalog.pg_database WHERE datallowconn ORDER BY datname",
    )
    .fetch_all(&mut *connection)
    .await
    .or_fail(Kind::Unexpected, counters::failed)?;
    let mut databases = BTreeMap::new();
    for name in names {
        let own = match name == address.database {
            true => counters::of_database(connection).await?,
            false => {
                let other = Address { database: name.clone(), ..address.clone() };
                let mut other = other.connect().await?;
                let own = counters::of_database(&mut other).await;
                connect::close(other).await;
                own?
            }
        };
        databases.insert(name, own);
    }
    Ok(Some(Measured { next_transaction, writes: Writes { since, shared, databases } }))
}

/// Waits until the counters show what every transaction has written that is older than the returned
/// id. None when they may not.
async fn settle(connection: &mut PgConnection, others: OtherSessions) -> Result<Option<u64>> {
    let asked = Instant::now();
    let next = loop {
        // This comes before the look at the sessions: whoever writes later changes the id.
        let next = next_transaction(connection).await?;
        let later = counted_later(connection, others).await?;
        if later.sessions == 0 {
            break next;
        }
        let patience = match others {
            OtherSessions::End => COUNTING_DEADLINE,
            // A session that devdb has closed ends a moment later.
            OtherSessions::Leave if later.sessions == later.of_devdb => CLOSING_DEADLINE,
            OtherSessions::Leave => return Ok(None),
        };
        if asked.elapsed() >= patience {
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
        .or_fail(Kind::Unexpected, counters::failed)?;
    while asked.elapsed() < COUNTING_DEADLINE {
        let is_newer: Option<bool> = sqlx::query_scalar(
            "SELECT pg_catalog.pg_stat_get_snapshot_timestamp() > $1::timestamptz",
        )
        .bind(&now)
        .fetch_one(&mut *connection)
        .await
        .or_fail(Kind::Unexpected, counters::failed)?;
        if is_newer == Some(true) {
            return Ok(Some(next));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(None)
}

/// Other sessions that may have writes that they have not counted.
struct CountedLater {
    sessions: i64,
    /// Those of them that have devdb's name.
    of_devdb: i64,
}

/// The other sessions that may have writes that they have not counted. Since version 15 an idle
/// session counts all that it did after ten seconds at the latest.
async fn counted_later(
    connection: &mut PgConnection,
    others: OtherSessions,
) -> Result<CountedLater> {
    let sessions = match others {
        OtherSessions::End => "pg_catalog.count(pg_catalog.pg_terminate_backend(pid))",
        OtherSessions::Leave => {
            "pg_catalog.count(*) FILTER (WHERE NOT ( \
               pg_catalog.current_setting('server_version_num')::int >= 150000 \
               AND state = 'idle' \
               AND state_change < pg_catalog.clock_timestamp() - interval '15 seconds'))"
        }
    };
    let ask = format!(
        "SELECT {sessions}, pg_catalog.count(*) FILTER (WHERE application_name = $1) \
         FROM pg_catalog.pg_stat_activity \
         WHERE pid <> pg_catalog.pg_backend_pid() AND datid IS NOT NULL \
           AND backend_type <> 'autovacuum worker'"
    );
    let (sessions, of_devdb) = sqlx::query_as(AssertSqlSafe(ask))
        .bind(connect::APPLICATION)
        .fetch_one(connection)
        .await
        .or_fail(Kind::Unexpected, counters::failed)?;
    Ok(CountedLater { sessions, of_devdb })
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
