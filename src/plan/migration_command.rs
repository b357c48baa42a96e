//! Another tool's command that migrates. It is run whenever its inputs have changed, because such
//! tools know themselves which of their files are applied.

use super::chain::{KeyPart, Link};
use super::command::{self, Drift, Recorded, Tool};
use super::source::{Applied, ByTool, Insist, Kind, Stage, Standing, Target};
use crate::db::connect::Connection;
use crate::db::tool_record::ToolRecord;
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
        let link = Link::new(["migrations of", self.0.fingerprint()], 1);
        vec![link.growing(self.0.growth())]
    }

    fn first(&self, count: usize) -> Applied {
        self.0.applied_if(count > 0)
    }

    async fn standing(&self, connection: &mut Connection) -> Result<Standing> {
        let command::Standing { recorded, by_tool, drift, taken_back } =
            self.0.standing(connection).await?;
        let (applied, at, is_counted) = match by_tool {
            Some(ToolRecord::Applied(names)) => (names, None, true),
            Some(ToolRecord::At(version)) => (Vec::new(), Some(version), false),
            None => (Vec::new(), None, false),
        };
        let command = self.0.label();
        let is_current = recorded == Recorded::Current && taken_back.is_empty();
        let pending = if is_current { Vec::new() } else { vec![command.clone()] };
        let has_run = recorded != Recorded::Never;
        let tool = ByTool { command, has_run, is_counted, at, taken_back };
        let Drift { changed, missing } = drift;
        Ok(Standing { applied, pending, changed, missing, tool: Some(tool), ..Standing::default() })
    }

    async fn apply(&self, target: Target<'_>, insist: Insist) -> Result<Applied> {
        let is_due = |found| insist == Insist::Yes || found != Recorded::Current;
        self.0.apply(target, is_due).await
    }

    fn is_current(&self) -> bool {
        self.0.is_current()
    }
}
