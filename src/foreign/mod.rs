//! Other tools' migrations and seeds: a command of the project, which is run when the files that
//! it reads are not those it was last run with.

mod inputs;
mod run;

use crate::config::environment::Environment;
use crate::db::connect::Address;
use crate::error::{Kind, Result};
use crate::event::Events;
use crate::spec::ForeignCommand;

/// What a command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To migrate: run whenever its inputs have changed. Such tools apply what is pending.
    Migrations,
    /// To seed: run once for each database.
    Seeds,
}

impl Purpose {
    /// The name of its section in devdb.yaml.
    pub const fn as_str(self) -> &'static str {
        match self {
            Purpose::Migrations => "migrations",
            Purpose::Seeds => "seeds",
        }
    }
}

/// Another tool's command, its inputs read.
#[derive(Debug, Clone)]
pub struct Foreign {
    purpose: Purpose,
    command: ForeignCommand,
    fingerprint: String,
}

impl Foreign {
    /// Reads the command's inputs. Nothing is run.
    ///
    /// # Errors
    /// `Config` when a glob matches no file, or a file cannot be read.
    pub fn load(purpose: Purpose, command: &ForeignCommand) -> Result<Foreign> {
        let fingerprint = inputs::fingerprint(purpose, command)?;
        Ok(Foreign { purpose, command: command.clone(), fingerprint })
    }

    /// What it is for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The command as a person would type it.
    pub fn label(&self) -> String {
        self.command.to_string()
    }

    /// SHA-256, hexadecimal, of everything that decides what the command does to a database: its
    /// words, and its inputs' names and contents. The same on every machine, whatever git did to
    /// the line endings; it is also what a golden state's fingerprint takes in for the command.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whether the files are still those of the fingerprint.
    pub fn is_current(&self) -> bool {
        let now = inputs::fingerprint(self.purpose, &self.command);
        now.is_ok_and(|now| now == self.fingerprint)
    }

    /// Runs the command on the database at `address`, in the project's directory, to its end.
    /// Dropped before that, it is killed with everything it started.
    ///
    /// # Errors
    /// `Migration` or `Seed` with the last lines that it said when it fails, `Config` when it
    /// cannot be started.
    pub async fn run(
        &self,
        address: &Address,
        environment: &Environment,
        events: &Events,
    ) -> Result<()> {
        run::run(self, address, environment, events).await?;
        if self.is_current() {
            return Ok(());
        }
        events.warn(format!(
            "while {} ran, files changed that {}.inputs names; name only what it reads, or it counts \
             as changed each time",
            self.command,
            self.purpose.as_str()
        ));
        Ok(())
    }

    fn failure(&self) -> Kind {
        match self.purpose {
            Purpose::Migrations => Kind::Migration,
            Purpose::Seeds => Kind::Seed,
        }
    }
}
