//! The first generation of an instance.

use super::prepare::Prepared;
use super::{Context, Instance, Plan, address, endpoint_of, launch, new_password, ready};
use crate::engine::{Engine, Server};
use crate::error::Result;
use crate::golden::Golden;
use crate::spec::PortChoice;
use crate::state::record::SCHEMA;
use crate::state::{Lock, Record, Why, ports};

/// An instance that was made.
pub(super) struct Created {
    /// Its server.
    pub server: Server,
    /// What it started from.
    pub golden: Golden,
}

impl Instance<'_> {
    /// Makes the instance on an engine that has nothing of it: the golden state of its files, then
    /// port, password, a copy of that state, and a server on it that accepts logins. When it fails
    /// or is interrupted nothing of it is left.
    ///
    /// # Errors
    /// Those of migrating, seeding, launching and waiting.
    pub(super) async fn create(&mut self, engine: &Engine, plan: &Plan) -> Result<Created> {
        let context = self.context;
        let record = context.interrupt.guard(reserve(context, &self.key, engine)).await?;
        self.record = Some(record);
        match self.create_on(engine, plan).await {
            Ok(created) => Ok(created),
            Err(error) => {
                // Not interruptible: this is the cleaning up. Where it fails, the record's note
                // makes the next command go on with it.
                match self.discard_everything(engine).await {
                    Ok(()) => self.record = None,
                    Err(worse) => {
                        return Err(error.because(format!("and cleaning up failed: {worse}")));
                    }
                }
                Err(error)
            }
        }
    }

    async fn create_on(&mut self, engine: &Engine, plan: &Plan) -> Result<Created> {
        let context = self.context;
        let Prepared { number, generation, verifier, golden, .. } =
            self.prepare(engine, plan, Why::Up).await?;
        context.events.step("creating the database server");
        let mut record = self.recorded()?;
        let launch = launch::instance(context, engine, &mut record, number, Some(&verifier));
        let server = launch.await?;
        // `point_at` before the wait: the address is made from the current generation.
        record.point_at(generation, server.handle.clone());
        ready::wait(context, engine, &server, &address(&record, endpoint_of(&server)?)).await?;
        context.interrupt.guard(engine.mark_complete(&server)).await?;
        record.under_way = None;
        context.store.save(&record)?;
        self.record = Some(record);
        Ok(Created { server, golden })
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
        spare: None,
        generations: Vec::new(),
        under_way: Some("up".into()),
        directory: context.directory.clone(),
        of_branch: context.spec.of_branch,
        retention: context.spec.retention,
    };
    context.store.save(&record)?;
    Ok(record)
}
