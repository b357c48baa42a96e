//! Looks at an instance without its lock and without changing anything.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{lineage, retention};
use crate::context::Context;
use crate::engine::{Engine, Server};
use crate::error::{Error, Kind, Result};
use crate::spec::{EngineKind, MadeWith, Owner, PortChoice};
use crate::state::Record;

/// How long devdb looks for an instance without a record: 1 second.
const LOOK_DEADLINE: Duration = Duration::from_secs(1);

/// An instance as it is now.
pub struct Observed {
    /// Its record.
    pub record: Record,
    /// Its engine.
    pub engine: Engine,
    /// Its server; none when the instance is down.
    pub server: Option<Server>,
}

/// The record of the instance.
///
/// # Errors
/// `NoInstance`.
pub fn record(context: &Context) -> Result<Record> {
    context
        .store
        .load(&context.spec.owner.key())
        .map_err(|error| match error.kind() {
            Kind::Drift => error.hint("devdb up   rebuilds the record from what the engine has"),
            _ => error,
        })?
        .filter(|record| record.current.is_some())
        .map(|record| context.with_settings(record))
        .ok_or_else(|| {
            let who = context.spec.owner.in_words();
            Error::new(Kind::NoInstance, format!("{who} has no database"))
                .hint("devdb up   creates it")
                .hint("devdb list   shows all databases on this machine")
                .with_missing_data()
        })
}

/// The instances of this project and developer that the engines have and devdb has no record of, as far
/// as `wanted` wants them: the record was lost, or a devdb with another home directory made them. An
/// engine that does not answer has none.
pub async fn unrecorded(
    context: &Context,
    wanted: impl Fn(&Owner) -> bool,
) -> BTreeMap<Owner, EngineKind> {
    let mut found = BTreeMap::new();
    for engine in context.engines.reachable(&context.spec.server).await {
        let generations = engine.generations(None).await.unwrap_or_default();
        let owners = generations.into_iter().map(|generation| generation.owner);
        found.extend(owners.map(|owner| (owner, engine.kind())));
    }
    found.retain(|owner, _| {
        owner.is_beside(&context.spec.owner)
            && !owner.is_ephemeral()
            && wanted(owner)
            && matches!(context.store.load(&owner.key()), Ok(None))
    });
    found
}

/// The engine that has this instance although devdb has no record of it, in words.
pub async fn found_without_record(context: &Context) -> Option<String> {
    let key = context.spec.owner.key();
    let looking = unrecorded(context, |owner| owner.key() == key);
    // A command that needs no engine does not wait for one for long.
    let found = tokio::time::timeout(LOOK_DEADLINE, looking).await.unwrap_or_default();
    let engine = found.into_values().next()?;
    Some(format!("{engine} has this database, but devdb has no record of it; devdb up makes one"))
}

/// Fails when `engine` is not the one that the instance was made on.
///
/// # Errors
/// `NoEngine`, with hints.
pub(super) async fn same_engine(engine: &Engine, record: &Record) -> Result<()> {
    if engine.id().await? == record.engine_id {
        return Ok(());
    }
    let error = match record.engine {
        EngineKind::Docker => {
            Error::new(Kind::NoEngine, "this instance lives on another Docker engine")
                .because("devdb changed nothing, here or there")
                .hint("choose that engine again (DOCKER_HOST, DOCKER_CONTEXT, docker context use)")
        }
        EngineKind::Native => {
            Error::new(Kind::NoEngine, "the directory with this instance's data is gone")
                .because("the directory of devdb's native servers was removed or replaced")
                .hint("put the directory back, if it was moved or there is a backup")
        }
    };
    Err(error.hint("devdb up --instance NAME   makes a second instance"))
}

impl Observed {
    /// Looks at the instance.
    ///
    /// # Errors
    /// `NoInstance`, and `NoEngine` when the engine does not answer.
    pub async fn look(context: &Context) -> Result<Observed> {
        let record = record(context)?;
        let engine =
            context.engines.open(record.engine, &context.spec.server, &context.events).await?;
        let server = match &record.server {
            Some(handle) => engine.server(handle).await?,
            None => None,
        };
        if server.is_none() {
            // A server that was found proves which engine this is. Otherwise devdb has to ask.
            same_engine(&engine, &record).await?;
        }
        let server = server.filter(|server| Some(server.generation) == record.current_id());
        Ok(Observed { record, engine, server })
    }

    /// Looks at an instance that runs exactly as it should. None when there is anything to do. This
    /// is the fast path of `up`: it reads one record and calls the engine once.
    ///
    /// # Errors
    /// `Config` when the settings ask for what an existing instance cannot change.
    pub async fn as_wanted(context: &Context) -> Result<Option<Observed>> {
        let Ok(Some(record)) = context.store.load(&context.spec.owner.key()) else {
            return Ok(None);
        };
        let Some(current) = record.current_generation().cloned() else { return Ok(None) };
        let is_at_rest = record.under_way.is_none() && retention::needs_no_work(context, &record);
        if !is_at_rest || record.server.is_none() {
            return Ok(None);
        }
        lineage::check_engine(record.engine, context.spec.engine)?;
        lineage::check(&current.made_with, &MadeWith::of(&context.spec.server, record.engine))?;
        let port = match context.spec.port {
            PortChoice::Fixed(port) => port,
            PortChoice::Auto => record.port,
        };
        let digest = context.spec.server.launch_digest(record.engine, Some(port));
        let observed = Observed::look(context).await?;
        let fits = |server: &Server| server.is_running() && server.launch_digest == digest;
        Ok(observed.server.as_ref().is_some_and(fits).then_some(observed))
    }

    /// The running server.
    ///
    /// # Errors
    /// `NotRunning`.
    pub fn running(&self) -> Result<&Server> {
        self.server.as_ref().filter(|server| server.is_running()).ok_or_else(|| {
            Error::new(Kind::NotRunning, "the database is not running")
                .hint("devdb start   starts the database as it is")
                .hint("devdb up      starts, migrates and seeds the database")
        })
    }
}
