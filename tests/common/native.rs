//! The native engine in a store of its own for each test.

use std::path::PathBuf;
use std::process::Command;

use devdb::engine::GoldenState;
use devdb::engine::native::{Native, NativeEnvironment};
use devdb::spec::Owner;

use super::Stranger;

/// The engine's environment, and the store's directories, removed on drop: as root they are not
/// below the data directory.
pub struct Scratch {
    pub environment: NativeEnvironment,
    store: PathBuf,
    _data: tempfile::TempDir,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.store);
    }
}

/// The engine with a data directory that is awkward to quote, or why there is none.
pub fn engine() -> Result<(Native, Scratch), String> {
    let data = tempfile::tempdir().map_err(|error| error.to_string())?;
    let environment = environment(data.path().join("Anna's \"däta\", 2"));
    let engine = Native::find(&environment, 15).map_err(|error| error.to_string())?;
    let store = engine.store_path().to_owned();
    Ok((engine, Scratch { environment, store, _data: data }))
}

/// Gives the engine's store a copy of a golden state of another store.
pub async fn copy_state(engine: &Native, state: &GoldenState) -> GoldenState {
    engine.id().await.expect("the store can be made");
    let golden = engine.store_path().join("golden");
    let copy = golden.join(state.label.name());
    if !copy.exists() {
        std::fs::create_dir_all(&golden).unwrap();
        let copied = Command::new("cp").arg("-a").arg(&state.handle).arg(&copy).status();
        assert!(copied.unwrap().success(), "{} was not copied", state.handle);
    }
    GoldenState { handle: copy.to_string_lossy().into_owned(), ..state.clone() }
}

/// This process's environment with another data directory.
pub fn environment(data_dir: PathBuf) -> NativeEnvironment {
    NativeEnvironment {
        bin_dir: std::env::var_os("DEVDB_TEST_BIN_DIR").map(PathBuf::from),
        path: std::env::var_os("PATH"),
        home: std::env::var_os("HOME").map(PathBuf::from),
        data_dir,
        runtime_dir: None,
    }
}

/// A directory with the name of a generation.
pub fn put_stranger(engine: &Native, owner: &Owner, number: u32) -> Stranger {
    let directory = engine.generation_path(owner, number);
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("precious"), "somebody's").unwrap();
    Stranger::Directory(directory)
}
