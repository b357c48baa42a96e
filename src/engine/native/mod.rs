//! The engine without containers: local PostgreSQL server programs, a directory a generation, a
//! process a server. It keeps every verb of the contract in [`crate::engine`].
//!
//! Databases are made with locale `C.UTF-8` (`C` where the system lacks it): text is compared by
//! code point, alike on every machine.

mod account;
mod children;
mod copy;
mod directory;
mod golden;
mod golden_transfer;
mod launch;
mod log;
mod place;
mod pool;
mod private;
mod process;
pub mod programs;
mod record;
mod snapshot;
mod sockets;
mod standalone;
mod store;
mod transfer;
mod usage;
mod verbs;

pub use private::PrivateServer;
pub(super) use process::started as process_started;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::children::Children;
use self::place::Place;
use self::process::Postmaster;
use self::programs::Programs;
use self::record::{GenerationRecord, ServerNote};
use self::store::Store;
use crate::engine::{Endpoint, Role, Server, Status};
use crate::error::{Error, Kind, Result};
use crate::spec::Owner;

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

    /// A server's place, mark and note; none when it is gone or not ours.
    fn look_up(&self, handle: &str) -> Result<Option<(Place, GenerationRecord, ServerNote)>> {
        let Some(place) = self.store.place_of(handle) else {
            return Ok(None);
        };
        let Some(record) = place.record()? else {
            return Ok(None);
        };
        Ok(place.note()?.map(|note| (place, record, note)))
    }

    /// The same, for what must be there.
    fn expect(&self, server: &Server) -> Result<(Place, GenerationRecord, ServerNote)> {
        self.look_up(&server.handle)?.ok_or_else(|| {
            Error::new(Kind::Unexpected, format!("server {} is gone", server.name))
                .hint("devdb up        makes it again")
        })
    }

    fn describe(&self, place: &Place, record: GenerationRecord, note: &ServerNote) -> Server {
        let name = match note.role {
            Role::Instance if place.is_aside() => format!("{}-aside", record.owner.base_name()),
            Role::Instance => record.owner.base_name(),
            Role::Builder | Role::Ephemeral => record.owner.generation_name(record.number),
        };
        Server {
            handle: place.handle(),
            name,
            generation: record.number,
            owner: record.owner,
            role: note.role,
            status: self.status(place, note),
            endpoint: Some(Endpoint { host: "127.0.0.1".into(), port: note.port }),
            launch_digest: note.launch_digest.clone(),
            image: format!("PostgreSQL {}", note.version),
        }
    }

    fn status(&self, place: &Place, note: &ServerNote) -> Status {
        if place.is_aside() {
            // Whatever runs on this generation is the server in its place.
            return Status::Stopped { exit_code: None };
        }
        match process::postmaster(&place.pgdata(), note.pid) {
            Some(Postmaster { since, state, .. }) => Status::Running {
                since,
                health: state.map(|word| match word.as_str() {
                    "ready" => "healthy".into(),
                    _ => word,
                }),
            },
            None if self.children.is_running(place.directory()) => {
                Status::Running { since: None, health: None }
            }
            None => Status::Stopped { exit_code: self.children.exit_code(place.directory()) },
        }
    }

    /// The generation whose server has the instance's name.
    fn holder_of_the_name(&self, key: &str) -> Result<Option<Place>> {
        for (place, _) in self.store.list(Some(key))? {
            if place.note()?.is_some_and(|note| note.role == Role::Instance) {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Ends whatever works on a generation, and removes its server's note.
    async fn clear_away(&self, place: &Place) -> Result<()> {
        let note = place.note()?;
        process::end(&place.pgdata(), note.as_ref().and_then(|note| note.pid)).await?;
        self.children.forget(place.directory());
        place.remove_note()?;
        let key = place.key();
        if let Some(ServerNote { port, .. }) = note {
            self.store.clear_sockets(&key, port);
        }
        Ok(())
    }
}
