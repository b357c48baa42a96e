//! Applies migrations, each in a transaction of its own, under sqlx's lock.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde::Serialize;
use sqlx::migrate::{Migrate, MigrateError};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{MigrationFile, MigrationSet, check, invalid_index, status, table};
use crate::db::connect::Address;
use crate::db::script::{self, Script, ScriptError};
use crate::db::server_error;
use crate::db::session::{self, Baseline, Session};
use crate::db::sql_scan::{self, Scan, Statement};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Events};
use crate::spec::OutOfOrder;

/// How long devdb waits for another program that migrates the same database. sqlx itself would wait
/// for ever.
pub const LOCK_DEADLINE: Duration = Duration::from_secs(60);

/// What helps after a migration has failed.
const HELPS: &str = "correct the file and run the command again";

/// The SQLSTATEs of objects that exist already: table or index, schema, column, function, and other
/// objects.
const ALREADY_EXISTS: &[&str] = &["42P07", "42P06", "42701", "42723", "42710"];

/// A migration that a run has applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// The version.
    pub version: i64,
    /// The file's name.
    pub file: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// Applies the pending migrations, the oldest first. Waits at most `lock_timeout` for sqlx's
/// advisory lock. Emits an event after the commit of each migration. If the future is dropped, the
/// current migration is rolled back, and the earlier ones stay applied.
///
/// # Errors
/// `Locked`, with its pid, when another program holds the lock. `Drift` when the files and the
/// applied migrations disagree (see [`super::MigrationStatus::drift`]); nothing has run then.
/// `Migration`, with the place in the file, when a migration fails; the earlier ones stay applied.
pub async fn run(
    address: &Address,
    set: &MigrationSet,
    out_of_order: OutOfOrder,
    lock_timeout: Duration,
    events: &Events,
) -> Result<Vec<Applied>> {
    let Session { mut connection, baseline } = Session::open(address).await?;
    lock(&mut connection, address, lock_timeout).await?;
    // On an error the lock goes with the connection.
    let applied = apply_pending(&mut connection, baseline, set, out_of_order, events).await?;
    let closing = async {
        connection.unlock().await?;
        connection.close().await.map_err(MigrateError::from)
    };
    // Everything is committed, so an error does not matter.
    if let Err(error) = closing.await {
        tracing::debug!(%error, "closing the migrations' connection");
    }
    Ok(applied)
}

async fn lock(connection: &mut PgConnection, address: &Address, timeout: Duration) -> Result<()> {
    match take_lock(connection, timeout).await.map_err(into_sqlx) {
        Ok(()) => Ok(()),
        Err(error) => {
            let key = lock_key(&address.database);
            Err(session::lock_error(address, key, "migration", timeout, &error).await)
        }
    }
}

async fn take_lock(connection: &mut PgConnection, timeout: Duration) -> Result<(), MigrateError> {
    session::set_lock_timeout(connection, timeout).await?;
    connection.lock().await?;
    session::reset_lock_timeout(connection).await?;
    Ok(())
}

/// Whether the SQL may have ended the lock that devdb holds: DISCARD ALL and
/// `pg_advisory_unlock_all` do.
fn may_end_locks(sql: &str) -> bool {
    let sql = sql.to_ascii_lowercase();
    sql.contains("discard") || sql.contains("advisory_unlock")
}

/// The key of sqlx's lock (`generate_lock_id`), for finding the session that holds it.
fn lock_key(database: &str) -> i64 {
    0x3d32_ad9e * i64::from(crc32fast::hash(database.as_bytes()))
}

fn into_sqlx(error: MigrateError) -> sqlx::Error {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error,
        other => sqlx::Error::Migrate(Box::new(other)),
    }
}

async fn apply_pending(
    connection: &mut PgConnection,
    baseline: Baseline,
    set: &MigrationSet,
    out_of_order: OutOfOrder,
    events: &Events,
) -> Result<Vec<Applied>> {
    // Compare under the lock, because another devdb may have applied migrations meanwhile.
    let status = status(connection, set).await?;
    if let Some(drift) = status.drift(out_of_order) {
        return Err(drift);
    }
    let mut applied = Vec::new();
    if status.pending.is_empty() {
        return Ok(applied);
    }
    let pending: BTreeSet<i64> = status.pending.iter().map(|pending| pending.version).collect();
    let files = set.files().iter().filter(|file| pending.contains(&file.version()));
    let files: Vec<&MigrationFile> = files.collect();
    check::check(&files)?;
    warn(&files, set, events);
    let table = table::ensure(connection).await.map_err(|error| {
        let failure = Error::new(Kind::Migration, "cannot create the table _sqlx_migrations");
        server_error::explain(failure, &into_sqlx(error))
    })?;
    let records = Records { table, baseline };
    for file in files {
        events.working(format!("applying {}", file.name()));
        let took = apply(connection, file, &records, events)
            .await
            .map_err(|failure| failure.into_error(file, applied.len(), pending.len()))?;
        let (version, name) = (file.version(), file.name().to_owned());
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        applied.push(Applied { version, file: name.clone(), took_ms });
        events.emit(Event::MigrationApplied { version, file: name, took });
    }
    Ok(applied)
}

/// Says what the files risk, before they run.
fn warn(files: &[&MigrationFile], set: &MigrationSet, events: &Events) {
    check::warnings(files).into_iter().for_each(|line| events.warn(line));
    if !set.without_up.is_empty() {
        let names = set.without_up.join(", ");
        events.warn(format!("{names}: there is no up file of this version, so nothing is applied"));
    }
}

/// Records migrations.
struct Records {
    /// The table, as SQL names it.
    table: String,
    baseline: Baseline,
}

/// The failure of a migration.
enum Failure {
    /// Its SQL failed.
    Script {
        failed: ScriptError,
        /// The INVALID indexes that there are now.
        invalid_indexes: Vec<String>,
    },
    /// A deferred constraint that it violates failed at its end.
    Constraint(sqlx::Error),
    /// Recording it failed.
    Record(sqlx::Error),
}

/// Does the same as sqlx's `apply`, whose steps are public (`skip` records a migration). Most
/// errors of PostgreSQL have no position, so this counts the statements to find the one that
/// failed.
async fn apply(
    connection: &mut PgConnection,
    file: &MigrationFile,
    records: &Records,
    events: &Events,
) -> Result<Duration, Failure> {
    let start = Instant::now();
    let script = Script::of(&file.source.text);
    if file.migration.no_tx {
        execute_each(connection, &script, events).await?;
        records.add(connection, file).await?;
        end_own_transaction(connection, &script).await?;
    } else {
        let mut transaction = connection.begin().await.map_err(Failure::Record)?;
        script::execute(&mut transaction, &script).await.map_err(Failure::of_script)?;
        records.add(&mut transaction, file).await?;
        transaction.commit().await.map_err(Failure::Record)?;
    }
    let took = start.elapsed();
    // It is applied and recorded. Nobody needs its time.
    if let Err(error) = records.set_time(connection, file, took).await {
        tracing::debug!("the time of {} is not recorded: {error}", file.source.label);
    }
    Ok(took)
}

/// Runs a script without a transaction. Each statement is sent alone, because the server makes one
/// transaction of the statements that it gets together.
async fn execute_each(
    connection: &mut PgConnection,
    script: &Script<'_>,
    events: &Events,
) -> Result<(), Failure> {
    let statements = &script.scan().statements;
    for (index, statement) in statements.iter().enumerate() {
        let former = invalid_index::remove_former(connection, statement, script.text()).await;
        if let Some(name) = former {
            events.note(format!("removed the INVALID index {name} of an earlier attempt"));
        }
        if let Err(failed) = script.run(connection, &script.piece(index)).await {
            // A transaction that the file has begun would refuse the question.
            let _ = sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await;
            let invalid_indexes = invalid_index::all(connection).await;
            return Err(Failure::Script { failed, invalid_indexes });
        }
    }
    if statements.iter().any(Statement::is_concurrent) {
        for name in invalid_index::all(connection).await {
            events.warn(format!("the index {name} is INVALID: DROP INDEX {name}; removes it"));
        }
    }
    Ok(())
}

/// Commits a transaction that a script without one has begun itself and left open.
async fn end_own_transaction(
    connection: &mut PgConnection,
    script: &Script<'_>,
) -> Result<(), Failure> {
    if script.scan().statements.iter().any(Statement::controls_transaction) {
        sqlx::raw_sql("COMMIT").execute(connection).await.map_err(Failure::Record)?;
    }
    Ok(())
}

impl Records {
    /// Records a migration whose SQL has run, in a session like the one in which it began: nothing
    /// that the SQL has set counts any more, neither for the record nor for the next migration.
    async fn add(
        &self,
        connection: &mut PgConnection,
        file: &MigrationFile,
    ) -> Result<(), Failure> {
        // The triggers of deferred constraints belong to the migration, and so to its settings.
        sqlx::raw_sql("SET CONSTRAINTS ALL IMMEDIATE")
            .execute(&mut *connection)
            .await
            .map_err(Failure::Constraint)?;
        self.baseline.restore(connection).await.map_err(Failure::Record)?;
        if may_end_locks(&file.source.text) {
            let again = take_lock(connection, LOCK_DEADLINE).await;
            again.map_err(|error| Failure::Record(into_sqlx(error)))?;
        }
        let recording = connection.skip(&self.table, &file.migration).await;
        recording.map_err(|error| Failure::Record(into_sqlx(error)))
    }

    async fn set_time(
        &self,
        connection: &mut PgConnection,
        file: &MigrationFile,
        took: Duration,
    ) -> Result<(), sqlx::Error> {
        let update = format!("UPDATE {} SET execution_time = $1 WHERE version = $2", self.table);
        sqlx::query(AssertSqlSafe(update))
            .bind(i64::try_from(took.as_nanos()).unwrap_or(i64::MAX))
            .bind(file.version())
            .execute(connection)
            .await
            .map(drop)
    }
}

impl Failure {
    fn of_script(failed: ScriptError) -> Self {
        Failure::Script { failed, invalid_indexes: Vec::new() }
    }

    fn into_error(self, file: &MigrationFile, earlier: usize, pending: usize) -> Error {
        let failure = match &self {
            Failure::Script { failed, .. } => {
                let failure = match failed.place(&file.source) {
                    Some(place) => {
                        file.source.error_at(Kind::Migration, place, "the migration failed")
                    }
                    None => Error::new(
                        Kind::Migration,
                        format!("{}: the migration failed", file.source.label),
                    ),
                };
                advise(server_error::explain(failure, &failed.error), file, &failed.error)
            }
            Failure::Constraint(error) => {
                let message = format!("{}: the migration failed at its end", file.source.label);
                server_error::explain(Error::new(Kind::Migration, message), error)
            }
            Failure::Record(error) => {
                let message = format!("{}: the migration cannot be recorded", file.source.label);
                server_error::explain(Error::new(Kind::Migration, message), error)
            }
        };
        let leftovers = self.leftovers(file);
        let left = pending - earlier;
        let are = if left == 1 { "is" } else { "are" };
        // A lost connection may have committed, and so may a statement without a transaction.
        let is_rolled_back =
            !file.migration.no_tx && !matches!(self, Failure::Record(_)) && leftovers.is_empty();
        if earlier == 0 && is_rolled_back {
            let migrations = if left == 1 { "migration" } else { "migrations" };
            return failure
                .unchanged()
                .note_of_database(format!(
                    "the database is as it was; {left} {migrations} {are} pending"
                ))
                .hint(HELPS);
        }
        let failure = leftovers.into_iter().fold(failure, Error::note_of_database);
        let failure = failure.note_of_database(match earlier {
            0 => format!("this run has applied no migration, and {left} {are} pending"),
            1 => format!("the migration before it remains applied, and {left} {are} pending"),
            _ => format!(
                "the {earlier} migrations before it remain applied, and {left} {are} pending"
            ),
        });
        failure.hint(HELPS)
    }

    /// What the failed migration has left in the database.
    fn leftovers(&self, file: &MigrationFile) -> Vec<String> {
        let mut notes = Vec::new();
        let scan = sql_scan::scan(&file.source.text);
        if check::ends_transaction(file, &scan) {
            notes
                .push("the file commits by itself, so changes before its COMMIT may remain".into());
        }
        if !file.migration.no_tx {
            return notes;
        }
        match self {
            Failure::Script { failed, invalid_indexes } => {
                notes.extend(match failed.completed {
                    0 => None,
                    1 => Some("what the statement before it has committed remains".into()),
                    count => Some(format!(
                        "the {count} statements before it ran one by one, and what they have \
                         committed remains"
                    )),
                });
                if ALREADY_EXISTS.iter().any(|code| server_error::has_code(&failed.error, code)) {
                    notes.push(
                        "an earlier attempt at this file may have made it: if so, remove it with \
                         devdb psql, then run the command again"
                            .into(),
                    );
                }
                notes.extend(invalid_indexes.iter().map(|index| {
                    let removal = match makes_index(&scan, &file.source.text, index) {
                        true => "the next attempt removes it, as does",
                        false => "remove it with",
                    };
                    format!("the index {index} is left INVALID: {removal} DROP INDEX {index};")
                }));
            }
            Failure::Constraint(_) | Failure::Record(_) => {
                notes.push("the migration ran without a transaction, so its changes remain".into());
            }
        }
        notes
    }
}

/// Whether a file makes the index with this name, qualified and quoted.
fn makes_index(scan: &Scan<'_>, text: &str, index: &str) -> bool {
    let mut names = scan.statements.iter().filter_map(|one| one.concurrent_index(text));
    names.any(|name| {
        let is_last = |name: &str| index.ends_with(&format!(".{name}"));
        is_last(name) || is_last(&name.to_lowercase())
    })
}

/// Adds a hint for some errors of migrations.
fn advise(failure: Error, file: &MigrationFile, error: &sqlx::Error) -> Error {
    // 25001: `CREATE INDEX CONCURRENTLY cannot run inside a transaction block`, for example.
    if server_error::has_code(error, "25001") && !file.migration.no_tx {
        return failure
            .hint("move this statement into a file that begins with `-- no-transaction`");
    }
    // `:'name'` and `:name`, but not `value::type`.
    let is_colon = server_error::of(error)
        .is_some_and(|error| error.code() == "42601" && error.message().ends_with("near \":\""));
    if is_colon {
        return failure.hint(
            "`:name` is a variable of psql, which the server does not know: write the value itself",
        );
    }
    failure
}
