//! After a command, the env file of the project is kept right, or devdb says that it is not.

use super::{App, env, lent, silent};
use crate::cli::Command;
use crate::config::Overrides;
use crate::context::Context;
use crate::error::Result;
use crate::instance;
use crate::instance::env_file::{self, Stale};

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
    /// What this command does.
    pub fn of(command: &Command) -> Care {
        match command {
            Command::Up(_)
            | Command::Start(_)
            | Command::Restart(_)
            | Command::Reset(_)
            | Command::Undo(_)
            | Command::Generations(_)
            | Command::Snapshot(_) => Care::Update,
            Command::Down(_)
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
pub fn take(app: &App, care: Care) {
    if care == Care::None {
        return;
    }
    // The command itself has given the warnings about the settings.
    let taken = silent(app).context(Overrides::default(), None).and_then(|context| {
        let context = Context { events: app.events.clone(), ..context };
        if lent::database(app, &context)?.is_none() {
            keep_right(&context, care, app.global.instance.is_some())?;
        }
        Ok(())
    });
    if let Err(error) = taken {
        app.events.warn(format!("the env file was not updated: {error}"));
    }
}

/// `is_chosen`: the command line names the instance.
fn keep_right(context: &Context, care: Care, is_chosen: bool) -> Result<()> {
    let record = instance::record(context);
    if let (Care::Update, Some(file), Ok(_)) = (care, &context.env_file, &record)
        && env::write(context, file)?
    {
        context.events.note(format!("updated {}", shown(context, file)));
    }
    let present = record.as_ref().ok().map(instance::recorded_address);
    if present.is_none() && is_chosen {
        // The address is probably that of the usual instance.
        return Ok(());
    }
    if let Some(stale) = env_file::stale(context, present.as_ref())? {
        context.events.warn_afterwards(text(context, &stale, present.is_some()));
    }
    Ok(())
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
