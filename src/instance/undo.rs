//! Goes back to a former generation.

use std::time::Duration;

use super::remains::check_exists;
use super::swap::SwapTo;
use super::{Instance, Replaced, lineage};
use crate::error::{Error, Kind, Result};
use crate::spec::MadeWith;
use crate::state::{GenerationRecord, Record, UnderWay};

/// Which former generation to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The one that was current so many swaps ago, of those that are kept. 1 is the last one.
    Steps(usize),
    /// The one with this number.
    Number(u32),
}

impl Target {
    /// Finds it. None when no such former generation is kept.
    pub fn find(self, record: &Record) -> Option<&GenerationRecord> {
        let mut former = record.former();
        match self {
            Target::Steps(steps) => former.into_iter().nth(steps.checked_sub(1)?),
            Target::Number(number) => {
                former.retain(|generation| generation.number == number);
                former.pop()
            }
        }
    }

    /// The error when it is not kept.
    pub(super) fn missing(self, record: &Record) -> Error {
        let error = match (self, record.former().len()) {
            (Target::Number(number), _) if record.current == Some(number) => {
                return Error::new(Kind::Usage, format!("generation {number} is the current one"));
            }
            (Target::Number(number), _) => {
                Error::new(Kind::NoInstance, format!("there is no generation {number}"))
            }
            (Target::Steps(_), 0) => Error::new(Kind::NoInstance, "no former generation is kept")
                .because(
                    "devdb reset and devdb snapshot restore make one, and devdb keeps it for a \
                     time (generations in devdb.yaml)",
                ),
            (Target::Steps(steps), kept) => Error::new(
                Kind::NoInstance,
                format!("cannot go back {steps} steps: of the former generations, {kept} are kept"),
            )
            .hint("devdb generations switch N   goes to the generation with that number"),
        };
        error.hint("devdb generations   shows what is kept")
    }
}

impl Instance<'_> {
    /// Swaps to a former generation. The one that was current becomes a former one, so going one
    /// step back again takes the first step back. None when there is no instance.
    ///
    /// # Errors
    /// `NoInstance` when the generation is not kept, `Config` when it does not fit the settings, and
    /// the errors of launching. The present generation serves again then.
    pub async fn go_back(&mut self, target: Target) -> Result<Option<Replaced>> {
        self.tidy().await?;
        if self.record.is_none() {
            return Ok(None);
        }
        let context = self.context;
        // Going back also helps when the current data is gone, where `settle` would fail.
        let engine = self.engine(&self.recorded()?).await?;
        engine.keeps_instances().await?;
        let record = self.recorded()?;
        let chosen = target.find(&record).ok_or_else(|| target.missing(&record))?;
        check_exists(&engine, &record, chosen.numbered()).await?;
        let wanted = MadeWith::of(&context.spec.server, engine.kind());
        lineage::check_copy(&chosen.made_with, &wanted, || {
            format!("cannot go back to generation {}", chosen.number)
        })?;
        let chosen = chosen.clone().current_again();
        context.interrupt.guard(engine.prepare(&context.spec.server, &context.events)).await?;
        self.begin(UnderWay::Undo)?;
        let record = self.recorded()?;
        let former = record.current.unwrap_or_default();
        context.events.step("switching to the former database");
        let current = chosen.number;
        let swapped = match self.swap(&engine, record, chosen, SwapTo::FormerGeneration).await {
            Ok(swapped) => swapped,
            Err(error) => {
                self.hold(&engine).await;
                return Err(error);
            }
        };
        self.done()?;
        self.settle_promises(&engine).await;
        let fate = self.fate_after(&swapped, former);
        Ok(Some(Replaced { server: swapped.server, golden: None, former, fate, current }))
    }

    /// Keeps a generation until a person removes it.
    ///
    /// # Errors
    /// `NoInstance` when there is no such generation.
    pub async fn keep_for_good(&mut self, number: u32) -> Result<()> {
        self.tidy().await?;
        let mut record = self.recorded()?;
        let mut generations = record.generations.iter_mut();
        let Some(generation) = generations.find(|generation| generation.number == number) else {
            return Err(Target::Number(number).missing(&record));
        };
        generation.for_good = true;
        generation.announced = None;
        self.context.store.save(&record)?;
        self.record = Some(record);
        Ok(())
    }

    /// Removes a former generation for good.
    ///
    /// # Errors
    /// `NoInstance` when it is not kept, `Usage` when it is the current one, and when the engine
    /// refuses.
    pub async fn remove_former(&mut self, number: u32) -> Result<()> {
        self.tidy().await?;
        let record = self.recorded()?;
        let target = Target::Number(number);
        let id = target.find(&record).ok_or_else(|| target.missing(&record))?.id;
        let engine = self.engine(&record).await?;
        self.wipe(number)?;
        self.remove_generations(&engine, &[id], Duration::MAX).await;
        self.hold(&engine).await;
        let record = self.recorded()?;
        let error =
            Error::new(Kind::Unexpected, format!("generation {number} could not be removed"));
        match record.leaving.contains(&id) {
            true => Err(error),
            false if record.by_id(id).is_some() => Err(error
                .because("a devdb with another home directory has a server on it")
                .hint("devdb up   finds what that one has done")),
            false => Ok(()),
        }
    }
}
