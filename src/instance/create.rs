//! The first generation of an instance.

use secrecy::ExposeSecret;

use super::{
    Context, Instance, address, endpoint_of, generation_record, launch, new_password, ready,
};
use crate::db::scram;
use crate::engine::{Engine, MadeWith, Server};
use crate::error::Result;
use crate::spec::PortChoice;
use crate::state::record::SCHEMA;
use crate::state::{Lock, Record, Why, ports};

/// The number of an instance's first generation.
const FIRST: u32 = 1;

impl Instance<'_> {
    /// Makes the instance on an engine that has nothing of it: port, password, an empty generation,
    /// a server on it that accepts logins. When it fails or is interrupted nothing of it is left.
    ///
    /// # Errors
    /// Those of launching and waiting.
    pub(super) async fn create(&mut self, engine: &Engine) -> Result<Server> {
        let context = self.context;
        let record = context.interrupt.guard(reserve(context, &self.key, engine)).await?;
        self.record = Some(record.clone());
        context.events.step("creating the database server");
        let spec = &context.spec;
        if let Err(error) = engine.create_generation(&spec.owner, FIRST, &spec.server).await {
            // Nothing was made, so nothing is removed but the record.
            context.store.remove(&self.key)?;
            self.record = None;
            return Err(error);
        }
        match self.create_on(engine, record).await {
            Ok(server) => Ok(server),
            Err(error) => {
                // Not interruptible: this is the cleaning up. Where it fails, the record's note
                // makes the next command go on with it.
                let discarded = self.discard(engine, FIRST).await;
                match discarded.and_then(|()| context.store.remove(&self.key)) {
                    Ok(()) => self.record = None,
                    Err(worse) => {
                        return Err(error.because(format!("and cleaning up failed: {worse}")));
                    }
                }
                Err(error)
            }
        }
    }

    async fn create_on(&mut self, engine: &Engine, mut record: Record) -> Result<Server> {
        let context = self.context;
        let spec = &context.spec;
        let made_with = MadeWith::of(&spec.server, engine.kind());
        let verifier = scram::verifier(record.password.expose_secret());
        let guard = &context.interrupt;

        let server = launch::instance(context, engine, &mut record, FIRST, Some(&verifier)).await?;
        // `point_at` before the wait: the address is made from the current generation.
        record.point_at(generation_record(FIRST, made_with, Why::Up), server.handle.clone());
        ready::wait(context, engine, &server, &address(&record, endpoint_of(&server)?)).await?;
        guard.guard(engine.mark_complete(&server)).await?;
        record.under_way = None;
        context.store.save(&record)?;
        self.record = Some(record);
        Ok(server)
    }
}

/// Reserves a port for the instance by writing its first record, under a lock of all instances.
async fn reserve(context: &Context, key: &str, engine: &Engine) -> Result<Record> {
    // Asked first: a daemon that hangs must not hold up every other instance.
    let engine_id = engine.id().await?;
    let _all = Lock::take(&context.store.lock_file("ports"), super::LOCK_PATIENCE, &context.events)
        .await?;
    let port = match context.spec.port {
        PortChoice::Fixed(port) => port,
        PortChoice::Auto => ports::pick(key, &ports::remembered(&context.store, key)?)?,
    };
    let record = Record {
        schema: SCHEMA,
        owner: context.spec.owner.clone(),
        engine: engine.kind(),
        engine_id,
        port,
        password: new_password(),
        current: None,
        server: None,
        generations: Vec::new(),
        under_way: Some("up".into()),
        directory: context.directory.clone(),
        of_branch: context.spec.of_branch,
        retention: context.spec.retention,
    };
    context.store.save(&record)?;
    Ok(record)
}
