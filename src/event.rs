//! Events tell how the work goes on. The code that does the work emits them; `output/` decides how
//! they look.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

/// Something that has happened or has begun. devdb emits an event after it has happened, so most
/// names are in the past tense.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// `auto` chose another engine than docker.
    EngineChosen {
        /// `docker` or `native`.
        engine: &'static str,
        /// The reason, in a few words.
        reason: String,
    },
    /// A pull has begun.
    Pulling {
        /// The image's reference.
        image: String,
    },
    /// A layer of the image that is pulled has made progress.
    PullProgress {
        /// The layer's short id.
        layer: String,
        /// The status that Docker reports: `Downloading`, `Extracting`, `Pull complete` ….
        status: String,
        /// Bytes so far.
        current: u64,
        /// All bytes of the layer; 0 when unknown.
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
        /// The step: `Creating the database server`.
        text: String,
    },
    /// The server accepts logins.
    Ready {
        /// The time since the command began to work on the server.
        #[serde(serialize_with = "millis")]
        took: Duration,
    },
    /// A person's own work has begun: a file, or another tool's command. How long it takes is not
    /// up to devdb. The next event ends it.
    Working {
        /// The work: `applying 20260105_orders.sql`.
        text: String,
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
    /// A seed file is applied and committed, together with all others.
    SeedApplied {
        /// The file's name below the seed directory.
        file: String,
        /// The number of rows that were written, if it is known.
        rows: Option<u64>,
        /// How long it took.
        #[serde(serialize_with = "millis")]
        took: Duration,
    },
    /// Another tool's migration or seed command printed a line. The password is removed from it.
    CommandSaid {
        /// The line.
        line: String,
    },
    /// Another tool's migration or seed command has succeeded, and devdb has recorded it.
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
    /// Information for the person.
    Note {
        /// One line.
        text: String,
    },
    /// A warning: the person probably does not want this.
    Warning {
        /// One line.
        text: String,
    },
    /// A warning about something that the command leaves. It is shown after the result.
    WarningAfterwards {
        /// One line.
        text: String,
    },
}

fn millis<S: serde::Serializer>(took: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
}

/// Receives events. Cheap to clone.
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

    /// Emits an event.
    pub fn emit(&self, event: Event) {
        (self.0)(event);
    }

    /// Emits a [`Event::Step`].
    pub fn step(&self, text: impl Into<String>) {
        self.emit(Event::Step { text: text.into() });
    }

    /// Emits a [`Event::Working`].
    pub fn working(&self, text: impl Into<String>) {
        self.emit(Event::Working { text: text.into() });
    }

    /// Emits a [`Event::Note`].
    pub fn note(&self, text: impl Into<String>) {
        self.emit(Event::Note { text: text.into() });
    }

    /// Emits a [`Event::Warning`].
    pub fn warn(&self, text: impl Into<String>) {
        self.emit(Event::Warning { text: text.into() });
    }

    /// Emits a [`Event::WarningAfterwards`].
    pub fn warn_afterwards(&self, text: impl Into<String>) {
        self.emit(Event::WarningAfterwards { text: text.into() });
    }
}
