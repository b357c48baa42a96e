//! Rebuilds a lost or damaged record from what the engines have.

use chrono::Utc;

use super::Instance;
use crate::db::scram;
use crate::engine::{COPY, Engine, Generation, Role, Server};
use crate::error::{Kind, Result};
use crate::state::record::SCHEMA;
use crate::state::{GenerationRecord, Record, UnderWay, Why, ports};

impl Instance<'_> {
    /// The record on disk. A lost or damaged one is rebuilt from the engines' labels.
    pub(super) async fn load_or_rebuild(&self) -> Result<Option<Record>> {
        let store = &self.context.store;
        match store.load(&self.key) {
            Ok(Some(record)) => return Ok(Some(record)),
            Ok(None) => {}
            Err(error) if error.kind() == Kind::Drift => {
                let aside = store.quarantine(&self.key)?;
                self.context.events.warn(format!(
                    "{error}; devdb rebuilds it and keeps the old one as {}",
                    aside.display()
                ));
            }
            Err(error) => return Err(error),
        }
        for engine in self.context.engines.reachable(&self.context.spec.server).await {
            if let Some(record) = self.rebuild_from(&engine).await? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Makes a record from what an engine has of this instance, and saves it. Its `current` is none
    /// when no generation is complete. None when the engine has nothing.
    pub(super) async fn rebuild_from(&self, engine: &Engine) -> Result<Option<Record>> {
        if self.context.spec.owner.is_ephemeral() {
            // An ephemeral instance never has a record.
            return Ok(None);
        }
        let has_nothing = |generations: &[Generation], servers: &[Server]| {
            generations.is_empty() && servers.is_empty()
        };
        let generations = engine.generations(Some(&self.key)).await?;
        if has_nothing(&generations, &engine.servers(Some(&self.key)).await?) {
            return Ok(None);
        }
        // A devdb with another home directory may be making the instance at this moment.
        self.lock_on(engine).await?;
        let mut generations = engine.generations(Some(&self.key)).await?;
        let servers = engine.servers(Some(&self.key)).await?;
        if has_nothing(&generations, &servers) {
            return Ok(None);
        }
        let mut complete = Vec::new();
        for generation in generations.drain(..) {
            if self.is_complete(engine, &generation).await? {
                complete.push(generation);
            }
        }
        // The order of numbers would be wrong: a spare has its number long before it becomes
        // current.
        complete.sort_by_key(|generation| (generation.created, generation.number));
        let server = server_of(&servers, &complete);
        // A copy from before a change is younger than the changed data.
        let newest = complete.iter().rev().find(|one| one.origin.as_deref() != Some(COPY));
        let newest = newest.or(complete.last()).map(|generation| generation.number);
        let current = server.map(|server| server.generation).or(newest);
        let record = Record {
            schema: SCHEMA,
            // The project may have another name by now, so the generation's owner counts.
            owner: match complete.last() {
                Some(generation) => generation.owner.clone(),
                None => self.context.spec.owner.clone(),
            },
            engine: engine.kind(),
            engine_id: engine.id().await?,
            port: match server.and_then(|server| server.endpoint.as_ref()) {
                Some(endpoint) => endpoint.port,
                None => {
                    ports::pick(&self.key, &ports::remembered(&self.context.store, &self.key)?)?
                }
            },
            password: match &self.record {
                Some(record) => record.password.clone(),
                None => scram::new_password(),
            },
            current,
            server: server.map(|server| server.handle.clone()),
            spare: None,
            leaving: Vec::new(),
            snapshots: Vec::new(),
            generations: complete
                .iter()
                .map(|one| match Some(one.number) == current {
                    true => GenerationRecord { replaced: None, ..found_generation(one) },
                    false => found_generation(one),
                })
                .collect(),
            // Incomplete generations are left from a first `up` that was cut short. `tidy` removes
            // them.
            under_way: Some(UnderWay::Rebuild),
            home: self.context.home.clone(),
            of_branch: self.context.spec.of_branch,
            retention: self.context.spec.retention,
        };
        self.context.store.save(&record)?;
        if let Some(number) = current {
            self.context.events.note(format!(
                "the record of this instance was lost or out of date; devdb found generation {number} \
                 on {} and uses it",
                engine.kind()
            ));
        }
        Ok(Some(record))
    }
}

/// The instance's server on a complete generation.
fn server_of<'s>(servers: &'s [Server], complete: &[Generation]) -> Option<&'s Server> {
    let whole = |number: u32| complete.iter().any(|generation| generation.number == number);
    let mut candidates: Vec<&Server> = servers
        .iter()
        .filter(|server| server.role == Role::Instance && whole(server.generation))
        .collect();
    candidates.sort_by_key(|server| (server.is_running(), server.generation));
    candidates.last().copied()
}

/// The record of a generation that was found on an engine. It counts as replaced now, because
/// nothing tells when it was.
pub(super) fn found_generation(generation: &Generation) -> GenerationRecord {
    GenerationRecord {
        created: generation.created.unwrap_or_else(Utc::now),
        replaced: Some(Utc::now()),
        ..GenerationRecord::new(generation.number, generation.made_with.clone(), Why::Found)
    }
}
