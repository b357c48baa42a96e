//! What of an instance is of no use any more, and its removal: generations past their time, what a
//! command that was cut short left behind, or all of it when its branch or directory is gone.

use std::collections::BTreeMap;
use std::time::Duration;

use super::tidy::{is_recorded, keeper};
use super::{Instance, retention};
use crate::config::{branch, identity};
use crate::context::Context;
use crate::engine::{Engine, Generation, Role, Server};
use crate::error::Result;
use crate::outcome::{Reason, WhySkipped};
use crate::state::{Home, Record, Sight, UnderWay};

/// Whether an instance is of use to anybody, by what became of its directory and branch.
pub enum Usefulness {
    /// It is in use, as far as one can see.
    InUse,
    /// Nothing of it is of any use.
    Gone(Reason),
    /// It is not for devdb to decide.
    Unclear(WhySkipped),
}

/// Where each project is, by its id.
pub struct Homes(BTreeMap<String, Home>);

impl Homes {
    /// A project is here, or where one of its records says and it still is. A project that was moved
    /// keeps its id, and only the instances that were used since know the new place.
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

    /// Whether the instance of a record is of use to anybody.
    pub fn judge(&self, record: &Record) -> Usefulness {
        // The sample project is everywhere.
        let Some(noted) = &record.home else { return Usefulness::InUse };
        let Some(home) = self.0.get(&record.owner.project_id) else {
            let directory = noted.directory.clone();
            return match noted.sight() {
                Sight::NotMounted => Usefulness::Unclear(WhySkipped::NotMounted { directory }),
                Sight::There => Usefulness::Gone(Reason::CheckoutGone),
                Sight::Gone => Usefulness::Gone(Reason::DirectoryGone),
            };
        };
        let (directory, branch) = (&home.directory, &record.owner.instance);
        if !record.of_branch || !branch::is_gone(directory, branch) {
            return Usefulness::InUse;
        }
        match branch::later_name(directory, branch) {
            Some(to) => {
                Usefulness::Unclear(WhySkipped::Renamed { to, directory: directory.clone() })
            }
            None => Usefulness::Gone(Reason::BranchGone),
        }
    }
}

/// Whether the checkout is there, as far as one can see.
fn is_still_there(home: &Home) -> bool {
    home.sight() == Sight::There
        && identity::checkout_at(&home.directory).is_none_or(|found| found == home.checkout)
}

/// Things of one instance that are of no use any more, for one reason.
#[derive(Debug, Clone)]
pub struct Rubbish {
    /// Why.
    pub reason: Reason,
    /// Generations, with their data.
    pub generations: Vec<Generation>,
    /// Servers.
    pub servers: Vec<Server>,
    /// The names of snapshots, with their data.
    pub snapshots: Vec<String>,
}

impl Rubbish {
    fn is_empty(&self) -> bool {
        self.generations.is_empty() && self.servers.is_empty()
    }

    /// What the engine calls all of it; a snapshot is called by its name.
    pub fn handles(&self) -> Vec<String> {
        let servers = self.servers.iter().map(|server| server.name.clone());
        let generations = self.generations.iter().map(|one| one.handle.clone());
        servers.chain(generations).chain(self.snapshots.iter().map(called)).collect()
    }
}

impl Instance<'_> {
    /// What is of no use any more; `gone`: why nothing of this instance is. Changes nothing. None
    /// without a record.
    ///
    /// # Errors
    /// When the instance's engine does not answer.
    pub async fn rubbish(&self, gone: Option<Reason>) -> Result<Option<(Engine, Vec<Rubbish>)>> {
        let Some(record) = &self.record else { return Ok(None) };
        let engine = self.engine(record).await?;
        let servers = engine.servers(Some(&self.key)).await?;
        let generations = engine.generations(Some(&self.key)).await?;
        let found = match gone {
            // Listed also when the engine has nothing of it: its record goes.
            Some(reason) => {
                let snapshots = engine.snapshot_names(&record.owner).await?;
                vec![Rubbish { reason, generations, servers, snapshots }]
            }
            None => {
                let left = self.cut_short(record, &generations, servers);
                let mut expired = retention::expired(record);
                expired.extend(&record.leaving);
                let mut former = generations;
                former.retain(|generation| expired.contains(&generation.number));
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

    /// What [`Instance::tidy`] would look at, and builders that nobody waits for: this instance's
    /// lock is ours. One that runs may still be of a devdb with another home directory.
    fn cut_short(
        &self,
        record: &Record,
        generations: &[Generation],
        mut servers: Vec<Server>,
    ) -> Rubbish {
        let mut generations = generations.to_vec();
        match record.under_way {
            Some(UnderWay::Purge) => {}
            Some(_) => {
                let keep = keeper(record, &servers).map(|server| server.handle.clone());
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

    /// Removes what [`Instance::rubbish`] found for a reason.
    ///
    /// # Errors
    /// When the engine refuses; another time goes on where this one stopped.
    pub async fn remove_rubbish(&mut self, engine: &Engine, rubbish: &Rubbish) -> Result<()> {
        match rubbish.reason {
            Reason::BranchGone | Reason::DirectoryGone | Reason::CheckoutGone => {
                self.purge().await.map(drop)
            }
            Reason::Expired => {
                let over = self.record.as_ref().map(retention::expired).unwrap_or_default();
                self.send_away(engine, &over, Duration::MAX).await;
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

    /// What the engine still has of `rubbish`.
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
                || snapshots.iter().any(|snapshot| called(snapshot) == *name)
        });
        Ok(left)
    }
}

fn called(snapshot: &String) -> String {
    format!("snapshot {snapshot}")
}
