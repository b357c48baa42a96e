//! Rebuilds a lost or damaged record from what the engines have.

use chrono::{TimeDelta, Utc};

use super::Instance;
use crate::db::scram;
use crate::engine::{COPY, Engine, Generation, Numbered, Role, Server};
use crate::error::{Kind, Result};
use crate::spec::Retention;
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
            if let Some(number) = self.number_of(engine, &generation).await? {
                complete.push((number, generation));
            }
        }
        complete.sort_by_key(|(number, generation)| (*number, generation.created));
        let server = server_of(&servers, &complete);
        // A copy from before a change is younger than the changed data.
        let is_no_copy = |(_, one): &&(u32, Generation)| one.origin.as_deref() != Some(COPY);
        let newest = complete.iter().rev().find(is_no_copy).or(complete.last());
        let current = server.map(|server| server.generation);
        let current = current.or(newest.map(|(_, generation)| generation.id));
        let mut record = Record {
            schema: SCHEMA,
            // The project may have another name by now, so the generation's owner counts.
            owner: match complete.last() {
                Some((_, generation)) => generation.owner.clone(),
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
            current: None,
            server: server.map(|server| server.handle.clone()),
            spare: None,
            leaving: Vec::new(),
            snapshots: Vec::new(),
            generations: Vec::new(),
            // Generations that are gone had some of the numbers.
            greatest: self.record.as_ref().map_or(0, |record| record.greatest),
            // Incomplete generations are left from a first `up` that was cut short. `tidy` removes
            // them.
            under_way: Some(UnderWay::Rebuild),
            home: self.context.home.clone(),
            of_branch: self.context.spec.of_branch,
            retention: self.context.spec.retention,
        };
        // What a lost record promised is not known, so a person gets time to say what is to stay.
        let is_lost = self.record.is_none();
        let days = record.retention.days.max(Retention::default().days);
        let promised = is_lost.then(|| Utc::now() + TimeDelta::days(days.into()));
        for (number, one) in &complete {
            let found = found_generation(record.free_number(*number), one);
            match Some(one.id) == current {
                true => {
                    record.current = Some(found.number);
                    record.put(GenerationRecord { replaced: None, ..found });
                }
                false => record.put(GenerationRecord { promised, ..found }),
            }
        }
        self.context.store.save(&record)?;
        if let Some(number) = record.current {
            self.context.events.note(format!(
                "the record of this instance was lost or out of date; devdb found generation {number} \
                 on {} and uses it",
                engine.kind()
            ));
        }
        if is_lost && !record.former().is_empty() {
            self.context.events.note(format!(
                "nothing says how long the former generations are to be kept, so devdb keeps them for \
                 {days} days\n  \
                 devdb generations          lists them\n  \
                 devdb generations keep N   keeps one for good"
            ));
        }
        Ok(Some(record))
    }
}

/// The instance's server on a complete generation.
fn server_of<'s>(servers: &'s [Server], complete: &[(u32, Generation)]) -> Option<&'s Server> {
    let whole = |id: u32| complete.iter().any(|(_, generation)| generation.id == id);
    let mut candidates: Vec<&Server> = servers
        .iter()
        .filter(|server| server.role == Role::Instance && whole(server.generation))
        .collect();
    candidates.sort_by_key(|server| (server.is_running(), server.generation));
    candidates.last().copied()
}

/// The record of a generation that was found on an engine. It counts as replaced now, because
/// nothing tells when it was.
pub(super) fn found_generation(number: u32, generation: &Generation) -> GenerationRecord {
    let numbered = Numbered { id: generation.id, number };
    GenerationRecord {
        created: generation.created.unwrap_or_else(Utc::now),
        replaced: Some(Utc::now()),
        ..GenerationRecord::new(numbered, generation.made_with.clone(), Why::Found)
    }
}
