//! From a golden state to a generation of an instance.

use secrecy::ExposeSecret;

use super::{Instance, generation_record};
use crate::db::scram;
use crate::engine::{Engine, MadeWith};
use crate::error::Result;
use crate::golden::Golden;
use crate::state::{GenerationRecord, Record, Why};

/// A generation that is ready to be launched.
pub(super) struct Cloned {
    /// What the record will say of it.
    pub generation: GenerationRecord,
    /// What its first launch gives the user: the instance's password, which stays the same.
    pub verifier: String,
}

impl Instance<'_> {
    /// Makes generation `number` a copy of a golden state. Not interrupted halfway; whatever fails
    /// leaves nothing.
    ///
    /// # Errors
    /// When the engine refuses.
    pub(super) async fn clone_golden(
        &self,
        engine: &Engine,
        record: &Record,
        golden: &Golden,
        number: u32,
        why: Why,
    ) -> Result<Cloned> {
        let spec = &self.context.spec.server;
        engine.clone_golden(&golden.state, &record.owner, number, spec).await?;
        let made_with = MadeWith::of(spec, engine.kind());
        // Setting the password is one transaction; whatever comes after it is somebody's writing.
        let untouched = golden.state.label.next_transaction + 1;
        Ok(Cloned {
            generation: GenerationRecord {
                baseline: Some(untouched.to_string()),
                ..generation_record(number, made_with, why)
            },
            verifier: scram::verifier(record.password.expose_secret()),
        })
    }
}
