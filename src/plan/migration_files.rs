//! Migration files in sqlx's format, which devdb applies itself.

use std::path::PathBuf;

use chrono::Utc;

use super::chain::{KeyPart, Link};
use super::source::{Applied, Insist, Kind, Stage, Standing, Target};
use crate::db::connect::{self, Connection};
use crate::db::migrate::{self, AppliedMigration, LineEndings, MigrationSet, PendingMigration};
use crate::embedded;
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::spec::{Files, InstanceSpec, MigrationSpec, OutOfOrder, SourceSpec};

/// A project's migration files.
#[derive(Debug, Clone, Default)]
pub struct MigrationFiles {
    set: MigrationSet,
    out_of_order: OutOfOrder,
}

impl Kind for MigrationFiles {
    const STAGE: Stage = Stage::Migrations;

    fn load(spec: &InstanceSpec) -> Result<Option<Self>> {
        let MigrationSpec { source, out_of_order, .. } = &spec.migrations;
        match source {
            SourceSpec::Files(files) => {
                let set = migrate::load(files)?;
                Ok(Some(MigrationFiles { set, out_of_order: *out_of_order }))
            }
            SourceSpec::Command(_) => Ok(None),
        }
    }

    fn advice(&self) -> Option<&str> {
        self.set.elsewhere()
    }

    fn links(&self, _key: Option<&KeyPart>) -> Vec<Link> {
        let files = self.set.files().iter();
        files.map(|file| Link::new(["migration", file.name(), &file.fingerprint()], 1)).collect()
    }

    fn first(&self, count: usize) -> Applied {
        let names = self.set.files().iter().map(|file| file.name().to_owned());
        Applied { files: names.take(count).collect(), ..Applied::default() }
    }

    async fn standing(&self, connection: &mut Connection) -> Result<Standing> {
        let status = migrate::status(connection, &self.set).await?;
        let applied = |list: &[AppliedMigration]| list.iter().map(ToString::to_string).collect();
        let pending = |list: Vec<PendingMigration>| list.into_iter().map(|one| one.file).collect();
        Ok(Standing {
            applied: applied(&status.applied),
            changed: applied(&status.changed),
            missing: applied(&status.missing),
            dirty: applied(&status.dirty),
            pending: pending(status.pending),
            out_of_order: pending(status.out_of_order),
            tool: None,
        })
    }

    async fn record_line_endings(
        &self,
        connection: &mut Connection,
        endings: LineEndings,
    ) -> Result<()> {
        migrate::record_line_endings(connection, &self.set, endings).await
    }

    fn has_other_line_endings(&self) -> bool {
        self.set.has_other_line_endings()
    }

    fn check_behind(&self, count: usize) -> Result<()> {
        self.set.check_behind(count)
    }

    async fn apply(&self, target: Target<'_>, insist: Insist) -> Result<Applied> {
        let Target { address, events, .. } = target;
        if insist == Insist::Yes {
            // With nothing to apply, devdb does not wait for another program's lock.
            let mut connection = address.connect().await?;
            let is_current = self.standing(&mut connection).await?.is_current();
            connect::close(connection).await;
            if is_current {
                return Ok(Applied::default());
            }
        }
        let deadline = migrate::LOCK_DEADLINE;
        let run = migrate::run(address, &self.set, self.out_of_order, deadline, events);
        let files = run.await?.into_iter().map(|migration| migration.file).collect();
        Ok(Applied { files, ..Applied::default() })
    }
}

/// Makes an empty migration file with this name and the present date in the project's directory for
/// migrations.
///
/// # Errors
/// `Config` when there is no project, when another tool manages its migrations, and when the file
/// cannot be written. `Usage` when the name is invalid.
pub fn new_migration(spec: &MigrationSpec, name: &str) -> Result<PathBuf> {
    let path = match &spec.source {
        SourceSpec::Files(Files::Directory { path, .. }) => path,
        SourceSpec::Command(command) => {
            return Err(Error::new(
                ErrorKind::Config,
                "another tool manages the migrations of this project",
            )
            .because(format!("migrations.command is {command}"))
            .hint("create the migration with that tool"));
        }
        SourceSpec::Files(Files::Embedded) => {
            return Err(Error::new(
                ErrorKind::Config,
                "this directory has no project to add a migration to",
            )
            .because("without a devdb.yaml devdb uses the sample project, which is part of devdb")
            .hint("devdb init            creates a project in this directory")
            .hint("devdb init --sample   creates one with a copy of the sample"));
        }
    };
    let template = embedded::template("migration.sql").unwrap_or_default();
    migrate::new_file(path, name, Utc::now(), template)
}
