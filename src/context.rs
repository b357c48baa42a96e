//! What every command needs: the specification of its instance, the records, the engines, and the
//! receiver of progress.

use std::path::PathBuf;

use crate::config::environment::Environment;
use crate::engine::Engines;
use crate::event::Events;
use crate::interrupt::Interrupt;
use crate::secret::KeySource;
use crate::spec::InstanceSpec;
use crate::state::{Home, Record, Store};

/// The surroundings of one command. A clone is cheap.
#[derive(Clone)]
pub struct Context {
    /// The specification of the instance.
    pub spec: InstanceSpec,
    /// The records.
    pub store: Store,
    /// The engines.
    pub engines: Engines,
    /// The receiver of progress.
    pub events: Events,
    /// Tells whether a person has interrupted the command.
    pub interrupt: Interrupt,
    /// The environment that programs inherit from devdb.
    pub environment: Environment,
    /// The place of the project; none for the sample project.
    pub home: Option<Home>,
    /// The source of the key for `!encrypt` values.
    pub key: KeySource,
    /// The env file that devdb keeps right (absolute).
    pub env_file: Option<PathBuf>,
    /// The directory with the application's env files: that of the project; for the sample project,
    /// the one in which devdb was started.
    pub directory: PathBuf,
}

impl Context {
    /// The context for the instance of a record, which may belong to another project. devdb has not
    /// read that project's devdb.yaml, so the context only serves to remove the instance.
    pub fn of_record(&self, record: &Record) -> Context {
        let mut context = self.clone();
        context.spec.owner = record.owner.clone();
        context.spec.of_branch = record.of_branch;
        context.spec.retention = record.retention;
        context.home.clone_from(&record.home);
        if let Some(current) = record.current_generation() {
            let made = &current.made_with;
            context.spec.server.major = made.major;
            context.spec.server.image.clone_from(&made.image);
            context.spec.server.database.clone_from(&made.database);
            context.spec.server.user.clone_from(&made.user);
        }
        context
    }

    /// The record, with what the settings keep now. The record has what they kept when the instance
    /// was last used.
    pub fn with_settings(&self, record: Record) -> Record {
        Record { retention: self.spec.retention, ..record }
    }
}
