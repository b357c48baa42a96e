//! Makes a new generation as a copy of the golden state of the project's files. Also keeps the
//! spare, a copy made ahead, so that the next reset does not wait for one.

use secrecy::ExposeSecret;

use super::Instance;
use crate::db::scram;
use crate::engine::{Engine, Generation, GoldenLabel, Numbered};
use crate::error::Result;
use crate::golden::{self, Golden};
use crate::plan::Plan;
use crate::spec::MadeWith;
use crate::state::{GenerationRecord, Spare, UnderWay, Why};

/// A generation that is ready to be launched.
pub(super) struct Prepared {
    /// Its future entry in the record.
    pub generation: GenerationRecord,
    /// The verifier of the instance's password, for the first launch.
    pub verifier: String,
    /// The golden state that it is a copy of.
    pub golden: Golden,
    /// A free id for a further generation.
    pub next: u32,
}

impl Instance<'_> {
    /// Makes a generation as a copy of the plan's golden state, which is baked first when it is not
    /// cached. The record notes the generation as under way until it is current.
    ///
    /// # Errors
    /// The errors of migrating, seeding and the engine. Nothing was made then.
    pub(super) async fn prepare(
        &mut self,
        engine: &Engine,
        plan: &Plan,
        why: Why,
    ) -> Result<Prepared> {
        let context = self.context;
        let copy = async |golden: &Golden| {
            let on_engine = engine.generations(Some(&self.key)).await?;
            let number = self.next_number(engine, &on_engine).await?;
            let id = self.next_id(&on_engine);
            if let Some(spare) = self.take_spare(&on_engine, &golden.state.label)? {
                let new = Numbered { id: spare.id, number };
                return Ok((new, id));
            }
            self.begin(UnderWay::Generation(id))?;
            let owner = self.recorded()?.owner;
            // Not interruptible: the engine makes the copy even when devdb stops waiting.
            engine.clone_golden(&golden.state, &owner, id, &context.spec.server).await?;
            Ok((Numbered { id, number }, id + 1))
        };
        let (golden, (new, next)) = golden::obtain(context, engine, plan, copy).await?;
        let label = &golden.state.label;
        let made_with = MadeWith::of(&context.spec.server, engine.kind());
        let generation = GenerationRecord {
            // Setting the password is one transaction.
            baseline: Some(label.next_transaction + 1),
            writes: label.writes.clone(),
            profile: context.spec.seeds.chosen_profile(),
            ..GenerationRecord::new(new, made_with, why)
        };
        let verifier = scram::verifier(self.recorded()?.password.expose_secret());
        Ok(Prepared { generation, verifier, golden, next })
    }

    /// Takes the spare when it still exists and is a copy of the wanted state. The record then
    /// notes it as a generation under way.
    fn take_spare(
        &mut self,
        on_engine: &[Generation],
        wanted: &GoldenLabel,
    ) -> Result<Option<Spare>> {
        let spare = self.record.as_ref().and_then(|record| record.spare.clone());
        let is_it = |spare: &Spare| {
            let is_there = |generation: &Generation| {
                generation.id == spare.id
                    && generation.origin.as_deref() == Some(&wanted.fingerprint)
            };
            spare.fingerprint == wanted.fingerprint
                && spare.platform == wanted.platform
                && spare.baked == wanted.created
                && on_engine.iter().any(is_there)
        };
        let Some(spare) = spare.filter(is_it) else { return Ok(None) };
        if let Some(record) = &mut self.record {
            record.spare = None;
        }
        self.begin(UnderWay::Generation(spare.id))?;
        Ok(Some(spare))
    }

    /// Records a new spare. Without one the next reset takes a little longer.
    pub(super) fn keep_spare(&mut self, spare: Result<Generation>, of: &GoldenLabel) {
        match (spare, &mut self.record) {
            (Ok(Generation { id, .. }), Some(record)) => {
                record.spare = Some(Spare {
                    id,
                    fingerprint: of.fingerprint.clone(),
                    platform: of.platform.clone(),
                    baked: of.created,
                });
            }
            (Err(error), _) => tracing::debug!("no copy was made ahead: {error}"),
            _ => {}
        }
    }
}
