//! `devdb migrate`

use std::path::PathBuf;
use std::time::Instant;

use super::{App, said};
use crate::cli::{MigrateArgs, MigrateCommand};
use crate::config::Overrides;
use crate::db::migrate;
use crate::embedded;
use crate::error::{Error, Kind, Result};
use crate::instance::{self, Context, How, Observed, Plan, data};
use crate::outcome::{Outcome, Report};
use crate::spec::Files;

/// `devdb migrate`
pub async fn run(app: &App, args: MigrateArgs) -> Result<Outcome> {
    let context = app.context(Overrides::default(), None)?;
    match args.command {
        None | Some(MigrateCommand::Run) => apply(&context).await,
        Some(MigrateCommand::New { name }) => new(&context, &name),
        Some(MigrateCommand::Status { check }) => status(&context, check).await,
    }
}

async fn apply(context: &Context) -> Result<Outcome> {
    let begun = Instant::now();
    let plan = Plan { seed: false, ..Plan::load(&context.spec, true, false)? };
    let observed = context.interrupt.guard(Observed::look(context)).await?;
    let address = instance::address(&observed.record, instance::endpoint_of(observed.running()?)?);
    let populated = data::migrate(context, &address, &plan).await?;
    let report = populated.into_report(&observed.record, How::Unchanged, &address, begun);
    Ok(Outcome { command: "migrate", report: Report::Up(Box::new(report)), exit: 0 })
}

fn new(context: &Context, name: &str) -> Result<Outcome> {
    let path = match &context.spec.migrations.files {
        Files::Directory { path, .. } => path,
        Files::Command(command) => {
            return Err(Error::new(
                Kind::Config,
                "another tool manages the migrations of this project",
            )
            .because(format!("migrations.command is {command}"))
            .hint("create the migration with that tool"));
        }
        Files::Embedded => return Err(no_project()),
    };
    let file: PathBuf = migrate::new_file(
        path,
        name,
        chrono::Utc::now(),
        embedded::template("migration.sql").unwrap_or_default(),
    )?;
    Ok(said("migrate new", true, format!("wrote {}", file.display())))
}

fn no_project() -> Error {
    Error::new(Kind::Config, "this directory has no project to add a migration to")
        .because("without a devdb.yaml devdb uses the sample project, which is part of devdb")
        .hint("devdb init            creates a project in this directory")
        .hint("devdb init --sample   creates one with a copy of the sample")
}

async fn status(context: &Context, check: bool) -> Result<Outcome> {
    let plan = Plan::load(&context.spec, false, false)?;
    let checked = |error: Error| match error.kind() {
        Kind::NoInstance | Kind::NotRunning if check => error.with_kind(Kind::Pending),
        _ => error,
    };
    let observed = context.interrupt.guard(Observed::look(context)).await.map_err(checked)?;
    let server = observed.running().map_err(checked)?;
    let address = instance::address(&observed.record, instance::endpoint_of(server)?);
    let report = context.interrupt.guard(data::migrations(&address, &plan)).await?;
    let exit = match check {
        true if report.drifted() => Kind::Drift.exit_code(),
        true if !report.pending.is_empty() => Kind::Pending.exit_code(),
        _ => 0,
    };
    Ok(Outcome { command: "migrate status", report: Report::Migrations(report), exit })
}
