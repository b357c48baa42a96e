//! Stops an instance, removes its server, or removes the whole instance for good.

use super::discard::REMOVAL_START_DEADLINE;
use super::{Instance, address, written};
use crate::context::Context;
use crate::db::checkpoint;
use crate::engine::{Engine, STOP_DEADLINE, Server};
use crate::error::{Kind, Result};
use crate::spec::PortChoice;
use crate::state::{Record, UnderWay};

impl Instance<'_> {
    /// Stops the server cleanly; the container stays. Returns whether the server ran.
    ///
    /// # Errors
    /// When the engine does not answer or the server does not stop.
    pub async fn stop(&mut self) -> Result<bool> {
        self.tidy().await?;
        let Some(record) = self.record.clone() else { return Ok(false) };
        let engine = self.engine(&record).await?;
        let Some(server) = self.current_server(&engine, &record).await? else { return Ok(false) };
        let ran = server.is_running();
        self.stop_and_note(&engine, &server).await?;
        self.hold(&engine).await;
        Ok(ran)
    }

    /// Stops the server, unless it cannot start again as it is: after a change of the settings,
    /// [`super::bring_up`] replaces a running server, and puts it back when the new one fails.
    ///
    /// # Errors
    /// `Config` when the settings do not fit the data, and those of [`Instance::stop`].
    pub async fn stop_to_start(&mut self) -> Result<()> {
        self.tidy().await?;
        let engine = self.settle().await?;
        let record = self.recorded()?;
        self.check_lineage(&record)?;
        let spec = &self.context.spec;
        let port = match spec.port {
            PortChoice::Fixed(port) => port,
            PortChoice::Auto => record.port,
        };
        let wanted = spec.server.launch_digest(record.engine, Some(port));
        match self.current_server(&engine, &record).await? {
            Some(server) if server.launch_digest == wanted => self.stop().await.map(drop),
            _ => Ok(()),
        }
    }

    /// Stops the server cleanly and removes it; the data stays. Returns whether there was a server.
    ///
    /// # Errors
    /// When the engine does not answer or the server does not stop.
    pub async fn down(&mut self) -> Result<bool> {
        self.tidy().await?;
        let Some(record) = self.record.clone() else { return Ok(false) };
        let engine = self.engine(&record).await?;
        let server = self.current_server(&engine, &record).await?;
        if let Some(server) = &server {
            self.begin(UnderWay::Down)?;
            self.stop_and_note(&engine, server).await?;
            engine.remove_server(server).await?;
        }
        if let Some(record) = &mut self.record {
            let was_recorded = record.server.take().is_some();
            // Somebody else removed the server. After a `down` the record tells what devdb found.
            if server.is_none() && was_recorded {
                written::note(record, None, None);
            }
        }
        self.done()?;
        self.remove_expired_and_spare(&engine, REMOVAL_START_DEADLINE).await;
        self.hold(&engine).await;
        Ok(server.is_some())
    }

    /// Stops the server cleanly, and records whether somebody had written to the generation: nobody
    /// can ask a stopped server.
    async fn stop_and_note(&mut self, engine: &Engine, server: &Server) -> Result<()> {
        let Some(record) = &mut self.record else { return Ok(()) };
        let look = match server.is_running() {
            true => written::stop(self.context, engine, record, server).await?,
            false => {
                engine.stop(server, STOP_DEADLINE).await?;
                None
            }
        };
        let context = self.context;
        let next_transaction =
            written::next_transaction(context, engine, record, Some(server)).await;
        written::note(record, look, next_transaction);
        self.context.store.save(record)
    }

    /// Removes the instance with all its generations and snapshots for good. Returns whether there
    /// was an instance.
    ///
    /// # Errors
    /// When the engine refuses. Another call continues.
    pub async fn purge(&mut self) -> Result<bool> {
        let Some(record) = self.record.clone() else { return Ok(false) };
        let engine = self.engine(&record).await?;
        self.begin(UnderWay::Purge)?;
        self.discard_snapshots(&engine).await?;
        self.discard_everything(&engine).await?;
        self.record = None;
        Ok(true)
    }
}

/// Stops the server after a checkpoint, so that its next start needs no recovery.
pub(super) async fn stop_cleanly(
    context: &Context,
    engine: &Engine,
    record: &Record,
    server: &Server,
) -> Result<()> {
    if let Some(endpoint) = server.endpoint.as_ref().filter(|_| server.is_running()) {
        // The checkpoint makes the stop short. A server that cannot do one is stopped anyway.
        let address = address(record, endpoint);
        if let Err(error) = context.interrupt.guard(checkpoint::checkpoint(&address)).await
            && error.kind() == Kind::Interrupted
        {
            return Err(error);
        }
    }
    engine.stop(server, STOP_DEADLINE).await
}
