//! Bakes golden states: a builder, which is a private server that nobody else can log in to,
//! applies what a cached state lacks and publishes the result.

use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;
use uuid::Uuid;

use super::lookup::Lookup;
use crate::archive::Verified;
use crate::context::Context;
use crate::db::connect::Address;
use crate::db::migrate::LineEndings;
use crate::db::seed::Encrypting;
use crate::db::writes::{self, OtherSessions};
use crate::db::{checkpoint, password, scram};
use crate::engine::{Engine, GoldenLabel, GoldenState, Lease, PrivateLaunch, PrivateServer, Role};
use crate::error::{Error, Kind, Result};
use crate::outcome::Applied;
use crate::plan::Plan;
use crate::plan::chain::Step;
use crate::populate;
use crate::populate::ready::{self, MadeFrom};
use crate::spec::digest;

/// The migrated state is published only when its migrations took at least this long. A cheaper
/// state is not worth its disk space.
const BAKE_TIME_WORTH_KEEPING: Duration = Duration::from_millis(300);

/// Bakes the target of `lookup` and publishes it, together with the states on the way that are
/// worth keeping. The caller discards the builder.
///
/// # Errors
/// The errors of migrating, seeding and the engine, and `Config` when files have changed since they
/// were read. The builder is removed.
pub(super) async fn bake(
    context: &Context,
    engine: &Engine,
    plan: &Plan,
    lookup: &Lookup,
) -> Result<(GoldenState, PrivateServer)> {
    context.events.step("preparing a fresh database");
    // While this devdb waited for another, somebody may have switched the branch.
    plan.check_current()?;
    if plan.migrates() {
        // What the cached state contains is not run again.
        plan.migrations
            .check_behind(lookup.best.as_ref().map_or(0, |best| best.step.migrations))?;
    }
    build(context, engine, plan, lookup, None).await
}

/// Publishes the data directory in a file as the target of `lookup`, after a server on it has found
/// nothing to apply.
///
/// # Errors
/// `Snapshot` when there is something to apply, and the errors of the engine. Nothing is kept, and
/// the builder is removed.
pub(super) async fn publish_imported(
    context: &Context,
    engine: &Engine,
    plan: &Plan,
    lookup: &Lookup,
    archive: &Arc<Verified<GoldenLabel>>,
) -> Result<GoldenState> {
    context.events.step("checking the data");
    let (state, builder) = build(context, engine, plan, lookup, Some(archive)).await?;
    builder.discard().await?;
    Ok(state)
}

async fn build(
    context: &Context,
    engine: &Engine,
    plan: &Plan,
    lookup: &Lookup,
    unpack: Option<&Arc<Verified<GoldenLabel>>>,
) -> Result<(GoldenState, PrivateServer)> {
    let spec = context.spec.server.without_durability();
    let password = scram::new_password();
    let launch = PrivateLaunch {
        owner: &context.spec.owner,
        role: Role::Builder,
        lease: &Lease::of_this_process(None),
        spec: &spec,
        from: match unpack {
            Some(_) => None,
            None => lookup.best.as_ref().map(|best| &best.state),
        },
        unpack,
        verifier: &scram::verifier(password.expose_secret()),
    };
    let encrypting = if unpack.is_none() { populate::encrypt_ahead(context, plan) } else { None };
    // Not interruptible: the engine makes the container even when devdb stops waiting.
    let mut builder = engine.start_private(&launch).await?;
    let address = ready::private_address(&builder, &spec, password);
    let made_from = match launch.from.is_none() && unpack.is_none() {
        true => MadeFrom::Nothing,
        false => MadeFrom::State,
    };
    let work = Work { context, engine, plan, lookup, address, made_from };
    let baked = match unpack {
        Some(_) => work.check(&mut builder).await,
        None => work.run(&mut builder, encrypting).await,
    };
    let error = match baked {
        Ok(state) => return Ok((state, builder)),
        Err(error) => error,
    };
    Err(error.with_cleanup(builder.discard().await))
}

struct Work<'a> {
    context: &'a Context,
    engine: &'a Engine,
    plan: &'a Plan,
    lookup: &'a Lookup,
    address: Address,
    made_from: MadeFrom,
}

impl Work<'_> {
    async fn run(
        &self,
        builder: &mut PrivateServer,
        encrypting: Option<Encrypting>,
    ) -> Result<GoldenState> {
        let Work { context, plan, lookup, .. } = self;
        let chain = &lookup.chain;
        self.until_ready(builder).await?;
        if lookup.best.is_none() && chain.target() != chain.base() {
            self.publish_live(builder, chain.base()).await?;
        }
        let begun = Instant::now();
        populate::populate(context, &self.address, &plan.without_seeds())
            .await
            .map_err(Error::without_database)?;
        let is_new = lookup.best.as_ref().is_none_or(|best| &best.step != chain.migrated());
        let is_worth_it =
            chain.target() != chain.migrated() && begun.elapsed() >= BAKE_TIME_WORTH_KEEPING;
        if is_new && is_worth_it && plan.is_current() {
            self.publish_live(builder, chain.migrated()).await?;
        }
        populate::populate_with(context, &self.address, plan, encrypting)
            .await
            .map_err(Error::without_database)?;
        self.look().await?;
        let mut label = self.label(chain.target());
        if !plan.is_current() {
            // Nobody knows which version of the files the tool has read, so the state serves only
            // this one database. The random part keeps others from finding it.
            label.fingerprint = digest([&label.fingerprint, &Uuid::new_v4().to_string()]);
        }
        self.publish(builder, label).await
    }

    /// Looks whether the database has what its label is going to say.
    async fn look(&self) -> Result<()> {
        if !self.plan.migrates() {
            return Ok(());
        }
        let looking = populate::migrations(&self.address, self.plan);
        let found = self.context.interrupt.guard(looking).await?;
        let lists = [&found.pending, &found.changed, &found.missing, &found.dirty];
        match lists.into_iter().flatten().next() {
            None => Ok(()),
            Some(name) => Err(Error::new(
                Kind::Migration,
                format!("everything was applied, but the database does not record {name} as the file has it"),
            )
            .because("a migration or a seed changes the table in which migrations are recorded")),
        }
    }

    /// Publishes the unpacked state if nothing of the plan has to be applied to it.
    async fn check(&self, builder: &mut PrivateServer) -> Result<GoldenState> {
        let unlike = |error: Error| match error.kind() {
            Kind::Interrupted => error,
            _ => Error::new(Kind::Snapshot, "the pulled state is not what its label says")
                .because(error.message())
                .excerpt(error.excerpt_text().unwrap_or_default())
                .note("nothing was kept")
                .hint("run devdb cache push again on the machine that made it"),
        };
        self.until_ready(builder).await.map_err(unlike)?;
        let populated = populate::populate(self.context, &self.address, self.plan).await;
        let Applied {
            commands_run,
            migrations_applied,
            migrations_pending,
            seeds_applied,
            seeds_pending,
            seeds_changed,
            seeds_missing,
            kept_before: _,
            seeds_profile: _,
            golden: _,
        } = populated.map_err(unlike)?.applied;
        let lacking = [
            commands_run,
            migrations_applied,
            migrations_pending,
            seeds_applied,
            seeds_pending,
            seeds_changed,
            seeds_missing,
        ];
        if let Some(first) = lacking.into_iter().flatten().next() {
            let lacks = format!("it lacks {first}, or has another file of that name");
            return Err(unlike(Error::new(Kind::Snapshot, lacks)));
        }
        let label = GoldenLabel { depth: 0, ..self.label(self.lookup.chain.target()) };
        self.publish(builder, label).await
    }

    async fn publish(
        &self,
        builder: &mut PrivateServer,
        label: GoldenLabel,
    ) -> Result<GoldenState> {
        let guard = &self.context.interrupt;
        guard
            .guard(populate::record_line_endings(&self.address, self.plan, LineEndings::Lf))
            .await?;
        let measured = async {
            // Without the counters, a copy counts as written to as soon as autovacuum has worked.
            let measured = writes::measure(&self.address, OtherSessions::End).await;
            Ok(measured.ok().flatten())
        };
        let writes = guard.guard(measured).await?.map(|measured| measured.writes);
        // Nobody can log in afterwards. What this writes does not count.
        let next_transaction = guard.guard(password::remove_password(&self.address)).await?;
        // Not interruptible: the engine finishes even when devdb stops waiting.
        builder.publish(&GoldenLabel { clean: true, next_transaction, writes, ..label }).await
    }

    async fn until_ready(&self, builder: &PrivateServer) -> Result<()> {
        ready::private(self.context, builder, &self.address, self.made_from).await
    }

    async fn publish_live(&self, builder: &mut PrivateServer, step: &Step) -> Result<()> {
        let guard = &self.context.interrupt;
        guard.guard(checkpoint::checkpoint(&self.address)).await?;
        builder.publish_live(&self.label(step)).await?;
        // Publishing may have restarted the server.
        self.until_ready(builder).await
    }

    fn label(&self, step: &Step) -> GoldenLabel {
        self.lookup.label(self.context, self.engine, step)
    }
}
