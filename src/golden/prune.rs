//! Keeps the cache small: the states that were used longest ago are removed first.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::context::Context;
use crate::disk::private_directory;
use crate::engine::{DamagedGolden, Engine, GoldenLabel, GoldenState};
use crate::error::{Kind, Result, ResultExt};
use crate::spec::CacheLimits;

use crate::state::{Guards, Store};

/// How the names of directories for downloads begin.
const PULL: &str = ".pull-";

/// The limits of what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many states are kept.
    pub count: usize,
    /// How many bytes all of them may have.
    pub bytes: u64,
    /// How long a state is kept after its last use. None for no limit.
    pub age: Option<Duration>,
}

impl Limits {
    /// The limits in a project's settings.
    pub fn of(limits: CacheLimits) -> Self {
        Limits { count: limits.states, bytes: limits.bytes, age: None }
    }

    /// Limits that keep nothing.
    pub const NOTHING: Limits = Limits { count: 0, bytes: 0, age: None };
}

/// Which states to prune.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// The states that were first made for the project of this name.
    Project(&'a str),
    /// All states on the engine, of every user.
    Everything,
}

impl Scope<'_> {
    /// Whether the scope includes a state.
    pub fn has(self, label: &GoldenLabel) -> bool {
        match self {
            Scope::Project(name) => label.project == name,
            Scope::Everything => true,
        }
    }
}

/// The result of pruning.
#[derive(Debug, Default)]
pub struct Pruned {
    /// The removed states.
    pub removed: Vec<GoldenState>,
    /// The removed damaged states.
    pub damaged: Vec<DamagedGolden>,
    /// The states beyond the limits that are in use and stay.
    pub in_use: Vec<GoldenState>,
}

/// Removes the states beyond the limits, the longest unused first, and every damaged state. Waits
/// for this user's commands that use the cache. Never removes what the engine reports as in use.
///
/// # Errors
/// `Locked` when other commands take too long, and when the engine does not answer.
pub async fn prune(
    context: &Context,
    engine: &Engine,
    scope: Scope<'_>,
    limits: &Limits,
) -> Result<Pruned> {
    let waiting = context.store.lock(Guards::Cache, &context.events);
    let _alone = context.interrupt.guard(waiting).await?;
    // Damaged states are removed only here, where a person asked for it: they may be another
    // user's.
    let damaged = engine.damaged_golden().await?;
    for one in &damaged {
        engine.remove_damaged(one).await?;
    }
    Ok(Pruned { damaged, ..prune_alone(context, engine, scope, limits).await? })
}

/// Prunes after a bake: the project's states to its limits, and the states of all projects together
/// to the default limits, or to the project's where they are higher. Does nothing while another
/// command of this user uses the cache.
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
    // A state that is built on another is removed before it.
    going.sort_by_key(|state| std::cmp::Reverse(state.label.depth));
    for state in going {
        if let Err(error) = engine.remove_golden(&state).await {
            let is_there =
                |states: Vec<GoldenState>| states.iter().any(|one| one.handle == state.handle);
            // A devdb with another home directory may have removed it.
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

/// The states beyond the limits.
fn beyond(context: &Context, mut states: Vec<GoldenState>, limits: &Limits) -> Vec<GoldenState> {
    states.sort_by_key(|state| std::cmp::Reverse(last_used(context, &state.label)));
    let now = SystemTime::now();
    let mut bytes = 0;
    // A state that is larger than the limit must not displace the others.
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

/// A new directory for a download. It is removed when it is dropped, or by the next pruning.
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

/// Removes the downloads of killed commands.
fn sweep_pulls(context: &Context) {
    for entry in fs::read_dir(notes(context)).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PULL) {
            // A directory that stays is removed next time.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Removes the unfinished states of a bake that was cut short. Does nothing while another command
/// of this user uses the cache.
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

/// When this user last used a state, or else when it was made.
pub fn last_used(context: &Context, label: &GoldenLabel) -> SystemTime {
    let noted = fs::metadata(note(context, label)).and_then(|file| file.modified());
    noted.unwrap_or_else(|_| label.created.into())
}

/// Records the use of a state. A failure only lets the state be pruned earlier.
pub(super) fn note_use(context: &Context, label: &GoldenLabel) {
    let file = note(context, label);
    let noted = private_directory(&notes(context))
        .map_err(|error| error.to_string())
        .and_then(|()| fs::write(&file, []).map_err(|error| error.to_string()));
    if let Err(error) = noted {
        tracing::debug!("cannot note the use of {}: {error}", file.display());
    }
}

/// Removes a state that nobody can find again. While an ephemeral database runs on it, it cannot be
/// removed. It is then marked as the first to prune.
pub(super) async fn discard(context: &Context, engine: &Engine, state: &GoldenState) {
    if engine.remove_golden(state).await.is_ok() {
        return forget(context, &state.label);
    }
    let file = fs::File::options().write(true).open(note(context, &state.label));
    // Without the mark it is pruned later.
    let _ = file.and_then(|file| file.set_modified(SystemTime::UNIX_EPOCH));
}

fn forget(context: &Context, label: &GoldenLabel) {
    // At worst an empty file is left.
    let _ = fs::remove_file(note(context, label));
}

fn note(context: &Context, label: &GoldenLabel) -> PathBuf {
    notes(context).join(label.name())
}

fn notes(context: &Context) -> PathBuf {
    context.store.root().join("golden")
}
