//! Migrates and seeds a running database, and compares it with its plan.

pub mod ready;

use crate::context::Context;
use crate::db::connect::{self, Address, Connection, Counting};
use crate::db::inspect::{self, ServerFacts};
use crate::db::migrate::LineEndings;
use crate::db::seed::Encrypting;
use crate::db::statistics;
use crate::error::{Error, Kind, Result};
use crate::outcome::{Applied, MigrationsReport, SeedsReport};
use crate::plan::{Insist, Plan, Standing, Target};
use crate::spec::OutOfOrder;

/// Whether the database accepts a login right now.
pub async fn accepts_login(address: &Address) -> bool {
    address.try_connect().await.is_ok()
}

/// The result of populating a database.
pub struct Populated {
    /// What was applied.
    pub applied: Applied,
    /// The server's version.
    pub server_version: Option<String>,
}

/// Applies the extensions, migrations and seeds of `plan` that are due. Seeds are due only when
/// none is applied yet. Changes nothing when nothing is due.
///
/// # Errors
/// `Drift`, `Migration`, `Seed`, `Locked`, `Interrupted`.
pub async fn populate(context: &Context, address: &Address, plan: &Plan) -> Result<Populated> {
    populate_with(context, address, plan, None).await
}

/// As [`populate`], for a database that people work with. `keep_before` runs before anything is
/// applied, and not when nothing is due; it returns the number of the generation that has the data
/// of before, if it keeps one.
///
/// # Errors
/// As [`populate`], and the errors of `keep_before`.
pub async fn populate_kept(
    context: &Context,
    address: &Address,
    plan: &Plan,
    keep_before: impl AsyncFnOnce() -> Result<Option<u32>>,
) -> Result<Populated> {
    let work = Work { context, address, plan };
    let (connection, found) = context.interrupt.guard(work.look()).await?;
    let kept = match work.is_due(&found) {
        false => return context.interrupt.guard(work.finish(connection, found, None)).await,
        true => {
            // Keeping a copy may restart the server.
            connect::close(connection).await;
            keep_before().await?
        }
    };
    let populated = context.interrupt.guard(work.populate(None)).await;
    with_kept(populated, kept)
}

/// As [`populate`], with seed values whose [encryption has begun](encrypt_ahead).
///
/// # Errors
/// As [`populate`].
pub async fn populate_with(
    context: &Context,
    address: &Address,
    plan: &Plan,
    encrypting: Option<Encrypting>,
) -> Result<Populated> {
    let work = Work { context, address, plan };
    context.interrupt.guard(work.populate(encrypting)).await
}

/// Begins to encrypt the values of the seeds, which needs no database.
pub fn encrypt_ahead(context: &Context, plan: &Plan) -> Option<Encrypting> {
    let encrypt = || context.key.encrypter(&context.events);
    if plan.seeds() { plan.seeds.encrypt_ahead(&encrypt) } else { None }
}

/// Applies the migrations of `plan`. Another tool's command is run even when devdb sees nothing to
/// do, because a person asked for it. See [`populate_kept`] for `keep_before`.
///
/// # Errors
/// `Drift`, `Migration`, `Locked`, `Interrupted`, and the errors of `keep_before`.
pub async fn migrate(
    context: &Context,
    address: &Address,
    plan: &Plan,
    keep_before: impl AsyncFnOnce() -> Result<Option<u32>>,
) -> Result<Populated> {
    let work = Work { context, address, plan };
    let found = context.interrupt.guard(work.look_and_leave()).await?;
    let is_due = plan.migrations.is_command() || work.migrations_are_due(&found.migrations);
    let kept = if is_due { keep_before().await? } else { None };
    with_kept(context.interrupt.guard(work.migrate()).await, kept)
}

/// Applies the pending seeds, whatever the plan's extent. See [`populate_kept`] for `keep_before`.
///
/// # Errors
/// `Seed`, `Locked`, `Interrupted`, and the errors of `keep_before`.
pub async fn seed(
    context: &Context,
    address: &Address,
    plan: &Plan,
    keep_before: impl AsyncFnOnce() -> Result<Option<u32>>,
) -> Result<Populated> {
    let work = Work { context, address, plan };
    let found = context.interrupt.guard(work.look_and_leave()).await?;
    let kept = if found.seeds.pending.is_empty() { None } else { keep_before().await? };
    with_kept(context.interrupt.guard(work.seed()).await, kept)
}

/// Says which generation has the data of before, whether applying succeeded or not.
fn with_kept(populated: Result<Populated>, kept: Option<u32>) -> Result<Populated> {
    let Some(number) = kept else { return populated };
    match populated {
        Ok(mut populated) => {
            populated.applied.kept_before = kept;
            Ok(populated)
        }
        Err(error) => Err(error
            .note(format!("generation {number} is a copy of the database from before"))
            .hint(format!("devdb undo   goes back to generation {number}"))),
    }
}

/// Compares the database with the plan's migrations.
///
/// # Errors
/// When the database does not answer.
pub async fn migrations(address: &Address, plan: &Plan) -> Result<MigrationsReport> {
    let mut connection = address.connect().await?;
    Ok(plan.migrations.standing(&mut connection).await?.into())
}

/// Makes a database record the files of this checkout with these line endings, when the checkout has
/// other ones than LF. A golden state has LF, because all checkouts share it; a copy has those that
/// are here.
///
/// # Errors
/// When the database does not answer.
pub async fn record_line_endings(
    address: &Address,
    plan: &Plan,
    endings: LineEndings,
) -> Result<()> {
    if !plan.migrates() || !plan.migrations.has_other_line_endings() {
        return Ok(());
    }
    let mut connection = address.connect().await?;
    plan.migrations.record_line_endings(&mut connection, endings).await?;
    connect::close(connection).await;
    Ok(())
}

/// What a running database reports about itself.
pub struct Survey {
    /// The facts about its server.
    pub server: ServerFacts,
    /// The migrations in the database, compared with the plan.
    pub migrations: MigrationsReport,
    /// The seeds in the database, compared with the plan.
    pub seeds: SeedsReport,
}

/// Asks a running database about itself, and compares it with the plan.
///
/// # Errors
/// When the database does not answer.
pub async fn survey(context: &Context, address: &Address, plan: &Plan) -> Result<Survey> {
    let mut connection = address.connect().await?;
    let facts = inspect::server(&mut connection).await?;
    let migrations = plan.migrations.standing(&mut connection).await?;
    let seeds = plan.seeds.standing(&mut connection).await?;
    connect::close(connection).await;
    let profile = context.spec.seeds.profile.clone();
    let seeds = SeedsReport::of(profile, seeds);
    Ok(Survey { server: facts, migrations: migrations.into(), seeds })
}

/// How a database compares with a plan.
struct Found {
    migrations: Standing,
    seeds: Standing,
}

/// One plan on one database.
struct Work<'a> {
    context: &'a Context,
    address: &'a Address,
    plan: &'a Plan,
}

impl Work<'_> {
    async fn look(&self) -> Result<(Connection, Found)> {
        let mut connection = self.address.connect().await?;
        let migrations = self.plan.migrations.standing(&mut connection).await?;
        let seeds = self.plan.seeds.standing(&mut connection).await?;
        Ok((connection, Found { migrations, seeds }))
    }

    async fn look_and_leave(&self) -> Result<Found> {
        let (connection, found) = self.look().await?;
        connect::close(connection).await;
        Ok(found)
    }

    /// Whether `populate` will apply migrations or seeds.
    fn is_due(&self, found: &Found) -> bool {
        let migrations = self.plan.migrates() && self.migrations_are_due(&found.migrations);
        migrations || (self.plan.seeds() && found.seeds.is_unbegun())
    }

    /// Whether migrations are pending. When the files have drifted, applying them fails and changes
    /// nothing.
    fn migrations_are_due(&self, found: &Standing) -> bool {
        let Standing { pending, changed, missing, out_of_order, dirty, .. } = found;
        let allows = self.context.spec.migrations.out_of_order == OutOfOrder::Allow;
        let has_drifted = [changed, missing, dirty].iter().any(|list| !list.is_empty());
        !pending.is_empty() && !has_drifted && (allows || out_of_order.is_empty())
    }

    async fn populate(&self, encrypting: Option<Encrypting>) -> Result<Populated> {
        let (connection, found) = self.look().await?;
        self.finish(connection, found, encrypting).await
    }

    async fn finish(
        &self,
        mut connection: Connection,
        found: Found,
        encrypting: Option<Encrypting>,
    ) -> Result<Populated> {
        let plan = self.plan;
        let mut applied = Applied::default();
        let mut seeds = found.seeds;
        if plan.migrates() {
            self.ensure_extensions(&mut connection).await?;
        }
        if plan.migrates() && !found.migrations.is_current() {
            self.apply_migrations(Insist::No, &mut applied).await?;
            seeds = plan.seeds.standing(&mut connection).await?;
        } else {
            applied.migrations_pending = found.migrations.pending;
        }
        if plan.migrates() {
            plan.migrations.record_line_endings(&mut connection, LineEndings::Here).await?;
        }
        if plan.seeds() && seeds.is_unbegun() {
            self.apply_seeds(&mut connection, encrypting, &mut applied).await?;
        } else {
            note_seeds(seeds, &mut applied);
        }
        Ok(self.close(connection, applied).await)
    }

    async fn migrate(&self) -> Result<Populated> {
        let mut connection = self.address.connect().await?;
        let mut applied = Applied::default();
        self.ensure_extensions(&mut connection).await?;
        self.apply_migrations(Insist::Yes, &mut applied).await?;
        self.plan.migrations.record_line_endings(&mut connection, LineEndings::Here).await?;
        note_seeds(self.plan.seeds.standing(&mut connection).await?, &mut applied);
        Ok(self.close(connection, applied).await)
    }

    async fn seed(&self) -> Result<Populated> {
        let mut connection = self.address.connect().await?;
        let mut applied = Applied::default();
        self.apply_seeds(&mut connection, None, &mut applied).await?;
        note_seeds(self.plan.seeds.standing(&mut connection).await?, &mut applied);
        Ok(self.close(connection, applied).await)
    }

    async fn ensure_extensions(&self, connection: &mut Connection) -> Result<()> {
        let extensions = &self.context.spec.server.extensions;
        inspect::ensure_extensions(connection, extensions).await.map(drop)
    }

    async fn apply_migrations(&self, insist: Insist, applied: &mut Applied) -> Result<()> {
        let done = self.plan.migrations.apply(self.target(None), insist).await?;
        applied.migrations_applied.extend(done.files);
        applied.commands_run.extend(done.commands);
        Ok(())
    }

    /// Applies the seeds. A seed that restores a dump may take migrations back, or bring those of
    /// an older schema; they are applied again then.
    async fn apply_seeds(
        &self,
        connection: &mut Connection,
        encrypting: Option<Encrypting>,
        applied: &mut Applied,
    ) -> Result<()> {
        let before = self.plan.migrations.standing(connection).await?;
        let done = self.plan.seeds.apply(self.target(encrypting), Insist::No).await?;
        let has_seeded = !(done.files.is_empty() && done.commands.is_empty());
        applied.seeds_applied.extend(done.files);
        applied.commands_run.extend(done.commands);
        if has_seeded {
            self.migrate_again(connection, &before, applied).await?;
        }
        Ok(())
    }

    /// Applies the migrations that the seeds took back, if they took back any.
    async fn migrate_again(
        &self,
        connection: &mut Connection,
        before: &Standing,
        applied: &mut Applied,
    ) -> Result<()> {
        let by_seeds = |error: Error| {
            error.note("the seeds changed what the database records about its migrations")
        };
        let found = self.plan.migrations.standing(connection).await?;
        if !before.has_lost_some(&found) {
            return Ok(());
        }
        if found.tool.is_none() {
            self.context.events.note(
                "the seeds took migrations back, as an older dump does, so devdb applies them again",
            );
        }
        self.apply_migrations(Insist::Yes, applied).await.map_err(by_seeds)?;
        let found = self.plan.migrations.standing(connection).await?;
        let lacks = found.pending.iter().chain(&found.changed).chain(&found.missing).next();
        match lacks {
            None => Ok(()),
            Some(name) => Err(by_seeds(Error::new(
                Kind::Seed,
                format!("after the seeds the database lacks {name}, or has another form of it"),
            ))),
        }
    }

    async fn close(&self, connection: Connection, applied: Applied) -> Populated {
        let server_version = connect::server_version(&connection);
        connect::close(connection).await;
        let Applied { migrations_applied, seeds_applied, commands_run, .. } = &applied;
        let done = [migrations_applied, seeds_applied, commands_run];
        if self.address.counting == Counting::Off && done.iter().any(|list| !list.is_empty()) {
            statistics::refresh(self.address).await;
        }
        Populated { applied, server_version }
    }

    fn target(&self, encrypting: Option<Encrypting>) -> Target<'_> {
        let Context { environment, events, key, spec, .. } = self.context;
        let encrypt = key.encrypter(events);
        let project_id = &spec.owner.project_id;
        Target { address: self.address, environment, project_id, events, encrypt, encrypting }
    }
}

fn note_seeds(found: Standing, applied: &mut Applied) {
    applied.seeds_pending = found.pending;
    applied.seeds_changed = found.changed;
}
