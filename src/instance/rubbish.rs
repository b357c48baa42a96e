//! Finds and removes what an instance no longer needs: expired generations, leftovers of a command
//! that was cut short, or the whole instance when its branch or directory is gone.

use std::collections::BTreeMap;
use std::time::Duration;

use super::tidy::{is_recorded, server_to_keep};
use super::{Instance, retention};
use crate::config::{FILE, branch, identity};
use crate::context::Context;
use crate::engine::{Engine, Generation, Role, Server};
use crate::error::Result;
use crate::outcome::{Reason, WhySkipped};
use crate::spec::DETACHED;
use crate::state::{Home, Presence, Record, UnderWay};

/// Whether an instance is still of use, judged by its directory and branch.
pub enum Usefulness {
    /// It is in use, as far as devdb can tell.
    InUse,
    /// Nobody needs any of it.
    Gone(Reason),
    /// devdb cannot decide.
    Unclear(WhySkipped),
}

/// The place of each project, by the project's id.
pub struct Homes(BTreeMap<String, Home>);

impl Homes {
    /// Finds the place of each project: the current directory, or a directory that a record names
    /// and that still has the checkout. A moved project keeps its id, and only the records of
    /// instances that were used since then name the new place.
    pub fn of(context: &Context, records: &[Record]) -> Homes {
        let mut homes = BTreeMap::new();
        for record in records {
            if let Some(home) = record.home.as_ref().filter(|home| is_still_there(home)) {
                homes.insert(record.owner.project_id.clone(), home.clone());
            }
        }
        if let Some(here) = &context.home {
            homes.insert(context.spec.owner.project_id.clone(), here.clone());
        }
        Homes(homes)
    }

    /// Whether the instance of a record is still of use.
    pub fn judge(&self, record: &Record) -> Usefulness {
        // The sample project has no directory that could be gone.
        let Some(noted) = &record.home else { return Usefulness::InUse };
        let Some(home) = self.0.get(&record.owner.project_id) else {
            let directory = noted.directory.clone();
            return match noted.presence() {
                Presence::NotMounted => Usefulness::Unclear(WhySkipped::NotMounted { directory }),
                Presence::There => Usefulness::Gone(Reason::CheckoutGone),
                Presence::Gone => match branch::with_file(&directory.join(FILE)) {
                    Some(branch) => Usefulness::Unclear(WhySkipped::OnBranch { branch, directory }),
                    None => Usefulness::Gone(Reason::DirectoryGone),
                },
            };
        };
        let (directory, branch) = (&home.directory, &record.owner.instance);
        if !record.of_branch || !branch::is_gone(directory, branch) {
            return Usefulness::InUse;
        }
        if branch.as_str() == DETACHED {
            return Usefulness::Gone(Reason::OnBranchAgain);
        }
        match branch::later_name(directory, branch) {
            Some(to) => {
                Usefulness::Unclear(WhySkipped::Renamed { to, directory: directory.clone() })
            }
            None => Usefulness::Gone(Reason::BranchGone),
        }
    }
}

/// Whether the checkout exists, as far as devdb can tell.
fn is_still_there(home: &Home) -> bool {
    home.presence() == Presence::There && identity::may_be_at(&home.directory, &home.checkout)
}

/// What one instance no longer needs, for one reason.
#[derive(Debug, Clone)]
pub struct Rubbish {
    /// The reason.
    pub reason: Reason,
    /// Generations, with their data.
    pub generations: Vec<Generation>,
    /// Servers.
    pub servers: Vec<Server>,
    /// The names of snapshots, with their data.
    pub snapshots: Vec<String>,
}

impl Rubbish {
    /// The numbers of the generations. One that is in no record has no number.
    pub fn numbers(&self, record: &Record) -> Vec<u32> {
        let recorded = self.generations.iter().filter_map(|one| record.by_id(one.id));
        recorded.map(|generation| generation.number).collect()
    }

    fn is_empty(&self) -> bool {
        self.generations.is_empty() && self.servers.is_empty()
    }

    /// The engine's names of all objects; a snapshot has its own name.
    pub fn handles(&self) -> Vec<String> {
        let servers = self.servers.iter().map(|server| server.name.clone());
        let generations = self.generations.iter().map(|one| one.handle.clone());
        servers.chain(generations).chain(self.snapshots.iter().map(snapshot_handle)).collect()
    }
}

impl Instance<'_> {
    /// Finds what the instance no longer needs, without changing anything. `gone` is the reason
    /// when nobody needs the whole instance. None without a record.
    ///
    /// # Errors
    /// When the instance's engine does not answer.
    pub async fn rubbish(&self, gone: Option<Reason>) -> Result<Option<(Engine, Vec<Rubbish>)>> {
        let Some(record) = &self.record else { return Ok(None) };
        let engine = self.engine(record).await?;
        let servers = engine.servers(Some(&self.key)).await?;
        let generations = engine.generations(Some(&self.key)).await?;
        let found = match gone {
            // This is listed even when the engine has nothing, because the record is removed too.
            Some(reason) => {
                let snapshots = engine.snapshot_names(&record.owner).await?;
                vec![Rubbish { reason, generations, servers, snapshots }]
            }
            None => {
                let left = self.leftovers(record, &generations, servers);
                let mut expired = record.ids_of(&retention::past_their_days(record));
                expired.extend(&record.leaving);
                let mut former = generations;
                former.retain(|generation| expired.contains(&generation.id));
                let expired = Rubbish {
                    reason: Reason::Expired,
                    generations: former,
                    servers: Vec::new(),
                    snapshots: Vec::new(),
                };
                [left, expired].into_iter().filter(|rubbish| !rubbish.is_empty()).collect()
            }
        };
        Ok(Some((engine, found)))
    }

    /// What [`Instance::tidy`] would remove, and builders that no command waits for, because this
    /// command holds the lock. A running builder may belong to a devdb with another home directory.
    fn leftovers(
        &self,
        record: &Record,
        generations: &[Generation],
        mut servers: Vec<Server>,
    ) -> Rubbish {
        let mut generations = generations.to_vec();
        match record.under_way {
            Some(UnderWay::Purge) => {}
            Some(_) => {
                let keep = server_to_keep(record, &servers).map(|server| server.handle.clone());
                servers.retain(|server| Some(&server.handle) != keep.as_ref());
                generations.retain(|generation| !is_recorded(record, generation));
            }
            None => {
                servers.retain(|server| server.role == Role::Builder && !server.is_running());
                generations.clear();
            }
        }
        Rubbish { reason: Reason::CutShort, generations, servers, snapshots: Vec::new() }
    }

    /// Removes what [`Instance::rubbish`] found.
    ///
    /// # Errors
    /// When the engine refuses. A later call continues.
    pub async fn remove_rubbish(&mut self, engine: &Engine, rubbish: &Rubbish) -> Result<()> {
        match rubbish.reason {
            Reason::BranchGone
            | Reason::OnBranchAgain
            | Reason::DirectoryGone
            | Reason::CheckoutGone => self.purge().await.map(drop),
            Reason::Expired => {
                let past = |record: &Record| record.ids_of(&retention::past_their_days(record));
                let over = self.record.as_ref().map(past).unwrap_or_default();
                self.remove_generations(engine, &over, Duration::MAX).await;
                self.hold(engine).await;
                Ok(())
            }
            Reason::CutShort => {
                self.tidy().await?;
                for server in rubbish.servers.iter().filter(|one| one.role == Role::Builder) {
                    engine.remove_server(server).await?;
                }
                Ok(())
            }
        }
    }

    /// The names of `rubbish` that the engine still has.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn still_there(&self, engine: &Engine, rubbish: &Rubbish) -> Result<Vec<String>> {
        let servers = engine.servers(Some(&self.key)).await?;
        let generations = engine.generations(Some(&self.key)).await?;
        let snapshots = engine.snapshot_names(&self.context.spec.owner).await?;
        let mut left = rubbish.handles();
        left.retain(|name| {
            servers.iter().any(|server| server.name == *name)
                || generations.iter().any(|generation| generation.handle == *name)
                || snapshots.iter().any(|snapshot| snapshot_handle(snapshot) == *name)
        });
        Ok(left)
    }
}

fn snapshot_handle(snapshot: &String) -> String {
    format!("snapshot {snapshot}")
}
