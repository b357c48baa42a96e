//! Replacing an instance's data: another generation is made (reset) or chosen (undo) beside the
//! running one, and only when it is complete the old server makes room for it, on the same port.

use secrecy::ExposeSecret;

use super::data::{self, Plan};
use super::revive::stop_cleanly;
use super::{Instance, address, collect, endpoint_of, generation_record, launch, lineage, ready};
use crate::db::connect::Address;
use crate::db::{inspect, scram};
use crate::engine::{Engine, Generation, Launch, MadeWith, Role, Server};
use crate::error::{Error, Kind, Result};
use crate::outcome::Applied;
use crate::spec::ServerSpec;
use crate::state::{GenerationRecord, Record, Why};

/// What a swap did.
pub struct Replaced {
    /// The running server.
    pub server: Server,
    /// What was applied to the generation that is current now.
    pub applied: Applied,
    /// The generation that was current before.
    pub former: u32,
    /// Whether that one is kept: not when it was wiped, nor when nobody had written to it.
    pub kept: bool,
    /// The one that is now.
    pub current: u32,
}

impl Instance<'_> {
    /// Makes a new generation, migrated and seeded, and swaps. Whatever fails before the record is
    /// written, the old generation serves again, as before. With `wipe` the old one is removed.
    ///
    /// # Errors
    /// Those of building, migrating, seeding and launching.
    pub async fn reset(&mut self, plan: &Plan, wipe: bool) -> Result<Option<Replaced>> {
        self.tidy().await?;
        if self.record.is_none() {
            return Ok(None);
        }
        let context = self.context;
        let engine = self.settle().await?;
        lineage::check_engine(engine.kind(), context.spec.engine)?;
        context.interrupt.guard(engine.prepare(&context.spec.server, &context.events)).await?;
        let number = self.next_number(&engine, &self.recorded()?).await?;

        self.begin(&collect::making(number))?;
        let record = self.recorded()?;
        let former = record.current.unwrap_or_default();
        context.events.step("preparing a fresh database beside the running one");
        let built = self.build(&engine, &record, number, plan).await;
        let (applied, baseline) = match built {
            Ok(built) => built,
            Err(error) => {
                let error = self.given_up(&engine, number, error).await;
                return Err(error.hint("nothing was replaced: the database is as it was before"));
            }
        };
        context.events.step("swapping");
        let made_with = MadeWith::of(&context.spec.server, engine.kind());
        let new = GenerationRecord {
            baseline: Some(baseline),
            ..generation_record(number, made_with, Why::Reset)
        };
        let server = match self.swap(&engine, record, new).await {
            Ok(server) => server,
            Err(error) => {
                return Err(self.given_up(&engine, number, error).await);
            }
        };
        if wipe {
            self.forget(former)?;
        }
        self.done()?;
        self.collect(&engine).await;
        let kept = self.recorded()?.former_generations().contains(&former);
        Ok(Some(Replaced { server, applied, former, kept, current: number }))
    }

    /// Points the instance at the generation that was current before this one. Done twice, it is as
    /// it was. None when there is no instance.
    ///
    /// # Errors
    /// `NoInstance` when no former generation is kept, `Config` when it was made with what the
    /// settings no longer say, and those of launching; the present generation serves again then.
    pub async fn undo(&mut self) -> Result<Option<Replaced>> {
        self.tidy().await?;
        if self.record.is_none() {
            return Ok(None);
        }
        let context = self.context;
        // Not `settle`: this is also the way out when the current data is gone.
        let engine = self.engine(&self.recorded()?).await?;
        let Some(target) = self.recorded()?.latest_former().cloned() else {
            return Err(Error::new(Kind::NoInstance, "no former generation is kept")
                .because("only reset and snapshot restore make one, and it is kept for seven days")
                .hint("devdb status   shows what is kept"));
        };
        lineage::check(&target.made_with, &MadeWith::of(&context.spec.server, engine.kind()))?;
        context.interrupt.guard(engine.prepare(&context.spec.server, &context.events)).await?;
        self.begin("undo")?;
        let record = self.recorded()?;
        let former = record.current.unwrap_or_default();
        context.events.step("swapping");
        let current = target.number;
        // A person chose it: from now on it counts.
        let chosen = GenerationRecord { replaced: None, baseline: None, ..target };
        let server = self.swap(&engine, record, chosen).await?;
        self.done()?;
        let kept = true;
        Ok(Some(Replaced { server, applied: Applied::default(), former, kept, current }))
    }

    pub(super) async fn next_number(&self, engine: &Engine, record: &Record) -> Result<u32> {
        let on_engine = engine.generations(Some(&self.key)).await?;
        let recorded = record.generations.iter().map(|generation| generation.number);
        let highest = on_engine.iter().map(|generation| generation.number).chain(recorded).max();
        Ok(highest.unwrap_or(0) + 1)
    }

    /// A complete new generation, made by a private server that is gone afterwards.
    async fn build(
        &self,
        engine: &Engine,
        record: &Record,
        number: u32,
        plan: &Plan,
    ) -> Result<(Applied, String)> {
        let context = self.context;
        let spec = builder_spec(&context.spec.server);
        let verifier = scram::verifier(record.password.expose_secret());
        let guard = &context.interrupt;
        engine.create_generation(&record.owner, number, &context.spec.server).await?;
        let launch = Launch {
            owner: &record.owner,
            generation: number,
            role: Role::Builder,
            spec: &spec,
            port: None,
            verifier: Some(&verifier),
        };
        // Not interrupted halfway, as in `launch::instance`.
        let builder = engine.launch(&launch).await?;
        let endpoint = endpoint_of(&builder)?;
        let address = Address {
            host: endpoint.host.clone(),
            port: endpoint.port,
            database: spec.database.clone(),
            user: spec.user.clone(),
            password: record.password.clone(),
        };
        ready::wait(context, engine, &builder, &address).await?;
        let applied = data::populate(context, &address, plan).await?.applied;
        let baseline = guard.guard(inspect::next_transaction(&address)).await?;
        guard.guard(engine.mark_complete(&builder)).await?;
        stop_cleanly(context, engine, record, &builder).await?;
        engine.remove_server(&builder).await?;
        Ok((applied, baseline))
    }

    /// Stops the old server, launches one on another generation in its place, and records that.
    /// When it fails the old server runs again if it ran; the other generation's data is untouched.
    pub(super) async fn swap(
        &mut self,
        engine: &Engine,
        mut record: Record,
        new: GenerationRecord,
    ) -> Result<Server> {
        let context = self.context;
        let number = new.number;
        // Its password is another's, perhaps, and that is as it should be.
        let restored = new.why == Why::Restore;
        let mut old = self.current_server(engine, &record).await?;
        let was_running = old.as_ref().is_some_and(Server::is_running);
        self.note_whether_untouched(&mut record, old.as_ref()).await;
        let attempt = async {
            if let Some(old) = &mut old {
                stop_cleanly(context, engine, &record, old).await?;
                *old = engine.set_aside(old).await?;
            }
            let server = launch::instance(context, engine, &mut record, number, None).await?;
            record.point_at(new, server.handle.clone());
            self.log_in(engine, &record, &server, restored).await?;
            context.store.save(&record)?;
            Ok::<Server, Error>(server)
        };
        match attempt.await {
            Ok(server) => {
                self.record = Some(record);
                // From here on the other generation is the instance's, and nothing is an error: a
                // leftover server is removed by the next command, as the note is still there.
                if let Some(old) = &old
                    && let Err(error) = engine.remove_server(old).await
                {
                    context.events.warn(format!("the old server is still there: {error}"));
                }
                Ok(server)
            }
            Err(error) => Err(match &old {
                Some(old) => self.put_back(engine, old, was_running, error).await,
                None => match self.discard_server(engine, number).await {
                    Ok(()) => error,
                    Err(worse) => error.because(format!("and cleaning up failed: {worse}")),
                },
            }),
        }
    }

    /// Notes that nobody has written to the current generation since it was made, so that it need
    /// not be kept. Whoever cannot tell keeps it.
    async fn note_whether_untouched(&self, record: &mut Record, server: Option<&Server>) {
        let Some(endpoint) = server.and_then(|server| server.endpoint.as_ref()) else { return };
        let address = address(record, endpoint);
        let Ok(now) = self.context.interrupt.guard(inspect::next_transaction(&address)).await
        else {
            return;
        };
        let current = record.current;
        for generation in &mut record.generations {
            if Some(generation.number) == current {
                generation.untouched = generation.baseline.as_ref() == Some(&now);
            }
        }
    }

    /// Removes what was made of a generation that is not to be. What goes wrong with that is the
    /// lesser evil: the note of what is under way stays, and the next command tidies up.
    pub(super) async fn given_up(&mut self, engine: &Engine, number: u32, error: Error) -> Error {
        let discarded = self.discard(engine, number).await;
        match discarded.and_then(|()| self.settled_after(&error)) {
            Ok(()) => error,
            Err(worse) => error.because(format!("and cleaning up failed: {worse}")),
        }
    }

    /// Takes a generation out of the record; [`Instance::collect`] then removes its data.
    fn forget(&mut self, number: u32) -> Result<()> {
        if let Some(record) = &mut self.record {
            for generation in &mut record.generations {
                if generation.number == number {
                    generation.untouched = true;
                }
            }
            self.context.store.save(record)?;
        }
        Ok(())
    }

    async fn discard_server(&self, engine: &Engine, number: u32) -> Result<()> {
        for server in engine.servers(Some(&self.key)).await? {
            if server.generation == number {
                engine.remove_server(&server).await?;
            }
        }
        Ok(())
    }

    /// Removes a generation with its servers. Not interruptible.
    pub(super) async fn discard(&self, engine: &Engine, number: u32) -> Result<()> {
        self.discard_server(engine, number).await?;
        let generations: Vec<Generation> = engine.generations(Some(&self.key)).await?;
        for generation in generations.iter().filter(|generation| generation.number == number) {
            engine.remove_generation(generation).await?;
        }
        Ok(())
    }
}

/// A builder's data becomes a person's: what it commits one by one may be lost in a crash (it is
/// then built again), but the clean stop at its end writes everything to disk.
fn builder_spec(spec: &ServerSpec) -> ServerSpec {
    let mut spec = spec.clone();
    spec.settings.entry("synchronous_commit".into()).or_insert_with(|| "off".into());
    spec
}
