//! Applies and records all seeds in one transaction, under a lock.

use std::time::{Duration, Instant};

use serde::Serialize;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::diagnose::SAVEPOINT;
use super::encrypt::{Encrypted, Encrypting};
use super::file::{Seed, SeedContent};
use super::record::{self, Labels};
use super::rows::{Referred, Rows, Writer};
use super::{SeedSet, csv_file, status};
use crate::db::connect::Address;
use crate::db::files::SourceText;
use crate::db::script::{self, Script};
use crate::db::server_error;
use crate::db::session::{self, Session};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Events};

/// The key of the advisory lock that [`apply`] holds: `devdb` in ASCII, then the number 1.
const LOCK_KEY: i64 = 0x6465_7664_6201;

/// How long to wait for another devdb that applies seeds.
const SEED_LOCK_DEADLINE: Duration = Duration::from_secs(60);

/// The result of [`apply`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SeedOutcome {
    /// The files that were applied now, in order.
    pub applied: Vec<AppliedSeed>,
    /// Files that have changed since they were applied. They are not applied again, because their
    /// former rows are in the database. `devdb reset` applies them.
    pub changed: Vec<String>,
    /// Files that were applied and no longer exist.
    pub missing: Vec<String>,
}

/// A seed file that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppliedSeed {
    /// The file's name below the seed directory.
    pub file: String,
    /// The number of rows that were written.
    pub rows: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// Applies the pending files in order, all in one transaction under an advisory lock. If the future
/// is dropped, everything is rolled back. If files are pending, it calls `encrypting` with their
/// names.
///
/// # Errors
/// `Seed`, with file, line and column; nothing has changed then. `Locked` when another devdb has
/// applied seeds for a minute. The errors of encrypting, with the place of the value.
pub async fn apply(
    address: &Address,
    set: &SeedSet,
    encrypting: impl FnOnce(&[String]) -> Encrypting,
    events: &Events,
) -> Result<SeedOutcome> {
    let Session { mut connection, baseline } = Session::open(address).await?;
    let failed = |error: &sqlx::Error| {
        server_error::explain(Error::new(Kind::Seed, "cannot record the seeds"), error)
    };
    let mut transaction = connection.begin().await.map_err(|error| failed(&error))?;
    lock(&mut transaction, address).await?;
    let found = status(&mut transaction, set).await?;
    let mut outcome =
        SeedOutcome { changed: found.changed, missing: found.missing, ..SeedOutcome::default() };
    if found.pending.is_empty() {
        return Ok(outcome);
    }
    record::ensure_tables(&mut transaction).await.map_err(|error| failed(&error))?;
    let mut labels = Labels::read(&mut transaction).await.map_err(|error| failed(&error))?;
    let mut encrypted = encrypting(&found.pending).done().await?;
    let mut events_to_emit = Vec::new();
    let seeds = set.seeds()?;
    for seed in seeds.iter().filter(|seed| found.pending.contains(&seed.file.name)) {
        let file = &seed.file;
        events.working(format!("applying {}", file.name));
        let start = Instant::now();
        let encrypted = encrypted.remove(&file.name).unwrap_or_default();
        let rows = apply_file(&mut transaction, seed, &mut labels, &encrypted).await?;
        // What the file has set must not count for the record, nor for the next file.
        baseline.restore(&mut transaction).await.map_err(|error| {
            let message =
                format!("{}: what the seed has set cannot be set back", seed.source.label);
            server_error::explain(Error::new(Kind::Seed, message), &error)
        })?;
        labels.store(&mut transaction).await.map_err(|error| failed(&error))?;
        record::add(&mut transaction, file, &set.profile).await.map_err(|error| failed(&error))?;
        let took = start.elapsed();
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let Rows { read, written } = rows;
        let name = &file.name;
        outcome.applied.push(AppliedSeed { file: name.clone(), rows: written, took_ms });
        let applied = Event::SeedApplied { file: name.clone(), rows: Some(written), took };
        events_to_emit.push(applied);
        if written < read {
            let text = format!(
                "{name} has {read} rows, and the server wrote {written} of them into their table; \
                 a trigger has dropped the others or put them elsewhere"
            );
            events_to_emit.push(Event::Warning { text });
        }
    }
    check_deferred(&mut transaction).await?;
    transaction.commit().await.map_err(|error| failed(&error))?;
    // Only now are the files applied: a failure would have rolled back all of them.
    events_to_emit.into_iter().for_each(|event| events.emit(event));
    Ok(outcome)
}

async fn lock(transaction: &mut PgConnection, address: &Address) -> Result<()> {
    let locking = async {
        session::set_lock_timeout(transaction, SEED_LOCK_DEADLINE).await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(LOCK_KEY)
            .execute(&mut *transaction)
            .await?;
        session::reset_lock_timeout(transaction).await
    };
    match locking.await {
        Ok(()) => Ok(()),
        Err(error) => {
            Err(session::lock_error(address, LOCK_KEY, "seed", SEED_LOCK_DEADLINE, &error).await)
        }
    }
}

async fn apply_file(
    transaction: &mut PgConnection,
    seed: &Seed,
    labels: &mut Labels,
    encrypted: &Encrypted,
) -> Result<Rows> {
    match &seed.content {
        SeedContent::Sql => {
            let written = apply_sql(transaction, &seed.source).await?;
            Ok(Rows { read: written, written })
        }
        SeedContent::Csv(table) => csv_file::copy(transaction, seed, table).await,
        SeedContent::Yaml(tables) => {
            let savepoint = format!("SAVEPOINT {SAVEPOINT}");
            sqlx::raw_sql(AssertSqlSafe(savepoint)).execute(&mut *transaction).await.map_err(
                |error| {
                    let message = format!("cannot apply {}", seed.source.label);
                    server_error::explain(Error::new(Kind::Seed, message), &error)
                },
            )?;
            let source = &seed.source;
            let referred = Referred::default();
            Writer { connection: transaction, source, labels, encrypted, referred }
                .write(tables)
                .await
        }
    }
}

async fn apply_sql(transaction: &mut PgConnection, source: &SourceText) -> Result<u64> {
    let failed = |error: &sqlx::Error| {
        let message = format!("{}: the seed failed", source.label);
        server_error::explain(Error::new(Kind::Seed, message), error)
    };
    let before = transaction_id(transaction).await.map_err(|error| failed(&error))?;
    let rows = match script::execute(transaction, &Script::of(&source.text)).await {
        Ok(rows) => rows,
        Err(error) => {
            let failure = match error.place(source) {
                Some(place) => source.error_at(Kind::Seed, place, "the seed failed"),
                None => return Err(failed(&error.error)),
            };
            return Err(server_error::explain(failure, &error.error));
        }
    };
    let after = transaction_id(transaction).await.map_err(|error| failed(&error))?;
    // `load` finds a COMMIT with PostgreSQL's default settings. A file can change how PostgreSQL
    // reads it (`standard_conforming_strings`), so check that the transaction is still the same.
    if before != after {
        return Err(Error::new(
            Kind::Seed,
            format!("{} has ended the transaction in which devdb applies all seeds", source.label),
        )
        .note_of_database("the rows of this file and of the files before it remain in the database")
        .hint("remove the COMMIT from the file")
        .hint_of_database("devdb reset   builds a new database, without these rows"));
    }
    Ok(rows)
}

async fn transaction_id(transaction: &mut PgConnection) -> Result<String, sqlx::Error> {
    // Not a prepared statement that stays, because a file may deallocate all of them.
    sqlx::query_scalar("SELECT pg_current_xact_id()::text")
        .persistent(false)
        .fetch_one(transaction)
        .await
}

/// Checks deferred constraints before the commit, so that their failure has a message of its own.
async fn check_deferred(transaction: &mut PgConnection) -> Result<()> {
    sqlx::raw_sql("SET CONSTRAINTS ALL IMMEDIATE").execute(transaction).await.map_err(|error| {
        let message = "the seeds together violate a deferred constraint";
        server_error::explain(Error::new(Kind::Seed, message), &error)
    })?;
    Ok(())
}
