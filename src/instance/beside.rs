//! Work on a running server without the instance's lock, beside commands that have the lock and may
//! replace the server or stop it meanwhile.

use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::state::{Guards, Record};

/// How often such work is begun. One other command can disturb it once.
const TRIES: usize = 3;

/// Does `work`. When it fails because another command replaces or stops the server meanwhile, waits
/// for that command and does it again.
///
/// # Errors
/// The error of the last try. `Locked` when the other command has held the lock for five minutes.
pub async fn beside_others<T>(context: &Context, work: impl AsyncFn() -> Result<T>) -> Result<T> {
    for _ in 1..TRIES {
        let before = place(context);
        match work().await {
            Err(error) if may_be_of_another(&error) && was_disturbed(context, before).await? => {}
            done => return done,
        }
    }
    work().await
}

/// Whether the error is what a command meets whose server goes away.
fn may_be_of_another(error: &Error) -> bool {
    matches!(
        error.kind(),
        Kind::NotRunning | Kind::NotReady | Kind::LoginRefused | Kind::Unexpected
    )
}

/// Whether another command works on the instance, or has changed its place. Waits for its end.
async fn was_disturbed(context: &Context, before: Place) -> Result<bool> {
    let key = context.spec.owner.key();
    if context.store.try_lock(Guards::Instance(&key))?.is_some() {
        return Ok(place(context) != before);
    }
    let waiting = context.store.lock(Guards::Instance(&key), &context.events);
    context.interrupt.guard(waiting).await.map(|_| true)
}

/// The current generation and its server.
type Place = Option<(Option<u32>, Option<String>)>;

fn place(context: &Context) -> Place {
    let record = context.store.load(&context.spec.owner.key()).ok().flatten();
    record.map(|Record { current, server, .. }| (current, server))
}
