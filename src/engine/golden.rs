//! Golden states on an engine: complete data directories, cached under a fingerprint of everything
//! that went into them, baked by private servers ([`super::private`]).
//!
//! A golden state is nobody's: every instance on the engine may start from it. Its label says what
//! is in it; nobody has a password for it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Engine, Generation, MadeWith, Stop, docker};
use crate::archive::Writer;
use crate::error::{Error, Kind, Result};
use crate::event::Events;
use crate::spec::{Owner, ServerSpec};

/// The version of [`GoldenLabel`] that this devdb writes, and the newest it understands.
pub const LABEL_SCHEMA: u32 = 1;

/// What a data directory depends on besides its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// Part of the fingerprint: the same on every machine that can share states.
    pub name: String,
    /// Which very server it is: an image's id, a build of the programs. States of another are left
    /// alone: its libraries may sort text differently.
    pub exact: String,
    /// Operating system and processor: `linux/amd64`.
    pub machine: String,
}

/// What a golden state's label says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoldenLabel {
    /// The label's version.
    pub schema: u32,
    /// Of everything that went into it: 64 hexadecimal digits.
    pub fingerprint: String,
    /// Whether its server was stopped cleanly, so that instances may start from it. Another was
    /// taken from a running one; it serves builders, which do not mind the recovery.
    pub clean: bool,
    /// How many golden states it is built on.
    pub depth: u32,
    /// [`Platform::exact`] of the server that made it.
    pub platform: String,
    /// Version, database and user.
    pub made_with: MadeWith,
    /// The project it was first made for, for people.
    pub project: String,
    /// How many migrations are in it.
    pub migrations: usize,
    /// How many seed files are in it.
    pub seeds: usize,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// The server's next transaction id: while an instance that started from it is there, plus the
    /// one that gave it its password, nobody has written to it.
    pub next_transaction: u64,
    /// Whether it holds values that only one project on this machine can read: it is never sent
    /// anywhere.
    pub local: bool,
}

impl GoldenLabel {
    /// The name it is stored under. A state for builders only never takes the name of a clean one.
    pub fn name(&self) -> String {
        let short = &self.fingerprint[..24.min(self.fingerprint.len())];
        if self.clean { short.to_owned() } else { format!("{short}-live") }
    }
}

/// Why a label is no golden state's; none for one that can be read, or is a newer devdb's.
pub(super) fn unreadable(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Version {
        schema: u32,
    }
    match serde_json::from_str::<Version>(text) {
        Ok(Version { schema }) if schema > LABEL_SCHEMA => None,
        _ => serde_json::from_str::<GoldenLabel>(text)
            .err()
            .map(|error| format!("its label cannot be read: {error}")),
    }
}

/// A golden state that an engine has.
#[derive(Debug, Clone, Serialize)]
pub struct GoldenState {
    /// The engine's handle: an image's reference; native: a directory.
    pub handle: String,
    /// What is in it.
    pub label: GoldenLabel,
    /// What it takes on the disk beyond the state it is built on, in bytes.
    pub bytes: u64,
}

/// What bears the name and the mark of a golden state, and whose label cannot be read. Never used.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct DamagedGolden {
    /// The engine's handle.
    pub handle: String,
    /// What is wrong with it.
    pub why: String,
}

/// A name of images that is to be given back.
#[derive(Debug)]
pub struct Loan {
    /// The name.
    pub reference: String,
    /// The image that has it.
    pub former: Option<String>,
}

/// Calls the same method of whichever engine it is.
macro_rules! each {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match $self {
            Engine::Docker(engine) => engine.$method($($argument),*).await,
            Engine::Native(engine) => engine.$method($($argument),*).await,
        }
    };
}

impl Engine {
    /// What data directories made here depend on.
    ///
    /// # Errors
    /// When the image or the programs are not there: [`Engine::prepare`] first.
    pub async fn platform(&self, spec: &ServerSpec) -> Result<Platform> {
        each!(self.platform(spec))
    }

    /// Every golden state that is complete.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn golden_states(&self) -> Result<Vec<GoldenState>> {
        each!(self.golden_states())
    }

    /// Makes a generation that is a copy of a clean golden state. Its first launch gives the user a
    /// password.
    ///
    /// # Errors
    /// As [`Engine::create_generation`]; nothing is left behind.
    pub async fn clone_golden(
        &self,
        state: &GoldenState,
        owner: &Owner,
        number: u32,
        spec: &ServerSpec,
    ) -> Result<Generation> {
        each!(self.clone_golden(state, owner, number, spec))
    }

    /// Everything that bears a golden state's name and mark and whose label is damaged. What a newer
    /// devdb made is not.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn damaged_golden(&self) -> Result<Vec<DamagedGolden>> {
        each!(self.damaged_golden())
    }

    /// Removes what [`Engine::damaged_golden`] found.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn remove_damaged(&self, damaged: &DamagedGolden) -> Result<()> {
        each!(self.remove_damaged(damaged))
    }

    /// Removes what commands that were killed left half made of golden states. To be called while
    /// nobody of this user makes any.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn sweep_golden(&self) -> Result<()> {
        each!(self.sweep_golden())
    }

    /// Whether [`Engine::sweep_golden`] may find anything, as far as a look tells that costs nothing.
    pub fn may_have_half_made_golden(&self) -> bool {
        match self {
            Engine::Docker(_) => true,
            Engine::Native(native) => native.has_half_made_golden(),
        }
    }

    /// Writes a golden state's data directory into a file, which is then whole. `owner`: whose
    /// rubbish it is if devdb is killed. When asked to stop it fails soon.
    ///
    /// # Errors
    /// `Snapshot` when the file cannot be written, `Interrupted`, and those of the engine. No file is
    /// left.
    pub async fn export_golden(
        &self,
        state: &GoldenState,
        owner: &Owner,
        writer: Writer,
        stop: &Stop,
    ) -> Result<()> {
        each!(self.export_golden(state, owner, writer, stop))
    }

    /// Remembers who has a name, before another image gets it for a while.
    ///
    /// # Errors
    /// `Usage` on an engine without images.
    pub async fn lend_name(&self, reference: &str) -> Result<Loan> {
        self.registry()?.lend_name(reference).await
    }

    /// Gives a name back to whoever had it. The image that has it now goes, unless it has another
    /// name.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn give_back(&self, loan: &Loan) -> Result<()> {
        self.registry()?.give_back(loan).await
    }

    /// Sends a golden state to a registry under a name that was lent.
    ///
    /// # Errors
    /// `Image` when the registry does not take it; `Usage` for a name that is none.
    pub async fn push_golden(
        &self,
        state: &GoldenState,
        reference: &str,
        events: &Events,
    ) -> Result<()> {
        self.registry()?.push_golden(state, reference, events).await
    }

    /// Fetches the golden state that a registry has under a name that was lent. Its label is what it
    /// says of itself.
    ///
    /// # Errors
    /// `Image` when the registry does not have it, or has something else.
    pub async fn pull_golden(&self, reference: &str, events: &Events) -> Result<GoldenState> {
        self.registry()?.pull_golden(reference, events).await
    }

    fn registry(&self) -> Result<&docker::Docker> {
        match self {
            Engine::Docker(docker) => Ok(docker),
            Engine::Native(_) => Err(Error::new(
                Kind::Usage,
                "the native engine has no images, and no registry takes anything else",
            )
            .hint("name a file that ends in .tar.zst")),
        }
    }

    /// Removes a golden state. Generations that were made from it are not touched. Nothing happens
    /// if it is gone already.
    ///
    /// # Errors
    /// When the engine refuses: somebody else is using it.
    pub async fn remove_golden(&self, state: &GoldenState) -> Result<()> {
        each!(self.remove_golden(state))
    }
}
