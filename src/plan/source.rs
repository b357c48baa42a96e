//! A source brings one part of a database's content. Each kind of source is a file of its own and
//! keeps the same small contract, [`Kind`]; a further kind is a further file and one line in the
//! list at the end of this file.

use std::fmt::Debug;

use super::chain::{KeyPart, Link};
use super::{MigrationCommand, MigrationFiles, SeedCommand, SeedFiles};
use crate::config::environment::Environment;
use crate::db::connect::{Address, Connection};
use crate::db::seed::{Encrypt, Encrypting};
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::event::Events;
use crate::spec::InstanceSpec;

/// Which part of a database's content a source brings.
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

/// Where a database stands, compared with a source. The lists name files; of another tool, its
/// command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// What is applied, in order.
    pub applied: Vec<String>,
    /// What is not applied, in order.
    pub pending: Vec<String>,
    /// What has changed since it was applied.
    pub changed: Vec<String>,
    /// What is applied and has no file any more.
    pub missing: Vec<String>,
    /// What is pending and older than the newest that is applied.
    pub out_of_order: Vec<String>,
    /// What another tool began and did not finish.
    pub dirty: Vec<String>,
}

impl Standing {
    /// Whether the database is as the source says.
    pub fn is_current(&self) -> bool {
        let lists = [&self.pending, &self.changed, &self.missing, &self.dirty];
        lists.iter().all(|list| list.is_empty())
    }

    /// Whether there is something to apply and nothing of the source has been applied yet.
    pub fn is_unbegun(&self) -> bool {
        self.applied.is_empty() && !self.pending.is_empty()
    }
}

/// What a source applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// The names of devdb's own files.
    pub files: Vec<String>,
    /// Other tools' commands, as a person would type them.
    pub commands: Vec<String>,
}

/// Whether a source is applied that has nothing to do as far as devdb knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insist {
    /// It is left out.
    No,
    /// Another tool's command is run all the same: a person asked for it.
    Yes,
}

/// What the values of a source have to do with the key of `!encrypt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// Nothing.
    None,
    /// A command may find the key in its environment and encrypt with it.
    Possible,
    /// Values are encrypted with it.
    Certain,
}

/// A database that a source is applied to, and what applying needs besides.
pub struct Target<'a> {
    /// How to log in.
    pub address: &'a Address,
    /// What a command inherits.
    pub environment: &'a Environment,
    /// Where progress goes.
    pub events: &'a Events,
    /// How `!encrypt` values are encrypted.
    pub encrypt: Encrypt,
    /// Values that are being encrypted already (see [`Source::encrypt_ahead`]).
    pub encrypting: Option<Encrypting>,
}

/// What every kind of source can do.
pub(super) trait Kind: Clone + Debug + Sized {
    /// Which part of the content it brings.
    const STAGE: Stage;

    /// Reads the source that `spec` names; none when that is of another kind. Everything that can
    /// be wrong with a file is found here. No database is needed and nothing is changed.
    fn load(spec: &InstanceSpec) -> Result<Option<Self>>;

    /// What it adds to the fingerprint, one link for each state that can be published on the way.
    fn links(&self, key: Option<&KeyPart>) -> Vec<Link>;

    /// What [`Kind::apply`] has applied when a state holds its first `count` items.
    fn first(&self, count: usize) -> Applied;

    /// Where a database stands. Nothing is changed.
    async fn standing(&self, connection: &mut Connection) -> Result<Standing>;

    /// Applies what is due, under a lock of its own.
    async fn apply(&self, target: Target<'_>, insist: Insist) -> Result<Applied>;

    /// What its values have to do with the key of `!encrypt`.
    fn key_use(&self) -> KeyUse {
        KeyUse::None
    }

    /// Begins to encrypt its values, which needs no database; none where there are none.
    fn encrypt_ahead(&self, _encrypt: &dyn Fn() -> Encrypt) -> Option<Encrypting> {
        None
    }

    /// Whether its files are still those that were read by [`Kind::load`], as far as devdb does not
    /// hold their content itself.
    fn is_current(&self) -> bool {
        true
    }
}

/// Makes [`Source`] of every kind in the list.
macro_rules! sources {
    ($($(#[$doc:meta])* $kind:ident),* $(,)?) => {
        /// A source of some kind.
        #[derive(Debug, Clone)]
        pub enum Source {
            $($(#[$doc])* $kind($kind)),*
        }

        impl Source {
            /// Reads the source that `spec` names for a stage. Nothing is changed; a bad file is an
            /// error here and not halfway.
            ///
            /// # Errors
            /// `Config` and `Seed`, with file and line.
            pub(super) fn load(stage: Stage, spec: &InstanceSpec) -> Result<Source> {
                $(
                    if <$kind as Kind>::STAGE == stage && let Some(source) = $kind::load(spec)? {
                        return Ok(Source::$kind(source));
                    }
                )*
                let what = format!("devdb does not know the kind of the {}", stage.as_str());
                Err(Error::new(ErrorKind::Config, what))
            }

            /// What it adds to the fingerprint, one link for each state that can be published on the
            /// way.
            pub(super) fn links(&self, key: Option<&KeyPart>) -> Vec<Link> {
                match self { $(Source::$kind(source) => source.links(key)),* }
            }

            /// What has been applied when a state holds its first `count` items.
            pub fn first(&self, count: usize) -> Applied {
                match self { $(Source::$kind(source) => source.first(count)),* }
            }

            /// Where a database stands. Nothing is changed.
            ///
            /// # Errors
            /// When the connection is lost, or a table of devdb's book-keeping is not devdb's.
            pub async fn standing(&self, connection: &mut Connection) -> Result<Standing> {
                match self { $(Source::$kind(source) => source.standing(connection).await),* }
            }

            /// Applies what is due, under a lock of its own.
            ///
            /// # Errors
            /// `Drift`, `Migration`, `Seed` and `Locked`; `Config` when a command cannot be started.
            pub async fn apply(&self, target: Target<'_>, insist: Insist) -> Result<Applied> {
                match self { $(Source::$kind(source) => source.apply(target, insist).await),* }
            }

            /// What its values have to do with the key of `!encrypt`.
            pub fn key_use(&self) -> KeyUse {
                match self { $(Source::$kind(source) => source.key_use()),* }
            }

            /// Begins to encrypt its values, which needs no database; none where there are none. To be
            /// called within a tokio runtime. `encrypt` is called when there are some.
            pub fn encrypt_ahead(&self, encrypt: &dyn Fn() -> Encrypt) -> Option<Encrypting> {
                match self { $(Source::$kind(source) => source.encrypt_ahead(encrypt)),* }
            }

            /// Whether its files are still those that were read.
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
