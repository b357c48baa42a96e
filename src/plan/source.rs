//! A source provides the migrations or the seeds of a database. Each kind of source has a file of
//! its own and implements [`Kind`]. A further kind needs a further file and a line in the list at
//! the end of this file.

use std::fmt::Debug;

use serde::Serialize;

use super::chain::{KeyPart, Link};
use super::{MigrationCommand, MigrationFiles, SeedCommand, SeedFiles};
use crate::config::environment::Environment;
use crate::db::connect::{Address, Connection};
use crate::db::migrate::LineEndings;
use crate::db::seed::{Encrypt, Encrypting};
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::event::Events;
use crate::secret::KeySource;
use crate::spec::InstanceSpec;

/// Which part of a database's content a source provides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The schema. Whatever is pending is applied.
    Migrations,
    /// The first rows. They are applied once to each database.
    Seeds,
}

impl Stage {
    /// The name of its section in devdb.yaml.
    pub const fn as_str(self) -> &'static str {
        match self {
            Stage::Migrations => "migrations",
            Stage::Seeds => "seeds",
        }
    }
}

/// How a database compares with a source. The lists name files, or the command of another tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The applied files, in order.
    pub applied: Vec<String>,
    /// The files that are not applied, in order.
    pub pending: Vec<String>,
    /// The files that changed after they were applied.
    pub changed: Vec<String>,
    /// The applied migrations whose files no longer exist.
    pub missing: Vec<String>,
    /// The pending files that are older than the newest applied one.
    pub out_of_order: Vec<String>,
    /// The migrations that another tool began and did not finish.
    pub dirty: Vec<String>,
    /// The other tool that migrates, if one does. `applied` has what that tool has recorded.
    pub tool: Option<ByTool>,
}

/// How a database stands with another tool that migrates it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct ByTool {
    /// The tool's command.
    pub command: String,
    /// Whether devdb has run the command on this database.
    pub has_run: bool,
    /// Whether devdb can read which migrations the tool has applied.
    pub is_counted: bool,
    /// The version that the tool has recorded, if it records only the newest one.
    pub at: Option<String>,
    /// What the tool had recorded after devdb ran it and does not record any more. The next run
    /// applies it again.
    pub taken_back: Vec<String>,
}

impl Standing {
    /// Whether the database agrees with the source.
    pub fn is_current(&self) -> bool {
        let lists = [&self.pending, &self.changed, &self.missing, &self.dirty];
        lists.iter().all(|list| list.is_empty())
    }

    /// Says which migrations another tool has applied in a form that the files do not have any more.
    /// None when there are none, and for devdb's own files.
    pub fn drift_of_tool(&self) -> Option<String> {
        let tool = self.tool.as_ref()?;
        let is = |list: &[String], one: &str, many: &str| {
            (!list.is_empty()).then(|| {
                let verb = if list.len() == 1 { one } else { many };
                format!("{} {verb}", list.join(", "))
            })
        };
        let changed = is(&self.changed, "has changed", "have changed");
        let missing = is(&self.missing, "is gone", "are gone");
        let what = [changed, missing].into_iter().flatten().collect::<Vec<_>>();
        (!what.is_empty()).then(|| format!("{} since {} ran", what.join(", and "), tool.command))
    }

    /// Whether a database that stood like this has lost migrations since, as `now` says. A tool
    /// whose record devdb cannot read may have lost some.
    pub fn has_lost_some(&self, now: &Standing) -> bool {
        if !self.is_current() {
            return false;
        }
        let has = |name: &String| now.applied.contains(name);
        let at = |standing: &Standing| standing.tool.as_ref().and_then(|tool| tool.at.clone());
        let is_unknown = |tool: &ByTool| !tool.is_counted && tool.at.is_none();
        !now.is_current()
            || !self.applied.iter().all(has)
            || at(self) != at(now)
            || now.tool.as_ref().is_some_and(is_unknown)
    }

    /// Whether something is pending and nothing is applied yet.
    pub fn is_unbegun(&self) -> bool {
        self.applied.is_empty() && !self.pending.is_empty()
    }
}

/// What a source has applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// The names of devdb's own files.
    pub files: Vec<String>,
    /// Other tools' commands, as a person would type them.
    pub commands: Vec<String>,
}

/// Whether to run another tool's command although devdb sees nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insist {
    /// Skips the command.
    No,
    /// Runs the command, because a person asked for it.
    Yes,
}

/// How a source uses the key of `!encrypt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// It does not use the key.
    None,
    /// A command may find the key in its environment and encrypt with it.
    Possible,
    /// devdb encrypts values with the key.
    Certain,
}

/// The database that a source is applied to, with everything else that applying needs.
pub struct Target<'a> {
    /// The address of the database.
    pub address: &'a Address,
    /// The environment that a command inherits.
    pub environment: &'a Environment,
    /// The project's id.
    pub project_id: &'a str,
    /// The receiver of progress.
    pub events: &'a Events,
    /// The source of the key, which a command may need.
    pub key: &'a KeySource,
    /// Encrypts `!encrypt` values.
    pub encrypt: Encrypt,
    /// The values whose encryption has begun already (see [`Source::encrypt_ahead`]).
    pub encrypting: Option<Encrypting>,
}

/// The contract of every kind of source.
pub(super) trait Kind: Clone + Debug + Sized {
    /// Which part of the content the source provides.
    const STAGE: Stage;

    /// Reads the source that `spec` names. None when that source is of another kind. Needs no
    /// database and changes nothing.
    fn load(spec: &InstanceSpec) -> Result<Option<Self>>;

    /// What a person should know about a source that has nothing.
    fn advice(&self) -> Option<&str> {
        None
    }

    /// The links that the source adds to the fingerprint, one for each state that can be published.
    fn links(&self, key: Option<&KeyPart>) -> Vec<Link>;

    /// The first `count` items, as [`Kind::apply`] reports them.
    fn first(&self, count: usize) -> Applied;

    /// Compares a database with the source, without changing anything.
    async fn standing(&self, connection: &mut Connection) -> Result<Standing>;

    /// Checks the items behind the first `count`, which are about to be applied. [`Kind::apply`]
    /// checks them, too; this needs no database.
    fn check_behind(&self, _count: usize) -> Result<()> {
        Ok(())
    }

    /// Applies what is due, under a lock in the database.
    async fn apply(&self, target: Target<'_>, insist: Insist) -> Result<Applied>;

    /// Makes the database record the files with these line endings, where the applied ones differ
    /// only in that.
    async fn record_line_endings(
        &self,
        _connection: &mut Connection,
        _endings: LineEndings,
    ) -> Result<()> {
        Ok(())
    }

    /// Whether some files have other line endings than LF, so that a golden state does not have
    /// their checksums.
    fn has_other_line_endings(&self) -> bool {
        false
    }

    /// How the source uses the key of `!encrypt`.
    fn key_use(&self) -> KeyUse {
        KeyUse::None
    }

    /// Whether devdb encrypts values of these items.
    fn encrypts(&self, _items: &[String]) -> bool {
        false
    }

    /// Begins to encrypt values, which needs no database. None when there are no such values.
    fn encrypt_ahead(&self, _encrypt: &dyn Fn() -> Encrypt) -> Option<Encrypting> {
        None
    }

    /// Whether the files are unchanged since [`Kind::load`]. Always true for files whose contents
    /// devdb holds.
    fn is_current(&self) -> bool {
        true
    }
}

/// Makes the enum [`Source`] from the list of kinds.
macro_rules! sources {
    ($($(#[$doc:meta])* $kind:ident),* $(,)?) => {
        /// A source of some kind.
        #[derive(Debug, Clone)]
        pub enum Source {
            $($(#[$doc])* $kind($kind)),*
        }

        impl Source {
            /// Reads the source that `spec` names for a stage. A bad file is an error here, before
            /// anything is changed.
            ///
            /// # Errors
            /// `Config` and `Seed`, with the file and the line.
            pub(super) fn load(stage: Stage, spec: &InstanceSpec) -> Result<Source> {
                $(
                    if <$kind as Kind>::STAGE == stage && let Some(source) = $kind::load(spec)? {
                        return Ok(Source::$kind(source));
                    }
                )*
                let what = format!("devdb has no kind of source for these {}", stage.as_str());
                Err(Error::new(ErrorKind::Config, what))
            }

            /// What a person should know about a source that has nothing.
            pub fn advice(&self) -> Option<&str> {
                match self { $(Source::$kind(source) => source.advice()),* }
            }

            /// The links that the source adds to the fingerprint, one for each state that can be
            /// published.
            pub(super) fn links(&self, key: Option<&KeyPart>) -> Vec<Link> {
                match self { $(Source::$kind(source) => source.links(key)),* }
            }

            /// The first `count` items, as [`Source::apply`] reports them.
            pub fn first(&self, count: usize) -> Applied {
                match self { $(Source::$kind(source) => source.first(count)),* }
            }

            /// Compares a database with the source, without changing anything.
            ///
            /// # Errors
            /// When the connection is lost, or a table has the name of devdb's own but is not
            /// devdb's.
            pub async fn standing(&self, connection: &mut Connection) -> Result<Standing> {
                match self { $(Source::$kind(source) => source.standing(connection).await),* }
            }

            /// Checks the items behind the first `count`, which are about to be applied.
            ///
            /// # Errors
            /// `Config`, with the file and the line.
            pub fn check_behind(&self, count: usize) -> Result<()> {
                match self { $(Source::$kind(source) => source.check_behind(count)),* }
            }

            /// Applies what is due, under a lock in the database.
            ///
            /// # Errors
            /// `Drift`, `Migration`, `Seed` and `Locked`; `Config` when a command cannot be
            /// started.
            pub async fn apply(&self, target: Target<'_>, insist: Insist) -> Result<Applied> {
                match self { $(Source::$kind(source) => source.apply(target, insist).await),* }
            }

            /// Makes the database record the files with these line endings, where the applied ones
            /// differ only in that. Other programs, such as `sqlx migrate`, compare the record with
            /// the files that are there.
            ///
            /// # Errors
            /// When the connection is lost.
            pub async fn record_line_endings(
                &self,
                connection: &mut Connection,
                endings: LineEndings,
            ) -> Result<()> {
                match self {
                    $(Source::$kind(source) => {
                        source.record_line_endings(connection, endings).await
                    })*
                }
            }

            /// Whether some files have other line endings than LF, so that a golden state does not
            /// have their checksums.
            pub fn has_other_line_endings(&self) -> bool {
                match self { $(Source::$kind(source) => source.has_other_line_endings()),* }
            }

            /// Whether the source is another tool's command.
            pub fn is_command(&self) -> bool {
                matches!(self, Source::MigrationCommand(_) | Source::SeedCommand(_))
            }

            /// How the source uses the key of `!encrypt`.
            pub fn key_use(&self) -> KeyUse {
                match self { $(Source::$kind(source) => source.key_use()),* }
            }

            /// Whether devdb encrypts values of these items.
            pub fn encrypts(&self, items: &[String]) -> bool {
                match self { $(Source::$kind(source) => source.encrypts(items)),* }
            }

            /// Begins to encrypt values, which needs no database but a tokio runtime. None when
            /// there are no such values; `encrypt` is not called then.
            pub fn encrypt_ahead(&self, encrypt: &dyn Fn() -> Encrypt) -> Option<Encrypting> {
                match self { $(Source::$kind(source) => source.encrypt_ahead(encrypt)),* }
            }

            /// Whether the files are unchanged since they were read.
            pub(super) fn is_current(&self) -> bool {
                match self { $(Source::$kind(source) => source.is_current()),* }
            }
        }

        $(
            impl From<$kind> for Source {
                fn from(source: $kind) -> Self {
                    Source::$kind(source)
                }
            }
        )*
    };
}

sources! {
    /// devdb's own migration files.
    MigrationFiles,
    /// Another tool's command that migrates.
    MigrationCommand,
    /// devdb's own seed files.
    SeedFiles,
    /// Another tool's command that seeds.
    SeedCommand,
}
