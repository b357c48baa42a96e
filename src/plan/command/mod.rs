//! Another tool's command, which may migrate or seed. The source that uses the command decides when
//! it is due.

mod drift;
mod inputs;
mod run;

use std::time::Instant;

use super::growth::Growth;
use super::source::{Applied, Stage, Target};
use crate::db::command_record::{self, CommandLock, CommandRecord};
use crate::db::connect::{Connection, Counting};
use crate::db::inspect;
use crate::db::tool_record::{self, ByTable, ToolRecord};
use crate::error::{Kind, Result};
use crate::event::Event;
use crate::spec::{ToolCommand, digest};
use inputs::Inputs;

pub(super) use drift::Drift;

/// What the database has recorded about a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recorded {
    /// The command was never run.
    Never,
    /// The command was run with other inputs, or another command was run.
    Changed,
    /// The command was run as it is now.
    Current,
}

/// How a database stands with a command that migrates.
pub(super) struct Standing {
    /// What the database has recorded about the command.
    pub recorded: Recorded,
    /// What the tool itself has recorded.
    pub by_tool: Option<ToolRecord>,
    /// The migrations whose files changed or went.
    pub drift: Drift,
    /// The migrations that the tool had applied and has not any more.
    pub taken_back: Vec<String>,
}

/// Another tool's command, with the fingerprint of its inputs.
#[derive(Debug, Clone)]
pub(super) struct Tool {
    stage: Stage,
    command: ToolCommand,
    inputs: Inputs,
}

impl Tool {
    /// Reads the command's inputs. Nothing is run.
    ///
    /// # Errors
    /// `Config` when a glob matches no file, or a file cannot be read.
    pub fn load(stage: Stage, command: &ToolCommand) -> Result<Tool> {
        Ok(Tool { stage, command: command.clone(), inputs: inputs::read(stage, command)? })
    }

    /// The command as a person would type it.
    pub fn label(&self) -> String {
        self.command.to_string()
    }

    /// The SHA-256 (hexadecimal) of everything that decides what the command does to a database:
    /// its words, and the names and contents of its inputs. It is the same on every machine, even
    /// when git changes line endings.
    pub fn fingerprint(&self) -> &str {
        &self.inputs.fingerprint
    }

    /// What makes a state one that the command can go on from.
    pub fn growth(&self) -> Growth {
        Growth { words: digest(&self.command.argv), files: self.inputs.files.clone() }
    }

    /// Whether the inputs still have the fingerprint.
    pub fn is_current(&self) -> bool {
        inputs::read(self.stage, &self.command).is_ok_and(|now| now == self.inputs)
    }

    /// What was applied, depending on whether the command was run.
    pub fn applied_if(&self, was_run: bool) -> Applied {
        Applied {
            commands: was_run.then(|| self.label()).into_iter().collect(),
            ..Applied::default()
        }
    }

    /// Reads what the database has recorded about the command.
    ///
    /// # Errors
    /// When the connection is lost, or the table is not devdb's own.
    pub async fn recorded(&self, connection: &mut Connection) -> Result<Recorded> {
        let found = command_record::recorded(connection, self.stage.as_str()).await?;
        Ok(self.compare(found.as_ref()))
    }

    /// Compares a database with the command and its inputs.
    ///
    /// # Errors
    /// As [`Tool::recorded`].
    pub async fn standing(&self, connection: &mut Connection) -> Result<Standing> {
        let found = command_record::recorded(connection, self.stage.as_str()).await?;
        let by_tool = self.by_tool(connection, found.as_ref()).await?;
        let recorded = self.compare(found.as_ref());
        let found = found.unwrap_or_default();
        let record = by_tool.as_ref().map(|found| &found.record);
        let drift = Drift::between(&found.inputs, &self.inputs.files, record);
        let taken_back = found.taken_back(by_tool.as_ref());
        Ok(Standing { recorded, by_tool: by_tool.map(|found| found.record), drift, taken_back })
    }

    /// What the tool itself has recorded. None for a command that seeds, and for a tool that devdb
    /// does not know.
    async fn by_tool(
        &self,
        connection: &mut Connection,
        found: Option<&CommandRecord>,
    ) -> Result<Option<ByTable>> {
        let known = found.and_then(|found| found.tool.as_ref()).map(|tool| tool.table.as_str());
        match self.stage {
            Stage::Migrations => tool_record::read(connection, &self.label(), known).await,
            Stage::Seeds => Ok(None),
        }
    }

    fn compare(&self, recorded: Option<&CommandRecord>) -> Recorded {
        match recorded {
            None => Recorded::Never,
            Some(found) if found.fingerprint == self.inputs.fingerprint => Recorded::Current,
            Some(_) => Recorded::Changed,
        }
    }

    /// Waits for other devdbs, then runs the command if it is still due, and records it.
    ///
    /// # Errors
    /// `Locked`, and the errors of [`Tool::run`].
    pub async fn apply(
        &self,
        target: Target<'_>,
        is_due: impl FnOnce(Recorded) -> bool,
    ) -> Result<Applied> {
        let mut lock = CommandLock::take(target.address).await?;
        let found = lock.recorded(self.stage.as_str()).await?;
        let by_tool = self.by_tool(lock.connection(), found.as_ref()).await?;
        let taken_back = found.as_ref().map(|found| found.taken_back(by_tool.as_ref()));
        let is_whole = taken_back.is_none_or(|taken_back| taken_back.is_empty());
        if is_whole && !is_due(self.compare(found.as_ref())) {
            return Ok(Applied::default());
        }
        let before = found.unwrap_or_default();
        let record = by_tool.as_ref().map(|found| &found.record);
        let drift = Drift::between(&before.inputs, &self.inputs.files, record);
        // The server refuses a login that turns the counting off for a role that may not, and the
        // command may log in as any role.
        let counting = match inspect::has_limited_logins(lock.connection()).await? {
            true => Counting::On,
            false => target.address.counting,
        };
        let address = target.address.counting(counting);
        let events = target.events;
        let begun = Instant::now();
        self.run(&Target { address: &address, ..target }).await?;
        let inputs = drift.recorded(&before.inputs, &self.inputs.files);
        let fingerprint = self.inputs.fingerprint.clone();
        let tool = self.by_tool(lock.connection(), Some(&before)).await?;
        let record = CommandRecord { fingerprint, inputs, tool };
        lock.record(self.stage.as_str(), &self.label(), &record).await?;
        let took = begun.elapsed();
        events.emit(Event::CommandRan { command: self.label(), took });
        Ok(self.applied_if(true))
    }

    /// Runs the command in the project's directory. When the future is dropped, the command is
    /// killed with everything it started.
    ///
    /// # Errors
    /// `Migration` or `Seed` with the command's last lines when it fails, `Config` when it cannot
    /// be started.
    async fn run(&self, target: &Target<'_>) -> Result<()> {
        run::run(self, target).await?;
        if !self.is_current() {
            target.events.warn(format!(
                "files that {stage}.inputs names changed while {command} ran. Name only files that \
                 the command reads, because a file that it writes changes each time",
                stage = self.stage.as_str(),
                command = self.command,
            ));
        }
        Ok(())
    }

    fn failure(&self) -> Kind {
        match self.stage {
            Stage::Migrations => Kind::Migration,
            Stage::Seeds => Kind::Seed,
        }
    }
}
