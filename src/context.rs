//! What every command needs of the world: what the instance should be, where records are, how to
//! reach engines, where progress goes.

use crate::config::environment::Environment;
use crate::engine::Engines;
use crate::event::Events;
use crate::interrupt::Interrupt;
use crate::secret::KeySource;
use crate::spec::InstanceSpec;
use crate::state::{Home, Record, Store};

/// The world as one command sees it. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// What the instance should be.
    pub spec: InstanceSpec,
    /// Where records are.
    pub store: Store,
    /// How to reach engines.
    pub engines: Engines,
    /// Where progress goes.
    pub events: Events,
    /// Whether a person asked devdb to stop.
    pub interrupt: Interrupt,
    /// What programs that devdb runs inherit.
    pub environment: Environment,
    /// Where the project is; none for the sample.
    pub home: Option<Home>,
    /// Where the key of `!encrypt` comes from.
    pub key: KeySource,
}

impl Context {
    /// The same world for the instance of a record, which may belong to another project. It is
    /// enough to remove the instance: that project's devdb.yaml was not read.
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
}
