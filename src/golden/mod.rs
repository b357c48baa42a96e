//! Golden states: cached data directories that new databases are copied from.
//!
//! devdb finds the longest cached part of a plan ([`lookup`]), applies the rest in a private
//! server,
//! the builder ([`bake`]), and publishes the result. A bake publishes the state with the seeds, and
//! the state before them, which later migrations build on. A failure in the builder touches no
//! instance.

mod bake;
mod prune;
mod transfer;

use chrono::Utc;

use crate::context::Context;
use crate::engine::golden::LABEL_SCHEMA;
use crate::engine::{Engine, GoldenLabel, GoldenState, Platform, PrivateServer};
use crate::error::{Error, Kind, Result};
use crate::outcome::{Applied, Cached, GoldenReport};
use crate::plan::chain::{Chain, KeyPart, Step};
use crate::plan::{KeyUse, Plan};
use crate::spec::{EngineKind, MadeWith};
use crate::state::{Guards, Lock};

pub use prune::{Limits, Pruned, Scope, last_used, prune, sweep};
pub use transfer::{Imported, Reference, export, import, refuse_local};

/// How many states may be built on each other. The next state is baked from the empty database
/// again.
/// Engines allow about 125 layers, and each layer costs a little at every start.
const DEPTH_MAX: u32 = 20;

/// How often devdb looks for a state that others remove before it is used.
const TRIES: usize = 5;

const PRUNED_MEANWHILE: &str = "another devdb removed the golden state that this one was about to use, so \
     devdb looks for another";

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
    is_for_once: bool,
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
        prune::touch(context, &state.label);
        let (engine, applied) = (engine.clone(), applied(plan, &state, cached));
        Golden { cached, applied, state, engine, is_for_once: false, in_use }
    }

    /// Gives up the lock after the state was copied, and prunes the cache after a bake. Returns
    /// what
    /// the state contains, together with the pending work of `found`.
    pub async fn release(self, context: &Context, found: Applied) -> Applied {
        drop(self.in_use);
        if self.is_for_once {
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

/// How much of a plan's state an engine has in its cache.
pub struct Lookup {
    /// The states that the plan goes through.
    pub chain: Chain,
    /// The best cached state, with its step.
    pub best: Option<(Step, GoldenState)>,
    /// The platform of states that are made here.
    platform: Platform,
    /// Whether the state with the seeds may not leave this machine.
    is_local: bool,
}

impl Lookup {
    /// Looks at the engine's cache, without changing anything.
    ///
    /// # Errors
    /// When the engine does not answer or the key of `!encrypt` cannot be read.
    pub async fn look(context: &Context, engine: &Engine, plan: &Plan) -> Result<Lookup> {
        let spec = &context.spec.server;
        let (platform, states) = tokio::join!(engine.platform(spec), engine.golden_states());
        let key = key_part(context, plan)?;
        Ok(Lookup::among(context, plan, platform?, states?, key.as_ref()))
    }

    fn among(
        context: &Context,
        plan: &Plan,
        platform: Platform,
        states: Vec<GoldenState>,
        key: Option<&KeyPart>,
    ) -> Lookup {
        let chain = Chain::of(&context.spec.server, &platform, plan, key);
        let best = best(&chain, states, &platform);
        let is_local = plan.needs_key() && context.key.is_made_here();
        Lookup { chain, best, platform, is_local }
    }

    /// How much of the state is cached.
    pub fn cached(&self) -> Cached {
        match &self.best {
            _ if self.hit().is_some() => Cached::Hit,
            Some((step, _)) if step.migrations > 0 => Cached::Prefix,
            _ => Cached::Miss,
        }
    }

    /// The whole state, if it is cached.
    fn hit(&self) -> Option<GoldenState> {
        let (step, state) = self.best.as_ref()?;
        (step == self.chain.target() && state.label.clean).then(|| state.clone())
    }

    fn label(&self, context: &Context, engine: &Engine, step: &Step) -> GoldenLabel {
        GoldenLabel {
            schema: LABEL_SCHEMA,
            fingerprint: step.fingerprint.clone(),
            clean: false,
            depth: self.best.as_ref().map_or(0, |(_, state)| state.label.depth + 1),
            platform: self.platform.exact.clone(),
            made_with: MadeWith::of(&context.spec.server, engine.kind()),
            project: context.spec.owner.project.clone(),
            migrations: step.migrations,
            seeds: step.seeds,
            created: Utc::now(),
            next_transaction: 0,
            local: self.is_local && step.seeds > 0,
        }
    }
}

/// The longest step of `chain` that is cached. A clean state comes before one that serves only
/// builders. States of another platform do not count. When the state already has [`DEPTH_MAX`]
/// states
/// below it, the empty database is the best to build on.
fn best(
    chain: &Chain,
    states: Vec<GoldenState>,
    platform: &Platform,
) -> Option<(Step, GoldenState)> {
    let mut usable: Vec<GoldenState> =
        states.into_iter().filter(|state| state.label.platform == platform.exact).collect();
    // Of two states with the same fingerprint, the clean one is found first.
    usable.sort_by_key(|state| !state.label.clean);
    let of = |step: &Step| {
        let state = usable.iter().find(|state| state.label.fingerprint == step.fingerprint)?;
        Some((step.clone(), state.clone()))
    };
    let (step, state) = chain.longest_first().find_map(of)?;
    let is_hit = &step == chain.target() && state.label.clean;
    if is_hit || state.label.depth < DEPTH_MAX {
        return Some((step, state));
    }
    of(chain.base())
}

/// Finds the state of a plan, or bakes it, and calls `make` with it. Returns the state and what
/// `make`
/// returns. The caller holds the instance's lock. Other users of the engine may prune the state
/// before
/// `make` has used it; devdb then looks for it again.
///
/// # Errors
/// The errors of migrating, seeding, the engine and `make`. Only finished states are left.
pub async fn obtain<T>(
    context: &Context,
    engine: &Engine,
    plan: &Plan,
    mut make: impl AsyncFnMut(&Golden) -> Result<T>,
) -> Result<(Golden, T)> {
    let mut left = TRIES;
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
    let mut left = TRIES;
    loop {
        left -= 1;
        // Another process may have baked it while this one waited.
        let lookup = look().await?;
        if let Some(state) = lookup.hit() {
            return Ok((Golden::new(context, engine, plan, state, Cached::Hit, in_use), None));
        }
        let cached = lookup.cached();
        let best = lookup.best.as_ref().map(|(_, state)| state);
        if let Some(state) = best {
            prune::touch(context, &state.label);
        }
        match (bake::bake(context, engine, plan, &lookup).await, best) {
            (Ok((state, builder)), _) => {
                let is_for_once = state.label.fingerprint != lookup.chain.target().fingerprint;
                let golden = Golden::new(context, engine, plan, state, cached, in_use);
                return Ok((Golden { is_for_once, ..golden }, Some(builder)));
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
        context.events.warn(format!("the server that prepared the database could not be removed: {error}"));
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

/// The result of [`sight`].
pub struct Sighting {
    /// The fingerprint of the whole state. None while no key for its `!encrypt` values exists.
    pub fingerprint: Option<String>,
    /// How much of it is cached.
    pub cached: Cached,
    /// The states that the plan goes through.
    pub chain: Chain,
}

/// Looks for a plan's state among `states`, without making a key or changing anything else.
///
/// # Errors
/// When the image or the programs do not exist, or the key cannot be read.
pub async fn sight(
    context: &Context,
    engine: &Engine,
    plan: &Plan,
    states: Vec<GoldenState>,
) -> Result<Sighting> {
    let existing = if depends_on_key(context, plan) { context.key.existing()? } else { None };
    let is_known = existing.is_some() || !plan.needs_key();
    let key = match existing {
        Some(key) => Some(KeyPart::of(&key.to_base64())),
        None if is_known => None,
        None => Some(KeyPart::of("a key that is not made yet")),
    };
    let platform = engine.platform(&context.spec.server).await?;
    let lookup = Lookup::among(context, plan, platform, states, key.as_ref());
    Ok(Sighting {
        fingerprint: is_known.then(|| lookup.chain.target().fingerprint.clone()),
        cached: lookup.cached(),
        chain: lookup.chain,
    })
}

/// Whether the seeds' rows depend on the key of `!encrypt`. A seed command may encrypt with a key
/// that
/// it finds in its environment.
fn depends_on_key(context: &Context, plan: &Plan) -> bool {
    match plan.key_use() {
        KeyUse::Certain => true,
        KeyUse::Possible => !context.key.is_made_here(),
        KeyUse::None => false,
    }
}

fn key_part(context: &Context, plan: &Plan) -> Result<Option<KeyPart>> {
    if !depends_on_key(context, plan) {
        return Ok(None);
    }
    let key = context.key.announced(&context.events)?;
    Ok(Some(KeyPart::of(&key.to_base64())))
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
