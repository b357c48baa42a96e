//! What a database is to contain: migrations, then seeds, each from a source of some kind. One file
//! for each kind of source, one contract for all ([`source`]), and the chain of fingerprints that
//! golden states are found by ([`chain`]).

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
pub use source::{Insist, KeyUse, Source, Stage, Standing, Target};

use crate::error::{Error, Kind, Result};
use crate::spec::InstanceSpec;

/// How much of a plan is to be applied; more includes less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// Nothing: a database is only compared with the plan.
    Nothing,
    /// Extensions and migrations.
    Migrations,
    /// The seeds too, when none has been applied yet.
    Seeds,
}

impl Extent {
    /// As two flags of the command line say it. Without migrations there are no seeds either: their
    /// tables would not be there.
    pub fn without(migrations: bool, seeds: bool) -> Extent {
        match (migrations, seeds) {
            (true, _) => Extent::Nothing,
            (false, true) => Extent::Migrations,
            (false, false) => Extent::Seeds,
        }
    }
}

/// What should be in a database: the sources, read and found good before anything is touched.
pub struct Plan {
    /// What brings the schema.
    pub migrations: Source,
    /// What brings the first rows.
    pub seeds: Source,
    /// How much of it is to be applied.
    pub extent: Extent,
}

impl Plan {
    /// Reads the sources that `spec` names. Nothing is touched; a bad file is an error here and not
    /// halfway.
    ///
    /// # Errors
    /// `Config` and `Seed`, with file and line.
    pub fn load(spec: &InstanceSpec, extent: Extent) -> Result<Plan> {
        Ok(Plan {
            migrations: Source::load(Stage::Migrations, spec)?,
            seeds: Source::load(Stage::Seeds, spec)?,
            extent,
        })
    }

    /// Nothing is to be applied, and no file is read.
    pub fn nothing() -> Plan {
        Plan {
            migrations: MigrationFiles::none().into(),
            seeds: SeedFiles::default().into(),
            extent: Extent::Nothing,
        }
    }

    /// The same without the seeds.
    pub fn without_seeds(&self) -> Plan {
        Plan {
            migrations: self.migrations.clone(),
            seeds: SeedFiles::default().into(),
            extent: self.extent.min(Extent::Migrations),
        }
    }

    /// Whether the migrations are to be applied.
    pub fn migrates(&self) -> bool {
        self.extent >= Extent::Migrations
    }

    /// Whether the seeds are to be applied.
    pub fn seeds(&self) -> bool {
        self.extent >= Extent::Seeds
    }

    /// What the values that are to be applied have to do with the key of `!encrypt`.
    pub fn key_use(&self) -> KeyUse {
        if self.seeds() { self.seeds.key_use() } else { KeyUse::None }
    }

    /// Whether the values that are to be applied are encrypted with the key of `!encrypt`.
    pub fn needs_key(&self) -> bool {
        self.key_use() == KeyUse::Certain
    }

    /// Whether the files that other tools read are still those that the plan is made from; devdb's
    /// own have been read.
    pub fn is_current(&self) -> bool {
        self.migrations.is_current() && self.seeds.is_current()
    }

    /// Goes on only with a plan that [is current](Plan::is_current).
    ///
    /// # Errors
    /// `Config`.
    pub fn check_current(&self) -> Result<()> {
        if self.is_current() {
            return Ok(());
        }
        Err(Error::new(Kind::Config, "files that `inputs` in devdb.yaml names have just changed")
            .hint("run the command again"))
    }
}
