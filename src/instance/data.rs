//! From an empty database to a migrated and seeded one, and where a database stands.

use std::time::{Duration, Instant};

use crate::db::connect::Connection;

use super::commands::{self, Standing};
use super::{Context, How};
use crate::db::connect::{self, Address};
use crate::db::inspect;
use crate::db::migrate::{self, MigrationSet};
use crate::db::seed::{self, Encrypting, SeedSet};
use crate::error::{Error, Kind, Result};
use crate::foreign::{Foreign, Purpose};
use crate::outcome::{Applied, MigrationsReport, Place, SeedsReport, UpReport};
use crate::spec::{Files, InstanceSpec};
use crate::state::Record;

/// How long to wait for another program that migrates the same database.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);

/// Who brings the migrations or the seeds.
#[derive(Clone)]
pub enum Source<Set> {
    /// devdb, from these files.
    Files(Set),
    /// Another tool. Its [`Foreign::fingerprint`] stands for the state that it brings.
    Command(Foreign),
}

impl<Set: Default> Default for Source<Set> {
    fn default() -> Self {
        Source::Files(Set::default())
    }
}

/// What should be in a database: the files, read and found good before anything is touched.
pub struct Plan {
    /// Migrations.
    pub migrations: Source<MigrationSet>,
    /// Seeds.
    pub seeds: Source<SeedSet>,
    /// Whether to apply migrations.
    pub migrate: bool,
    /// Whether to apply seeds, when none has been applied yet.
    pub seed: bool,
}

impl Plan {
    /// Nothing is to be applied, and no file is read.
    pub fn nothing() -> Plan {
        Plan {
            migrations: Source::default(),
            seeds: Source::default(),
            migrate: false,
            seed: false,
        }
    }

    /// The same without the seeds.
    pub fn without_seeds(&self) -> Plan {
        Plan {
            migrations: self.migrations.clone(),
            seeds: Source::default(),
            migrate: self.migrate,
            seed: false,
        }
    }

    /// Whether the values of the seeds depend on the key of `!encrypt`.
    pub fn needs_key(&self) -> bool {
        self.seed && matches!(&self.seeds, Source::Files(seeds) if seeds.needs_key())
    }

    /// Whether the files that other tools read are still those that the plan is made from; devdb's
    /// own have been read.
    pub fn is_current(&self) -> bool {
        let migrations = match &self.migrations {
            Source::Command(tool) => tool.is_current(),
            Source::Files(_) => true,
        };
        let seeds = match &self.seeds {
            Source::Command(tool) => tool.is_current(),
            Source::Files(_) => true,
        };
        migrations && seeds
    }

    /// Goes on only with a plan that [`Plan::is_current`].
    ///
    /// # Errors
    /// `Config`.
    pub fn check_current(&self) -> Result<()> {
        if self.is_current() {
            return Ok(());
        }
        Err(Error::new(Kind::Config, "files that `inputs` in devdb.yaml names have just changed")
            .hint("run it again"))
    }

    /// Reads the files of `spec`. Nothing is touched; a bad file is an error here and not halfway.
    ///
    /// # Errors
    /// `Config` and `Seed`, with file and line.
    pub fn load(spec: &InstanceSpec, migrate: bool, seed: bool) -> Result<Plan> {
        Ok(Plan {
            migrations: match &spec.migrations.files {
                Files::Command(command) => {
                    Source::Command(Foreign::load(Purpose::Migrations, command)?)
                }
                files => Source::Files(migrate::load(files)?),
            },
            seeds: match &spec.seeds.files {
                Files::Command(command) => Source::Command(Foreign::load(Purpose::Seeds, command)?),
                files => Source::Files(seed::load(files, &spec.seeds.profile)?),
            },
            migrate,
            // Seeds of tables that are not there yet would only fail.
            seed: seed && migrate,
        })
    }
}

/// Whether the database takes the login right now.
///
/// # Errors
/// None of its own: whatever is wrong is for the long way to find out.
pub async fn accepts_login(address: &Address) -> Result<bool> {
    Ok(address.try_connect().await.is_ok())
}

/// What was applied, and by which server.
pub struct Populated {
    /// What was applied.
    pub applied: Applied,
    /// The server's version.
    pub server_version: Option<String>,
}

impl Populated {
    /// As the report of a command that worked on a running instance.
    pub fn into_report(
        self,
        record: &Record,
        how: How,
        address: &Address,
        begun: Instant,
    ) -> UpReport {
        UpReport {
            how,
            owner: record.owner.clone(),
            engine: record.engine,
            server_version: self.server_version,
            place: Place::from(address),
            applied: self.applied,
            env_file: None,
            took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// Brings the database at `address` to what `plan` says: extensions, migrations, and seeds where
/// none has been applied yet. Looks first and changes nothing when nothing is to be done.
///
/// # Errors
/// `Drift`, `Migration`, `Seed`, `Locked`, `Interrupted`.
pub async fn populate(context: &Context, address: &Address, plan: &Plan) -> Result<Populated> {
    context.interrupt.guard(populate_unguarded(context, address, plan, None)).await
}

/// The same, with the values of the seeds [on their way](encrypt_ahead).
///
/// # Errors
/// As [`populate`].
pub async fn populate_with(
    context: &Context,
    address: &Address,
    plan: &Plan,
    encrypting: Option<Encrypting>,
) -> Result<Populated> {
    context.interrupt.guard(populate_unguarded(context, address, plan, encrypting)).await
}

/// Begins with encrypting the values of the seeds, which need no database.
pub fn encrypt_ahead(context: &Context, plan: &Plan) -> Option<Encrypting> {
    match &plan.seeds {
        Source::Files(seeds) if plan.needs_key() => {
            let names: Vec<String> =
                seeds.files().iter().map(|file| file.name().to_owned()).collect();
            Some(encrypt(context, seeds, &names))
        }
        _ => None,
    }
}

fn encrypt(context: &Context, seeds: &SeedSet, names: &[String]) -> Encrypting {
    Encrypting::begin(seeds, names, context.key.encrypter(&context.events))
}

async fn populate_unguarded(
    context: &Context,
    address: &Address,
    plan: &Plan,
    encrypting: Option<Encrypting>,
) -> Result<Populated> {
    let mut connection = address.connect().await?;
    let server_version = connect::server_version(&connection);
    let mut applied = Applied::default();
    if plan.migrate {
        inspect::ensure_extensions(&mut connection, &context.spec.server.extensions).await?;
    }
    match &plan.migrations {
        Source::Files(set) => {
            let found = migrate::status(&mut connection, set).await?;
            if plan.migrate && !found.is_current() {
                applied.migrations_applied = run_migrations(context, address, set).await?;
            } else {
                applied.migrations_pending =
                    found.pending.into_iter().map(|file| file.file).collect();
            }
        }
        Source::Command(tool) => {
            let found = commands::standing(&mut connection, tool).await?;
            let is_due = |standing| standing != Standing::Current;
            if plan.migrate && is_due(found) {
                applied.commands_run.extend(commands::run(context, address, tool, is_due).await?);
            } else {
                applied.migrations_pending = commands::migrations(tool, found).pending;
            }
        }
    }
    let found = seeds_on(&mut connection, plan).await?;
    if plan.seed && found.applied.is_empty() && !found.pending.is_empty() {
        run_seeds(context, address, plan, encrypting, &mut applied).await?;
    } else {
        applied.seeds_pending = found.pending;
        applied.seeds_changed = found.changed;
    }
    connect::close(connection).await;
    Ok(Populated { applied, server_version })
}

/// Brings the database to what the migrations of `plan` say. Another tool's command is run also
/// when it has nothing to do as far as devdb knows: a person asked for it.
///
/// # Errors
/// `Drift`, `Migration`, `Locked`, `Interrupted`.
pub async fn migrate(context: &Context, address: &Address, plan: &Plan) -> Result<Populated> {
    let Source::Command(tool) = &plan.migrations else {
        return populate(context, address, plan).await;
    };
    let work = async {
        let mut connection = address.connect().await?;
        inspect::ensure_extensions(&mut connection, &context.spec.server.extensions).await?;
        connect::close(connection).await;
        let ran = commands::run(context, address, tool, |_| true).await?;
        let mut populated = populate_unguarded(context, address, plan, None).await?;
        populated.applied.commands_run.extend(ran);
        Ok(populated)
    };
    context.interrupt.guard(work).await
}

/// Applies the seed files that have not been applied yet.
///
/// # Errors
/// `Seed`, `Locked`, `Interrupted`.
pub async fn seed(context: &Context, address: &Address, plan: &Plan) -> Result<Populated> {
    let work = async {
        let mut connection = address.connect().await?;
        let server_version = connect::server_version(&connection);
        let mut applied = Applied::default();
        run_seeds(context, address, plan, None, &mut applied).await?;
        let left = seeds_on(&mut connection, plan).await?;
        applied.seeds_pending = left.pending;
        applied.seeds_changed = left.changed;
        connect::close(connection).await;
        Ok(Populated { applied, server_version })
    };
    context.interrupt.guard(work).await
}

async fn run_migrations(
    context: &Context,
    address: &Address,
    set: &MigrationSet,
) -> Result<Vec<String>> {
    let allow = context.spec.migrations.allow_out_of_order;
    let run = migrate::run(address, set, allow, LOCK_PATIENCE, &context.events);
    Ok(run.await?.into_iter().map(|migration| migration.file).collect())
}

async fn run_seeds(
    context: &Context,
    address: &Address,
    plan: &Plan,
    encrypting: Option<Encrypting>,
    applied: &mut Applied,
) -> Result<()> {
    match &plan.seeds {
        Source::Files(set) => {
            let encrypting =
                |names: &[String]| encrypting.unwrap_or_else(|| encrypt(context, set, names));
            let outcome = seed::apply(address, set, encrypting, &context.events).await?;
            applied.seeds_applied = outcome.applied.into_iter().map(|seed| seed.file).collect();
        }
        Source::Command(tool) => {
            let is_due = |standing| standing == Standing::Never;
            applied.commands_run.extend(commands::run(context, address, tool, is_due).await?);
        }
    }
    Ok(())
}

/// Where migrations stand.
///
/// # Errors
/// When the database does not answer.
pub async fn migrations(address: &Address, plan: &Plan) -> Result<MigrationsReport> {
    let mut connection = address.connect().await?;
    migrations_on(&mut connection, plan).await
}

async fn migrations_on(connection: &mut Connection, plan: &Plan) -> Result<MigrationsReport> {
    let set = match &plan.migrations {
        Source::Files(set) => set,
        Source::Command(tool) => {
            return Ok(commands::migrations(tool, commands::standing(connection, tool).await?));
        }
    };
    let status = migrate::status(connection, set).await?;
    let applied = |list: &[migrate::AppliedMigration]| -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    };
    let pending = |list: Vec<migrate::PendingMigration>| -> Vec<String> {
        list.into_iter().map(|migration| migration.file).collect()
    };
    Ok(MigrationsReport {
        applied: applied(&status.applied),
        changed: applied(&status.changed),
        missing: applied(&status.missing),
        dirty: applied(&status.dirty),
        pending: pending(status.pending),
        out_of_order: pending(status.out_of_order),
    })
}

/// What a running database says about itself, and where it stands.
///
/// # Errors
/// When it does not answer.
pub async fn survey(
    context: &Context,
    address: &Address,
    plan: &Plan,
) -> Result<(inspect::ServerFacts, MigrationsReport, SeedsReport)> {
    let mut connection = address.connect().await?;
    let facts = inspect::server(&mut connection).await?;
    let migrations = migrations_on(&mut connection, plan).await?;
    let profile = context.spec.seeds.profile.clone();
    let seeds = SeedsReport { profile, ..seeds_on(&mut connection, plan).await? };
    connect::close(connection).await;
    Ok((facts, migrations, seeds))
}

/// Where seeds stand, whatever the profile.
async fn seeds_on(connection: &mut Connection, plan: &Plan) -> Result<SeedsReport> {
    Ok(match &plan.seeds {
        Source::Files(set) => {
            let status = seed::status(connection, set).await?;
            SeedsReport {
                profile: String::new(),
                applied: status.applied.into_iter().map(|seed| seed.file).collect(),
                pending: status.pending,
                changed: status.changed,
            }
        }
        Source::Command(tool) => commands::seeds(tool, commands::standing(connection, tool).await?),
    })
}
