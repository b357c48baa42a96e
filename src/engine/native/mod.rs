//! The engine without containers: local PostgreSQL server programs, a directory a generation, a
//! process a server. It keeps every verb of the contract in [`crate::engine`].
//!
//! Databases are made with locale `C.UTF-8` (`C` where the system lacks it): text is compared by
//! code point, alike on every machine.

mod account;
mod blocking;
mod children;
mod copy;
mod directory;
mod generation;
mod generation_directory;
mod golden;
mod pool;
mod private;
mod process;
pub mod programs;
mod record;
mod server;
mod snapshot;
mod sockets;
mod standalone;
mod store;
mod transfer;

pub use private::PrivateServer;
pub(super) use process::started as process_started;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::children::Children;
use self::programs::Programs;
use self::record::{GenerationRecord, ServerNote};
use self::store::Store;
use crate::error::Result;
use crate::event::Events;
use crate::spec::{Owner, ServerSpec};

/// How many lines of its log explain a server's end.
const LOG_TAIL: usize = 20;

/// What this engine needs to know of the environment.
#[derive(Debug, Clone)]
pub struct NativeEnvironment {
    /// `postgres.bin_dir`: the only place to look for programs, when there is one.
    pub bin_dir: Option<PathBuf>,
    /// `PATH`.
    pub path: Option<OsString>,
    /// The user's home directory.
    pub home: Option<PathBuf>,
    /// devdb's data directory of this user, absolute: `~/.local/share/devdb`.
    pub data_dir: PathBuf,
    /// `XDG_RUNTIME_DIR`: for sockets when the data directory's path is too long.
    pub runtime_dir: Option<PathBuf>,
}

/// Local PostgreSQL server programs and the store of what they made. Cheap to clone; the clones
/// know of each other's servers.
#[derive(Debug, Clone)]
pub struct Native {
    environment: Arc<NativeEnvironment>,
    store: Arc<Store>,
    programs: Option<Arc<Programs>>,
    children: Children,
}

impl Native {
    /// The engine with server programs of one major version.
    ///
    /// # Errors
    /// `NoEngine` with every place that was tried; `Config` as [`Native::store_only`].
    pub fn find(environment: &NativeEnvironment, major: u16) -> Result<Self> {
        account::for_servers()?;
        let programs = programs::find(environment, major)?;
        Ok(Native { programs: Some(Arc::new(programs)), ..Native::store_only(environment)? })
    }

    /// The engine for what is there already: lists, stops, removes. Programs are looked for when
    /// something needs them.
    ///
    /// # Errors
    /// `Config` when the data directory's path cannot be used.
    pub fn store_only(environment: &NativeEnvironment) -> Result<Self> {
        Ok(Native {
            environment: Arc::new(environment.clone()),
            store: Arc::new(Store::new(environment)?),
            programs: None,
            children: Children::default(),
        })
    }

    /// The directory that holds everything this engine makes, sockets perhaps excepted.
    pub fn store_path(&self) -> &Path {
        self.store.root()
    }

    /// Where a generation is, or would be.
    pub fn generation_path(&self, owner: &Owner, number: u32) -> PathBuf {
        self.store.place(owner, number).directory().to_owned()
    }

    /// The version of the programs that were found: `15.18`.
    pub fn version(&self) -> Option<&str> {
        self.programs.as_ref().map(|programs| programs.version.as_str())
    }

    /// Whether the programs that were found have an extension.
    pub fn has_extension(&self, name: &str) -> bool {
        self.programs.as_ref().is_some_and(|programs| programs.has_extension(name))
    }

    /// The store's id.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn id(&self) -> Result<String> {
        self.store.id()
    }

    /// Finds the programs.
    ///
    /// # Errors
    /// As the contract has it.
    pub async fn prepare(&self, spec: &ServerSpec, _events: &Events) -> Result<()> {
        account::for_servers()?;
        self.programs_for(spec.major, spec.bin_dir.as_deref()).map(drop)
    }

    /// Programs of one major version: those at `bin`, if they are still there, else what is found.
    fn programs_for(&self, major: u16, bin: Option<&Path>) -> Result<Programs> {
        let fits = |programs: &&Arc<Programs>| {
            programs.major == major && bin.is_none_or(|bin| bin == programs.bin)
        };
        if let Some(programs) = self.programs.as_ref().filter(fits) {
            return Ok(Programs::clone(programs));
        }
        if let Some(bin) = bin {
            let bin_dir = Some(bin.to_owned());
            return programs::find(
                &NativeEnvironment { bin_dir, ..NativeEnvironment::clone(&self.environment) },
                major,
            );
        }
        programs::find(&self.environment, major)
    }

    /// Those a server was launched with, or, when an update has moved them, what is found.
    fn programs_of(&self, record: &GenerationRecord, note: &ServerNote) -> Result<Programs> {
        let major = record.made_with.major;
        self.programs_for(major, Some(&note.bin)).or_else(|_| self.programs_for(major, None))
    }
}
