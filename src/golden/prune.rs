//! Keeping the cache small: the states that were used longest ago go first.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::engine::{Engine, GoldenLabel, GoldenState};
use crate::error::Result;
use crate::instance::Context;
use crate::state::Lock;
use crate::state::store::private_directory;

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

impl Default for Limits {
    fn default() -> Self {
        Limits { count: 20, bytes: 10 << 30, age: None }
    }
}

/// What was removed.
#[derive(Debug, Default)]
pub struct Pruned {
    /// The states.
    pub removed: Vec<GoldenState>,
    /// Those that should go and are in use.
    pub in_use: Vec<GoldenState>,
}

/// Removes what is beyond the limits, the longest unused first. Nothing is removed while another
/// command of this user is using the cache, and never what the engine says is in use.
///
/// # Errors
/// When the engine does not answer.
pub async fn prune(context: &Context, engine: &Engine, limits: &Limits) -> Result<Pruned> {
    let mut pruned = Pruned::default();
    let Some(_alone) = Lock::at_once(&context.store.lock_file("golden"))? else {
        return Ok(pruned);
    };
    engine.sweep_golden().await?;
    let mut states = engine.golden_states().await?;
    states.sort_by_key(|state| std::cmp::Reverse(last_used(context, &state.label)));
    let now = SystemTime::now();
    let (mut count, mut bytes) = (0, 0);
    let mut going = Vec::new();
    for state in states {
        let age = now.duration_since(last_used(context, &state.label)).unwrap_or_default();
        let fits = count < limits.count
            && bytes + state.bytes <= limits.bytes
            && limits.age.is_none_or(|limit| age <= limit);
        if fits {
            count += 1;
            bytes += state.bytes;
        } else {
            going.push(state);
        }
    }
    // What is built on others goes before them.
    going.sort_by_key(|state| std::cmp::Reverse(state.label.depth));
    for state in going {
        match engine.remove_golden(&state).await {
            Ok(()) => {
                forget(context, &state.label);
                pruned.removed.push(state);
            }
            Err(error) => {
                tracing::debug!("{} is kept: {error}", state.handle);
                pruned.in_use.push(state);
            }
        }
    }
    Ok(pruned)
}

/// Removes what a bake that was cut short left half made; left for another time while a command of
/// this user is using the cache.
///
/// # Errors
/// When the engine refuses.
pub async fn sweep(context: &Context, engine: &Engine) -> Result<()> {
    match Lock::at_once(&context.store.lock_file("golden"))? {
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
    let noted = private_directory(&context.store.root().join("golden"))
        .map_err(|error| error.to_string())
        .and_then(|()| fs::write(&file, []).map_err(|error| error.to_string()));
    if let Err(error) = noted {
        tracing::debug!("cannot note the use of {}: {error}", file.display());
    }
}

fn forget(context: &Context, label: &GoldenLabel) {
    // At worst an empty file stays.
    let _ = fs::remove_file(note(context, label));
}

fn note(context: &Context, label: &GoldenLabel) -> PathBuf {
    context.store.root().join("golden").join(label.name())
}
