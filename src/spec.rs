//! What an instance should be: pure, complete, validated. Every default is decided on the way
//! here, once; nothing further down guesses.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What runs servers.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// Any engine that speaks the Docker API.
    Docker,
    /// Local PostgreSQL server programs, no container.
    Native,
}

impl EngineKind {
    /// The word people use for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            EngineKind::Docker => "docker",
            EngineKind::Native => "native",
        }
    }
}

impl std::fmt::Display for EngineKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which engine is wanted.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum EngineChoice {
    /// docker where a daemon answers and has or gets the image, else native.
    #[default]
    Auto,
    /// docker, or an error.
    Docker,
    /// native, or an error.
    Native,
}

/// What a crash of the machine may cost.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Nothing: PostgreSQL's own defaults.
    #[default]
    Full,
    /// The last moments, never consistency: `synchronous_commit=off`.
    Relaxed,
    /// The whole database: `fsync=off`.
    None,
}

/// What has an instance of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Every developer, in every checkout.
    Developer,
    /// Every git branch of a checkout, too.
    Branch,
}

/// Which former generations are kept for `undo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// How many that somebody wrote to.
    pub keep: u16,
    /// For how many days after they were replaced.
    pub days: u16,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { keep: 2, days: 7 }
    }
}

/// How much of a project's golden states is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// How many states.
    pub states: usize,
    /// How many bytes in all.
    pub bytes: u64,
}

impl Default for CacheLimits {
    fn default() -> Self {
        CacheLimits { states: 20, bytes: 10_000_000_000 }
    }
}

/// Which host port to publish on 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortChoice {
    /// One that devdb picks and keeps, and leaves when another program holds it.
    Auto,
    /// This one or an error.
    Fixed(u16),
}

/// What is done about a migration file that is older than the newest applied one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfOrder {
    /// Nothing is applied, and the file is named.
    Refuse,
    /// The file is applied.
    Allow,
}

/// Who brings migrations or seeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSpec {
    /// devdb applies files itself.
    Files(Files),
    /// Another tool's command applies them.
    Command(ToolCommand),
}

/// Where files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// A directory (absolute). `required`: a person named it, so it must exist.
    Directory {
        /// The directory.
        path: PathBuf,
        /// Whether its absence is an error.
        required: bool,
    },
    /// The sample project built into the binary.
    Embedded,
}

/// Another tool's command that migrates or seeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCommand {
    /// The program and its arguments, never empty; no shell sees them.
    pub argv: Vec<String>,
    /// Globs, relative to `directory`, of the files that decide what it does.
    pub inputs: Vec<String>,
    /// Where it runs: the project's directory (absolute).
    pub directory: PathBuf,
}

impl std::fmt::Display for ToolCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_plain = |word: &str| !word.is_empty() && !word.contains([' ', '\t', '\n', '"']);
        for (index, word) in self.argv.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            match is_plain(word) {
                true => write!(f, "{space}{word}")?,
                false => write!(f, "{space}{word:?}")?,
            }
        }
        Ok(())
    }
}

/// Who an instance belongs to. What an engine makes carries all of it as labels.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct Owner {
    /// The checkout's identity.
    pub project_id: String,
    /// The project's name, for people.
    pub project: String,
    /// The developer.
    pub developer: String,
    /// The instance's name: `main` unless asked otherwise.
    pub instance: String,
}

/// What the instance of an [ephemeral](Owner::is_ephemeral) owner begins with. No person's does: it
/// is refused as a name.
pub const EPHEMERAL: &str = "run:";

impl Owner {
    /// Whether it has a private server and nothing else: what is left of that when nobody needs it
    /// is rubbish, all of it.
    pub fn is_ephemeral(&self) -> bool {
        self.instance.starts_with(EPHEMERAL)
    }

    /// Twelve hexadecimal digits that tell this instance from every other.
    pub fn key(&self) -> String {
        digest([&self.project_id, &self.developer, &self.instance])[..12].to_owned()
    }

    /// The name of its container, and the stem of everything else's:
    /// `devdb-<project>-<developer>[-<instance>]-<six digits of the key>`.
    pub fn base_name(&self) -> String {
        let mut name = format!("devdb-{}-{}", slug(&self.project), slug(&self.developer));
        if self.instance != "main" {
            name.push('-');
            name.push_str(&slug(&self.instance));
        }
        name.push('-');
        name.push_str(&self.key()[..6]);
        name
    }

    /// The name of a generation's volume.
    pub fn generation_name(&self, number: u32) -> String {
        format!("{}-g{number}", self.base_name())
    }
}

/// The server of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerSpec {
    /// PostgreSQL's major version: 13 or newer.
    pub major: u16,
    /// The image's reference.
    pub image: String,
    /// Whether the project names an image of its own (`auto` then never goes native).
    pub image_chosen: bool,
    /// Where the native server programs are, when the project says so.
    pub bin_dir: Option<PathBuf>,
    /// The database to create.
    pub database: String,
    /// Its owner, a superuser.
    pub user: String,
    /// Server settings, as in postgresql.conf.
    pub settings: BTreeMap<String, String>,
    /// Extensions to create in the database.
    pub extensions: Vec<String>,
    /// What a crash may cost.
    pub durability: Durability,
}

impl ServerSpec {
    /// The same server where nothing needs to survive a crash.
    #[must_use]
    pub fn without_durability(&self) -> ServerSpec {
        let mut spec = ServerSpec { durability: Durability::None, ..self.clone() };
        for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
            spec.settings.remove(setting);
        }
        spec
    }

    /// The settings to start the server with: devdb's own, then the project's, which win.
    pub fn launch_settings(&self) -> BTreeMap<String, String> {
        // Segments of 1 MB (see `INITDB_OPTIONS`) would make initdb scale the limits down with
        // them, and a checkpoint every 64 MB is slow; these are PostgreSQL's usual values.
        let mut all = BTreeMap::from([
            ("min_wal_size".to_owned(), "80MB".to_owned()),
            ("max_wal_size".to_owned(), "1GB".to_owned()),
        ]);
        // After a crash, and in a copy of a running server's files, every file has to be on disk
        // before the log is read; one call does that for all. Only where the system has the call.
        if self.major >= 14 && cfg!(target_os = "linux") {
            all.insert("recovery_init_sync_method".into(), "syncfs".into());
        }
        match self.durability {
            Durability::Full => {}
            Durability::Relaxed => {
                all.insert("synchronous_commit".into(), "off".into());
            }
            Durability::None => {
                all.insert("fsync".into(), "off".into());
                all.insert("synchronous_commit".into(), "off".into());
                all.insert("full_page_writes".into(), "off".into());
            }
        }
        all.extend(self.settings.clone());
        all
    }

    /// A digest of what a server was launched with and can be changed by launching it again:
    /// image, settings, port. Two equal digests mean that nothing is to be done.
    pub fn launch_digest(&self, engine: EngineKind, port: Option<u16>) -> String {
        let settings: Vec<String> =
            self.launch_settings().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let port = port.map(|port| port.to_string()).unwrap_or_default();
        let image = match engine {
            EngineKind::Docker => self.image.as_str(),
            EngineKind::Native => "",
        };
        digest([LAUNCH_SCHEMA, image, &self.major.to_string(), &port, &settings.join("\n")])[..16]
            .to_owned()
    }
}

/// Changes when what a launch consists of changes, so that servers are launched anew.
const LAUNCH_SCHEMA: &str = "1";

/// What initdb is given besides user and password. Segments of 1 MB make a new cluster 28 MB
/// instead of 40.
pub const INITDB_OPTIONS: &[&str] = &["--wal-segsize=1", "--encoding=UTF8"];

/// What a data directory is bound to for as long as it exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct MadeWith {
    /// PostgreSQL's major version.
    pub major: u16,
    /// The image's reference; empty on the native engine.
    pub image: String,
    /// The name of the database.
    pub database: String,
    /// The name of the user who owns the database.
    pub user: String,
}

impl MadeWith {
    /// What a data directory is bound to that is made from `spec` on such an engine.
    pub fn of(spec: &ServerSpec, engine: EngineKind) -> Self {
        MadeWith {
            major: spec.major,
            image: match engine {
                EngineKind::Docker => spec.image.clone(),
                EngineKind::Native => String::new(),
            },
            database: spec.database.clone(),
            user: spec.user.clone(),
        }
    }
}

/// The project's migrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationSpec {
    /// Who brings them.
    pub source: SourceSpec,
    /// What is done about a file that is older than the newest applied one.
    pub out_of_order: OutOfOrder,
}

/// The project's seeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedSpec {
    /// Who brings them.
    pub source: SourceSpec,
    /// Which subdirectory goes on top of the common files.
    pub profile: String,
}

/// One instance, complete.
#[derive(Debug, Clone)]
pub struct InstanceSpec {
    /// Whose it is.
    pub owner: Owner,
    /// Whether it is named after the branch that is checked out.
    pub of_branch: bool,
    /// Which engine is wanted.
    pub engine: EngineChoice,
    /// The server.
    pub server: ServerSpec,
    /// The port.
    pub port: PortChoice,
    /// Migrations.
    pub migrations: MigrationSpec,
    /// Seeds.
    pub seeds: SeedSpec,
    /// What is kept for `undo`.
    pub retention: Retention,
    /// What is kept of its golden states.
    pub cache: CacheLimits,
    /// How long to wait for a server to accept logins.
    pub timeout: Duration,
}

/// SHA-256 of parts, hexadecimal; a separator keeps `ab`,`c` and `a`,`bc` apart.
pub fn digest<'a>(parts: impl IntoIterator<Item = &'a (impl AsRef<str> + ?Sized + 'a)>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_ref().as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A name fit for containers, volumes, directories and DNS: lower case letters, digits and single
/// hyphens, at most 24 characters, never empty.
pub fn slug(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.ends_with('-') && !out.is_empty() {
            out.push('-');
        }
        if out.len() == 24 {
            break;
        }
    }
    let out = out.trim_matches('-');
    if out.is_empty() { "x".to_owned() } else { out.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_safe_everywhere() {
        assert_eq!(slug("Anna.Müller_2"), "anna-m-ller-2");
        assert_eq!(slug("…"), "x");
        assert_eq!(slug(&"a/".repeat(100)).len(), 23);
    }

    #[test]
    fn names_that_slug_alike_stay_apart() {
        let owner = |developer: &str| Owner {
            project_id: "p".into(),
            project: "shop".into(),
            developer: developer.into(),
            instance: "main".into(),
        };
        assert_ne!(owner("a.b").base_name(), owner("a_b").base_name());
        assert!(owner("a.b").base_name().starts_with("devdb-shop-a-b-"));
    }
}
