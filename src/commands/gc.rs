//! `devdb gc`: finds data of this user's instances that nothing uses any more, and with --yes
//! removes it.
//!
//! It looks only at instances with a record here: each under its lock, on the engine that the record
//! names. Data without a record may be another user's.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::App;
use crate::cli::GcArgs;
use crate::config::{Overrides, branch, identity};
use crate::engine::Engine;
use crate::error::{Kind, Result};
use crate::instance::{Context, Garbage, Instance, Reason};
use crate::outcome::{Found, GcReport, Outcome, Report, Skipped, WhySkipped};
use crate::spec::EngineKind;
use crate::state::{Home, Record, Sight};

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

/// One instance, under its lock.
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
    let Some(mut instance) = Instance::open_at_once(context)? else {
        return skip(WhySkipped::Locked);
    };
    // Only now, and by what the record says now: while others were removed it may have been used
    // again, from another directory or on a branch that was made anew.
    let Some(now) = instance.record() else { return Ok(()) };
    let records: Vec<Record> = here.store.load_all()?.into_iter().flatten().collect();
    let gone = match Fate::of(now, &homes(here, &records)) {
        Fate::Kept => None,
        Fate::Gone(reason) => Some(reason),
        Fate::Skipped(why) => return skip(why),
    };
    let Some((engine, found)) = guard.guard(instance.garbage(gone)).await? else { return Ok(()) };
    for garbage in found {
        let bytes = sizes.of(&engine, &garbage).await;
        let objects = garbage.handles();
        report.found.push(Found {
            owner: context.spec.owner.clone(),
            engine: engine.kind(),
            reason: garbage.reason,
            directory: context.home.as_ref().map(|home| home.directory.clone()),
            generations: garbage.generations.iter().map(|one| one.number).collect(),
            snapshots: garbage.snapshots.clone(),
            left: if yes { objects.clone() } else { Vec::new() },
            objects,
            bytes,
        });
        if yes {
            // Not interruptible: this is the cleaning up.
            let removed = instance.remove_garbage(&engine, &garbage).await;
            let left = instance.still_there(&engine, &garbage).await?;
            if let Some(found) = report.found.last_mut() {
                found.left = left;
            }
            removed?;
        }
    }
    Ok(())
}

/// The bytes that generations take, asked of each engine once: it is slow.
#[derive(Default)]
struct Sizes(BTreeMap<EngineKind, BTreeMap<String, u64>>);

impl Sizes {
    /// None when the engine does not know it of one of them.
    async fn of(&mut self, engine: &Engine, garbage: &Garbage) -> Option<u64> {
        let sizes = match self.0.entry(engine.kind()) {
            Entry::Occupied(known) => known.into_mut(),
            // What takes how much is good to know, and no reason to remove nothing.
            Entry::Vacant(new) => new.insert(engine.sizes(None).await.unwrap_or_default()),
        };
        let size = |handle: &String| sizes.get(handle).copied();
        garbage.generations.iter().map(|generation| size(&generation.handle)).sum()
    }
}

/// Where each project is: here, or where one of its records says and it still is. A project that was
/// moved keeps its id, and only the instances used since know the new place.
fn homes(context: &Context, records: &[Record]) -> BTreeMap<String, Home> {
    let mut homes = BTreeMap::new();
    for record in records {
        if let Some(home) = record.home.as_ref().filter(|home| is_still_there(home)) {
            homes.insert(record.owner.project_id.clone(), home.clone());
        }
    }
    if let Some(here) = &context.home {
        homes.insert(context.spec.owner.project_id.clone(), here.clone());
    }
    homes
}

/// Whether the checkout is there, as far as one can see.
fn is_still_there(home: &Home) -> bool {
    home.sight() == Sight::There
        && identity::checkout_at(&home.directory).is_none_or(|found| found == home.checkout)
}

/// What is to be done with an instance, by what became of its directory and branch.
enum Fate {
    /// It is in use, as far as one can see.
    Kept,
    /// Nothing of it is of any use.
    Gone(Reason),
    /// It is not for `gc` to decide.
    Skipped(WhySkipped),
}

impl Fate {
    fn of(record: &Record, homes: &BTreeMap<String, Home>) -> Fate {
        // The sample is everywhere.
        let Some(noted) = &record.home else { return Fate::Kept };
        let Some(home) = homes.get(&record.owner.project_id) else {
            let directory = noted.directory.clone();
            return match noted.sight() {
                Sight::NotMounted => Fate::Skipped(WhySkipped::NotMounted { directory }),
                Sight::There => Fate::Gone(Reason::CheckoutGone),
                Sight::Gone => Fate::Gone(Reason::DirectoryGone),
            };
        };
        let (directory, branch) = (&home.directory, &record.owner.instance);
        if !record.of_branch || !branch::is_gone(directory, branch) {
            return Fate::Kept;
        }
        match branch::later_name(directory, branch) {
            Some(to) => Fate::Skipped(WhySkipped::Renamed { to, directory: directory.clone() }),
            None => Fate::Gone(Reason::BranchGone),
        }
    }
}
