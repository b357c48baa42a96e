//! What `stop --all` and `down --all` have in common: work on every instance of the project.

use super::said;
use crate::context::Context;
use crate::error::{Error, Kind, Result, shell_word};
use crate::instance;
use crate::outcome::Outcome;

/// The contexts of all instances that the developer has of the project, in the order of their names.
/// Other developers' instances may be in the same records.
///
/// # Errors
/// When the records cannot be read.
pub fn instances(context: &Context) -> Result<Vec<Context>> {
    let mut found = Vec::new();
    for record in context.store.load_all()? {
        match record {
            Ok(record) if record.owner.is_beside(&context.spec.owner) => {
                found.push(context.of_record(&record));
            }
            Ok(_) => {}
            Err(error) => context.events.warn(error.to_string()),
        }
    }
    found.sort_by(|one, other| one.spec.owner.cmp(&other.spec.owner));
    Ok(found)
}

/// Tells which instances an engine has without a record here.
pub async fn tell_of_unrecorded(context: &Context) {
    for (owner, engine) in instance::unrecorded(context, |_| true).await {
        context.events.note(format!(
            "the database {} is on {engine}, but devdb has no record of it here, and left it alone; \
             devdb up --instance {} makes a record",
            owner.instance,
            shell_word(&owner.instance)
        ));
    }
}

/// What became of the instances of a project.
#[derive(Default)]
pub struct Done {
    /// The names of the instances that were changed.
    changed: Vec<String>,
    /// The first error.
    failed: Option<Error>,
}

impl Done {
    /// Notes how the work on one instance ended: whether it changed anything. The other instances
    /// get their turn after an error, too.
    ///
    /// # Errors
    /// `Interrupted`.
    pub fn note(&mut self, context: &Context, ended: Result<bool>) -> Result<()> {
        let name = &context.spec.owner.instance;
        match ended {
            Ok(true) => self.changed.push(name.clone()),
            Ok(false) => {}
            Err(error) if error.kind() == Kind::Interrupted => return Err(error),
            Err(error) => {
                context.events.warn(format!("instance {name}: {error}"));
                self.failed.get_or_insert(error);
            }
        }
        Ok(())
    }

    /// The outcome of the command. `done` says what was done, and `nothing` that it was not needed.
    ///
    /// # Errors
    /// The first error of an instance.
    pub fn outcome(self, command: &'static str, done: &str, nothing: &str) -> Result<Outcome> {
        match (self.failed, self.changed.is_empty()) {
            (Some(error), _) => Err(error),
            (None, true) => Ok(said(command, false, nothing)),
            (None, false) => {
                let number = self.changed.len();
                let noun = if number == 1 { "database" } else { "databases" };
                let names = self.changed.join(", ");
                Ok(said(command, true, format!("{done} {number} {noun}: {names}")))
            }
        }
    }
}
