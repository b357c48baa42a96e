//! The report on an instance's generations: what made each, whether it was written to, and how long
//! it is kept.

use std::collections::BTreeMap;

use chrono::Utc;

use super::retention::{self, End};
use super::{address, observe, written};
use crate::context::Context;
use crate::db::writes::Finding;
use crate::engine::Engine;
use crate::error::Result;
use crate::outcome::{GenerationRow, GenerationsReport, Keeping};
use crate::state::{GenerationRecord, Record, Why, Worth};

/// Every recorded generation, the newest first. Takes no lock and changes nothing. When the engine
/// does not answer, the report lacks what only the engine knows.
///
/// # Errors
/// `NoInstance`.
pub async fn generations(context: &Context) -> Result<GenerationsReport> {
    let record = observe::record(context)?;
    let mut troubles = Vec::new();
    let mut sizes = BTreeMap::new();
    let mut is_written = None;
    let mut gone = Vec::new();
    match engine_of(context, &record).await {
        Err(error) => troubles.push(error.to_string()),
        Ok(engine) => {
            match gone_from(&engine, &record).await {
                Ok(found) => gone = found,
                Err(error) => troubles.push(error.to_string()),
            }
            match sizes_of(&engine, &record).await {
                Ok(found) => sizes = found,
                Err(error) => troubles.push(error.to_string()),
            }
            is_written = current_is_written(context, &engine, &record).await;
        }
    }
    let now = Utc::now();
    let ends: BTreeMap<_, _> = retention::lifetimes(&record, now).into_iter().collect();
    let row = |generation: &GenerationRecord| {
        let current = Some(generation.number) == record.current;
        let (state, kept_until) = match ends.get(&generation.number) {
            _ if gone.contains(&generation.number) => (Keeping::Gone, None),
            None => (Keeping::Current, None),
            Some(End::Now) => (Keeping::Leaving, None),
            Some(End::At(end)) if *end <= now => (Keeping::Leaving, None),
            Some(End::At(end) | End::NoRoom(end)) if generation.worth == Worth::Untouched => {
                (Keeping::UntilSwap, Some(*end))
            }
            Some(End::At(end)) => (Keeping::Kept, Some(*end)),
            Some(End::NoRoom(end)) => (Keeping::NoRoom, Some(*end)),
            Some(End::Never) => (Keeping::ForGood, None),
        };
        GenerationRow {
            number: generation.number,
            current,
            created: generation.created,
            why: generation.why,
            replaced: generation.replaced.filter(|_| !current),
            bytes: sizes.get(&generation.number).copied(),
            written: match generation.why {
                _ if current => is_written,
                Why::Found => None,
                _ => Some(generation.worth == Worth::WrittenTo),
            },
            state,
            kept_until,
        }
    };
    let mut generations: Vec<GenerationRow> = record.generations.iter().map(row).collect();
    generations.sort_by_key(|row| std::cmp::Reverse(row.number));
    Ok(GenerationsReport {
        owner: record.owner.clone(),
        engine: record.engine,
        generations,
        troubles,
    })
}

async fn engine_of(context: &Context, record: &Record) -> Result<Engine> {
    let engine = context.engines.open(record.engine, &context.spec.server, &context.events).await?;
    observe::same_engine(&engine, record).await?;
    Ok(engine)
}

/// The recorded generations that the engine does not have.
async fn gone_from(engine: &Engine, record: &Record) -> Result<Vec<u32>> {
    let exist = engine.generations(Some(&record.owner.key())).await?;
    let is_gone = |id: u32| exist.iter().all(|one| one.id != id);
    let gone = record.generations.iter().filter(|generation| is_gone(generation.id));
    Ok(gone.map(|generation| generation.number).collect())
}

/// The bytes of each generation, by its number.
async fn sizes_of(engine: &Engine, record: &Record) -> Result<BTreeMap<u32, u64>> {
    let key = record.owner.key();
    let sizes = engine.sizes(Some(&key)).await?;
    let generations = engine.generations(Some(&key)).await?.into_iter();
    let sized = generations
        .filter_map(|one| Some((record.by_id(one.id)?.number, *sizes.get(&one.handle)?)));
    Ok(sized.collect())
}

/// Whether somebody may have written to the current generation. None when devdb cannot tell,
/// because the server does not run, the generation has no baseline, or a client is at work.
async fn current_is_written(context: &Context, engine: &Engine, record: &Record) -> Option<bool> {
    let server = engine.server(record.server.as_ref()?).await.ok()??;
    let endpoint = server.endpoint.as_ref().filter(|_| server.is_running())?;
    let address = address(record, endpoint);
    let looking = async { Ok(written::look(record, &address).await) };
    match context.interrupt.guard(looking).await.ok()? {
        Finding::Untouched(_) => Some(false),
        Finding::WrittenTo => Some(true),
        Finding::Unclear => None,
    }
}
