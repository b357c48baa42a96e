//! The plan: what a database should contain. It has migrations and seeds, each from a [`source`].
//! Each kind of source is a file of its own. [`chain`] computes the fingerprints of golden states.

pub mod chain;
mod command;
mod growth;
mod lent;
mod migration_command;
mod migration_files;
mod seed_command;
mod seed_files;
mod source;

pub use lent::{EPHEMERAL_VARIABLE, LentVariables};
pub use migration_command::MigrationCommand;
pub use migration_files::{MigrationFiles, new_migration};
pub use seed_command::SeedCommand;
pub use seed_files::SeedFiles;
pub use source::{ByTool, Insist, KeyUse, Source, Stage, Standing, Target};

use crate::db::seed;
use crate::error::{Error, Kind, Result, shell_word};
use crate::event::Events;
use crate::spec::{InstanceSpec, SourceSpec};

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
    /// The sources that could not be read, and are not going to be applied. They are empty here.
    unread: Vec<(Stage, Error)>,
}

impl Plan {
    /// Reads the sources that `spec` names. A bad file is an error here, before anything is
    /// changed; unless its source is not going to be applied, which only has to be said.
    ///
    /// # Errors
    /// `Config` and `Seed`, with the file and the line.
    pub fn load(spec: &InstanceSpec, extent: Extent) -> Result<Plan> {
        let mut plan = Plan { extent, ..Plan::nothing() };
        match Source::load(Stage::Migrations, spec) {
            Ok(source) => plan.migrations = source,
            Err(error) if plan.migrates() => return Err(error),
            Err(error) => plan.unread.push((Stage::Migrations, error)),
        }
        match load_seeds(spec) {
            Ok(source) => plan.seeds = source,
            Err(error) if plan.seeds() => return Err(error),
            Err(error) => plan.unread.push((Stage::Seeds, error)),
        }
        Ok(plan)
    }

    /// As [`Plan::load`], for a database that may exist. When the directory of the profile that it
    /// was made with is gone, the database has its seeds all the same, so that is only said.
    ///
    /// # Errors
    /// As [`Plan::load`].
    pub fn load_to_go_on(spec: &InstanceSpec, extent: Extent) -> Result<Plan> {
        let extent = match lacks_remembered_profile(spec) {
            true => extent.min(Extent::Migrations),
            false => extent,
        };
        Plan::load(spec, extent)
    }

    /// Reads the seeds that `spec` names. The migrations are only compared, because seeds may take
    /// some of them back; they may be unreadable.
    ///
    /// # Errors
    /// `Config` and `Seed`, with the file and the line.
    pub fn load_seeds(spec: &InstanceSpec) -> Result<Plan> {
        let seeds = load_seeds(spec)?;
        let plan = Plan { seeds, ..Plan::nothing() };
        Ok(match Source::load(Stage::Migrations, spec) {
            Ok(migrations) => Plan { migrations, ..plan },
            Err(_) => plan,
        })
    }

    /// Says which source could not be read, although it is not going to be applied, and where
    /// migrations are that devdb does not apply.
    pub fn tell_unread(&self, events: &Events) {
        if let Some(advice) = self.migrations.advice() {
            events.warn(advice);
        }
        for (stage, error) in &self.unread {
            let stage = stage.as_str();
            // In the middle of a line, the blanks before a hint's reason would stand out.
            let way = error.hints().first().map(|hint| format!("; {}", hint.replace("   ", " ")));
            let way = way.unwrap_or_default();
            events.warn(format!("devdb cannot say which {stage} are pending: {error}{way}"));
        }
    }

    /// Whether the migrations of the plan are those of the project.
    pub fn knows_migrations(&self) -> bool {
        self.unread.iter().all(|(stage, _)| *stage != Stage::Migrations)
    }

    /// A plan that applies nothing and reads no file.
    pub fn nothing() -> Plan {
        Plan {
            migrations: MigrationFiles::default().into(),
            seeds: SeedFiles::default().into(),
            extent: Extent::Nothing,
            unread: Vec::new(),
        }
    }

    /// The plan without its seeds.
    pub fn without_seeds(&self) -> Plan {
        Plan {
            migrations: self.migrations.clone(),
            seeds: SeedFiles::default().into(),
            extent: self.extent.min(Extent::Migrations),
            unread: Vec::new(),
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

/// Reads the seeds.
fn load_seeds(spec: &InstanceSpec) -> Result<Source> {
    if !lacks_remembered_profile(spec) {
        return Source::load(Stage::Seeds, spec);
    }
    let profile = &spec.seeds.profile;
    let usual = shell_word(&spec.seeds.usual_profile);
    Err(Error::new(Kind::Config, format!("the seed profile {profile} has no directory any more"))
        .because("the database was made with this profile, and goes on with it")
        .hint(format!("devdb reset --profile {usual}   makes a database with the profile {usual}")))
}

/// Whether the directory of the profile that the database was made with is gone.
fn lacks_remembered_profile(spec: &InstanceSpec) -> bool {
    match &spec.seeds.source {
        SourceSpec::Files(files) if spec.seeds.is_remembered => {
            !seed::has_profile(files, &spec.seeds.profile)
        }
        _ => false,
    }
}
