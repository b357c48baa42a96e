//! Golden states from one machine to another, through a registry or in a file.
//!
//! What arrives is believed nothing: its label must be of what the files here want, its file whole,
//! and a server on it must find nothing to do. Then it is published as if it had been baked here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Lookup, bake, prune, use_cache};
use crate::archive::{self, Archive, ArchiveKind, IfExists, Verified, Writer};
use crate::context::Context;
use crate::engine::{Engine, GoldenLabel, GoldenState, Stop};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::plan::Plan;
use crate::state::Guards;

/// How the names of files end.
const SUFFIX: &str = ".tar.zst";

/// Where a golden state is sent to or comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A file.
    File(PathBuf),
    /// A name in a registry.
    Registry(String),
}

impl Reference {
    /// Reads what a person typed: a path that ends in `.tar.zst`, else `REGISTRY/NAME:TAG`.
    ///
    /// # Errors
    /// `Usage` when it is neither.
    pub fn parse(text: &str) -> Result<Self> {
        if text.ends_with(SUFFIX) {
            return Ok(Reference::File(PathBuf::from(text)));
        }
        let path_like = text.starts_with(['/', '.', '~']) || text.ends_with('/');
        let in_registry = text.contains('/') && !text.contains(['@', ' ']) && !path_like;
        match in_registry {
            true => Ok(Reference::Registry(text.to_owned())),
            false => Err(Error::new(
                Kind::Usage,
                format!("{text:?} is neither a file nor a name in a registry"),
            )
            .hint(format!("name a file that ends in {SUFFIX}, or REGISTRY/NAME:TAG"))),
        }
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reference::File(path) => write!(f, "{}", path.display()),
            Reference::Registry(name) => f.write_str(name),
        }
    }
}

/// Refuses a plan whose state only this project on this machine can read.
///
/// # Errors
/// `Secret`.
pub fn refuse_local(context: &Context, plan: &Plan) -> Result<()> {
    if !(plan.needs_key() && context.key.is_made_here()) {
        return Ok(());
    }
    let name = &context.key.variable.0;
    Err(Error::new(Kind::Secret, "this project's state is for this machine only")
        .because("its seeds have !encrypt values, and their key is one that devdb made here")
        .hint(format!("set {name} to a key that both sides have (devdb secret keygen makes one)")))
}

/// Sends a state.
///
/// # Errors
/// `Snapshot` and `Image` when it cannot be written or the registry does not take it.
pub async fn export(
    context: &Context,
    engine: &Engine,
    state: &GoldenState,
    to: &Reference,
) -> Result<()> {
    let guard = &context.interrupt;
    match to {
        Reference::File(path) => {
            context.events.step(format!("writing {}", path.display()));
            // Of one that was killed where there is no instance, and so no record to tell of it.
            archive::remove_drafts(path);
            write(context, engine, state, path, IfExists::Replace).await
        }
        Reference::Registry(name) => {
            let reserved = guard.guard(engine.reserve_tag(name)).await?;
            let pushed = guard.guard(engine.push_golden(state, name, &context.events)).await;
            // Not interruptible: this is the cleaning up.
            pushed.and(engine.release_tag(&reserved).await)
        }
    }
}

async fn write(
    context: &Context,
    engine: &Engine,
    state: &GoldenState,
    path: &Path,
    if_exists: IfExists,
) -> Result<()> {
    let writer = Writer::create(path, ArchiveKind::Golden, &state.label, if_exists)?;
    let stop = Stop::default();
    let writing = engine.export_golden(state, &context.spec.owner, writer, &stop);
    context.interrupt.guard_with_stop(writing, || stop.ask()).await
}

/// What an import came to.
pub struct Imported {
    /// The state.
    pub state: GoldenState,
    /// Whether it was there before, and nothing was fetched.
    pub was_there: bool,
}

/// Fetches the state that the plan wants. The instance's lock is held.
///
/// # Errors
/// `Snapshot` and `Image` when it cannot be had, is another one or is not whole. Nothing is kept.
pub async fn import(
    context: &Context,
    engine: &Engine,
    plan: &Plan,
    from: &Reference,
) -> Result<Imported> {
    let guard = &context.interrupt;
    let in_use = use_cache(context).await?;
    let lookup = guard.guard(Lookup::look(context, engine, plan)).await?;
    let fingerprint = &lookup.chain.target().fingerprint;
    let waiting = context.store.lock(Guards::Baking(fingerprint), &context.events);
    let _alone = guard.guard(waiting).await?;
    // Another process may have made it while this one waited.
    let lookup = guard.guard(Lookup::look(context, engine, plan)).await?;
    if let Some(state) = lookup.hit() {
        return Ok(Imported { state, was_there: true });
    }
    let (_kept, archive) = match from {
        Reference::File(path) => (None, open(path.clone(), &lookup).await?),
        Reference::Registry(name) => {
            let directory = prune::new_pull(context)?;
            let path = directory.path().join(format!("pulled{SUFFIX}"));
            fetch(context, engine, &lookup, name, &path).await?;
            (Some(directory), open(path, &lookup).await?)
        }
    };
    let state = bake::adopt(context, engine, plan, &lookup, &Arc::new(archive)).await?;
    prune::touch(context, &state.label);
    drop(in_use);
    prune::after_a_bake(context, engine).await;
    Ok(Imported { state, was_there: false })
}

/// Copies the data of what a registry has into a file.
async fn fetch(
    context: &Context,
    engine: &Engine,
    lookup: &Lookup,
    name: &str,
    path: &Path,
) -> Result<()> {
    let guard = &context.interrupt;
    let reserved = guard.guard(engine.reserve_tag(name)).await?;
    let fetched = async {
        let state = guard.guard(engine.pull_golden(name, &context.events)).await?;
        check(name, &state.label, lookup)?;
        write(context, engine, &state, path, IfExists::Refuse).await
    };
    let fetched = fetched.await;
    // Not interruptible: this is the cleaning up.
    fetched.and(engine.release_tag(&reserved).await)
}

/// A file that is whole and holds what is wanted, as far as it says.
async fn open(path: PathBuf, lookup: &Lookup) -> Result<Verified<GoldenLabel>> {
    let archive = Archive::<GoldenLabel>::open(&path, ArchiveKind::Golden)?;
    check(&path.display().to_string(), &archive.manifest().payload, lookup)?;
    tokio::task::spawn_blocking(move || archive.verify())
        .await
        .or_fail(Kind::Unexpected, || "cannot read the file".into())?
}

/// Refuses a state that is not the one that is wanted.
fn check(name: &str, label: &GoldenLabel, lookup: &Lookup) -> Result<()> {
    let refused = |why: String| {
        Err(Error::new(Kind::Snapshot, format!("{name} is of no use here"))
            .because(why)
            .because("nothing of it was kept"))
    };
    let wanted = &lookup.chain.target().fingerprint;
    let platform = &lookup.platform;
    if label.platform != platform.exact {
        let why = format!(
            "it was made by another server ({}) than the one here ({}), which may sort text \
             differently",
            label.platform, platform.exact
        );
        return refused(why)
            .map_err(|error| error.hint("use the same image or PostgreSQL version on both sides"));
    }
    if &label.fingerprint != wanted {
        let why = format!(
            "the files here are not those it was made from: it is {}, they want {}",
            short(&label.fingerprint),
            short(wanted)
        );
        return refused(why).map_err(|error| {
            error.hint("devdb cache push, from a checkout with the same files, makes one that is")
        });
    }
    if !label.clean {
        return refused("it was taken from a running server".to_owned())
            .map_err(|error| error.hint("devdb cache push writes one that was stopped cleanly"));
    }
    Ok(())
}

fn short(fingerprint: &str) -> &str {
    fingerprint.get(..12).unwrap_or(fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_a_file_or_a_name_in_a_registry() {
        let file = |path: &str| Reference::File(path.into());
        assert_eq!(Reference::parse("a/b.tar.zst").unwrap(), file("a/b.tar.zst"));
        let name = "127.0.0.1:5000/team/cache:main";
        assert_eq!(Reference::parse(name).unwrap(), Reference::Registry(name.into()));
        for bad in ["cache", "./cache", "/tmp/cache.tar", "a/b@sha256:00", "a b/c", "a/", ""] {
            assert_eq!(Reference::parse(bad).unwrap_err().kind(), Kind::Usage, "{bad}");
        }
    }
}
