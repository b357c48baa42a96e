//! The database that devdb gave to the program that started this devdb: that of `devdb run`, or one
//! of `devdb ephemeral start` whose variables the shell has. There, commands are about that database.
//! Otherwise a test that asks `devdb url` would empty the developer's own one.

use super::{App, silent};
use crate::cli::Command;
use crate::config::Overrides;
use crate::context::Context;
use crate::db::connect::Address;
use crate::ephemeral::{Id, note};
use crate::error::{Error, Kind, Result, shell_word};
use crate::plan::{EPHEMERAL_VARIABLE, LentVariables};
use crate::spec::Owner;

/// Such a database.
pub struct Lent {
    /// Its id.
    pub id: Id,
    /// Its address.
    pub address: Address,
    /// The variable that says so.
    variable: &'static str,
}

impl Lent {
    /// The owner of the database, as the engine knows it.
    pub fn owner(&self, context: &Context) -> Owner {
        self.id.owner(&context.spec.owner)
    }
}

/// The database that this command is about in place of the instance. None outside of a run, for
/// another project than the run's, and when a person names a developer or an instance.
///
/// # Errors
/// `NoInstance` when the variables name a database that is gone.
pub fn database(app: &App, context: &Context) -> Result<Option<Lent>> {
    if app.global.instance.is_some() || app.global.developer.is_some() {
        return Ok(None);
    }
    let owner = &context.spec.owner;
    if let Some(run) = LentVariables::of(&app.environment) {
        let lent =
            Lent { id: Id::parse(&run.id)?, address: run.address, variable: LentVariables::ID };
        return Ok((run.project_id == owner.project_id).then_some(lent));
    }
    let Some(id) = app.environment.get(EPHEMERAL_VARIABLE) else { return Ok(None) };
    let found = note::find(&context.store, owner, Some(id)).map_err(|error| {
        error.note(format!("{EPHEMERAL_VARIABLE} in this shell names the database")).hint(format!(
            "unset {EPHEMERAL_VARIABLE}   makes commands use your own database again"
        ))
    })?;
    let lent = Lent { id: found.id()?, address: found.address(), variable: EPHEMERAL_VARIABLE };
    Ok((found.owner.project_id == owner.project_id).then_some(lent))
}

/// Refuses a command that would work on the developer's own database while the shell is about
/// another one.
///
/// # Errors
/// `Usage`, and the errors of the settings.
pub fn refuse(app: &App, command: &Command) -> Result<()> {
    let environment = &app.environment;
    let is_lent =
        [LentVariables::ID, EPHEMERAL_VARIABLE].iter().any(|name| environment.get(name).is_some());
    let Some(name) = command.of_own_instance().filter(|_| is_lent) else { return Ok(()) };
    let context = silent(app).context(Overrides::default(), None)?;
    let Some(lent) = database(app, &context)? else { return Ok(()) };
    let Lent { id, variable, .. } = lent;
    let instance = shell_word(&context.spec.owner.instance);
    Err(Error::new(
        Kind::Usage,
        format!("devdb {name} cannot work on the database {id} of this run"),
    )
    .because(format!(
        "{variable} is set, so that commands are about that database and not about your own"
    ))
    .hint(format!("add --instance {instance} to the command to work on your own database")))
}
