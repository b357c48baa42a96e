//! Errors: a kind (which decides the exit code), what failed, why, where, and what to type next.
//!
//! Write an error where the knowledge is. The message names the operation and the object. The causes
//! say why. A hint is a command or an edit that a person can make at once.

use std::fmt;

use schemars::JsonSchema;

/// What sort of failure it is. The exit code and the code string are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum Kind {
    /// Something devdb did not foresee, or an engine's own failure.
    Unexpected,
    /// Wrong arguments.
    Usage,
    /// A setting, file or key that cannot be used.
    Config,
    /// `--check` found something that is not applied or not running. Drift has its own code.
    Pending,
    /// The command needs an instance and there is none.
    NoInstance,
    /// The command needs a running instance and it is stopped.
    NotRunning,
    /// An object has a name of devdb's, but devdb did not create it.
    NotOurs,
    /// No engine answers, or the one that the instance lives on does not.
    NoEngine,
    /// An image is missing and cannot be pulled.
    Image,
    /// The server did not accept a login in time, or died.
    NotReady,
    /// The server is up and does not take the password, the user or the database.
    LoginRefused,
    /// Another program holds the port.
    PortBusy,
    /// Another devdb holds a lock.
    Locked,
    /// A migration failed.
    Migration,
    /// Applied migrations and the files disagree.
    Drift,
    /// A seed failed.
    Seed,
    /// An encrypted value cannot be read or written.
    Secret,
    /// A snapshot cannot be taken, kept or used.
    Snapshot,
    /// The program of `devdb run` is not there.
    NoCommand,
    /// The program of `devdb run` cannot be run.
    NotExecutable,
    /// Ctrl-C or SIGTERM.
    Interrupted,
}

impl Kind {
    /// Every kind.
    pub const ALL: &[Kind] = &[
        Kind::Unexpected,
        Kind::Usage,
        Kind::Config,
        Kind::Pending,
        Kind::NoInstance,
        Kind::NotRunning,
        Kind::NotOurs,
        Kind::NoEngine,
        Kind::Image,
        Kind::NotReady,
        Kind::LoginRefused,
        Kind::PortBusy,
        Kind::Locked,
        Kind::Migration,
        Kind::Drift,
        Kind::Seed,
        Kind::Secret,
        Kind::Snapshot,
        Kind::NoCommand,
        Kind::NotExecutable,
        Kind::Interrupted,
    ];

    /// The process exit code. The help and the manual list the codes.
    pub const fn exit_code(self) -> u8 {
        match self {
            Kind::Unexpected | Kind::NoInstance | Kind::NotRunning | Kind::NotOurs => 1,
            Kind::Usage => 2,
            Kind::Config | Kind::Secret => 3,
            Kind::Pending => 4,
            Kind::NoEngine | Kind::Image => 10,
            Kind::NotReady | Kind::LoginRefused => 11,
            Kind::PortBusy | Kind::Locked => 12,
            Kind::Migration => 20,
            Kind::Drift => 21,
            Kind::Seed => 22,
            Kind::Snapshot => 23,
            // As shells have it.
            Kind::NotExecutable => 126,
            Kind::NoCommand => 127,
            Kind::Interrupted => 130,
        }
    }

    /// The stable string that `--output json` carries.
    pub const fn code(self) -> &'static str {
        match self {
            Kind::Unexpected => "unexpected",
            Kind::Usage => "usage",
            Kind::Config => "config",
            Kind::Pending => "pending",
            Kind::NoInstance => "no_instance",
            Kind::NotRunning => "not_running",
            Kind::NotOurs => "not_ours",
            Kind::NoEngine => "no_engine",
            Kind::Image => "image",
            Kind::NotReady => "not_ready",
            Kind::LoginRefused => "login_refused",
            Kind::PortBusy => "port_busy",
            Kind::Locked => "locked",
            Kind::Migration => "migration",
            Kind::Drift => "drift",
            Kind::Seed => "seed",
            Kind::Secret => "secret",
            Kind::Snapshot => "snapshot",
            Kind::NoCommand => "no_command",
            Kind::NotExecutable => "not_executable",
            Kind::Interrupted => "interrupted",
        }
    }
}

/// A failure, ready to be shown.
#[derive(Debug, Clone)]
pub struct Error(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    kind: Kind,
    message: String,
    causes: Vec<String>,
    excerpt: Option<String>,
    notes: Vec<String>,
    hints: Vec<String>,
    /// The notes and hints that are true only of a database that stays.
    of_database: Vec<String>,
    data_may_be_missing: bool,
    is_unchanged: bool,
}

/// devdb's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` that says what failed, on which object: `cannot start container "x"`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error(Box::new(Parts {
            kind,
            message: message.into(),
            causes: Vec::new(),
            excerpt: None,
            notes: Vec::new(),
            hints: Vec::new(),
            of_database: Vec::new(),
            data_may_be_missing: false,
            is_unchanged: false,
        }))
    }

    /// Ctrl-C or SIGTERM.
    pub fn interrupted() -> Self {
        Error::new(Kind::Interrupted, "interrupted")
    }

    /// Adds that cleaning up after the failure has failed, too, if it has.
    #[must_use]
    pub fn with_cleanup(self, cleanup: Result<()>) -> Self {
        match cleanup {
            Ok(()) => self,
            Err(worse) => self.because(format!("and cleaning up failed: {worse}")),
        }
    }

    /// Adds why it failed; the outermost reason first.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.0.causes.push(without_server_source(cause.to_string()));
        self
    }

    /// Adds lines to look at: a place in a file with a caret, the tail of a log.
    #[must_use]
    pub fn excerpt(mut self, lines: impl Into<String>) -> Self {
        self.0.excerpt = Some(lines.into());
        self
    }

    /// Adds what is true after the failure: what was applied, what has not changed.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.0.notes.push(note.into());
        self
    }

    /// Adds what to type or change next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hints.push(hint.into());
        self
    }

    /// Marks a failure after which data may be missing. The command adds what there is to go back
    /// to.
    #[must_use]
    pub fn with_missing_data(mut self) -> Self {
        self.0.data_may_be_missing = true;
        self
    }

    /// Takes [`Error::with_missing_data`] back: the data that was there before serves on.
    #[must_use]
    pub fn without_missing_data(mut self) -> Self {
        self.0.data_may_be_missing = false;
        self
    }

    /// Whether data may be missing.
    pub fn data_may_be_missing(&self) -> bool {
        self.0.data_may_be_missing
    }

    /// Marks a failure that has left nothing in the database.
    #[must_use]
    pub fn unchanged(mut self) -> Self {
        self.0.is_unchanged = true;
        self
    }

    /// Whether the failure is known to have left nothing in the database.
    pub fn is_unchanged(&self) -> bool {
        self.0.is_unchanged
    }

    /// Adds a hint when a full disk is the reason and there is no such hint yet. Servers, daemons
    /// and programs all repeat the kernel's message for it.
    #[must_use]
    pub fn with_disk_full_hint(self) -> Self {
        let parts = &self.0;
        let mut texts = parts.causes.iter().chain(&parts.excerpt);
        let hinted = parts.hints.iter().any(|hint| hint.contains("make room"));
        if hinted || !(is_disk_full(&parts.message) || texts.any(|text| is_disk_full(text))) {
            return self;
        }
        self.hint(
            "make room: df -h shows full disks, docker system df shows what Docker keeps, \
             devdb list shows what devdb keeps",
        )
    }

    /// The same failure with the hints that `may_help`.
    #[must_use]
    pub fn with_hints_that(mut self, may_help: impl Fn(&str) -> bool) -> Self {
        self.0.hints.retain(|hint| may_help(hint));
        self
    }

    /// One error for several failures of the same kind: each becomes a cause. A single one stays as
    /// it is. None when there is none.
    pub fn joined(message: impl FnOnce(usize) -> String, failures: Vec<Error>) -> Option<Self> {
        let count = failures.len();
        let mut failures = failures.into_iter();
        let first = failures.next()?;
        if count == 1 {
            return Some(first);
        }
        let all = Error::new(first.kind(), message(count));
        Some(std::iter::once(first).chain(failures).fold(all, |all, failure| {
            let mut all = all.because(&failure);
            let Parts { notes, hints, of_database, .. } = &mut *all.0;
            let from = failure.0;
            let lists = [(notes, from.notes), (hints, from.hints), (of_database, from.of_database)];
            for (to, from) in lists {
                for line in from {
                    if !to.contains(&line) {
                        to.push(line);
                    }
                }
            }
            all
        }))
    }

    /// Adds a note that is true only of a database that stays: what was applied to it.
    #[must_use]
    pub fn note_of_database(mut self, note: impl Into<String>) -> Self {
        let note = note.into();
        self.0.of_database.push(note.clone());
        self.note(note)
    }

    /// Adds a hint that helps only with a database that stays.
    #[must_use]
    pub fn hint_of_database(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        self.0.of_database.push(hint.clone());
        self.hint(hint)
    }

    /// The same failure in a private server, which is removed with its database. All other notes and
    /// hints remain, those of PostgreSQL too.
    #[must_use]
    pub fn without_database(mut self) -> Self {
        let Parts { notes, hints, of_database, .. } = &mut *self.0;
        for lines in [notes, hints] {
            lines.retain(|line| !of_database.contains(line));
        }
        self
    }

    /// The same failure of another kind.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Wraps it: `message` becomes what failed, and the old message becomes the first cause.
    #[must_use]
    pub fn context(mut self, message: impl Into<String>) -> Self {
        let old = std::mem::replace(&mut self.0.message, message.into());
        self.0.causes.insert(0, old);
        self
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What failed.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Why, the outermost reason first.
    pub fn causes(&self) -> &[String] {
        &self.0.causes
    }

    /// Lines to look at.
    pub fn excerpt_text(&self) -> Option<&str> {
        self.0.excerpt.as_deref()
    }

    /// What is true after the failure.
    pub fn notes(&self) -> &[String] {
        &self.0.notes
    }

    /// What to do next.
    pub fn hints(&self) -> &[String] {
        &self.0.hints
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for cause in &self.0.causes {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Turns a foreign error into ours, keeping its chain of sources.
pub trait ResultExt<T> {
    /// Says what was being done when it failed.
    ///
    /// # Errors
    /// The same failure as an [`Error`] of `kind`.
    fn or_fail(self, kind: Kind, message: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: std::error::Error> ResultExt<T> for std::result::Result<T, E> {
    fn or_fail(self, kind: Kind, message: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| {
            let mut failure = Error::new(kind, message());
            let mut seen = String::new();
            let mut cause: Option<&dyn std::error::Error> = Some(&error);
            while let Some(current) = cause {
                let text = current.to_string();
                // Many libraries repeat the source in their own text; once is enough.
                if !seen.contains(&text) {
                    failure = failure.because(&text);
                    seen = text;
                }
                cause = current.source();
            }
            failure
        })
    }
}

/// The text of an error without what sqlx adds to PostgreSQL's errors: words of its own before it,
/// and the line of PostgreSQL's C source that reported it. A reader would look for that line in a
/// file of theirs.
fn without_server_source(text: String) -> String {
    const SQLX: &str = "error returned from database: ";
    if !text.contains(SQLX) {
        return text;
    }
    let said = match text.rsplit_once(" at line ") {
        Some((said, line)) if line.bytes().all(|byte| byte.is_ascii_digit()) => said,
        _ => &text,
    };
    said.replacen(SQLX, "", 1)
}

/// Whether a message says that a disk is full, in the kernel's words.
pub fn is_disk_full(message: &str) -> bool {
    let message = message.to_lowercase();
    message.contains("no space left on device") || message.contains("disk quota exceeded")
}

/// The nearest of `known` to a mistyped `word`, when one is near enough to be meant: a few letters
/// are wrong, or one word begins with the other. A common beginning alone does not make `postgis`
/// a mistyped `postgres_fdw`. Case and surrounding blanks do not count.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.trim().to_lowercase();
    let is_near = |(plain, _): &(String, &str)| {
        let letters = word.chars().count().max(plain.chars().count());
        let is_typo = strsim::damerau_levenshtein(&word, plain) * 3 <= letters.max(3);
        let is_part = !word.is_empty() && plain.starts_with(&word)
            || plain.len() >= 3 && word.starts_with(plain.as_str());
        is_typo || is_part
    };
    known
        .into_iter()
        .map(|candidate| (candidate.to_lowercase(), candidate))
        .filter(is_near)
        .map(|(plain, candidate)| (strsim::jaro_winkler(&word, &plain), candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// A word as a shell takes it, for what a hint says to type.
pub fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    match text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_in_capitals_or_with_blanks_has_a_near_one() {
        let known = ["id", "gateway_id", "name"];
        assert_eq!(nearest("GATEWAY_ID", known), Some("gateway_id"));
        assert_eq!(nearest(" Name ", known), Some("name"));
        assert_eq!(nearest("zzz", known), None);
    }

    #[test]
    fn in_a_private_server_only_what_is_untrue_is_dropped() {
        let error = Error::new(Kind::Migration, "the migration failed")
            .note("PostgreSQL has a note")
            .note_of_database("2 migrations remain applied")
            .hint("There is a column with another name.")
            .hint_of_database("devdb reset   makes a fresh database")
            .without_database();
        assert_eq!(error.notes(), ["PostgreSQL has a note"]);
        assert_eq!(error.hints(), ["There is a column with another name."]);
    }

    #[test]
    fn only_a_near_word_is_meant() {
        let known = ["postgres_fdw", "pg_trgm", "hstore", "organizations", "name", "dev"];
        for (word, meant) in [
            ("postgis", None),
            ("pg_tgrm", Some("pg_trgm")),
            ("hstor", Some("hstore")),
            ("orgs", None),
            ("organisations", Some("organizations")),
            ("nmae", Some("name")),
            ("devel", Some("dev")),
            ("x", None),
            ("vector", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
    }

    #[test]
    fn the_line_of_the_servers_source_is_not_shown() {
        let cause =
            |text: &str| Error::new(Kind::Unexpected, "x").because(text).causes()[0].clone();
        let sqlx = "error returned from database: database \"x\" does not exist at line 948";
        assert_eq!(cause(sqlx), "database \"x\" does not exist");
        assert_eq!(
            cause(&format!("while migrating: {sqlx}")),
            "while migrating: database \"x\" does not exist"
        );
        assert_eq!(cause("unknown key at line 948"), "unknown key at line 948");
    }

    #[test]
    fn a_full_disk_is_hinted_at_once_wherever_it_is_said() {
        let hints = |error: Error| error.with_disk_full_hint().with_disk_full_hint().hints().len();
        let error = || Error::new(Kind::Unexpected, "cannot write");
        assert_eq!(hints(error().because("denied")), 0);
        assert_eq!(hints(error().because("write /var/x: no space left on device")), 1);
        assert_eq!(hints(error().excerpt("FATAL: could not extend: No space left on device")), 1);
        assert_eq!(hints(error().because("Disk quota exceeded").hint("make room on the disk")), 1);
        assert_eq!(hints(error().context("No space left on device (os error 28)")), 1);
    }
}
