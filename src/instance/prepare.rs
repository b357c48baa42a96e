//! A new generation: the golden state of the project's files, copied.

use secrecy::ExposeSecret;

use super::{Instance, Plan, generation_record};
use crate::db::scram;
use crate::engine::{Engine, MadeWith};
use crate::error::{Error, Kind, Result};
use crate::golden::{self, Golden};
use crate::state::{GenerationRecord, Record, Why};

/// How often a state is looked for that somebody else's command prunes from the cache between its
/// being found and its being used.
const TRIES: usize = 3;

/// A generation that is ready to be launched.
pub(super) struct Prepared {
    /// What the record will say of it.
    pub generation: GenerationRecord,
    /// What its first launch gives the user: the instance's password, which stays the same.
    pub verifier: String,
    /// What it is a copy of.
    pub golden: Golden,
}

impl Instance<'_> {
    /// Makes generation `number` a copy of the plan's golden state, which is baked first where it
    /// is not there. Copying is not interrupted halfway; whatever fails leaves nothing.
    ///
    /// # Errors
    /// Those of migrating and seeding, and of the engine.
    pub(super) async fn prepare(
        &self,
        engine: &Engine,
        record: &Record,
        plan: &Plan,
        number: u32,
        why: Why,
    ) -> Result<Prepared> {
        let spec = &self.context.spec.server;
        let mut left = TRIES;
        let golden = loop {
            left -= 1;
            let attempt = async {
                let golden = golden::obtain(self.context, engine, plan).await?;
                engine.clone_golden(&golden.state, &record.owner, number, spec).await?;
                Ok::<Golden, Error>(golden)
            };
            match attempt.await {
                Err(error) if error.kind() == Kind::Image && left > 0 => {}
                golden => break golden?,
            }
        };
        let made_with = MadeWith::of(spec, engine.kind());
        // Setting the password is one transaction; whatever comes after it is somebody's writing.
        let untouched = golden.state.label.next_transaction + 1;
        Ok(Prepared {
            generation: GenerationRecord {
                baseline: Some(untouched.to_string()),
                ..generation_record(number, made_with, why)
            },
            verifier: scram::verifier(record.password.expose_secret()),
            golden,
        })
    }
}
