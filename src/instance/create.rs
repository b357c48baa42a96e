//! The first generation of an instance.

use super::login::Password;
use super::prepare::Prepared;
use super::{Instance, launch};
use crate::context::Context;
use crate::db::scram;
use crate::engine::{Engine, Server, Snapshot};
use crate::error::{Error, Result, shell_word};
use crate::golden::Golden;
use crate::plan::Plan;
use crate::spec::{MadeWith, PortChoice};
use crate::state::record::SCHEMA;
use crate::state::{GenerationRecord, Guards, Record, UnderWay, Why, ports};

/// A new instance.
pub(super) struct Created {
    /// Its server.
    pub server: Server,
    /// The golden state it started from.
    pub golden: Golden,
}

impl Instance<'_> {
    /// Makes the instance on an engine that has nothing of it yet: reserves a port, copies the
    /// golden state of its files, and launches a server that accepts logins. A failed or
    /// interrupted attempt leaves nothing.
    ///
    /// # Errors
    /// The errors of migrating, seeding, launching and waiting.
    pub(super) async fn create(&mut self, engine: &Engine, plan: &Plan) -> Result<Created> {
        let context = self.context;
        let record = context.interrupt.guard(reserve(context, &self.key, engine)).await?;
        self.record = Some(record);
        let created = async {
            let Prepared { generation, verifier, golden, .. } =
                self.prepare(engine, plan, Why::Up).await?;
            let server = self.launch_first(engine, generation, Some(&verifier)).await?;
            Ok(Created { server, golden })
        };
        match created.await {
            Ok(created) => {
                self.say_where_the_data_from_before_is();
                Ok(created)
            }
            Err(error) => Err(self.rolled_back_creation(engine, error).await),
        }
    }

    /// Says once, when the first branch of a checkout gets a database of its own, that the database
    /// from before the setting is still there.
    fn say_where_the_data_from_before_is(&self) {
        let Context { spec, store, events, .. } = self.context;
        let others = store.load_all().unwrap_or_default().into_iter().flatten().filter(|other| {
            other.owner.is_beside(&spec.owner) && other.owner.instance != spec.owner.instance
        });
        let others: Vec<Record> = others.collect();
        let is_first = spec.of_branch && others.iter().all(|other| !other.of_branch);
        let before = others.iter().find(|other| other.owner.is_usual()).or(others.first());
        if let Some(before) = before.filter(|_| is_first) {
            let name = shell_word(&before.owner.instance);
            // On whichever branch it is typed, this deletes no other database.
            let own = shell_word(&spec.owner.instance);
            events.note(format!(
                "with `isolation: branch`, this branch has a database of its own. The database from \
                 before is the instance {name}. To begin with a copy of it, type devdb down --purge \
                 --instance {own}, then devdb up --from {name}"
            ));
        }
    }

    /// Makes the instance from another instance's snapshot, on the engine that has the snapshot. A
    /// failed or interrupted attempt leaves nothing.
    ///
    /// # Errors
    /// The errors of launching and waiting, and `Snapshot` when the copy fails.
    pub(super) async fn create_from(
        &mut self,
        engine: &Engine,
        snapshot: &Snapshot,
    ) -> Result<Server> {
        let context = self.context;
        let spec = &context.spec.server;
        let record = context.interrupt.guard(reserve(context, &self.key, engine)).await?;
        self.record = Some(record);
        let created = async {
            let owner = self.recorded()?.owner;
            let new = self.next_generation(engine).await?;
            self.begin(UnderWay::Generation(new.id))?;
            let copying = engine.create_generation_from_snapshot(&owner, new, snapshot, spec);
            context.interrupt.guard(copying).await?;
            let made_with = MadeWith::of(spec, engine.kind());
            let profile = context.spec.seeds.chosen_profile();
            let generation =
                GenerationRecord { profile, ..GenerationRecord::new(new, made_with, Why::Restore) };
            self.launch_first(engine, generation, None).await
        };
        match created.await {
            Ok(server) => Ok(server),
            Err(error) => Err(self.rolled_back_creation(engine, error).await),
        }
    }

    /// Launches the first server on a generation that exists, and records both.
    async fn launch_first(
        &mut self,
        engine: &Engine,
        generation: GenerationRecord,
        verifier: Option<&str>,
    ) -> Result<Server> {
        let context = self.context;
        context.events.step("creating the database server");
        let mut record = self.recorded()?;
        let on = generation.numbered();
        let launch = launch::instance(context, engine, &mut record, on, verifier);
        let server = launch.await?;
        // `point_at` comes before the wait, because the address depends on the current generation.
        record.point_at(generation, server.handle.clone());
        self.log_in(engine, &record, &server, Password::OfTheCopy).await?;
        // Setting a password may have restarted the server.
        let server = engine.server(&server.handle).await?.unwrap_or(server);
        record.under_way = None;
        context.store.save(&record)?;
        self.record = Some(record);
        Ok(server)
    }

    /// Removes everything that a failed creation made. Not interruptible. When the removal fails,
    /// the note in the record makes the next command finish it.
    async fn rolled_back_creation(&mut self, engine: &Engine, error: Error) -> Error {
        let cleanup = self.discard_everything(engine).await;
        if cleanup.is_ok() {
            self.record = None;
        }
        error.with_cleanup(cleanup)
    }
}

/// Reserves a port for the instance by writing its first record, under the lock of all ports.
async fn reserve(context: &Context, key: &str, engine: &Engine) -> Result<Record> {
    // This call comes before the lock: a daemon that hangs must not block every other instance.
    let engine_id = engine.id().await?;
    let _all = context.store.lock(Guards::Ports, &context.events).await?;
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
        password: scram::new_password(),
        current: None,
        server: None,
        spare: None,
        leaving: Vec::new(),
        generations: Vec::new(),
        greatest: 0,
        snapshots: Vec::new(),
        under_way: Some(UnderWay::Up),
        home: context.home.clone(),
        of_branch: context.spec.of_branch,
        retention: context.spec.retention,
    };
    context.store.save(&record)?;
    Ok(record)
}
