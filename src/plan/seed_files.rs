//! Seed files in YAML, SQL and CSV, which devdb applies itself.

use super::chain::{KeyPart, Link};
use super::source::{Applied, Insist, KeyUse, Kind, Stage, Standing, Target};
use crate::db::connect::Connection;
use crate::db::seed::{self, Encrypt, Encrypting, SeedSet};
use crate::error::Result;
use crate::spec::{InstanceSpec, SourceSpec};

/// A project's seed files for one profile.
#[derive(Debug, Clone, Default)]
pub struct SeedFiles {
    set: SeedSet,
    /// Whether they were read. Without that, nobody knows which applied files are missing.
    is_read: bool,
}

impl SeedFiles {
    fn names(&self) -> impl Iterator<Item = String> {
        self.set.files().iter().map(|file| file.name().to_owned())
    }
}

impl Kind for SeedFiles {
    const STAGE: Stage = Stage::Seeds;

    fn load(spec: &InstanceSpec) -> Result<Option<Self>> {
        match &spec.seeds.source {
            SourceSpec::Command(_) => Ok(None),
            SourceSpec::Files(files) => {
                let set = seed::load(files, &spec.seeds.profile, spec.seeds.notes.as_deref())?;
                Ok(Some(SeedFiles { set, is_read: true }))
            }
        }
    }

    /// All files make one link, because they are applied in one transaction.
    fn links(&self, key: Option<&KeyPart>) -> Vec<Link> {
        if self.set.files().is_empty() {
            return Vec::new();
        }
        let mut link = Link::new(["seeds", self.set.profile()], self.set.files().len());
        for file in self.set.files() {
            link.add([file.name(), file.checksum()]);
        }
        link.add_key(key);
        vec![link]
    }

    fn first(&self, count: usize) -> Applied {
        Applied { files: self.names().take(count).collect(), ..Applied::default() }
    }

    async fn standing(&self, connection: &mut Connection) -> Result<Standing> {
        let status = seed::status(connection, &self.set).await?;
        Ok(Standing {
            applied: status.applied.into_iter().map(|seed| seed.file).collect(),
            pending: status.pending,
            changed: status.changed,
            missing: if self.is_read { status.missing } else { Vec::new() },
            ..Standing::default()
        })
    }

    async fn apply(&self, target: Target<'_>, _insist: Insist) -> Result<Applied> {
        let Target { address, events, encrypt, encrypting, .. } = target;
        let begin = |names: &[String]| {
            encrypting.unwrap_or_else(|| Encrypting::begin(&self.set, names, encrypt))
        };
        let outcome = seed::apply(address, &self.set, begin, events).await?;
        let files = outcome.applied.into_iter().map(|seed| seed.file).collect();
        Ok(Applied { files, ..Applied::default() })
    }

    fn key_use(&self) -> KeyUse {
        if self.set.needs_key() { KeyUse::Certain } else { KeyUse::None }
    }

    fn encrypts(&self, pending: &[String]) -> bool {
        self.set.encrypts(pending)
    }

    fn encrypt_ahead(&self, encrypt: &dyn Fn() -> Encrypt) -> Option<Encrypting> {
        let names: Vec<String> = self.names().collect();
        self.set.needs_key().then(|| Encrypting::begin(&self.set, &names, encrypt()))
    }
}
