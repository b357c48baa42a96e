//! Looks for a plan's state in the cache of an engine.

use std::cmp::Reverse;

use chrono::Utc;

use crate::context::Context;
use crate::engine::golden::LABEL_SCHEMA;
use crate::engine::{Engine, GoldenLabel, GoldenState, Platform};
use crate::error::Result;
use crate::outcome::Cached;
use crate::plan::chain::{Chain, KeyPart, Step};
use crate::plan::{KeyUse, Plan};
use crate::spec::MadeWith;

/// How many states may be built on each other. The next state is baked from the empty database
/// again. Engines allow about 125 layers, and each layer costs a little at every start.
const DEPTH_MAX: u32 = 20;

/// How much of a plan's state an engine has in its cache.
pub(super) struct Lookup {
    /// The states that the plan goes through.
    pub chain: Chain,
    /// The best cached state to start from.
    pub best: Option<Best>,
    /// The platform of states that are made here.
    pub platform: Platform,
    /// Whether the state with the seeds may not leave this machine.
    is_local: bool,
}

/// A cached state of a plan.
pub(super) struct Best {
    /// The step of the plan that the state has reached.
    pub step: Step,
    /// The state.
    pub state: GoldenState,
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
            Some(best) if best.step.migrations > 0 => Cached::Prefix,
            _ => Cached::Miss,
        }
    }

    /// The whole state, if it is cached.
    pub fn hit(&self) -> Option<GoldenState> {
        let Best { step, state } = self.best.as_ref()?;
        (step == self.chain.target() && state.label.clean).then(|| state.clone())
    }

    /// The label of the state of `step`, before it is published.
    pub fn label(&self, context: &Context, engine: &Engine, step: &Step) -> GoldenLabel {
        GoldenLabel {
            schema: LABEL_SCHEMA,
            fingerprint: step.fingerprint.clone(),
            clean: false,
            depth: self.best.as_ref().map_or(0, |best| best.state.label.depth + 1),
            platform: self.platform.exact.clone(),
            made_with: MadeWith::of(&context.spec.server, engine.kind()),
            project: context.spec.owner.project.clone(),
            migrations: step.migrations,
            seeds: step.seeds,
            created: Utc::now(),
            next_transaction: 0,
            writes: None,
            local: self.is_local && step.seeds > 0,
            tool: self.chain.tool_inputs(step),
        }
    }
}

/// The longest step of `chain` that is cached, or else a state that another tool can go on from. A
/// clean state comes before one that serves only
/// builders. States of another platform do not count. When the state already has [`DEPTH_MAX`]
/// states below it, the empty database is the best to build on.
fn best(chain: &Chain, states: Vec<GoldenState>, platform: &Platform) -> Option<Best> {
    let mut usable: Vec<GoldenState> =
        states.into_iter().filter(|state| state.label.platform == platform.exact).collect();
    // Of two states with the same fingerprint, the clean one is found first.
    usable.sort_by_key(|state| !state.label.clean);
    let of = |step: &Step| {
        let state = usable.iter().find(|state| state.label.fingerprint == step.fingerprint)?;
        Some(Best { step: step.clone(), state: state.clone() })
    };
    let best = chain.longest_first().find_map(of);
    let best = match best {
        Some(best) if best.step.migrations > 0 => best,
        other => grown(chain, &usable).or(other)?,
    };
    let is_hit = &best.step == chain.target() && best.state.label.clean;
    if is_hit || best.state.label.depth < DEPTH_MAX {
        return Some(best);
    }
    of(chain.base())
}

/// The state with the most files of another tool, from which that tool can go on.
fn grown(chain: &Chain, states: &[GoldenState]) -> Option<Best> {
    let inputs = |state: &GoldenState| {
        let tool = state.label.tool.as_ref().filter(|_| state.label.seeds == 0)?;
        chain.continues(tool).then_some(tool.files.len())
    };
    let usable = states.iter().filter(|state| inputs(state).is_some());
    // Of two states with the same inputs, the first is the clean one.
    let state = usable.min_by_key(|state| Reverse(inputs(state)))?;
    let GoldenLabel { fingerprint, migrations, seeds, .. } = &state.label;
    let step = Step { fingerprint: fingerprint.clone(), migrations: *migrations, seeds: *seeds };
    Some(Best { step, state: state.clone() })
}

/// The result of [`look_without_key`].
pub struct KeylessLookup {
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
pub async fn look_without_key(
    context: &Context,
    engine: &Engine,
    plan: &Plan,
    states: Vec<GoldenState>,
) -> Result<KeylessLookup> {
    let existing = match plan.key_use() {
        _ if !depends_on_key(context, plan) => None,
        KeyUse::Possible => context.key.text()?,
        _ => context.key.existing()?.map(|key| key.to_base64()),
    };
    let is_known = existing.is_some() || !plan.needs_key();
    let key = match existing {
        Some(key) => Some(KeyPart::of(&key)),
        None if is_known => None,
        None => Some(KeyPart::of("a key that is not made yet")),
    };
    let platform = engine.platform(&context.spec.server).await?;
    let lookup = Lookup::among(context, plan, platform, states, key.as_ref());
    Ok(KeylessLookup {
        fingerprint: is_known.then(|| lookup.chain.target().fingerprint.clone()),
        cached: lookup.cached(),
        chain: lookup.chain,
    })
}

/// Whether the seeds' rows depend on the key of `!encrypt`. A seed command may encrypt with a key
/// that it finds in its environment.
fn depends_on_key(context: &Context, plan: &Plan) -> bool {
    match plan.key_use() {
        KeyUse::Certain => true,
        KeyUse::Possible => context.key.is_given(),
        KeyUse::None => false,
    }
}

fn key_part(context: &Context, plan: &Plan) -> Result<Option<KeyPart>> {
    if !depends_on_key(context, plan) {
        return Ok(None);
    }
    if plan.key_use() == KeyUse::Possible {
        return Ok(context.key.text()?.map(|key| KeyPart::of(&key)));
    }
    let key = context.key.announced(&context.events)?;
    Ok(Some(KeyPart::of(&key.to_base64())))
}
