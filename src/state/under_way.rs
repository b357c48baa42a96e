//! What a command is doing to an instance right now. The record has it from before the first step
//! until after the last, so that the next command knows of one that was cut short. What recovery
//! does for each is in one place: `instance/tidy.rs`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnderWay {
    /// The server of the current generation is being made, started or changed. When there is no
    /// current generation, the first one is being made.
    Up,
    /// The server is being stopped and removed.
    Down,
    /// A reset prepares a generation, or swaps to it.
    Reset,
    /// `undo` swaps to a former generation.
    Undo,
    /// The record was made from what an engine still has.
    Rebuild,
    /// Everything of the instance is being removed.
    Purge,
    /// This generation is being made. Until it is recorded it is nobody's, complete or not.
    Generation(u32),
    /// The snapshot of this name is being made or removed. Until that is over it is nobody's.
    Snapshot(String),
    /// Snapshots are being read, which may take a helper of the engine.
    ReadingSnapshots,
    /// This file is being written: a snapshot or a golden state.
    Export(PathBuf),
    /// A golden state is being fetched, made or sent.
    Cache,
    /// Golden states are being removed.
    Prune,
}
