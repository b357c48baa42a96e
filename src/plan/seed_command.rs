//! Another tool's command that seeds. It is run once for each database.

use super::chain::{KeyPart, Link};
use super::command::{Recorded, Tool};
use super::source::{Applied, Insist, KeyUse, Kind, Stage, Standing, Target};
use crate::db::connect::Connection;
use crate::error::Result;
use crate::spec::{InstanceSpec, SourceSpec};

/// A project's command for seeds.
#[derive(Debug, Clone)]
pub struct SeedCommand(Tool);

impl Kind for SeedCommand {
    const STAGE: Stage = Stage::Seeds;

    fn load(spec: &InstanceSpec) -> Result<Option<Self>> {
        match &spec.seeds.source {
            SourceSpec::Command(command) => {
                Tool::load(Self::STAGE, command).map(|tool| Some(SeedCommand(tool)))
            }
            SourceSpec::Files(_) => Ok(None),
        }
    }

    fn links(&self, key: Option<&KeyPart>) -> Vec<Link> {
        let mut link = Link::new(["seeds of", self.0.fingerprint()], 1);
        link.add_key(key);
        vec![link]
    }

    fn first(&self, count: usize) -> Applied {
        self.0.applied_if(count > 0)
    }

    async fn standing(&self, connection: &mut Connection) -> Result<Standing> {
        let label = vec![self.0.label()];
        Ok(match self.0.recorded(connection).await? {
            Recorded::Never => Standing { pending: label, ..Standing::default() },
            Recorded::Changed => {
                Standing { applied: label.clone(), changed: label, ..Standing::default() }
            }
            Recorded::Current => Standing { applied: label, ..Standing::default() },
        })
    }

    /// A seed command is never run a second time, because its rows exist.
    async fn apply(&self, target: Target<'_>, _insist: Insist) -> Result<Applied> {
        self.0.apply(target, |found| found == Recorded::Never).await
    }

    fn key_use(&self) -> KeyUse {
        KeyUse::Possible
    }

    fn is_current(&self) -> bool {
        self.0.is_current()
    }
}
