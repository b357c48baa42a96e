//! The profile of the seeds that an instance goes on with.

use super::Instance;
use crate::context::Context;
use crate::error::Result;
use crate::state::Record;

/// Records that seeds of the wanted profile were applied to the current data, so that later commands
/// go on with that profile.
///
/// # Errors
/// When the record cannot be written.
pub async fn note_profile(context: &Context) -> Result<()> {
    if !has_another(context) {
        return Ok(());
    }
    Instance::open(context).await?.note_profile()
}

/// The profile to name in `devdb seed`: the wanted one, when later commands would go on with
/// another.
pub fn profile_to_name(context: &Context) -> Option<String> {
    has_another(context).then(|| context.spec.seeds.profile.clone())
}

/// Whether the current data goes on with another profile than the wanted one.
fn has_another(context: &Context) -> bool {
    let record = context.store.load(&context.spec.owner.key());
    let current = record.as_ref().ok().and_then(Option::as_ref);
    current
        .and_then(Record::current_generation)
        .is_some_and(|current| current.profile != context.spec.seeds.chosen_profile())
}

impl Instance<'_> {
    fn note_profile(&mut self) -> Result<()> {
        let context = self.context;
        let Some(record) = &mut self.record else { return Ok(()) };
        let current = record.current;
        for generation in &mut record.generations {
            if Some(generation.number) == current {
                generation.profile = context.spec.seeds.chosen_profile();
            }
        }
        context.store.save(record)
    }
}
