//! The engine without containers. It runs the PostgreSQL programs of this machine: a generation is
//! a directory, and a server is a process. [`Engine`](crate::engine::Engine) documents its methods.
//!
//! Databases have the locale `C.UTF-8`, or `C` where the system lacks it. Both compare text by code
//! point, so text sorts alike on every machine.

mod account;
mod blocking;
mod children;
mod copy;
mod directory;
mod generation;
mod generation_directory;
mod golden;
mod lock;
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

pub use lock::FileLock;
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

/// The number of log lines that explain the end of a server.
const LOG_TAIL: usize = 20;

/// The environment that this engine depends on.
#[derive(Debug, Clone)]
pub struct NativeEnvironment {
    /// `postgres.bin_dir`. When it is set, devdb looks for programs nowhere else.
    pub bin_dir: Option<PathBuf>,
    /// The value of `PATH`.
    pub path: Option<OsString>,
    /// The user's home directory.
    pub home: Option<PathBuf>,
    /// The absolute path of this user's data directory of devdb: `~/.local/share/devdb`.
    pub data_dir: PathBuf,
    /// `XDG_RUNTIME_DIR`. Sockets are here when the path of the data directory is too long.
    pub runtime_dir: Option<PathBuf>,
}

/// The native engine: local server programs, and the store of everything that they made. A clone is
/// cheap and knows the servers that the original started.
#[derive(Debug, Clone)]
pub struct Native {
    environment: Arc<NativeEnvironment>,
    store: Arc<Store>,
    programs: Option<Arc<Programs>>,
    children: Children,
}

impl Native {
    /// Opens the engine with server programs of one major version.
    ///
    /// # Errors
    /// `NoEngine` with every place that was tried. `Config` as [`Native::store_only`].
    pub fn find(environment: &NativeEnvironment, major: u16) -> Result<Self> {
        account::for_servers()?;
        let programs = programs::find(environment, major)?;
        Ok(Native { programs: Some(Arc::new(programs)), ..Native::store_only(environment)? })
    }

    /// Opens the engine without looking for programs. It can list, stop and remove. It looks for
    /// programs when a method needs them.
    ///
    /// # Errors
    /// `Config` when the path of the data directory cannot be used.
    pub fn store_only(environment: &NativeEnvironment) -> Result<Self> {
        Ok(Native {
            environment: Arc::new(environment.clone()),
            store: Arc::new(Store::new(environment)?),
            programs: None,
            children: Children::default(),
        })
    }

    /// The directory of everything that this engine makes. Sockets may be elsewhere.
    pub fn store_path(&self) -> &Path {
        self.store.root()
    }

    /// The directory of a generation, whether it exists or not.
    pub fn generation_path(&self, owner: &Owner, id: u32) -> PathBuf {
        self.store.place(owner, id).directory().to_owned()
    }

    /// The version of the programs: `15.18`. None without programs.
    pub fn version(&self) -> Option<&str> {
        self.programs.as_ref().map(|programs| programs.version.as_str())
    }

    /// Whether the programs have an extension.
    pub fn has_extension(&self, name: &str) -> bool {
        self.programs.as_ref().is_some_and(|programs| programs.has_extension(name))
    }

    /// The id of the store.
    ///
    /// # Errors
    /// `Unexpected` when the id can be neither read nor written.
    pub async fn id(&self) -> Result<String> {
        self.store.id()
    }

    /// Finds the programs.
    ///
    /// # Errors
    /// `NoEngine` when there are no programs for `spec`.
    pub async fn prepare(&self, spec: &ServerSpec, _events: &Events) -> Result<()> {
        account::for_servers()?;
        self.programs_for(spec.major, spec.bin_dir.as_deref()).map(drop)
    }

    /// Finds programs of one major version. With `bin`, only the programs in this directory will
    /// do.
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

    /// Finds the programs that a server was launched with. An update may have moved them, so any
    /// programs of the same major version will do.
    fn programs_of(&self, record: &GenerationRecord, note: &ServerNote) -> Result<Programs> {
        let major = record.made_with.major;
        self.programs_for(major, Some(&note.bin)).or_else(|_| self.programs_for(major, None))
    }
}
