//! The plan: what a database should contain. It has migrations and seeds, each from a [`source`].
//! Each kind of source is a file of its own. [`chain`] computes the fingerprints of golden states.

pub mod chain;
mod command;
mod migration_command;
mod migration_files;
mod seed_command;
mod seed_files;
mod source;

pub use migration_command::MigrationCommand;
pub use migration_files::{MigrationFiles, new_migration};
pub use seed_command::SeedCommand;
pub use seed_files::SeedFiles;
pub use source::{ByTool, Insist, KeyUse, Source, Stage, Standing, Target};

use crate::error::{Error, Kind, Result};
use crate::spec::InstanceSpec;

/// How much of a plan to apply. A larger extent includes the smaller ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// Nothing. The database is only compared with the plan.
    Nothing,
    /// Extensions and migrations.
    Migrations,
    /// Extensions, migrations, and the seeds if none is applied yet.
    Seeds,
}

impl Extent {
    /// The whole plan without what `skip` names. Without migrations there are no seeds either,
    /// because their tables would not exist.
    pub fn skipping(skip: Skip) -> Extent {
        match skip {
            Skip { migrations: true, .. } => Extent::Nothing,
            Skip { seeds: true, .. } => Extent::Migrations,
            _ => Extent::Seeds,
        }
    }
}

/// What the flags of a command leave out of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skip {
    /// Whether `--no-migrate` was given.
    pub migrations: bool,
    /// Whether `--no-seed` was given.
    pub seeds: bool,
}

/// What a database should contain. The sources are read and checked before anything is changed.
pub struct Plan {
    /// The source of the schema.
    pub migrations: Source,
    /// The source of the first rows.
    pub seeds: Source,
    /// How much of the plan to apply.
    pub extent: Extent,
}

impl Plan {
    /// Reads the sources that `spec` names. A bad file is an error here, before anything is
    /// changed.
    ///
    /// # Errors
    /// `Config` and `Seed`, with the file and the line.
    pub fn load(spec: &InstanceSpec, extent: Extent) -> Result<Plan> {
        let migrations = Source::load(Stage::Migrations, spec)?;
        if extent >= Extent::Migrations {
            migrations.check()?;
        }
        Ok(Plan { migrations, seeds: Source::load(Stage::Seeds, spec)?, extent })
    }

    /// A plan that applies nothing and reads no file.
    pub fn nothing() -> Plan {
        Plan {
            migrations: MigrationFiles::default().into(),
            seeds: SeedFiles::default().into(),
            extent: Extent::Nothing,
        }
    }

    /// The plan without its seeds.
    pub fn without_seeds(&self) -> Plan {
        Plan {
            migrations: self.migrations.clone(),
            seeds: SeedFiles::default().into(),
            extent: self.extent.min(Extent::Migrations),
        }
    }

    /// Whether the plan applies migrations.
    pub fn migrates(&self) -> bool {
        self.extent >= Extent::Migrations
    }

    /// Whether the plan applies seeds.
    pub fn seeds(&self) -> bool {
        self.extent >= Extent::Seeds
    }

    /// How the plan uses the key of `!encrypt`.
    pub fn key_use(&self) -> KeyUse {
        if self.seeds() { self.seeds.key_use() } else { KeyUse::None }
    }

    /// Whether the plan encrypts values with the key of `!encrypt`.
    pub fn needs_key(&self) -> bool {
        self.key_use() == KeyUse::Certain
    }

    /// Whether the files that other tools read are unchanged since the plan was made. devdb holds
    /// the contents of its own files, so they do not matter.
    pub fn is_current(&self) -> bool {
        self.migrations.is_current() && self.seeds.is_current()
    }

    /// Fails when the plan [is not current](Plan::is_current).
    ///
    /// # Errors
    /// `Config` when files have changed.
    pub fn check_current(&self) -> Result<()> {
        if self.is_current() {
            return Ok(());
        }
        Err(Error::new(Kind::Config, "files that `inputs` in devdb.yaml names have just changed")
            .hint("run the command again"))
    }
}
