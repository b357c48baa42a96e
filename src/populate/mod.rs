//! Migrates and seeds a running database, and compares it with its plan.

mod key;
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

impl Populated {
    /// Whether anything was applied.
    fn has_applied(&self) -> bool {
        let Applied { commands_run, migrations_applied, seeds_applied, .. } = &self.applied;
        [commands_run, migrations_applied, seeds_applied].iter().any(|list| !list.is_empty())
    }
}

/// Applies the extensions, migrations and seeds of `plan` that are due. Seeds are due only when
/// none is applied yet. Changes nothing when nothing is due.
///
/// # Errors
/// `Drift`, `Migration`, `Seed`, `Locked`, `Interrupted`.
pub async fn populate(context: &Context, address: &Address, plan: &Plan) -> Result<Populated> {
    populate_with(context, address, plan, None).await
}

/// As [`populate`], for a database that people work with. `keeper` keeps a copy of the data before
/// anything is applied, and is not asked when nothing is due.
///
/// # Errors
/// As [`populate`], and the errors of `keeper`.
pub async fn populate_kept(
    context: &Context,
    address: &Address,
    plan: &Plan,
    mut keeper: impl KeepBefore,
) -> Result<Populated> {
    let work = Work { context, address, plan };
    let (connection, found) = context.interrupt.guard(work.look()).await?;
    work.heed_other_tool(&found.migrations)?;
    if !work.is_due(Wanted::Plan, &found) {
        return context.interrupt.guard(work.finish(connection, found, None)).await;
    }
    // Keeping a copy may restart the server.
    connect::close(connection).await;
    let kept = keeper.keep(Due { work: &work, wanted: Wanted::Plan }).await?;
    let populated = context.interrupt.guard(work.populate(None)).await;
    with_kept(context, populated, kept, keeper).await
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
/// do, because a person asked for it. See [`populate_kept`] for `keeper`.
///
/// # Errors
/// `Drift`, `Migration`, `Locked`, `Interrupted`, and the errors of `keeper`.
pub async fn migrate(
    context: &Context,
    address: &Address,
    plan: &Plan,
    mut keeper: impl KeepBefore,
) -> Result<Populated> {
    let work = Work { context, address, plan };
    let found = context.interrupt.guard(work.look_and_leave()).await?;
    work.tell_of_other_tool(&found.migrations);
    let kept = match work.is_due(Wanted::Migrations, &found) {
        true => keeper.keep(Due { work: &work, wanted: Wanted::Migrations }).await?,
        false => None,
    };
    with_kept(context, context.interrupt.guard(work.migrate()).await, kept, keeper).await
}

/// Applies the pending seeds, whatever the plan's extent. See [`populate_kept`] for `keeper`.
///
/// # Errors
/// `Seed`, `Locked`, `Interrupted`, `Secret` when the database has values of another key, and the
/// errors of `keeper`.
pub async fn seed(
    context: &Context,
    address: &Address,
    plan: &Plan,
    mut keeper: impl KeepBefore,
) -> Result<Populated> {
    let work = Work { context, address, plan };
    let looking = async {
        let (mut connection, found) = work.look().await?;
        key::check(context, plan, &mut connection, &found.seeds.pending).await?;
        connect::close(connection).await;
        Ok(found)
    };
    let found = context.interrupt.guard(looking).await?;
    let kept = match work.is_due(Wanted::Seeds, &found) {
        true => keeper.keep(Due { work: &work, wanted: Wanted::Seeds }).await?,
        false => None,
    };
    with_kept(context, context.interrupt.guard(work.seed()).await, kept, keeper).await
}

/// Says which generation has the data of before, whether applying succeeded or not.
async fn with_kept(
    context: &Context,
    populated: Result<Populated>,
    kept: Option<Kept>,
    mut keeper: impl KeepBefore,
) -> Result<Populated> {
    let Some(Kept { number, first }) = kept else {
        if populated.as_ref().is_ok_and(|populated| populated.has_applied()) {
            keeper.succeeded(None).await;
        }
        return populated;
    };
    let from_first = |first: u32| {
        format!(
            "generation {first} is a copy from before the first attempt, which failed and may have \
             left changes"
        )
    };
    match populated {
        Ok(mut populated) => {
            keeper.succeeded(kept).await;
            match keeper.undo_goes_to(number) {
                true => populated.applied.kept_before = Some(number),
                false => context.events.note(format!(
                    "generation {number} is a copy from before this change; devdb generations switch \
                     {number} goes back to it"
                )),
            }
            if let Some(first) = first {
                let way = format!("devdb generations switch {first} goes back to it");
                context.events.note(format!("{}; {way}", from_first(first)));
            }
            Ok(populated)
        }
        Err(error) => {
            let error = match error.is_unchanged() {
                true => error.note(format!(
                    "generation {number} is a copy of the database, made before this attempt"
                )),
                false => {
                    let way = match keeper.undo_goes_to(number) {
                        true => "devdb undo".to_owned(),
                        false => format!("devdb generations switch {number}"),
                    };
                    error
                        .note(format!("generation {number} is a copy from before this attempt"))
                        .hint(format!("{way}   switches to that copy"))
                }
            };
            Err(match first {
                None => error,
                Some(number) => error.note(from_first(number)).hint(format!(
                    "devdb generations switch {number}   goes back to before the first attempt"
                )),
            })
        }
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
    key::compare(context, plan, &mut connection).await?;
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

/// What is to be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// What the plan's extent says.
    Plan,
    /// All migrations. Another tool's command is run in any case.
    Migrations,
    /// All pending seeds.
    Seeds,
}

/// Asks again whether something is to be applied. Another devdb may have applied it meanwhile.
pub struct Due<'a> {
    work: &'a Work<'a>,
    wanted: Wanted,
}

impl Due<'_> {
    /// Looks at the database.
    ///
    /// # Errors
    /// When the database does not answer, and `Interrupted`.
    pub async fn still_holds(&self) -> Result<bool> {
        let found = self.work.context.interrupt.guard(self.work.look_and_leave()).await?;
        Ok(self.work.is_due(self.wanted, &found))
    }
}

/// The copy that has the data of before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// The number of its generation.
    pub number: u32,
    /// The copy from before the first of several attempts that failed. `number` may have what they
    /// left.
    pub first: Option<u32>,
}

/// Keeps a copy of the data before it changes.
pub trait KeepBefore {
    /// Keeps the copy, unless nothing is `due` any more when no other devdb can interfere. None
    /// when no copy is needed or wanted.
    ///
    /// # Errors
    /// When the data cannot be copied. Nothing is applied then.
    fn keep(&mut self, due: Due<'_>) -> impl Future<Output = Result<Option<Kept>>>;

    /// Notes that everything was applied after [`KeepBefore::keep`], which returned `kept`.
    fn succeeded(&mut self, kept: Option<Kept>) -> impl Future<Output = ()>;

    /// Whether `undo` goes back to this copy. It does not when another command has replaced the
    /// database meanwhile.
    fn undo_goes_to(&self, number: u32) -> bool;
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

    /// Whether something will be applied.
    fn is_due(&self, wanted: Wanted, found: &Found) -> bool {
        let migrations = self.migrations_are_due(&found.migrations);
        match wanted {
            Wanted::Plan => {
                (self.plan.migrates() && migrations)
                    || (self.plan.seeds() && found.seeds.is_unbegun())
            }
            Wanted::Migrations => self.plan.migrations.is_command() || migrations,
            Wanted::Seeds => !found.seeds.pending.is_empty(),
        }
    }

    /// Whether migrations are pending. When the files have drifted, applying them fails and changes
    /// nothing.
    fn migrations_are_due(&self, found: &Standing) -> bool {
        let Standing { pending, changed, missing, out_of_order, dirty, .. } = found;
        let allows = self.context.spec.migrations.out_of_order == OutOfOrder::Allow;
        // Another tool is run all the same.
        let has_drifted =
            found.tool.is_none() && [changed, missing, dirty].iter().any(|list| !list.is_empty());
        !pending.is_empty() && !has_drifted && (allows || out_of_order.is_empty())
    }

    /// The drift of another tool's migrations is an error on a detached head, whose database follows
    /// the commit that is checked out, and otherwise a warning.
    fn heed_other_tool(&self, found: &Standing) -> Result<()> {
        match found.drift_of_tool().filter(|_| self.plan.migrates()) {
            Some(drift) if self.context.spec.is_of_detached_heads() => {
                Err(Error::new(Kind::Drift, drift))
            }
            _ => {
                self.tell_of_other_tool(found);
                Ok(())
            }
        }
    }

    /// Says which migrations another tool has applied in a form that the files do not have any more.
    /// The tool is run all the same, because it may know better.
    fn tell_of_other_tool(&self, found: &Standing) {
        if let Some(drift) = found.drift_of_tool().filter(|_| self.plan.migrates()) {
            self.context
                .events
                .warn(format!("{drift}; devdb reset makes a database from the present files"));
        }
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
            key::compare(self.context, plan, &mut connection).await?;
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
        if has_seeded {
            key::note(self.context, self.plan, connection).await?;
        }
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
        let populated = Populated { applied, server_version };
        if self.address.counting == Counting::Off && populated.has_applied() {
            statistics::refresh(self.address).await;
        }
        populated
    }

    fn target(&self, encrypting: Option<Encrypting>) -> Target<'_> {
        let Context { environment, events, key, spec, .. } = self.context;
        let encrypt = key.encrypter(events);
        let project_id = &spec.owner.project_id;
        let address = self.address;
        Target { address, environment, project_id, events, key, encrypt, encrypting }
    }
}

fn note_seeds(found: Standing, applied: &mut Applied) {
    applied.seeds_pending = found.pending;
    applied.seeds_changed = found.changed;
    applied.seeds_missing = found.missing;
}
