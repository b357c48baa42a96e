//! `devdb gc`: finds data of this user's instances that nothing uses any more, and with --yes
//! removes it.
//!
//! It examines only instances that this user has a record of, each under its lock and on the engine
//! that the record names. Data without a record may be another user's.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::App;
use crate::cli::GcArgs;
use crate::config::Overrides;
use crate::context::Context;
use crate::engine::Engine;
use crate::error::{Kind, Result};
use crate::instance::{Homes, Instance, Rubbish, Usefulness};
use crate::outcome::{Found, GcReport, Outcome, Report, Skipped, WhySkipped};
use crate::spec::EngineKind;
use crate::state::Record;

/// `devdb gc`
pub async fn run(app: &App, args: GcArgs) -> Result<Outcome> {
    let context = app.context(Overrides::default(), None)?;
    let mut report = GcReport { yes: args.yes, ..GcReport::default() };
    let mut records = Vec::new();
    for record in context.store.load_all()? {
        match record {
            Ok(record) => records.push(record),
            Err(error) => report.troubles.push(error.to_string()),
        }
    }
    let mut sizes = Sizes::default();
    for record in records {
        let owner = record.owner.clone();
        if let Err(error) = sweep(&context, &record, &mut sizes, &mut report).await {
            if error.kind() == Kind::Interrupted {
                return Err(error);
            }
            let whose = format!("{} of {} ({})", owner.project, owner.developer, owner.instance);
            report.troubles.push(format!("{whose}: {error}"));
        }
    }
    let exit = u8::from(args.yes && report.found.iter().any(|found| !found.left.is_empty()));
    Ok(Outcome { command: "gc", report: Report::Gc(Box::new(report)), exit })
}

/// Examines one instance under its lock.
async fn sweep(
    here: &Context,
    record: &Record,
    sizes: &mut Sizes,
    report: &mut GcReport,
) -> Result<()> {
    let (guard, yes) = (&here.interrupt, report.yes);
    let mut skip = |why| {
        report.skipped.push(Skipped { owner: record.owner.clone(), why });
        Ok(())
    };
    let context = &here.of_record(record);
    let Some(mut instance) = Instance::try_open(context)? else {
        return skip(WhySkipped::Locked);
    };
    // The record is read again under the lock: meanwhile somebody may have used the instance from
    // another directory, or made its branch again.
    let Some(now) = instance.record() else { return Ok(()) };
    let records: Vec<Record> = here.store.load_all()?.into_iter().flatten().collect();
    let gone = match Homes::of(here, &records).judge(now) {
        Usefulness::InUse => None,
        Usefulness::Gone(reason) => Some(reason),
        Usefulness::Unclear(why) => return skip(why),
    };
    let (engine, found) = match guard.guard(instance.rubbish(gone)).await {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(()),
        Err(error) if error.kind() == Kind::Locked => return skip(WhySkipped::Locked),
        Err(error) => return Err(error),
    };
    for rubbish in found {
        let bytes = sizes.of(&engine, &rubbish).await;
        let objects = rubbish.handles();
        report.found.push(Found {
            owner: context.spec.owner.clone(),
            engine: engine.kind(),
            reason: rubbish.reason,
            directory: context.home.as_ref().map(|home| home.directory.clone()),
            generations: instance.record().map(|now| rubbish.numbers(now)).unwrap_or_default(),
            snapshots: rubbish.snapshots.clone(),
            left: if yes { objects.clone() } else { Vec::new() },
            objects,
            bytes,
        });
        if yes {
            // Not interruptible, because it cleans up.
            let removed = instance.remove_rubbish(&engine, &rubbish).await;
            let left = instance.still_there(&engine, &rubbish).await?;
            if let Some(found) = report.found.last_mut() {
                found.left = left;
            }
            removed?;
        }
    }
    Ok(())
}

/// The bytes of all generations. Each engine is asked only once, because it is slow.
#[derive(Default)]
struct Sizes(BTreeMap<EngineKind, BTreeMap<String, u64>>);

impl Sizes {
    /// The bytes of all generations in `rubbish`. None when the engine does not know one of them.
    async fn of(&mut self, engine: &Engine, rubbish: &Rubbish) -> Option<u64> {
        let sizes = match self.0.entry(engine.kind()) {
            Entry::Occupied(known) => known.into_mut(),
            // Without the sizes `gc` can still remove.
            Entry::Vacant(new) => new.insert(engine.sizes(None).await.unwrap_or_default()),
        };
        let size = |handle: &String| sizes.get(handle).copied();
        rubbish.generations.iter().map(|generation| size(&generation.handle)).sum()
    }
}
