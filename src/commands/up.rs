//! `devdb up`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::App;
use crate::cli::{EnvFormat, UpArgs};
use crate::config::{FILE, Overrides, branch, identity};
use crate::context::Context;
use crate::error::{Error, Kind, Result, shell_word};
use crate::instance::{self, Instance, OldGeneration};
use crate::outcome::{Applied, Fate, How, Outcome, Report, UpReport};
use crate::plan::{Extent, Plan, Skip};
use crate::spec::Owner;
use crate::state::{Home, Record};

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
    let context =
        app.context_of(Record::current_generation, args.from.as_deref(), flags, args.timeout)?;
    if args.write_env.as_deref() == Some(Path::new("-")) {
        return Err(Error::new(Kind::Usage, "--write-env takes the name of a file")
            .hint("devdb up && devdb env   prints the variables"));
    }
    let env_file = args.write_env.clone().or_else(|| context.env_file.clone());
    super::env::check(env_file.as_deref(), EnvFormat::Dotenv)?;
    let plan = Plan::load_to_go_on(
        &context.spec,
        Extent::skipping(Skip { migrations: args.no_migrate, seeds: args.no_seed }),
    )?;
    plan.tell_unread(&context.events);
    context.key.check()?;
    let mut report = match &args.from {
        None => match instance::bring_up(&context, &plan, begun).await {
            Err(error) if error.kind() == Kind::Drift && context.spec.is_of_detached_heads() => {
                renew(&context, &plan, begun, error).await?
            }
            other => other?,
        },
        Some(name) => {
            let mut origin = context.clone();
            origin.spec.owner.instance.clone_from(name);
            instance::bring_up_from(&context, &origin, &plan, begun).await?
        }
    };
    if !report.applied.seeds_applied.is_empty() {
        instance::note_profile(&context).await?;
    }
    report.applied.seeds_profile = instance::profile_to_name(&context);
    if report.how == How::Created && args.from.is_none() {
        tell_of_former_name(&context);
        tell_of_former_checkout(&context);
    }
    tell_of_interim(&context);
    if let Some(file) = env_file {
        super::env::write(&context, &file)?;
        report.env_file = Some(file);
    }
    Ok(Outcome { command: "up", report: Report::Up(Box::new(report)), exit: 0 })
}

/// Makes the database of detached heads anew when it has other migrations than the commit that is
/// checked out now. `error` tells the difference.
async fn renew(context: &Context, plan: &Plan, begun: Instant, error: Error) -> Result<UpReport> {
    // Nobody asked for this reset, so what was there is kept for a day at least.
    let mut context = context.clone();
    context.spec.retention.days = context.spec.retention.days.max(1);
    let context = &context;
    let mut instance = Instance::open(context).await?;
    let Some(replaced) = instance.reset(plan, OldGeneration::Keep).await? else {
        return Err(error);
    };
    let applied = match replaced.golden {
        Some(golden) => instance.release(golden, Applied::default()).await,
        None => Applied::default(),
    };
    drop(instance);
    let way_back = match replaced.fate {
        Fate::Kept | Fate::UntilSwap | Fate::ForGood => {
            format!("generation {} is kept, and devdb undo goes back to it", replaced.former)
        }
        _ => "nobody had written to it".to_owned(),
    };
    context.events.note(format!(
        "the database was made for another commit ({}), so devdb has replaced it; {way_back}",
        error.message()
    ));
    let report = instance::bring_up(context, plan, begun).await?;
    Ok(UpReport { how: How::Renewed, applied, ..report })
}

/// Tells about the database that a renamed branch has left under its old name.
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
             devdb up --from {}   copies the data",
            shell_word(name)
        ));
    }
}

/// Tells about databases that the directory had while git's directory was not there.
fn tell_of_interim(context: &Context) {
    let Some(here) = &context.home else { return };
    let Some((interim, dot_git)) = identity::interim(&here.directory) else { return };
    let records = context.store.load_all().unwrap_or_default();
    let is_of_then = |record: &Record| {
        record.home.as_ref().is_some_and(|home| home.checkout == interim)
            && record.owner.developer == context.spec.owner.developer
    };
    for record in records.into_iter().flatten().filter(is_of_then) {
        context.events.note(format!(
            "this directory had another database {} while its git directory was not there, and that \
             database still exists. devdb uses it while {} has another name; devdb snapshot export \
             writes its data into a file",
            record.owner.instance,
            dot_git.display()
        ));
    }
}

/// Tells about databases of other checkouts of this developer: one that was in this directory, and
/// those of projects that git has moved. git moves only what it knows, and leaves the id behind.
fn tell_of_former_checkout(context: &Context) {
    let (Some(here), Ok(records)) = (&context.home, context.store.load_all()) else { return };
    let records: Vec<Record> = records.into_iter().flatten().collect();
    let owner = &context.spec.owner;
    let of_others = |record: &Record| {
        let home = record.home.clone().filter(|home| home.checkout != here.checkout)?;
        (record.owner.developer == owner.developer).then_some(home)
    };
    let homes: Vec<Home> = records.iter().filter_map(of_others).collect();
    let was_here = |home: &Home| {
        home.directory == here.directory && !identity::may_be_at(&here.directory, &home.checkout)
    };
    if homes.iter().any(was_here) {
        context.events.note(
            "an earlier checkout in this directory has left a database of its own; devdb gc shows it",
        );
    }
    let is_new = |record: &Record| {
        record.owner.project_id != owner.project_id || record.owner.key() == owner.key()
    };
    if !records.iter().all(is_new) {
        // The commands below would take the project's other databases away from it.
        return;
    }
    let is_left = |directory: &&PathBuf| {
        identity::share_a_checkout(directory, &here.directory) && !directory.join(FILE).exists()
    };
    let left: BTreeSet<&PathBuf> =
        homes.iter().map(|home| &home.directory).filter(is_left).collect();
    for directory in left {
        let Some(moving) = identity::commands_to_move(directory, &here.directory) else { continue };
        context.events.note(format!(
            "{} has no {FILE} now, and its database still exists. If this project was there before, \
             go back to that database with: devdb down --purge && {moving} && devdb up",
            directory.display(),
        ));
    }
}
