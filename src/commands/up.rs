//! `devdb up`

use std::time::{Duration, Instant};

use super::App;
use crate::cli::{EnvFormat, UpArgs};
use crate::config::{Overrides, branch};
use crate::error::Result;
use crate::event::Event;
use crate::instance::{self, Context, How, Instance, Observed, Plan, Running, data};
use crate::outcome::{Outcome, Report, UpReport};
use crate::spec::Owner;
use crate::state::Record;

/// `devdb up`
pub async fn run(app: &App, args: UpArgs) -> Result<Outcome> {
    let begun = Instant::now();
    let flags = Overrides {
        engine: args.engine,
        postgres: args.postgres,
        port: args.port,
        profile: args.profile,
        ..Overrides::default()
    };
    let context = app.context(flags, args.timeout)?;
    super::env::check(args.write_env.as_deref(), EnvFormat::Dotenv)?;
    let plan = Plan::load(&context.spec, !args.no_migrate, !args.no_seed)?;
    context.key.check()?;
    let mut report = match &args.from {
        None => bring_up(&context, &plan, begun).await?,
        Some(name) => branch_off(&context, name, &plan, begun).await?,
    };
    if report.how == How::Created && args.from.is_none() {
        tell_of_former_name(&context);
        tell_of_former_checkout(&context);
    }
    if let Some(file) = args.write_env {
        super::env::write(&context, &file)?;
        report.env_file = Some(file);
    }
    Ok(Outcome { command: "up", report: Report::Up(Box::new(report)), exit: 0 })
}

/// The running, populated instance: at once when it is as it should be, else under its lock.
pub async fn bring_up(context: &Context, plan: &Plan, begun: Instant) -> Result<UpReport> {
    if let Some(observed) = context.interrupt.guard(Observed::as_wanted(context)).await?
        && let Ok(server) = observed.running()
        && let Some(endpoint) = &server.endpoint
    {
        let address = instance::address(&observed.record, endpoint);
        // It may still be starting, or its password may be another: the long way knows what to do.
        if context.interrupt.guard(data::accepts_login(&address)).await? {
            let populated = data::populate(context, &address, plan).await?;
            return Ok(populated.into_report(&observed.record, How::Unchanged, &address, begun));
        }
    }
    let mut instance = Instance::open(context).await?;
    let Running { server, how, golden } = instance.ensure_running(plan).await?;
    let ready = begun.elapsed();
    context.events.emit(Event::Ready { took: ready });
    let record = instance.recorded()?;
    let address = instance::address(&record, instance::endpoint_of(&server)?);
    let mut populated = data::populate(context, &address, plan).await?;
    if let Some(golden) = golden {
        populated.applied = instance.release(golden, populated.applied).await;
    }
    Ok(populated.into_report(&record, how, &address, begun))
}

/// A branch that was renamed has left its database under the old name.
fn tell_of_former_name(context: &Context) {
    let owner = &context.spec.owner;
    let Some(home) = context.home.as_ref().filter(|_| context.spec.of_branch) else {
        return;
    };
    let has_instance = |name: &String| {
        let former = Owner { instance: name.clone(), ..owner.clone() };
        matches!(context.store.load(&former.key()), Ok(Some(_)))
    };
    if let Some(name) = branch::former_names(&home.directory, &owner.instance)
        .iter()
        .find(|name| has_instance(name))
    {
        context.events.note(format!(
            "this branch was called {name}, and the database {name} still exists. To use its data here:\n  \
             devdb down --purge       removes the new, empty database of this branch\n  \
             devdb up --from {name}   copies the data"
        ));
    }
}

/// A checkout that was deleted and cloned again is another, and has left its database.
fn tell_of_former_checkout(context: &Context) {
    let (Some(here), Ok(records)) = (&context.home, context.store.load_all()) else { return };
    let owner = &context.spec.owner;
    let was_here = |record: &Record| {
        record.owner.developer == owner.developer
            && record.home.as_ref().is_some_and(|home| {
                home.directory == here.directory && home.checkout != here.checkout
            })
    };
    if records.iter().flatten().any(was_here) {
        context.events.note(
            "an earlier checkout in this directory has left a database of its own; devdb gc shows it",
        );
    }
}

/// A new instance with the data of another, and what it lacks of the migrations.
async fn branch_off(
    context: &Context,
    from: &str,
    plan: &Plan,
    begun: Instant,
) -> Result<UpReport> {
    let mut source = context.clone();
    source.spec.owner.instance = from.to_owned();
    let mut instance = Instance::open(context).await?;
    let Running { server, how, .. } = instance.branch_off(&source).await?;
    let record = instance.recorded()?;
    let address = instance::address(&record, instance::endpoint_of(&server)?);
    let populated = data::populate(context, &address, plan).await?;
    Ok(populated.into_report(&record, how, &address, begun))
}

/// Whole milliseconds.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
