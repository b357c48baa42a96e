//! Keeping the cache small: the states that were used longest ago go first.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::context::Context;
use crate::disk::private_directory;
use crate::engine::{DamagedGolden, Engine, GoldenLabel, GoldenState};
use crate::error::{Kind, Result, ResultExt};
use crate::spec::CacheLimits;

use crate::state::{Guards, Store};

/// How the names of what is being fetched begin.
const PULL: &str = ".pull-";

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many states.
    pub count: usize,
    /// How many bytes in all.
    pub bytes: u64,
    /// For how long after their last use; none: for ever.
    pub age: Option<Duration>,
}

impl Limits {
    /// As a project's settings have it.
    pub fn of(limits: CacheLimits) -> Self {
        Limits { count: limits.states, bytes: limits.bytes, age: None }
    }

    /// Nothing is kept.
    pub const NOTHING: Limits = Limits { count: 0, bytes: 0, age: None };
}

/// Which states are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Those first made for the project of this name.
    Project(&'a str),
    /// Everybody's on the engine.
    Everything,
}

impl Scope<'_> {
    /// Whether a state is meant.
    pub fn has(self, label: &GoldenLabel) -> bool {
        match self {
            Scope::Project(name) => label.project == name,
            Scope::Everything => true,
        }
    }
}

/// What was removed.
#[derive(Debug, Default)]
pub struct Pruned {
    /// The states.
    pub removed: Vec<GoldenState>,
    /// What was damaged.
    pub damaged: Vec<DamagedGolden>,
    /// Those that should go and are in use.
    pub in_use: Vec<GoldenState>,
}

/// Removes what is beyond the limits, the longest unused first, and everything that is damaged.
/// Waits for this user's commands that are using the cache, and never removes what the engine says
/// is in use.
///
/// # Errors
/// `Locked` when they take too long, and when the engine does not answer.
pub async fn prune(
    context: &Context,
    engine: &Engine,
    scope: Scope<'_>,
    limits: &Limits,
) -> Result<Pruned> {
    let waiting = context.store.lock(Guards::Cache, &context.events);
    let _alone = context.interrupt.guard(waiting).await?;
    // Only when somebody asks for it: whose they are cannot be told.
    let damaged = engine.damaged_golden().await?;
    for one in &damaged {
        engine.remove_damaged(one).await?;
    }
    Ok(Pruned { damaged, ..prune_alone(context, engine, scope, limits).await? })
}

/// Makes room for what was baked: the project's states are kept within its limits, and those of all
/// projects together within the usual ones, or its own where they are wider. Another time, when
/// another command of this user is using the cache.
pub(super) async fn after_a_bake(context: &Context, engine: &Engine) {
    let (own, usual) = (context.spec.cache, CacheLimits::default());
    let all =
        CacheLimits { states: own.states.max(usual.states), bytes: own.bytes.max(usual.bytes) };
    let work = async {
        let Some(_alone) = context.store.try_lock(Guards::Cache)? else { return Ok(()) };
        let project = Scope::Project(&context.spec.owner.project);
        prune_alone(context, engine, project, &Limits::of(own)).await?;
        prune_alone(context, engine, Scope::Everything, &Limits::of(all)).await.map(drop)
    };
    let pruned: Result<()> = work.await;
    if let Err(error) = pruned {
        context.events.warn(format!("the cache could not be pruned: {error}"));
    }
}

async fn prune_alone(
    context: &Context,
    engine: &Engine,
    scope: Scope<'_>,
    limits: &Limits,
) -> Result<Pruned> {
    let mut pruned = Pruned::default();
    let mut states = engine.golden_states().await?;
    states.retain(|state| scope.has(&state.label));
    let mut going = beyond(context, states, limits);
    // What is built on others goes before them.
    going.sort_by_key(|state| std::cmp::Reverse(state.label.depth));
    for state in going {
        if let Err(error) = engine.remove_golden(&state).await {
            let is_there =
                |states: Vec<GoldenState>| states.iter().any(|one| one.handle == state.handle);
            // Another home's devdb may have been at the same.
            if engine.golden_states().await.map_or(true, is_there) {
                tracing::debug!("{} is kept: {error}", state.handle);
                pruned.in_use.push(state);
                continue;
            }
        }
        forget(context, &state.label);
        pruned.removed.push(state);
    }
    sweep_pulls(context);
    context.store.remove_baking_locks();
    engine.sweep_golden().await?;
    Ok(pruned)
}

/// The states that the limits have no room for.
fn beyond(context: &Context, mut states: Vec<GoldenState>, limits: &Limits) -> Vec<GoldenState> {
    states.sort_by_key(|state| std::cmp::Reverse(last_used(context, &state.label)));
    let now = SystemTime::now();
    let mut bytes = 0;
    // One that never fits takes no other's place.
    let (mut too_big, mut states): (Vec<_>, Vec<_>) =
        states.into_iter().partition(|state| state.bytes > limits.bytes);
    let kept = states.iter().enumerate().take_while(|(before, state)| {
        let age = now.duration_since(last_used(context, &state.label)).unwrap_or_default();
        bytes += state.bytes;
        *before < limits.count
            && bytes <= limits.bytes
            && limits.age.is_none_or(|limit| age <= limit)
    });
    let kept = kept.count();
    too_big.append(&mut states.split_off(kept));
    too_big
}

/// A directory for what is being fetched: gone when it is dropped, or at the next pruning.
///
/// # Errors
/// When it cannot be made.
pub(super) fn new_pull(context: &Context) -> Result<tempfile::TempDir> {
    let notes = notes(context);
    private_directory(&notes)?;
    tempfile::Builder::new()
        .prefix(PULL)
        .tempdir_in(&notes)
        .or_fail(Kind::Unexpected, || format!("cannot make a directory in {}", notes.display()))
}

/// Removes what pulls that were killed had fetched.
fn sweep_pulls(context: &Context) {
    for entry in fs::read_dir(notes(context)).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PULL) {
            // At worst it stays until the next time.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Removes what a bake that was cut short left half made; left for another time while a command of
/// this user is using the cache.
///
/// # Errors
/// When the engine refuses.
pub async fn sweep(store: &Store, engine: &Engine) -> Result<()> {
    if !engine.may_have_half_made_golden() {
        return Ok(());
    }
    match store.try_lock(Guards::Cache)? {
        Some(_alone) => engine.sweep_golden().await,
        None => Ok(()),
    }
}

/// When a state was used last by this user; when it was made, where that is not known.
pub fn last_used(context: &Context, label: &GoldenLabel) -> SystemTime {
    let noted = fs::metadata(note(context, label)).and_then(|file| file.modified());
    noted.unwrap_or_else(|_| label.created.into())
}

/// Notes that a state is being used. What goes wrong with that costs a state its place in the queue.
pub(super) fn touch(context: &Context, label: &GoldenLabel) {
    let file = note(context, label);
    let noted = private_directory(&notes(context))
        .map_err(|error| error.to_string())
        .and_then(|()| fs::write(&file, []).map_err(|error| error.to_string()));
    if let Err(error) = noted {
        tracing::debug!("cannot note the use of {}: {error}", file.display());
    }
}

/// Removes a state that nobody will look for. While an ephemeral database runs on it that cannot be:
/// it is the first to go then.
pub(super) async fn discard(context: &Context, engine: &Engine, state: &GoldenState) {
    if engine.remove_golden(state).await.is_ok() {
        return forget(context, &state.label);
    }
    let file = fs::File::options().write(true).open(note(context, &state.label));
    // At worst it goes in its turn.
    let _ = file.and_then(|file| file.set_modified(SystemTime::UNIX_EPOCH));
}

fn forget(context: &Context, label: &GoldenLabel) {
    // At worst an empty file stays.
    let _ = fs::remove_file(note(context, label));
}

fn note(context: &Context, label: &GoldenLabel) -> PathBuf {
    notes(context).join(label.name())
}

fn notes(context: &Context) -> PathBuf {
    context.store.root().join("golden")
}
