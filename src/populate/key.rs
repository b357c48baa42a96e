//! Compares the key in use with the one that the seeds of a database were encrypted with. After a
//! lost `.env`, another key would be in use, and an application could not decrypt the rows.

use crate::context::Context;
use crate::db::connect::Connection;
use crate::db::key_record::{self, KeyMark};
use crate::error::{Error, Kind, Result};
use crate::plan::{KeyUse, Plan};

/// Records the key in use, after seeds were applied with it.
pub(super) async fn note(
    context: &Context,
    plan: &Plan,
    connection: &mut Connection,
) -> Result<()> {
    let uses_key = match plan.seeds.key_use() {
        KeyUse::Certain => true,
        KeyUse::Possible => context.key.is_given(),
        KeyUse::None => false,
    };
    match context.key.mark()?.filter(|_| uses_key) {
        Some(mark) => key_record::record(connection, &mark).await,
        None => Ok(()),
    }
}

/// Warns when the seeds were encrypted with another key.
pub(super) async fn compare(
    context: &Context,
    plan: &Plan,
    connection: &mut Connection,
) -> Result<()> {
    if let Some(other) = other_key(context, plan, connection).await? {
        context.events.warn(format!(
            "{}; set {} to the former key, or make a database with the present one: devdb reset",
            differs(context, &other),
            context.key.variable
        ));
    }
    Ok(())
}

/// Fails when more values are about to be encrypted with another key.
///
/// # Errors
/// `Secret`.
pub(super) async fn check(
    context: &Context,
    plan: &Plan,
    connection: &mut Connection,
    pending: &[String],
) -> Result<()> {
    if !plan.seeds.encrypts(pending) {
        return Ok(());
    }
    let Some(other) = other_key(context, plan, connection).await? else { return Ok(()) };
    let variable = &context.key.variable;
    Err(Error::new(Kind::Secret, differs(context, &other))
        .note("nothing was applied: an application could not decrypt values of two keys")
        .hint(format!("set {variable} to the former key, if you still have it"))
        .hint("devdb reset   makes a database with the key in use now"))
}

/// The key of the seeds, when it is not the one in use.
async fn other_key(
    context: &Context,
    plan: &Plan,
    connection: &mut Connection,
) -> Result<Option<KeyMark>> {
    if plan.seeds.key_use() == KeyUse::None {
        return Ok(None);
    }
    let Some(recorded) = key_record::recorded(connection).await? else { return Ok(None) };
    let is_same = context.key.digest()?.is_some_and(|digest| digest == recorded.digest);
    Ok(Some(recorded).filter(|_| !is_same))
}

fn differs(context: &Context, other: &KeyMark) -> String {
    let former = match &other.fingerprint {
        Some(fingerprint) => format!(" (fingerprint {fingerprint})"),
        None => String::new(),
    };
    let now = context.key.describe();
    format!(
        "the seeds of this database were encrypted with another key{former} than the one in use now \
         ({}, from {})",
        now.key, now.origin
    )
}
