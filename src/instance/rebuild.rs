//! A lost or damaged record, rebuilt from what the engines still have.

use chrono::Utc;

use super::Instance;
use crate::db::scram;
use crate::engine::{Engine, Generation, Role, Server};
use crate::error::{Kind, Result};
use crate::spec::Retention;
use crate::state::record::SCHEMA;
use crate::state::{GenerationRecord, Record, UnderWay, Why, Worth, ports};

impl Instance<'_> {
    /// The record on disk, or one made from the engines' labels when it is lost or damaged.
    pub(super) async fn load_or_rebuild(&self) -> Result<Option<Record>> {
        let store = &self.context.store;
        match store.load(&self.key) {
            Ok(Some(record)) => return Ok(Some(record)),
            Ok(None) => {}
            Err(error) if error.kind() == Kind::Drift => {
                let aside = store.quarantine(&self.key)?;
                self.context.events.warn(format!("{error}; it is kept as {}", aside.display()));
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

    /// A record made from what an engine has of this instance, saved; its `current` is none when
    /// nothing complete is among that. None when the engine has nothing.
    pub(super) async fn rebuild_from(&self, engine: &Engine) -> Result<Option<Record>> {
        if self.context.spec.owner.is_ephemeral() {
            // It never had one.
            return Ok(None);
        }
        let mut generations = engine.generations(Some(&self.key)).await?;
        let servers = engine.servers(Some(&self.key)).await?;
        if generations.is_empty() && servers.is_empty() {
            return Ok(None);
        }
        let mut complete = Vec::new();
        for generation in generations.drain(..) {
            if self.is_complete(engine, &generation).await? {
                complete.push(generation);
            }
        }
        // A copy made ahead has had its number for a while.
        complete.sort_by_key(|generation| (generation.created, generation.number));
        let server = server_of(&servers, &complete);
        let current = server.map(|server| server.generation).or(complete.last().map(|g| g.number));
        let former =
            complete.iter().filter(|generation| Some(generation.number) != current).count();
        let retention = self.context.spec.retention;
        let record = Record {
            schema: SCHEMA,
            // As it was made: the project may have another name by now.
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
            generations: complete
                .iter()
                .map(|one| match Some(one.number) == current {
                    true => GenerationRecord { replaced: None, ..found(one) },
                    false => found(one),
                })
                .collect(),
            // What is incomplete is rubbish of a first `up` that was cut short: tidied up next.
            under_way: Some(UnderWay::Rebuild),
            home: self.context.home.clone(),
            of_branch: self.context.spec.of_branch,
            // Nobody knows any more which of them were promised: all are, until the next swap.
            retention: Retention {
                keep: retention.keep.max(u16::try_from(former).unwrap_or(u16::MAX)),
                ..retention
            },
        };
        self.context.store.save(&record)?;
        if let Some(number) = current {
            self.context.events.note(format!(
                "the record of this instance was lost or out of date; generation {number} was found \
                 on {}",
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

/// A generation that no record told of: its time begins now, because nobody knows when it was
/// replaced.
pub(super) fn found(generation: &Generation) -> GenerationRecord {
    GenerationRecord {
        number: generation.number,
        made_with: generation.made_with.clone(),
        created: generation.created.unwrap_or_else(Utc::now),
        why: Why::Found,
        replaced: Some(Utc::now()),
        baseline: None,
        worth: Worth::WrittenTo,
    }
}
