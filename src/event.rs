//! Progress as typed events. The code that works emits them; `output/` decides how they look.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

/// Something that has happened or has begun. Names in the past tense: devdb reports a thing after it
/// has happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// `auto` chose an engine that is not docker.
    EngineChosen {
        /// `docker` or `native`.
        engine: &'static str,
        /// Why, in a few words.
        reason: String,
    },
    /// A pull has begun.
    Pulling {
        /// The image's reference.
        image: String,
    },
    /// One layer's progress.
    PullProgress {
        /// The layer's short id.
        layer: String,
        /// Docker's word: `Downloading`, `Extracting`, `Pull complete` ….
        status: String,
        /// Bytes so far.
        current: u64,
        /// Bytes in all, 0 when unknown.
        total: u64,
    },
    /// A pull is complete.
    Pulled {
        /// The image's reference.
        image: String,
        /// How long it took.
        #[serde(serialize_with = "millis")]
        took: Duration,
    },
    /// A push has begun.
    Pushing {
        /// The image's reference.
        image: String,
    },
    /// A push is complete.
    Pushed {
        /// The image's reference.
        image: String,
        /// How long it took.
        #[serde(serialize_with = "millis")]
        took: Duration,
    },
    /// A longer step has begun. The next event ends it.
    Step {
        /// What is being done: `Creating the database server`.
        text: String,
    },
    /// The server accepts logins.
    Ready {
        /// How long it took from the start of the command's work on it.
        #[serde(serialize_with = "millis")]
        took: Duration,
    },
    /// A migration is applied and recorded.
    MigrationApplied {
        /// The version: the digits of the file's name.
        version: i64,
        /// The file's name.
        file: String,
        /// How long it took.
        #[serde(serialize_with = "millis")]
        took: Duration,
    },
    /// A seed file is applied, and committed with all others.
    SeedApplied {
        /// The file's name below the seed directory.
        file: String,
        /// Rows written, where that is known.
        rows: Option<u64>,
        /// How long it took.
        #[serde(serialize_with = "millis")]
        took: Duration,
    },
    /// A line that another tool's migration or seed command printed, with the password removed.
    CommandSaid {
        /// The line.
        line: String,
    },
    /// Another tool's migration or seed command has succeeded, and devdb has recorded that.
    CommandRan {
        /// The command.
        command: String,
        /// How long it took.
        #[serde(serialize_with = "millis")]
        took: Duration,
    },
    /// The instance had to move to another port.
    PortMoved {
        /// The port it had.
        from: u16,
        /// The port it has now.
        to: u16,
    },
    /// Something that the person should know.
    Note {
        /// One line.
        text: String,
    },
    /// Something that is probably not what the person wants.
    Warning {
        /// One line.
        text: String,
    },
}

fn millis<S: serde::Serializer>(took: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
}

/// Where events go. Cheap to clone.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(Event) + Send + Sync>);

impl Events {
    /// Sends every event to `sink`.
    pub fn new(sink: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Events(Arc::new(sink))
    }

    /// Drops every event.
    pub fn silent() -> Self {
        Events::new(|_| {})
    }

    /// Reports an event.
    pub fn emit(&self, event: Event) {
        (self.0)(event);
    }

    /// Reports that a longer step begins.
    pub fn step(&self, text: impl Into<String>) {
        self.emit(Event::Step { text: text.into() });
    }

    /// Reports something worth knowing.
    pub fn note(&self, text: impl Into<String>) {
        self.emit(Event::Note { text: text.into() });
    }

    /// Reports something that is probably not what the person wants.
    pub fn warn(&self, text: impl Into<String>) {
        self.emit(Event::Warning { text: text.into() });
    }
}
