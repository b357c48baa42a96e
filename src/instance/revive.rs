//! Makes a recorded instance run: finds its server, starts it, or launches another one when the
//! settings or the port have changed.

use std::time::Duration;

use super::create::Created;
use super::login::Password;
use super::stop::stop_cleanly;
use super::{Instance, address, endpoint_of, launch, lineage};
use crate::context::Context;
use crate::db::connect::wait_for_login;
use crate::engine::{Engine, Numbered, Role, Server};
use crate::error::{Error, Kind, Result};
use crate::golden::Golden;
use crate::outcome::How;
use crate::plan::Plan;
use crate::populate::ready;
use crate::spec::{MadeWith, PortChoice};
use crate::state::{GenerationRecord, Record, UnderWay, Worth};

/// How long devdb waits for a late stop: a busy engine may carry out the stop that a killed command
/// asked for after the next command has found the server running.
const LATE_STOP_DEADLINE: Duration = Duration::from_millis(300);

/// A server that accepts logins.
pub struct Running {
    /// The server.
    pub server: Server,
    /// What devdb did to the server.
    pub how: How,
    /// The golden state that a new instance started from.
    pub golden: Option<Golden>,
}

/// A server that took the place of another.
pub(super) struct ReplacedServer {
    /// The server that runs now.
    pub new: Server,
    /// The server that was set aside.
    pub old: Server,
}

impl Instance<'_> {
    /// Returns a running server of the instance that accepts logins. Makes the instance when there
    /// is none.
    ///
    /// # Errors
    /// The errors of creating, starting and waiting. The data is as it was before.
    pub async fn ensure_running(&mut self, plan: &Plan) -> Result<Running> {
        let cut_short = self.record.as_ref().is_some_and(|record| record.under_way.is_some());
        self.tidy().await?;
        if self.record.is_none() {
            let context = self.context;
            let engines = &context.engines;
            let choosing = engines.choose(&context.spec, Role::Instance, &context.events);
            let engine = context.interrupt.guard(choosing).await?;
            // The engine may answer now, and may have the instance.
            self.lock_on(&engine).await?;
            self.record = self.rebuild_from(&engine).await?;
            self.tidy().await?;
            if self.record.is_none() {
                let Created { server, golden } = self.create(&engine, plan).await?;
                return Ok(Running { server, how: How::Created, golden: Some(golden) });
            }
        }
        let engine = self.settle().await?;
        engine.keeps_instances().await?;
        let record = self.recorded()?;
        self.check_lineage(&record)?;
        // While it serves, somebody may write to it.
        let record = self.record.as_mut();
        if let Some(current) = record.and_then(|record| record.current_generation_mut()) {
            current.worth = Worth::WrittenTo;
        }
        self.begin(UnderWay::Up)?;
        let (mut server, mut how) = self.revive(&engine, self.recorded()?).await?;
        if cut_short {
            tokio::time::sleep(LATE_STOP_DEADLINE).await;
            let now = engine.server(&server.handle).await?;
            if !now.is_some_and(|server| server.is_running()) {
                (server, how) = self.revive(&engine, self.recorded()?).await?;
            }
        }
        self.done()?;
        self.remove_expired(&engine).await;
        self.announce();
        self.hold(&engine).await;
        Ok(Running { server, how, golden: None })
    }

    /// Fails when the settings ask for another engine than the instance's, or do not fit its data.
    pub(super) fn check_lineage(&self, record: &Record) -> Result<()> {
        let spec = &self.context.spec;
        lineage::check_engine(record.engine, spec.engine)?;
        match record.current_generation() {
            Some(current) => {
                let wanted = MadeWith::of(&spec.server, record.engine);
                lineage::check(&current.made_with, &wanted)
            }
            None => Ok(()),
        }
    }

    async fn revive(&mut self, engine: &Engine, mut record: Record) -> Result<(Server, How)> {
        let context = self.context;
        if let PortChoice::Fixed(port) = context.spec.port {
            record.port = port;
        }
        let found = self.current_server(engine, &record).await?;
        let digest = context.spec.server.launch_digest(record.engine, Some(record.port));
        let (server, how) = match found {
            None => (self.launch_again(engine, &mut record).await?, How::Started),
            Some(server) if server.launch_digest != digest => {
                context.events.step("restarting the database server with its new settings");
                (self.relaunch(engine, &mut record, server).await?, How::Relaunched)
            }
            Some(server) if server.is_running() => (server, How::Unchanged),
            Some(server) => self.start(engine, &mut record, server).await?,
        };
        record.server = Some(server.handle.clone());
        self.record = Some(record.clone());
        context.store.save(&record)?;
        self.log_in(engine, &record, &server, Password::Recorded).await?;
        // Setting a password may have restarted the server.
        let server = engine.server(&server.handle).await?.unwrap_or(server);
        Ok((server, how))
    }

    /// Launches a server for an instance that is down. A server that accepts no login is removed
    /// again, because a container that restarts for ever would be in the way of a repaired one.
    async fn launch_again(&mut self, engine: &Engine, record: &mut Record) -> Result<Server> {
        let context = self.context;
        let current = record.current_generation().map(GenerationRecord::numbered);
        let on = current.ok_or_else(|| Error::new(Kind::Drift, "no generation is current"))?;
        let preparing = engine.prepare(&context.spec.server, &context.events);
        context.interrupt.guard(preparing).await?;
        context.events.step("starting the database server");
        let server = launch::instance(context, engine, record, on, None).await?;
        let address = address(record, endpoint_of(&server)?);
        match ready::wait(context, engine, &server, &address).await {
            Err(error) if error.kind() != Kind::LoginRefused => {
                Err(error.with_cleanup(self.retire_server(engine, &server).await))
            }
            _ => Ok(server),
        }
    }

    async fn start(
        &mut self,
        engine: &Engine,
        record: &mut Record,
        server: Server,
    ) -> Result<(Server, How)> {
        let context = self.context;
        context.events.step("starting the database server");
        match context.interrupt.guard(engine.start(&server)).await {
            Ok(server) => Ok((server, How::Started)),
            Err(error) if launch::may_move(context, &error) => {
                launch::move_port(context, record).await?;
                Ok((self.relaunch(engine, record, server).await?, How::Relaunched))
            }
            Err(error) if error.kind() == Kind::PortBusy => {
                Err(launch::fixed_port_hint(context, record, error))
            }
            Err(error) => Err(error),
        }
    }

    /// Replaces the server on the current generation. The old server is set aside until the new one
    /// accepts a login, and is put back when it does not.
    pub(super) async fn relaunch(
        &mut self,
        engine: &Engine,
        record: &mut Record,
        old: Server,
    ) -> Result<Server> {
        let context = self.context;
        context.interrupt.guard(engine.prepare(&context.spec.server, &context.events)).await?;
        let ReplacedServer { new, old } =
            self.replace_server(context, engine, record, &old).await?;
        engine.remove_server(&old).await?;
        Ok(new)
    }

    /// Sets the old server aside and launches another, as `context` specifies, on the same
    /// generation. The old server is put back when the new one accepts no login.
    pub(super) async fn replace_server(
        &self,
        context: &Context,
        engine: &Engine,
        record: &mut Record,
        old: &Server,
    ) -> Result<ReplacedServer> {
        let number = record.current.unwrap_or_default();
        let on = Numbered { id: old.generation, number };
        let was_running = old.is_running();
        stop_cleanly(context, engine, record, old).await?;
        let old = engine.set_aside(old).await?;
        let new = async {
            let server = launch::instance(context, engine, record, on, None).await?;
            let address = address(record, endpoint_of(&server)?);
            match ready::wait(context, engine, &server, &address).await {
                Err(error) if error.kind() != Kind::LoginRefused => Err(error),
                _ => Ok(server),
            }
        };
        match new.await {
            Ok(new) => Ok(ReplacedServer { new, old }),
            Err(error) if was_running => {
                let error = error.without_missing_data();
                Err(self.put_back(engine, &old, was_running, error).await)
            }
            Err(error) => Err(self.put_back(engine, &old, was_running, error).await),
        }
    }

    /// Puts `old` back after `error`. Returns that error, with a hint or cause about the old
    /// server.
    pub(super) async fn put_back(
        &self,
        engine: &Engine,
        old: &Server,
        was_running: bool,
        error: Error,
    ) -> Error {
        match self.try_put_back(engine, old, was_running).await {
            Ok(()) => error.note("nothing was replaced; the database is as it was before"),
            Err(worse) => error
                .because(format!("and the old server could not be started again: {worse}"))
                .hint("devdb up   tries again; the data is untouched"),
        }
    }

    /// Removes every other server, puts `old` back and, if it ran, starts it. Not interruptible.
    pub(super) async fn try_put_back(
        &self,
        engine: &Engine,
        old: &Server,
        was_running: bool,
    ) -> Result<()> {
        self.retire_other_servers(engine, Some(old)).await?;
        let old = engine.reinstate(old).await?;
        if was_running { self.start_again(engine, &old).await } else { Ok(()) }
    }

    /// Starts a server that ran before, and waits for a login. Not interruptible.
    ///
    /// # Errors
    /// When the engine refuses, and when the server accepts no login in time.
    pub(super) async fn start_again(&self, engine: &Engine, server: &Server) -> Result<()> {
        let server = engine.start(server).await?;
        match &self.record {
            Some(record) => {
                let address = address(record, endpoint_of(&server)?);
                wait_for_login(&address, self.context.spec.timeout).await
            }
            None => Ok(()),
        }
    }

    /// The server of the current generation, if the engine has one.
    pub(super) async fn current_server(
        &self,
        engine: &Engine,
        record: &Record,
    ) -> Result<Option<Server>> {
        Ok(engine.servers(Some(&self.key)).await?.into_iter().find(|server| {
            server.role == Role::Instance && Some(server.generation) == record.current_id()
        }))
    }
}
