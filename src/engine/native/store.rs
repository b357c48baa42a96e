//! The store: where generations are on the disk.
//!
//! ```text
//! <root>/store.json               the id of the store
//! <root>/<key>/g<N>/              a generation of the instance with this key
//!     generation.json             devdb's mark: devdb touches nothing here without it
//!     pgdata/                     the data directory
//!     log                         the log of its servers
//!     server.json                 the note of its server, while it has one
//!     complete                    the mark of completeness, written last
//! <root>/golden/                  golden states (see [`super::golden`])
//! <root>/<key>/snapshots/<name>/  a snapshot of the instance
//! <root>/locks/                   locks against other data directories ([`super::lock`])
//! <root>/s/<key>/                 the sockets of the instance's servers, where the path is short
//! ```
//!
//! The root is `<data directory>/native`. When devdb runs as root, it is below `/var/lib/devdb`,
//! because the account that servers run under cannot enter root's home.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::NativeEnvironment;
use super::account;
use super::directory::{NEW, TRASH, delete, give, is_left, make, names, sweep};
use super::generation_directory::{ASIDE, GenerationDirectory};
use super::record::{self, GenerationRecord, SCHEMA, StoreRecord};
use crate::disk;
use crate::error::{Error, Kind, Result, ResultExt};
use crate::spec::{self, Owner};

/// Where the stores of root are.
const SYSTEM_ROOT: &str = "/var/lib/devdb";

/// The directory of snapshots in the directory of an instance.
pub(super) const SNAPSHOTS: &str = "snapshots";

/// An owner's directory with nothing finished in it is abandoned after this time: 600 seconds.
const ABANDONED: Duration = Duration::from_secs(600);

/// The directories of one user's native servers.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pub(super) root: PathBuf,
    data_dir: PathBuf,
    pub(super) runtime_dir: Option<PathBuf>,
    pub(super) is_root: bool,
}

impl Store {
    /// The store for a data directory. This makes no files.
    ///
    /// # Errors
    /// `Config` when the path of the data directory cannot be used.
    pub fn new(environment: &NativeEnvironment) -> Result<Self> {
        let data_dir = resolve(&environment.data_dir);
        let unusable = |why: &str| {
            Error::new(
                Kind::Config,
                format!("cannot keep databases in {}", environment.data_dir.display()),
            )
            .because(why)
            .hint("set DEVDB_DATA_DIR to another directory")
        };
        if !data_dir.is_absolute() {
            return Err(unusable("the path is not absolute"));
        }
        let Some(text) = data_dir.to_str().filter(|text| !text.contains('\n')) else {
            return Err(unusable("the path is not UTF-8, or has a line break in it"));
        };
        let is_root = account::is_root();
        let root = match is_root {
            // Each data directory has a store of its own, so two homes of root share nothing.
            true => Path::new(SYSTEM_ROOT).join(&spec::digest([text])[..8]),
            false => data_dir.join("native"),
        };
        Ok(Store { root, data_dir, runtime_dir: environment.runtime_dir.clone(), is_root })
    }

    /// The directory that contains the whole store.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The id of the store. The first call makes it. Several processes may call this at once.
    ///
    /// # Errors
    /// `Unexpected` when the id can be neither read nor written.
    pub fn id(&self) -> Result<String> {
        let file = self.root.join("store.json");
        if let Some(StoreRecord { id, .. }) = record::read(&file)? {
            return Ok(id);
        }
        self.make_directory(&self.root)?;
        let fresh = StoreRecord {
            schema: SCHEMA,
            id: uuid::Uuid::new_v4().to_string(),
            belongs_to: self.data_dir.clone(),
        };
        if record::write_new(&file, &fresh)? {
            return Ok(fresh.id);
        }
        match record::read(&file)? {
            Some(StoreRecord { id, .. }) => Ok(id),
            None => Err(Error::new(
                Kind::Unexpected,
                format!("{} disappeared while it was being read", file.display()),
            )),
        }
    }

    /// The place of a generation, whether it exists or not.
    pub fn place(&self, owner: &Owner, id: u32) -> GenerationDirectory {
        GenerationDirectory::new(self.root.join(owner.key()).join(format!("g{id}")))
    }

    /// The place that a handle names. None when the handle does not belong to this store.
    pub fn place_of(&self, handle: &str) -> Option<GenerationDirectory> {
        let inside = Path::new(handle).strip_prefix(&self.root).ok()?.to_str()?;
        let (inside, aside) = match inside.strip_suffix(ASIDE) {
            Some(inside) => (inside, true),
            None => (inside, false),
        };
        let (key, generation) = inside.split_once('/')?;
        (is_key(key) && id_in(generation).is_some()).then(|| {
            GenerationDirectory::new(self.root.join(key).join(generation)).with_aside(aside)
        })
    }

    /// Lists the generations that carry devdb's mark, of one instance or of all.
    ///
    /// # Errors
    /// `Unexpected` when a mark of the given instance cannot be read. Without an instance, such a
    /// generation is left out, because one project with a newer devdb must not hide all others.
    pub fn list(&self, key: Option<&str>) -> Result<Vec<(GenerationDirectory, GenerationRecord)>> {
        let keys = match key {
            Some(key) => vec![key.to_owned()],
            None => names(&self.root)?.into_iter().filter(|name| is_key(name)).collect(),
        };
        let mut found = Vec::new();
        for name in keys {
            let directory = self.root.join(&name);
            let mut ids: Vec<u32> =
                names(&directory)?.iter().filter_map(|name| id_in(name)).collect();
            ids.sort_unstable();
            for id in ids {
                let place = GenerationDirectory::new(directory.join(format!("g{id}")));
                match place.record() {
                    Ok(Some(record)) => found.push((place, record)),
                    Ok(None) => {}
                    Err(error) if key.is_none() => {
                        tracing::warn!("{} is left out: {error}", place.directory().display());
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(found)
    }

    /// Makes the directory of a generation. The directory appears with its mark or not at all.
    ///
    /// # Errors
    /// `NotOurs` when a directory without devdb's mark has the name. `Unexpected` when the
    /// generation exists.
    pub fn create(&self, record: &GenerationRecord) -> Result<GenerationDirectory> {
        let place = self.place(&record.owner, record.id);
        if place.require()?.is_some() {
            return Err(Error::new(
                Kind::Unexpected,
                format!("generation {} exists already", place.directory().display()),
            ));
        }
        let parent = place.parent();
        self.make_directory(parent)?;
        sweep(parent);
        let cannot = || format!("cannot make {}", place.directory().display());
        let fresh = tempfile::Builder::new()
            .prefix(NEW)
            .tempdir_in(parent)
            .or_fail(Kind::Unexpected, cannot)?;
        fs::set_permissions(fresh.path(), self.mode()).or_fail(Kind::Unexpected, cannot)?;
        GenerationDirectory::new(fresh.path().to_owned()).write_record(record)?;
        fs::rename(fresh.path(), place.directory()).or_fail(Kind::Unexpected, cannot)?;
        Ok(place)
    }

    /// Removes the directory of a generation. The directory disappears at once, and its files are
    /// deleted when this returns.
    ///
    /// # Errors
    /// `NotOurs` when the directory has no mark. `Unexpected` when it cannot be removed.
    pub fn remove(&self, place: &GenerationDirectory) -> Result<()> {
        if place.require()?.is_none() {
            return Ok(());
        }
        let parent = place.parent();
        let deleted = self.discard(place.directory());
        sweep(parent);
        // This fails on purpose when the instance has another generation.
        let _ = fs::remove_dir(parent);
        deleted
    }

    /// Deletes the leftovers of interrupted work on an instance's generations. The caller holds the
    /// lock of the instance.
    pub fn sweep_instance(&self, key: &str) {
        let home = self.root.join(key);
        let snapshots = home.join(SNAPSHOTS);
        sweep(&snapshots);
        sweep(&home);
        for generation in names(&home).unwrap_or_default() {
            let directory = home.join(&generation);
            let drafts = names(&directory).unwrap_or_default().into_iter();
            for draft in drafts.filter(|name| name.ends_with(disk::DRAFT)) {
                // A failure does no harm: a draft is small, and the next writer replaces it.
                let _ = fs::remove_file(directory.join(draft));
            }
        }
        // Each call fails on purpose when the directory is not empty.
        let _ = fs::remove_dir(snapshots);
        let _ = fs::remove_dir(home);
    }

    /// The directory of copies of golden states that wait for their next use.
    pub fn pool(&self) -> PathBuf {
        self.root.join("pool")
    }

    /// The directory of golden states.
    pub fn golden(&self) -> PathBuf {
        self.root.join("golden")
    }

    /// Makes a directory for a golden state that is being made. Dropping the value removes it.
    ///
    /// # Errors
    /// `Unexpected` when it cannot be made.
    pub fn new_golden(&self) -> Result<tempfile::TempDir> {
        let directory = self.golden();
        self.make_directory(&directory)?;
        let cannot = || format!("cannot make a directory in {}", directory.display());
        let fresh = tempfile::Builder::new()
            .prefix(NEW)
            .tempdir_in(&directory)
            .or_fail(Kind::Unexpected, cannot)?;
        fs::set_permissions(fresh.path(), self.mode()).or_fail(Kind::Unexpected, cannot)?;
        Ok(fresh)
    }

    /// Removes a directory below the root. The directory disappears at once, and its files are
    /// deleted when this returns.
    ///
    /// # Errors
    /// `Unexpected` when it cannot be removed.
    pub fn discard(&self, directory: &Path) -> Result<()> {
        self.discard_by(directory, directory.parent().unwrap_or(&self.root))
    }

    /// Removes a directory as [`Store::discard`] does, but by way of the root. Use it when no
    /// command will sweep the parent: [`Store::sweep_root`] deletes what an interrupted removal
    /// leaves.
    ///
    /// # Errors
    /// `Unexpected` when it cannot be removed.
    pub fn discard_whole(&self, directory: &Path) -> Result<()> {
        self.discard_by(directory, &self.root)
    }

    /// Removes everything that belongs to an owner.
    ///
    /// # Errors
    /// `Unexpected` when it cannot be removed.
    pub fn discard_owner(&self, key: &str) -> Result<()> {
        // The directory does not exist when no server was ever started.
        let _ = delete(&self.socket_directory(key));
        self.discard_whole(&self.root.join(key))
    }

    /// Deletes the leftovers of removals in the root, and the abandoned directories of owners.
    pub fn sweep_root(&self) {
        for name in names(&self.root).unwrap_or_default() {
            let directory = self.root.join(&name);
            if name.starts_with(TRASH) || (is_key(&name) && is_abandoned(&directory)) {
                let _ = delete(&directory);
            }
        }
    }

    fn discard_by(&self, directory: &Path, way: &Path) -> Result<()> {
        let trash = way.join(format!("{TRASH}{}", uuid::Uuid::new_v4().simple()));
        let cannot = || format!("cannot remove {}", directory.display());
        match fs::rename(directory, &trash) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed.or_fail(Kind::Unexpected, cannot)?,
        }
        delete(&trash).or_fail(Kind::Unexpected, || format!("cannot remove {}", trash.display()))
    }

    /// Makes the empty data directory of a generation and gives it to the account of the servers.
    ///
    /// # Errors
    /// `Unexpected` when it cannot be made.
    pub fn make_pgdata(&self, place: &GenerationDirectory) -> Result<()> {
        let pgdata = place.pgdata();
        make(&pgdata, 0o700)?;
        match account::for_servers()? {
            Some(account) => give(&pgdata, account),
            None => Ok(()),
        }
    }

    pub(super) fn make_directory(&self, directory: &Path) -> Result<()> {
        let missing: Vec<&Path> =
            directory.ancestors().take_while(|ancestor| !ancestor.exists()).collect();
        for ancestor in missing.into_iter().rev() {
            make(ancestor, self.mode().mode())?;
        }
        Ok(())
    }

    /// The mode of the directories above the data. When devdb is root, the account of the servers
    /// has to pass through them.
    fn mode(&self) -> Permissions {
        Permissions::from_mode(if self.is_root { 0o711 } else { 0o700 })
    }
}

/// Resolves the part of the path that exists, so that a store has one name whatever links lead to
/// it.
fn resolve(path: &Path) -> PathBuf {
    let existing = path.ancestors().find_map(|a| Some((a, a.canonicalize().ok()?)));
    match existing {
        Some((ancestor, real)) => match path.strip_prefix(ancestor) {
            Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
            _ => real,
        },
        None => path.to_owned(),
    }
}

/// Whether a name is an [`Owner::key`].
fn is_key(name: &str) -> bool {
    name.len() == 12 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn id_in(name: &str) -> Option<u32> {
    let id = name.strip_prefix('g')?.parse().ok()?;
    // Each id has one spelling: devdb does not make `g01` or `g+1`.
    (name == format!("g{id}")).then_some(id)
}

/// Whether the directory of an owner is old and contains only unfinished work.
fn is_abandoned(directory: &Path) -> bool {
    let is_old = fs::metadata(directory)
        .and_then(|found| found.modified())
        .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > ABANDONED));
    is_old && names(directory).is_ok_and(|names| names.iter().all(is_left))
}
