//! Opens an instance's engine and checks that the record fits what the engine has.

use super::Instance;
use crate::engine::{Engine, Generation, Role, Server};
use crate::error::{Error, Kind, Result};
use crate::state::{GenerationRecord, Record};

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
        let is_unknown = |server: &Server| {
            server.role == Role::Instance && !has_generation(&record, server.generation)
        };
        if servers.iter().any(is_unknown)
            && let Some(rebuilt) = self.rebuild_from(&engine).await?
            && rebuilt.current.is_some()
        {
            self.record = Some(rebuilt);
            self.tidy().await?;
            return Ok(engine);
        }
        if generations.iter().any(|one| Some(one.number) == record.current) {
            return Ok(engine);
        }
        let snapshots = engine.snapshot_names(&record.owner).await?;
        Err(data_is_gone(&record, &generations, &snapshots))
    }
}

fn has_generation(record: &Record, number: u32) -> bool {
    record.generations.iter().any(|known| known.number == number)
}

/// The error about lost data. The hint names what can still bring data back.
fn data_is_gone(record: &Record, generations: &[Generation], snapshots: &[String]) -> Error {
    let name = record.owner.generation_name(record.current.unwrap_or_default());
    let error = Error::new(Kind::Drift, format!("the data of this instance ({name}) is gone"))
        .because("something other than devdb removed it");
    let exists = |number| generations.iter().any(|one| one.number == number);
    let former = record.latest_former().filter(|former| exists(former.number));
    let error = match former {
        Some(GenerationRecord { number, .. }) => {
            error.hint(format!("devdb undo   goes back to generation {number}"))
        }
        None => error,
    };
    match snapshots {
        [] if former.is_some() => error,
        [] if !generations.iter().any(|one| has_generation(record, one.number)) => {
            error.hint("devdb down --purge && devdb up   makes a new database")
        }
        [] => error.hint("devdb generations   shows the generations that are left"),
        names => error.hint(format!(
            "devdb snapshot restore NAME   restores a snapshot ({})",
            names.join(", ")
        )),
    }
}
