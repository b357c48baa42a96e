//! `devdb snapshot`

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::reset::report;
use super::{App, said};
use crate::archive::{IfExists, STANDARD_STREAM};
use crate::cli::{Format, SnapshotArgs, SnapshotCommand};
use crate::config::Overrides;
use crate::context::Context;
use crate::engine::{Snapshot, SnapshotName, State};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::instance::{self, Instance};
use crate::outcome::{
    ExportedReport, Fate, Outcome, Report, RestoredReport, SavedReport, SnapshotReport,
    SnapshotsReport, millis,
};
use crate::plan::{Extent, Plan, Skip};
use crate::populate;

/// `devdb snapshot`
pub async fn run(app: &App, args: SnapshotArgs) -> Result<Outcome> {
    match args.command {
        SnapshotCommand::Save { name, message, from_generation } => {
            save(app, name, message, from_generation).await
        }
        SnapshotCommand::List => list(app).await,
        SnapshotCommand::Show { name } => show(app, &name).await,
        SnapshotCommand::Restore { name, no_migrate, timeout } => {
            restore(app, &name, !no_migrate, timeout).await
        }
        SnapshotCommand::Rm { name, yes: _ } => remove(app, &name).await,
        SnapshotCommand::Export { name, file, force } => export(app, &name, &file, force).await,
        SnapshotCommand::Import { file, name } => import(app, &file, name.as_deref()).await,
    }
}

async fn save(
    app: &App,
    name: Option<String>,
    message: Option<String>,
    from: Option<u32>,
) -> Result<Outcome> {
    let begun = Instant::now();
    let name = match name {
        Some(name) => SnapshotName::parse(&name)?,
        None => SnapshotName::of_now(),
    };
    let context = context(app, None)?;
    let saved = Instance::open(&context).await?.save_snapshot(&name, message, from).await?;
    let report = SavedReport {
        snapshot: saved.manifest,
        interrupted_ms: saved.interrupted.map(millis),
        took_ms: millis(begun.elapsed()),
    };
    Ok(Outcome { command: "snapshot save", report: Report::Saved(Box::new(report)), exit: 0 })
}

async fn list(app: &App) -> Result<Outcome> {
    let mut snapshots = all(app).await?;
    snapshots.sort_by_key(|one| {
        (one.manifest.is_none(), one.manifest.as_ref().map(|manifest| manifest.created))
    });
    let report = Report::Snapshots(SnapshotsReport { snapshots });
    Ok(Outcome { command: "snapshot list", report, exit: 0 })
}

async fn show(app: &App, name: &str) -> Result<Outcome> {
    let name = SnapshotName::parse(name)?;
    let snapshots = all(app).await?;
    let Some(found) = snapshots.into_iter().find(|one| one.name == name.as_str()) else {
        return Err(Error::new(Kind::Snapshot, format!("there is no snapshot \"{name}\""))
            .hint("devdb snapshot list   shows all snapshots"));
    };
    Ok(Outcome { command: "snapshot show", report: Report::Snapshot(Box::new(found)), exit: 0 })
}

async fn all(app: &App) -> Result<Vec<SnapshotReport>> {
    let context = context(app, None)?;
    let snapshots = Instance::open(&context).await?.snapshots().await?;
    let described = |Snapshot { handle, name, state, .. }| {
        let (manifest, trouble) = match state {
            State::Complete(manifest) => (Some(manifest), None),
            State::Damaged(why) => (None, Some(why)),
            State::Unfinished => (None, Some("saving it was never finished".to_owned())),
        };
        SnapshotReport { name, handle, trouble, manifest }
    };
    Ok(snapshots.into_iter().map(described).collect())
}

async fn restore(
    app: &App,
    name: &str,
    migrate: bool,
    timeout: Option<Duration>,
) -> Result<Outcome> {
    let begun = Instant::now();
    let name = SnapshotName::parse(name)?;
    let context = context(app, timeout)?;
    let mut plan =
        Plan::load(&context.spec, Extent::skipping(Skip { migrations: !migrate, seeds: true }))?;
    plan.tell_unread(&context.events);
    let mut instance = Instance::open(&context).await?;
    let replaced = instance.restore(&name).await?;
    let address =
        instance::address(&instance.recorded()?, instance::endpoint_of(&replaced.server)?);
    let found = populate::migrations(&address, &plan).await?;
    if found.pending.is_empty() {
        plan.extent = Extent::Nothing;
        if found.drifted(context.spec.migrations.out_of_order) && plan.knows_migrations() {
            context.events.warn(
                "the migrations in the snapshot differ from the files (devdb migrate status)",
            );
        }
    } else if migrate {
        context.events.note(format!(
            "devdb applies now what the snapshot lacks: {}",
            found.pending.join(", ")
        ));
    }
    let is_kept = matches!(replaced.fate, Fate::Kept | Fate::UntilSwap | Fate::ForGood);
    let populated = populate::populate(&context, &address, &plan).await.map_err(|error| {
        let error = error.hint("devdb migrate   tries again; the snapshot itself is restored");
        match is_kept {
            true => error.hint("devdb undo   goes back to the database from before"),
            false => error,
        }
    })?;
    let swap = report(&mut instance, replaced, populated.applied, begun).await?;
    let report = RestoredReport { snapshot: name.to_string(), swap };
    let report = Report::Restored(Box::new(report));
    Ok(Outcome { command: "snapshot restore", report, exit: 0 })
}

async fn remove(app: &App, name: &str) -> Result<Outcome> {
    let name = SnapshotName::parse(name)?;
    let context = context(app, None)?;
    Instance::open(&context).await?.remove_snapshot(&name).await?;
    Ok(said("snapshot rm", true, format!("snapshot {name} is removed")))
}

async fn export(app: &App, name: &str, file: &Path, force: bool) -> Result<Outcome> {
    let begun = Instant::now();
    let name = SnapshotName::parse(name)?;
    let context = context(app, None)?;
    let file = absolute(file)?;
    let if_exists = if force { IfExists::Replace } else { IfExists::Refuse };
    if file == Path::new(STANDARD_STREAM) && app.global.format() == Format::Json {
        return Err(Error::new(
            Kind::Usage,
            "the snapshot and a JSON document cannot share stdout",
        )
        .hint("name a file, or leave out --json"));
    }
    let exported = Instance::open(&context).await?.export_snapshot(&name, &file, if_exists).await?;
    if file == Path::new(STANDARD_STREAM) {
        return Ok(Outcome { command: "snapshot export", report: Report::Nothing, exit: 0 });
    }
    let report = Report::Exported(ExportedReport {
        snapshot: name.to_string(),
        file,
        bytes: exported.bytes,
        sha256: exported.seal.sha256,
        took_ms: millis(begun.elapsed()),
    });
    Ok(Outcome { command: "snapshot export", report, exit: 0 })
}

async fn import(app: &App, file: &Path, name: Option<&str>) -> Result<Outcome> {
    let begun = Instant::now();
    let name = name.map(SnapshotName::parse).transpose()?;
    let context = context(app, None)?;
    let file = absolute(file)?;
    let manifest = Instance::open(&context).await?.import_snapshot(&file, name.as_ref()).await?;
    let report =
        SavedReport { snapshot: manifest, interrupted_ms: None, took_ms: millis(begun.elapsed()) };
    Ok(Outcome { command: "snapshot import", report: Report::Saved(Box::new(report)), exit: 0 })
}

fn absolute(file: &Path) -> Result<PathBuf> {
    if file == Path::new(STANDARD_STREAM) {
        return Ok(file.to_owned());
    }
    std::path::absolute(file)
        .or_fail(Kind::Usage, || format!("{file:?} is not a file name that can be used"))
}

/// The context of an instance that must exist.
fn context(app: &App, timeout: Option<Duration>) -> Result<Context> {
    let context = app.context(Overrides::default(), timeout)?;
    instance::record(&context)?;
    Ok(context)
}
