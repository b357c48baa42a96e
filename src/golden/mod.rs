//! Golden states: cached data directories that new databases are copied from.
//!
//! devdb finds the longest cached part of a plan ([`lookup`]), applies the rest in a private
//! server, the builder ([`bake`]), and publishes the result. A bake publishes the state with the
//! seeds, and the state before them, which later migrations build on. A failure in the builder
//! touches no instance.

mod bake;
mod lookup;
mod prune;
mod transfer;

use crate::context::Context;
use crate::engine::{Engine, GoldenState, PrivateServer};
use crate::error::{Error, Kind, Result};
use crate::outcome::{Applied, Cached, GoldenReport};
use crate::plan::Plan;
use crate::spec::EngineKind;
use crate::state::{Guards, Lock};
use lookup::Lookup;

pub use lookup::look_without_key;
pub use prune::{Limits, Scope, last_used, prune, sweep};
pub use transfer::{Imported, Reference, export, import, refuse_local};

/// How often devdb looks for a state that others remove before it is used.
const LOOKUP_TRIES_MAX: usize = 5;

const PRUNED_MEANWHILE: &str = "another devdb removed the golden state that this one was \
     about to use, so devdb looks for another";

/// A golden state to start from.
pub struct Golden {
    /// The state itself.
    pub state: GoldenState,
    /// How much of it was cached.
    pub cached: Cached,
    /// What was applied to it.
    pub applied: Applied,
    engine: Engine,
    /// Whether nobody can find it again, because its files changed while it was made.
    is_single_use: bool,
    /// The shared lock of the cache, which keeps others from pruning.
    in_use: Lock,
}

impl Golden {
    fn new(
        context: &Context,
        engine: &Engine,
        plan: &Plan,
        state: GoldenState,
        cached: Cached,
        in_use: Lock,
    ) -> Self {
        prune::note_use(context, &state.label);
        let (engine, applied) = (engine.clone(), applied(plan, &state, cached));
        Golden { cached, applied, state, engine, is_single_use: false, in_use }
    }

    /// Gives up the lock after the state was copied, and prunes the cache after a bake. Returns
    /// what the state contains, together with the pending work of `found`.
    pub async fn release(self, context: &Context, found: Applied) -> Applied {
        drop(self.in_use);
        if self.is_single_use {
            prune::discard(context, &self.engine, &self.state).await;
        }
        if self.cached != Cached::Hit {
            prune::after_a_bake(context, &self.engine).await;
        }
        Applied {
            migrations_applied: self.applied.migrations_applied,
            seeds_applied: self.applied.seeds_applied,
            commands_run: self.applied.commands_run,
            golden: self.applied.golden,
            ..found
        }
    }
}

/// Finds the state of a plan, or bakes it, and calls `make` with it. Returns the state and what
/// `make` returns. The caller holds the instance's lock. Other users of the engine may prune the
/// state before `make` has used it; devdb then looks for it again.
///
/// # Errors
/// The errors of migrating, seeding, the engine and `make`. Only finished states are left.
pub async fn obtain<T>(
    context: &Context,
    engine: &Engine,
    plan: &Plan,
    mut make: impl AsyncFnMut(&Golden) -> Result<T>,
) -> Result<(Golden, T)> {
    let mut left = LOOKUP_TRIES_MAX;
    loop {
        left -= 1;
        let (golden, builder) = find_or_bake(context, engine, plan).await?;
        let made = match engine.kind() {
            EngineKind::Docker => tokio::join!(discard(context, builder), make(&golden)).1,
            // An ephemeral database uses the directory of its builder.
            EngineKind::Native => {
                discard(context, builder).await;
                make(&golden).await
            }
        };
        match made {
            Ok(made) => return Ok((golden, made)),
            Err(error) if left == 0 || !is_gone(engine, &golden.state, &error).await => {
                return Err(error);
            }
            Err(_) => context.events.note(PRUNED_MEANWHILE),
        }
    }
}

/// Returns the state, and the builder when devdb has baked the state.
async fn find_or_bake(
    context: &Context,
    engine: &Engine,
    plan: &Plan,
) -> Result<(Golden, Option<PrivateServer>)> {
    let guard = &context.interrupt;
    let in_use = use_cache(context).await?;
    let look = || guard.guard(Lookup::look(context, engine, plan));
    let lookup = look().await?;
    if let Some(state) = lookup.hit() {
        return Ok((Golden::new(context, engine, plan, state, Cached::Hit, in_use), None));
    }
    let fingerprint = &lookup.chain.target().fingerprint;
    let waiting = context.store.lock(Guards::Baking(fingerprint), &context.events);
    let _alone = guard.guard(waiting).await?;
    let mut left = LOOKUP_TRIES_MAX;
    loop {
        left -= 1;
        // Another process may have baked it while this one waited.
        let lookup = look().await?;
        if let Some(state) = lookup.hit() {
            return Ok((Golden::new(context, engine, plan, state, Cached::Hit, in_use), None));
        }
        let cached = lookup.cached();
        let best = lookup.best.as_ref().map(|best| &best.state);
        if let Some(state) = best {
            prune::note_use(context, &state.label);
        }
        match (bake::bake(context, engine, plan, &lookup).await, best) {
            (Ok((state, builder)), _) => {
                let is_single_use = state.label.fingerprint != lookup.chain.target().fingerprint;
                let golden = Golden::new(context, engine, plan, state, cached, in_use);
                return Ok((Golden { is_single_use, ..golden }, Some(builder)));
            }
            (Err(error), Some(best)) if left > 0 && is_gone(engine, best, &error).await => {
                context.events.note(PRUNED_MEANWHILE);
            }
            (Err(error), _) => return Err(error),
        }
    }
}

/// Removes a builder. When that fails, the next command removes it.
async fn discard(context: &Context, builder: Option<PrivateServer>) {
    let Some(builder) = builder else { return };
    if let Err(error) = builder.discard().await {
        context
            .events
            .warn(format!("the server that prepared the database could not be removed: {error}"));
    }
}

/// Whether a state was removed, which may be why something failed with `error`.
async fn is_gone(engine: &Engine, state: &GoldenState, error: &Error) -> bool {
    let is_listed = |states: Vec<GoldenState>| states.iter().any(|one| one.handle == state.handle);
    match error.kind() {
        // Somebody may have made the state again already, so the list does not help. An error about
        // another image comes from a registry.
        Kind::Image => error.message().contains(&state.handle),
        Kind::Unexpected => engine.golden_states().await.is_ok_and(|states| !is_listed(states)),
        _ => false,
    }
}

/// Shares the lock of the cache, which keeps this user's other commands from pruning.
async fn use_cache(context: &Context) -> Result<Lock> {
    let waiting = context.store.share(Guards::Cache, &context.events);
    context.interrupt.guard(waiting).await
}

fn applied(plan: &Plan, state: &GoldenState, cached: Cached) -> Applied {
    let label = &state.label;
    let migrations = plan.migrations.first(label.migrations);
    let seeds = plan.seeds.first(label.seeds);
    Applied {
        migrations_applied: migrations.files,
        seeds_applied: seeds.files,
        commands_run: [migrations.commands, seeds.commands].concat(),
        golden: Some(GoldenReport { fingerprint: label.fingerprint.clone(), cached }),
        ..Applied::default()
    }
}
