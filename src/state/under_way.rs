//! What a command is doing to an instance. The note is in the record from before the first step
//! until after the last, so that the next command sees when one was cut short. The recovery for
//! each variant is in `instance/tidy.rs`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer};

/// What is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnderWay {
    /// The server of the current generation is being made, started or changed. When there is no
    /// current generation, the first one is being made.
    Up,
    /// The server is being stopped and removed.
    Down,
    /// A reset prepares a generation or swaps to it.
    Reset,
    /// `undo` swaps to a former generation.
    Undo,
    /// The record was rebuilt from what an engine has.
    Rebuild,
    /// The whole instance is being removed.
    Purge,
    /// The generation with this id is being made. Until it is in the record, recovery removes it.
    Generation(u32),
    /// The snapshot of this name is being made or removed. Recovery removes it.
    Snapshot(String),
    /// Snapshots are being read, for which an engine may start a helper container.
    ReadingSnapshots,
    /// A snapshot or a golden state is being written into this file.
    Export(#[serde(serialize_with = "lossy")] PathBuf),
    /// A golden state is being fetched, baked or sent.
    Cache,
    /// Golden states are being removed.
    Prune,
}

/// JSON holds UTF-8 only. A path that is something else can be written to all the same; recovery then
/// does not find its draft.
fn lossy<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_path_that_is_not_utf8_is_no_reason_to_fail() {
        let path = PathBuf::from(OsStr::from_bytes(b"/srv/caf\xe9/a.tar.zst"));
        let text = serde_json::to_string(&UnderWay::Export(path)).unwrap();
        assert_eq!(text, "{\"export\":\"/srv/caf\u{fffd}/a.tar.zst\"}");
        let back: UnderWay = serde_json::from_str(&text).unwrap();
        assert!(matches!(back, UnderWay::Export(_)));
    }
}
