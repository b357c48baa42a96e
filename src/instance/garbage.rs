//! What of an instance is of no use any more, and its removal: generations past their time, what
//! a command that was cut short left behind, or all of it when its branch or directory is gone.

use std::time::Duration;

use serde::Serialize;

use super::Instance;
use super::collect::{self, PURGE};
use crate::engine::{Engine, Generation, Role, Server};
use crate::error::Result;
use crate::state::Record;

/// Why something is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A former generation past its time.
    Expired,
    /// A command was cut short.
    CutShort,
    /// The branch that the instance was made for is gone.
    BranchGone,
    /// The directory of its project is gone.
    DirectoryGone,
    /// Another checkout is in the directory of its project.
    CheckoutGone,
}

/// Things of one instance that are of no use any more, for one reason.
#[derive(Debug, Clone)]
pub struct Garbage {
    /// Why.
    pub reason: Reason,
    /// Generations, with their data.
    pub generations: Vec<Generation>,
    /// Servers.
    pub servers: Vec<Server>,
    /// The names of snapshots, with their data.
    pub snapshots: Vec<String>,
}

impl Garbage {
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
    pub async fn garbage(&self, gone: Option<Reason>) -> Result<Option<(Engine, Vec<Garbage>)>> {
        let Some(record) = &self.record else { return Ok(None) };
        let engine = self.engine(record).await?;
        let servers = engine.servers(Some(&self.key)).await?;
        let generations = engine.generations(Some(&self.key)).await?;
        let found = match gone {
            // Listed also when the engine has nothing of it: its record goes.
            Some(reason) => {
                let snapshots = engine.snapshot_names(&record.owner).await?;
                vec![Garbage { reason, generations, servers, snapshots }]
            }
            None => {
                let left = self.cut_short(record, &generations, servers);
                let mut expired = collect::expired(record);
                expired.extend(&record.leaving);
                let mut former = generations;
                former.retain(|generation| expired.contains(&generation.number));
                let expired = Garbage {
                    reason: Reason::Expired,
                    generations: former,
                    servers: Vec::new(),
                    snapshots: Vec::new(),
                };
                [left, expired].into_iter().filter(|garbage| !garbage.is_empty()).collect()
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
    ) -> Garbage {
        let mut generations = generations.to_vec();
        match record.under_way.as_deref() {
            Some(PURGE) => {}
            Some(_) => {
                let keep = self.keeper(record, &servers).map(|server| server.handle.clone());
                servers.retain(|server| Some(&server.handle) != keep.as_ref());
                generations.retain(|generation| !collect::is_recorded(record, generation));
            }
            None => {
                servers.retain(|server| server.role == Role::Builder && !server.is_running());
                generations.clear();
            }
        }
        Garbage { reason: Reason::CutShort, generations, servers, snapshots: Vec::new() }
    }

    /// Removes what [`Instance::garbage`] found for a reason.
    ///
    /// # Errors
    /// When the engine refuses; another time goes on where this one stopped.
    pub async fn remove_garbage(&mut self, engine: &Engine, garbage: &Garbage) -> Result<()> {
        match garbage.reason {
            Reason::BranchGone | Reason::DirectoryGone | Reason::CheckoutGone => {
                self.purge().await.map(drop)
            }
            Reason::Expired => {
                let over = self.record.as_ref().map(collect::expired).unwrap_or_default();
                self.send_away(engine, &over, Duration::MAX).await;
                Ok(())
            }
            Reason::CutShort => {
                self.tidy().await?;
                for server in garbage.servers.iter().filter(|one| one.role == Role::Builder) {
                    engine.remove_server(server).await?;
                }
                Ok(())
            }
        }
    }

    /// What the engine still has of `garbage`.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn still_there(&self, engine: &Engine, garbage: &Garbage) -> Result<Vec<String>> {
        let servers = engine.servers(Some(&self.key)).await?;
        let generations = engine.generations(Some(&self.key)).await?;
        let snapshots = engine.snapshot_names(&self.context.spec.owner).await?;
        let mut left = garbage.handles();
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
