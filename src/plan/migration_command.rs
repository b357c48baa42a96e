//! Another tool's command that migrates. It is run whenever its inputs have changed, because such
//! tools know themselves which of their files are applied.

use super::chain::{KeyPart, Link};
use super::command::{Recorded, Tool};
use super::source::{Applied, Insist, Kind, Stage, Standing, Target};
use crate::db::connect::Connection;
use crate::error::Result;
use crate::spec::{InstanceSpec, SourceSpec};

/// A project's command for migrations.
#[derive(Debug, Clone)]
pub struct MigrationCommand(Tool);

impl Kind for MigrationCommand {
    const STAGE: Stage = Stage::Migrations;

    fn load(spec: &InstanceSpec) -> Result<Option<Self>> {
        match &spec.migrations.source {
            SourceSpec::Command(command) => {
                Tool::load(Self::STAGE, command).map(|tool| Some(MigrationCommand(tool)))
            }
            SourceSpec::Files(_) => Ok(None),
        }
    }

    fn links(&self, _key: Option<&KeyPart>) -> Vec<Link> {
        vec![Link::new(["migrations of", self.0.fingerprint()], 1)]
    }

    fn first(&self, count: usize) -> Applied {
        self.0.applied_if(count > 0)
    }

    async fn standing(&self, connection: &mut Connection) -> Result<Standing> {
        let label = vec![self.0.label()];
        Ok(match self.0.recorded(connection).await? {
            Recorded::Current => Standing { applied: label, ..Standing::default() },
            Recorded::Never | Recorded::Changed => {
                Standing { pending: label, ..Standing::default() }
            }
        })
    }

    async fn apply(&self, target: Target<'_>, insist: Insist) -> Result<Applied> {
        let is_due = |found| insist == Insist::Yes || found != Recorded::Current;
        self.0.apply(target, is_due).await
    }

    fn is_current(&self) -> bool {
        self.0.is_current()
    }
}
