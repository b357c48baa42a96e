//! After a command, the env file of the project is kept right, or devdb says that it is not.

use super::{App, env, lent, silent};
use crate::cli::Command;
use crate::config::Overrides;
use crate::context::Context;
use crate::db::connect::Address;
use crate::error::Result;
use crate::instance;
use crate::instance::env_file::{self, Stale};
use crate::outcome::Outcome;

/// What a command does about the env file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// Nothing: the command is not about the instance, or writes env files itself.
    None,
    /// It says that the file has the address of another database.
    Tell,
    /// It may have changed the address, and updates the file that `env.write` names.
    Update,
}

impl Care {
    /// What this command does. `is_chosen`: the command line names the instance. A command that
    /// changes the data of such an instance does not make it the one that the application uses.
    pub fn of(command: &Command, is_chosen: bool) -> Care {
        match command {
            Command::Up(_) | Command::Start(_) | Command::Restart(_) => Care::Update,
            Command::Reset(_) | Command::Undo(_) if !is_chosen => Care::Update,
            Command::Generations(args) if args.switches() && !is_chosen => Care::Update,
            Command::Snapshot(args) if args.restores() && !is_chosen => Care::Update,
            Command::Reset(_)
            | Command::Undo(_)
            | Command::Generations(_)
            | Command::Snapshot(_)
            | Command::Down(_)
            | Command::Stop(_)
            | Command::Status(_)
            | Command::Url
            | Command::Psql(_)
            | Command::Logs(_)
            | Command::Migrate(_)
            | Command::Seed(_)
            | Command::Config(_)
            | Command::Doctor => Care::Tell,
            Command::Env(args) if args.write.is_none() => Care::Tell,
            Command::Env(_)
            | Command::Run(_)
            | Command::Ephemeral(_)
            | Command::Gc(_)
            | Command::Cache(_)
            | Command::List
            | Command::Secret(_)
            | Command::Init(_)
            | Command::WatchRun
            | Command::WatchIdle(_)
            | Command::Completions(_)
            | Command::Man
            | Command::Help(_) => Care::None,
        }
    }
}

/// Takes care of the file. A failure is a warning, because the command has done what it should.
/// After a failed command, for which `outcome` is none, it is not worth one, and the file is not
/// turned to an instance that the command line names.
pub fn take(app: &App, care: Care, outcome: Option<&Outcome>) {
    let care = match care {
        Care::None => return,
        Care::Update if outcome.is_none() && app.global.instance.is_some() => Care::Tell,
        care => care,
    };
    // The command itself has given the warnings about the settings.
    let taken = silent(app).context(Overrides::default(), None).and_then(|context| {
        let context = Context { events: app.events.clone(), ..context };
        if lent::database(app, &context)?.is_none() {
            keep_right(app, &context, care)?;
        }
        Ok(())
    });
    if let (Err(error), Some(_)) = (taken, outcome) {
        app.events.warn(format!("the env file was not updated: {error}"));
    }
}

fn keep_right(app: &App, context: &Context, care: Care) -> Result<()> {
    let record = instance::record(context);
    if let (Care::Update, Some(file), Ok(record)) = (care, &context.env_file, &record)
        && env::write(context, file)?
    {
        let shown = shown(context, file);
        let name = &record.owner.instance;
        context.events.note(format!("{shown} has the address of the database {name} now"));
    }
    let own = record.as_ref().ok().map(instance::recorded_address);
    let has_instance = own.is_some();
    let present = match (own, &app.global.instance) {
        (None, Some(_)) => usual_address(app),
        (own, _) => own,
    };
    if let Some(stale) = env_file::stale(context, present.as_ref())? {
        context.events.warn_afterwards(text(context, &stale, has_instance));
    }
    Ok(())
}

/// The address of the instance that commands use here when the command line names none.
fn usual_address(app: &App) -> Option<Address> {
    let mut usual = silent(app);
    usual.global.instance = None;
    let context = usual.context(Overrides::default(), None).ok()?;
    instance::record(&context).ok().as_ref().map(instance::recorded_address)
}

fn text(context: &Context, stale: &Stale, has_instance: bool) -> String {
    let Stale { file, line, name } = stale;
    let shown = shown(context, file);
    let advice = match (has_instance, context.env_file.as_ref() == Some(file)) {
        (true, _) => format!("`devdb env --write {shown}` writes the present one"),
        (false, true) => "`devdb up` creates a database and updates the file".to_owned(),
        (false, false) => {
            format!("`devdb up --write-env {shown}` creates a database and updates the file")
        }
    };
    match has_instance {
        true => format!("{name} in {shown}:{line} points to another database of devdb; {advice}"),
        false => format!("{name} in {shown}:{line} is out of date; {advice}"),
    }
}

fn shown(context: &Context, file: &std::path::Path) -> String {
    file.strip_prefix(&context.directory).unwrap_or(file).display().to_string()
}
