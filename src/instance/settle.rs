//! Opens an instance's engine and checks that the record fits what the engine has.

use super::Instance;
use super::remains::{data_is_gone, has_other_data};
use crate::engine::{Engine, Role, Server};
use crate::error::Result;
use crate::state::Record;

impl Instance<'_> {
    /// Opens the instance's engine, and checks that the record fits what the engine has. A user
    /// with another home directory may have changed the instance on the same engine; the record is
    /// then rebuilt.
    ///
    /// # Errors
    /// `Drift` when the data is gone, and the errors of [`Instance::engine`].
    pub(super) async fn settle(&mut self) -> Result<Engine> {
        let record = self.recorded()?;
        let engine = self.engine(&record).await?;
        let generations = engine.generations(Some(&self.key)).await?;
        let servers = engine.servers(Some(&self.key)).await?;
        let serves_instance = |server: &&Server| server.role == Role::Instance;
        let serves_current = |server: &Server| Some(server.generation) == record.current_id();
        let is_current_served = servers.iter().filter(serves_instance).any(serves_current);
        let is_of_another = |server: &Server| {
            server.role == Role::Instance
                && (record.by_id(server.generation).is_none()
                    || (!serves_current(server) && (server.is_running() || !is_current_served)))
        };
        if servers.iter().any(is_of_another) && self.follow(&engine, &record).await? {
            self.tidy().await?;
            return Ok(engine);
        }
        if generations.iter().any(|one| Some(one.id) == record.current_id()) {
            return Ok(engine);
        }
        // A devdb with another home directory has removed the data, and made other data.
        if has_other_data(&generations, &record) && self.follow(&engine, &record).await? {
            self.tidy().await?;
            return Ok(engine);
        }
        Err(data_is_gone(&engine, &record).await)
    }

    /// Makes the record anew from what the engine has, because a devdb with another home directory
    /// has worked on the instance. False when the engine has no complete generation.
    pub(super) async fn follow(&mut self, engine: &Engine, record: &Record) -> Result<bool> {
        let Some(mut rebuilt) = self.rebuild_from(engine).await? else { return Ok(false) };
        if rebuilt.current.is_none() {
            return Ok(false);
        }
        keep_promises(record, &mut rebuilt);
        self.context.store.save(&rebuilt)?;
        self.record = Some(rebuilt);
        Ok(true)
    }
}

/// Takes over what the old record promised about generations, which the engine does not know.
fn keep_promises(old: &Record, rebuilt: &mut Record) {
    let current = rebuilt.current;
    for found in &mut rebuilt.generations {
        let Some(known) = old.by_id(found.id) else { continue };
        found.for_good = known.for_good;
        found.profile.clone_from(&known.profile);
        if Some(found.number) != current && known.replaced.is_some() {
            (found.replaced, found.promised) = (known.replaced, known.promised);
        }
    }
    rebuilt.snapshots.clone_from(&old.snapshots);
    rebuilt.greatest = rebuilt.greatest.max(old.greatest);
}
