//! A new instance that begins with a copy of another instance's data, for example for a new branch.

use super::{Instance, Running, lineage};
use crate::context::Context;
use crate::engine::SnapshotName;
use crate::error::{Error, Kind, Result, shell_word};
use crate::outcome::How;
use crate::spec::MadeWith;

impl Instance<'_> {
    /// Makes the instance from a snapshot of the present data of `source`. The snapshot exists only
    /// during this call. Clients of the other instance stay connected.
    ///
    /// # Errors
    /// `Usage` when this instance exists, `NoInstance` when the other does not, and the errors of
    /// saving a snapshot and of making an instance.
    pub async fn branch_off(&mut self, source: &Context) -> Result<Running> {
        self.tidy().await?;
        if self.record.is_some() {
            return Err(Error::new(
                Kind::Usage,
                "--from creates a database, and this one exists already",
            )
            .hint("devdb up   starts this instance with its own data")
            .hint(format!(
                "devdb --instance {} snapshot export NAME FILE   writes data that devdb snapshot import \
                 reads here",
                shell_word(&source.spec.owner.instance)
            )));
        }
        let spec = &self.context.spec;
        if source.spec.owner == spec.owner {
            let name = &spec.owner.instance;
            return Err(Error::new(
                Kind::Usage,
                format!("the instance {name:?} cannot begin with a copy of itself"),
            )
            .because("--from takes the name of another instance of this checkout")
            .hint("devdb list   shows all instances")
            .hint(
                "devdb snapshot export NAME FILE   in another checkout writes data that devdb \
                 snapshot import reads here",
            ));
        }
        let mut other = Instance::open_origin(source).await?;
        other.tidy().await?;
        let record = other.recorded().map_err(|error| {
            let owner = &source.spec.owner;
            let error =
                error.context(format!("there is no instance {:?} to start from", owner.instance));
            match source.store.nearest_instance(owner) {
                Some(name) => error.hint(format!("did you mean {name}?")),
                None => error.hint("devdb list   shows all instances"),
            }
        })?;
        lineage::check_engine(record.engine, spec.engine)?;
        if let Some(current) = record.current_generation() {
            let wanted = MadeWith::of(&spec.server, record.engine);
            lineage::check_copy(&current.made_with, &wanted, || {
                format!("cannot start from the data of {:?}", source.spec.owner.instance)
            })?;
        }
        other.engine(&record).await?.keeps_instances().await?;
        let name = SnapshotName::parse(&format!("for-{}", self.key))?;
        // A killed attempt may have left it.
        other.forget_snapshot(&name).await?;
        other.save_snapshot(&name, Some(format!("for {}", spec.owner.instance)), None).await?;
        let made = async {
            let engine = other.open_snapshots().await?;
            let (snapshot, _) = other.usable_snapshot(&engine, &name).await?;
            self.lock_on(&engine).await?;
            self.create_from(&engine, &snapshot).await
        };
        let made = made.await;
        let removed = other.forget_snapshot(&name).await;
        let server = made?;
        removed?;
        Ok(Running { server, how: How::Created, golden: None })
    }
}
