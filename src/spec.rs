//! The specification of an instance: complete and validated. The configuration code has resolved
//! every default, so the code that uses a specification has none.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The kind of engine that runs a server.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// Any engine that speaks the Docker API.
    Docker,
    /// PostgreSQL server programs of this machine, without a container.
    Native,
}

impl EngineKind {
    /// The engine's name in settings and messages.
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

/// The engine that a person chose.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum EngineChoice {
    /// docker if a daemon answers and has or gets the image; otherwise native.
    #[default]
    Auto,
    /// Only docker.
    Docker,
    /// Only native.
    Native,
}

/// The data that a crash of the machine may destroy.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Nothing is lost: PostgreSQL's own defaults.
    #[default]
    Full,
    /// The last transactions may be lost, but the data stays consistent: `synchronous_commit=off`.
    Relaxed,
    /// The whole database may be lost: `fsync=off`.
    None,
}

/// Whether branches of one checkout share an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Each developer has one instance in each checkout.
    Developer,
    /// Each developer has one instance for each git branch of a checkout.
    Branch,
}

/// The former generations that devdb keeps for `undo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// How many days to keep them after they were replaced.
    pub days: u16,
    /// How many bytes of the disk they may take, all together.
    #[serde(default = "usual_generations_bytes")]
    pub bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { days: 7, bytes: usual_generations_bytes() }
    }
}

fn usual_generations_bytes() -> u64 {
    20_000_000_000
}

/// The limits for the golden states that devdb keeps for a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// The number of states.
    pub states: usize,
    /// Their size in bytes, all together.
    pub bytes: u64,
}

impl Default for CacheLimits {
    fn default() -> Self {
        CacheLimits { states: 20, bytes: 10_000_000_000 }
    }
}

/// The port on 127.0.0.1 for the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortChoice {
    /// devdb picks a port and keeps it. It picks another one if another program uses the port.
    Auto,
    /// Only this port.
    Fixed(u16),
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
    /// A directory.
    Directory {
        /// Its absolute path.
        path: PathBuf,
        /// Whether it must exist, because a person named it.
        required: bool,
    },
    /// The sample project in the binary.
    Embedded,
}

/// Another tool's command that migrates or seeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCommand {
    /// The program and its arguments; never empty. devdb runs it without a shell.
    pub argv: Vec<String>,
    /// Globs, relative to `directory`, for the files that the tool reads.
    pub inputs: Vec<String>,
    /// The project's directory (absolute), in which the command runs.
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

/// The name of the instance that commands use without `--instance`.
pub const USUAL_INSTANCE: &str = "main";

/// The owner of an instance. An engine writes all fields as labels on everything that it makes.
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
    /// The instance's name; `main` by default.
    pub instance: String,
}

/// The beginning of the instance's name of an [ephemeral](Owner::is_ephemeral) owner. devdb refuses
/// such a name for any other instance.
pub const EPHEMERAL: &str = "run:";

/// The name of the instance that all detached heads of a checkout share. git refuses it as the name
/// of a branch.
pub const DETACHED: &str = "HEAD";

impl Owner {
    /// Whether this is the owner of an ephemeral database. Its private server is all that it owns;
    /// devdb removes everything when nobody needs the server.
    pub fn is_ephemeral(&self) -> bool {
        self.instance.starts_with(EPHEMERAL)
    }

    /// Twelve hexadecimal digits that no other instance has.
    pub fn key(&self) -> String {
        digest([&self.project_id, &self.developer, &self.instance])[..12].to_owned()
    }

    /// The name of its container, and the beginning of the names of its other resources:
    /// `devdb-<project>-<developer>[-<instance>]-<six digits of the key>`.
    pub fn base_name(&self) -> String {
        let mut name = format!("devdb-{}-{}", slug(&self.project), slug(&self.developer));
        if !self.is_usual() {
            name.push('-');
            name.push_str(&slug(&self.instance));
        }
        name.push('-');
        name.push_str(&self.key()[..6]);
        name
    }

    /// `shop for anna`, for people; with the instance's name when it has one of its own.
    pub fn in_words(&self) -> String {
        let Owner { project, developer, instance, .. } = self;
        match self.is_usual() {
            true => format!("{project} for {developer}"),
            false => format!("{project} for {developer}, instance {instance}"),
        }
    }

    /// Whether the instance has the name that commands use without `--instance`, or that of the
    /// branch main.
    pub fn is_usual(&self) -> bool {
        self.instance == USUAL_INSTANCE
    }

    /// Whether the instance belongs to the same project and developer as `other`.
    pub fn is_beside(&self, other: &Owner) -> bool {
        (&self.project_id, &self.developer) == (&other.project_id, &other.developer)
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
    /// Whether the project names an image. `auto` then never chooses native.
    pub image_chosen: bool,
    /// The directory of the native server programs, if the project names one.
    pub bin_dir: Option<PathBuf>,
    /// The database to create.
    pub database: String,
    /// The database's owner, a superuser.
    pub user: String,
    /// Server settings, as in postgresql.conf.
    pub settings: BTreeMap<String, String>,
    /// Extensions to create in the database.
    pub extensions: Vec<String>,
    /// The data that a crash may destroy.
    pub durability: Durability,
    /// How long the server goes on without a client. None: until somebody stops it.
    pub idle: Option<Duration>,
}

impl ServerSpec {
    /// The same server for data that need not survive a crash.
    #[must_use]
    pub fn without_durability(&self) -> ServerSpec {
        let mut spec = ServerSpec { durability: Durability::None, ..self.clone() };
        for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
            spec.settings.remove(setting);
        }
        spec
    }

    /// The settings to start the server with. The project's settings override devdb's own.
    pub fn launch_settings(&self) -> BTreeMap<String, String> {
        // initdb derives these limits from the segment size. With segments of 1 MB (see
        // `INITDB_OPTIONS`) the server would make a checkpoint every 64 MB, which is slow. These
        // are PostgreSQL's usual values.
        let mut all = BTreeMap::from([
            ("min_wal_size".to_owned(), "80MB".to_owned()),
            ("max_wal_size".to_owned(), "1GB".to_owned()),
        ]);
        // After a crash, and in a copy of a running server's files, the server syncs every file
        // before it replays its log. Linux can sync all files with one call.
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
        if !self.settings.is_empty() {
            let own = serde_json::to_string(&self.settings).unwrap_or_default();
            all.insert(LAUNCH_SETTINGS.into(), own);
        }
        all
    }

    /// A digest of everything that a new launch of the server can change: image, settings, port,
    /// and the time without a client after which it stops.
    /// If it stays the same, devdb need not launch the server again.
    pub fn launch_digest(&self, engine: EngineKind, port: Option<u16>) -> String {
        let settings: Vec<String> =
            self.launch_settings().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let port = port.map(|port| port.to_string()).unwrap_or_default();
        let image = match engine {
            EngineKind::Docker => self.image.as_str(),
            EngineKind::Native => "",
        };
        let major = self.major.to_string();
        let settings = settings.join("\n");
        let mut parts = vec![LAUNCH_SCHEMA, image, &major, &port, &settings];
        let idle = self.idle.map(|idle| format!("idle {}", idle.as_secs()));
        parts.extend(idle.as_deref());
        digest(parts)[..16].to_owned()
    }
}

/// A setting that devdb invents and gives to its servers: the project's own settings, in JSON. A
/// session finds in it the value of a setting that ALTER DATABASE or ALTER ROLE has changed since.
pub const LAUNCH_SETTINGS: &str = "devdb.settings";

/// A part of the digest. Change it when devdb launches servers in another way, so that existing
/// servers are launched again.
const LAUNCH_SCHEMA: &str = "1";

/// Options of initdb besides user and password. With segments of 1 MB a new cluster has 28 MB
/// instead of 40.
pub const INITDB_OPTIONS: &[&str] = &["--wal-segsize=1", "--encoding=UTF8"];

/// The properties of a data directory that never change.
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
    /// The properties of a data directory that is made from `spec` on this kind of engine.
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

/// How devdb treats a migration file that is older than the newest applied migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutOfOrder {
    /// devdb reports drift and applies nothing.
    #[default]
    Refuse,
    /// devdb applies the file.
    Allow,
}

/// The project's migrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationSpec {
    /// Who brings them.
    pub source: SourceSpec,
    /// What is done about a file that is older than the newest applied one.
    pub out_of_order: OutOfOrder,
    /// Whether devdb keeps a copy of data that somebody wrote to before it migrates or seeds it.
    pub keep_before: bool,
}

/// The project's seeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedSpec {
    /// Who brings them.
    pub source: SourceSpec,
    /// Which subdirectory goes on top of the common files.
    pub profile: String,
    /// The file in which devdb notes what it found out about the files, so that it reads them again
    /// only after a change.
    pub notes: Option<PathBuf>,
    /// The profile that the project's files ask for, or else the default.
    pub usual_profile: String,
    /// Whether `profile` is what the database was made with, and nobody names another one now.
    pub is_remembered: bool,
}

impl SeedSpec {
    /// The profile that an instance has to remember: the one that a flag or a variable chose. None
    /// when the project's files ask for it anyway.
    pub fn chosen_profile(&self) -> Option<String> {
        (self.profile != self.usual_profile).then(|| self.profile.clone())
    }

    /// Goes on with the profile that a database was made with, unless somebody names one now.
    pub fn remember(&mut self, profile: &str) {
        profile.clone_into(&mut self.profile);
        self.is_remembered = true;
        // Other files need other notes.
        let name = &digest([profile])[..8];
        self.notes = self.notes.take().map(|notes| notes.with_extension(name));
    }

    /// Undoes [`SeedSpec::remember`], for a database that is not the instance's.
    pub fn forget(&mut self) {
        if self.is_remembered {
            self.profile.clone_from(&self.usual_profile);
            self.is_remembered = false;
            self.notes = self.notes.take().map(|notes| notes.with_extension(""));
        }
    }
}

/// The complete specification of an instance.
#[derive(Debug, Clone)]
pub struct InstanceSpec {
    /// The owner.
    pub owner: Owner,
    /// Whether it is named after the branch that is checked out.
    pub of_branch: bool,
    /// The engine that the person chose.
    pub engine: EngineChoice,
    /// The server.
    pub server: ServerSpec,
    /// The port.
    pub port: PortChoice,
    /// Migrations.
    pub migrations: MigrationSpec,
    /// Seeds.
    pub seeds: SeedSpec,
    /// The generations that devdb keeps for `undo`.
    pub retention: Retention,
    /// The limits for the project's golden states.
    pub cache: CacheLimits,
    /// How long to wait for a server to accept logins.
    pub timeout: Duration,
}

impl InstanceSpec {
    /// Whether it is the instance of detached heads.
    pub fn is_of_detached_heads(&self) -> bool {
        self.of_branch && self.owner.instance == DETACHED
    }
}

/// The SHA-256 of all parts, in hexadecimal. A separator makes `ab`, `c` differ from `a`, `bc`.
pub fn digest<'a>(parts: impl IntoIterator<Item = &'a (impl AsRef<str> + ?Sized + 'a)>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_ref().as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A name for containers, volumes, directories and DNS: lower case letters, digits and single
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
    fn a_slug_has_only_safe_characters() {
        assert_eq!(slug("Anna.Müller_2"), "anna-m-ller-2");
        assert_eq!(slug("…"), "x");
        assert_eq!(slug(&"a/".repeat(100)).len(), 23);
    }

    #[test]
    fn owners_with_equal_slugs_have_different_names() {
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
