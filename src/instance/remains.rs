//! What there is to go back to when data may be missing: the former generations and the snapshots
//! that exist now, the newest first, each with the command that brings it back.

use chrono::{DateTime, Local, Utc};

use super::observe;
use crate::context::Context;
use crate::engine::{Engine, Generation, Numbered};
use crate::error::{Error, Kind, Result};
use crate::state::Record;

/// How many commands an error names. The lists have the others.
const NAMED_MAX: usize = 5;

/// Adds to an error after which data may be missing what there is to go back to. Other errors stay
/// as they are, and so does one whose engine does not answer.
pub async fn with_remains(context: &Context, error: Error) -> Error {
    if !error.data_may_be_missing() {
        return error;
    }
    if observe::record(context).is_err() {
        let looking = async { Ok(observe::found_without_record(context).await) };
        return match context.interrupt.guard(looking).await {
            Ok(Some(found)) => error.note(found),
            Ok(None) | Err(_) => error,
        };
    }
    let looking = async {
        let record = observe::record(context)?;
        let engine =
            context.engines.open(record.engine, &context.spec.server, &context.events).await?;
        observe::same_engine(&engine, &record).await?;
        Remains::of(&engine, &record).await
    };
    match context.interrupt.guard(looking).await {
        Ok(remains) => remains.named_in(error),
        Err(_) => error,
    }
}

/// What there is to go back to.
pub struct Remains(Vec<String>);

impl Remains {
    /// Asks the engine.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn of(engine: &Engine, record: &Record) -> Result<Remains> {
        let exist = engine.generations(Some(&record.owner.key())).await?;
        let latest = record.latest_former().map(|former| former.number);
        let former = record.generations.iter().filter(|generation| {
            Some(generation.number) != record.current
                && exist.iter().any(|one| one.id == generation.id)
        });
        let mut found: Vec<(DateTime<Utc>, String)> = former
            .map(|generation| {
                let (replaced, number) = generation.recency();
                let command = match latest == Some(number) {
                    true => "devdb undo".to_owned(),
                    false => format!("devdb generations switch {number}"),
                };
                let what = format!("goes back to generation {number}, last used");
                (replaced, format!("{command}   {what} {}", moment(replaced)))
            })
            .collect();
        let snapshots = engine.snapshot_dates(&record.owner).await?.into_iter();
        found.extend(snapshots.map(|(name, saved)| {
            let what = format!("restores the snapshot of {}", moment(saved));
            (saved, format!("devdb snapshot restore {name}   {what}"))
        }));
        found.sort_by_key(|(when, _)| std::cmp::Reverse(*when));
        Ok(Remains(found.into_iter().map(|(_, line)| line).collect()))
    }

    /// Whether there is nothing to go back to.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lines to show: a command and what it brings back, the newest first.
    pub fn lines(self) -> Vec<String> {
        let more = self.0.len().saturating_sub(NAMED_MAX);
        let mut lines = self.0;
        lines.truncate(NAMED_MAX);
        if more > 0 {
            lines.push(format!(
                "devdb generations and devdb snapshot list   show {more} more to go back to"
            ));
        }
        lines
    }

    /// The error with what there is to go back to.
    pub fn named_in(self, error: Error) -> Error {
        if self.0.is_empty() {
            return error.note("devdb has no former generation and no snapshot of this database");
        }
        self.lines().into_iter().fold(error, Error::hint)
    }
}

/// Whether the data of the current generation exists.
pub(super) async fn data_exists(engine: &Engine, record: &Record) -> Result<bool> {
    let exist = engine.generations(Some(&record.owner.key())).await?;
    Ok(exist.iter().any(|one| Some(one.id) == record.current_id()))
}

/// Fails when the data of an instance without a server does not exist any more.
///
/// # Errors
/// `Drift`, and when the engine does not answer.
pub async fn check_data(engine: &Engine, record: &Record) -> Result<()> {
    match data_exists(engine, record).await? {
        true => Ok(()),
        false => Err(data_is_gone(engine, record).await),
    }
}

/// The error about lost data. The command adds what there is to go back to.
pub(super) async fn data_is_gone(engine: &Engine, record: &Record) -> Error {
    let name = record.owner.generation_name(record.current_id().unwrap_or_default());
    let error = Error::new(Kind::Drift, format!("the data of this instance ({name}) is gone"))
        .because(GONE)
        .with_missing_data();
    // `down --purge` would remove what a devdb with another home directory has made.
    let generations = engine.generations(Some(&record.owner.key())).await;
    match (Remains::of(engine, record).await, generations) {
        (Ok(remains), Ok(there)) if remains.is_empty() && has_other_data(&there, record) => {
            error.hint("devdb up   looks for what a devdb with another home directory has made")
        }
        (Ok(remains), Ok(_)) if remains.is_empty() => {
            error.hint("devdb down --purge && devdb up   makes a new database")
        }
        _ => error,
    }
}

/// Whether the engine has generations of the instance that the record does not know.
pub(super) fn has_other_data(there: &[Generation], record: &Record) -> bool {
    let is_spare = |id| record.spare.as_ref().is_some_and(|spare| spare.id == id);
    let is_leaving = |id| record.leaving.contains(&id);
    there
        .iter()
        .any(|one| record.by_id(one.id).is_none() && !is_spare(one.id) && !is_leaving(one.id))
}

/// Fails when a generation of the record does not exist any more.
///
/// # Errors
/// `Drift`, with what there is to go back to.
pub(super) async fn check_exists(engine: &Engine, record: &Record, of: Numbered) -> Result<()> {
    let exist = engine.generations(Some(&record.owner.key())).await?;
    if exist.iter().any(|one| one.id == of.id) {
        return Ok(());
    }
    let error = Error::new(Kind::Drift, format!("generation {} is gone", of.number));
    let error = error.because(GONE);
    Err(Remains::of(engine, record).await?.named_in(error))
}

/// Why something that devdb keeps does not exist.
pub(super) const GONE: &str = "another program removed it, such as docker volume prune";

fn moment(time: DateTime<Utc>) -> String {
    time.with_timezone(&Local).format("%Y-%m-%d %H:%M").to_string()
}
