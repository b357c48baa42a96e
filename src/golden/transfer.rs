//! Sends golden states to other machines and receives them, through a registry or a file.
//!
//! devdb does not trust what arrives: the label must have the fingerprint of the files here, the
//! file must be complete, and a server on the data must find nothing to apply. Only then the state
//! is published.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::lookup::Lookup;
use super::{bake, prune, use_cache};
use crate::archive::{self, Archive, ArchiveKind, IfExists, STANDARD_STREAM, Verified, Writer};
use crate::context::Context;
use crate::engine::{Engine, GoldenLabel, GoldenState, Shared, Stop};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::plan::Plan;
use crate::state::Guards;

/// How the names of such files end.
const SUFFIX: &str = ".tar.zst";

/// Where to send a golden state, or where to get it from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A file.
    File(PathBuf),
    /// A name in a registry.
    Registry(String),
}

impl Reference {
    /// Parses a path that ends in `.tar.zst`, `-` for standard input or output, or
    /// `REGISTRY/NAME:TAG`.
    ///
    /// # Errors
    /// `Usage` when the text is neither.
    pub fn parse(text: &str) -> Result<Self> {
        if text.ends_with(SUFFIX) || text == STANDARD_STREAM {
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

impl Reference {
    /// Whether it is standard input or output.
    pub fn is_stream(&self) -> bool {
        matches!(self, Reference::File(path) if path == Path::new(STANDARD_STREAM))
    }
}

/// Refuses a plan whose seeds are encrypted with a key that exists only on this machine.
///
/// # Errors
/// `Secret`.
pub fn refuse_local(context: &Context, plan: &Plan) -> Result<()> {
    if !(plan.needs_key() && context.key.is_made_here()) {
        return Ok(());
    }
    let name = &context.key.variable;
    Err(Error::new(Kind::Secret, "the golden state of this project is of use on this machine only")
        .because("its seeds have !encrypt values, and devdb made their key on this machine")
        .hint(format!(
            "set {name} to the same key on both machines (devdb secret keygen makes one)"
        )))
}

/// Sends a state to a file or a registry.
///
/// # Errors
/// `Snapshot` when the file cannot be written, and `Image` when the registry refuses the state.
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
            // Without an instance no record names the draft of a killed command.
            archive::remove_drafts(path);
            write(context, engine, state, path, IfExists::Replace).await
        }
        Reference::Registry(name) => {
            let taking = engine.lock(Shared::Tag(name), &state.handle, &context.events);
            let _alone = guard.guard(taking).await?;
            let reserved = guard.guard(engine.reserve_tag(name)).await?;
            let pushed = guard.guard(engine.push_golden(state, name, &context.events)).await;
            // Not interruptible, because it cleans up.
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

/// The result of an import.
pub struct Imported {
    /// The state.
    pub state: GoldenState,
    /// Whether it was cached before, so that nothing was fetched.
    pub was_there: bool,
}

/// Fetches the state of the plan. The caller holds the instance's lock.
///
/// # Errors
/// `Snapshot` and `Image` when the state cannot be fetched, is incomplete, or is another one.
/// Nothing is kept then.
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
    let state = bake::publish_imported(context, engine, plan, &lookup, &Arc::new(archive)).await?;
    prune::note_use(context, &state.label);
    drop(in_use);
    prune::after_a_bake(context, engine).await;
    Ok(Imported { state, was_there: false })
}

/// Copies a state from a registry into a file.
async fn fetch(
    context: &Context,
    engine: &Engine,
    lookup: &Lookup,
    name: &str,
    path: &Path,
) -> Result<()> {
    let guard = &context.interrupt;
    let image = &context.spec.server.image;
    let taking = engine.lock(Shared::Tag(name), image, &context.events);
    let _alone = guard.guard(taking).await?;
    let reserved = guard.guard(engine.reserve_tag(name)).await?;
    let fetched = async {
        let state = guard.guard(engine.pull_golden(name, &context.events)).await?;
        check(name, &state.label, lookup)?;
        write(context, engine, &state, path, IfExists::Refuse).await
    };
    let fetched = fetched.await;
    // Not interruptible, because it cleans up.
    fetched.and(engine.release_tag(&reserved).await)
}

/// Opens a file, checks its label and verifies that it is complete.
async fn open(path: PathBuf, lookup: &Lookup) -> Result<Verified<GoldenLabel>> {
    let archive = Archive::<GoldenLabel>::open(&path, ArchiveKind::Golden)?;
    check(&path.display().to_string(), &archive.manifest().payload, lookup)?;
    tokio::task::spawn_blocking(move || archive.verify())
        .await
        .or_fail(Kind::Unexpected, || "cannot read the file".into())?
}

/// Refuses a state whose label does not fit.
fn check(name: &str, label: &GoldenLabel, lookup: &Lookup) -> Result<()> {
    let refused = |why: String| {
        Err(Error::new(Kind::Snapshot, format!("devdb cannot use {name} here"))
            .because(why)
            .because("nothing was kept"))
    };
    let wanted = &lookup.chain.target().fingerprint;
    let platform = &lookup.platform;
    if label.platform != platform.exact {
        let why = format!(
            "another server made it ({}) than the one here ({}), and the two may sort text \
             differently",
            label.platform, platform.exact
        );
        return refused(why)
            .map_err(|error| error.hint("use the same image or PostgreSQL version on both sides"));
    }
    if &label.fingerprint != wanted {
        let why = format!(
            "it was made from other files: its fingerprint is {}, the files here have {}",
            short(&label.fingerprint),
            short(wanted)
        );
        return refused(why).map_err(|error| {
            error.hint("run devdb cache push in a checkout with the same files as here")
        });
    }
    if !label.clean {
        return refused("it is a copy of a running server".to_owned()).map_err(|error| {
            error.hint("devdb cache push REF   writes a copy of a stopped server")
        });
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
