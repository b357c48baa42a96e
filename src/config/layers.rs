//! Which of several values for a setting counts:
//! flag > environment > devdb.local.yaml > devdb.yaml > default.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::document::{self, Document};
use super::environment::Environment;
use super::keys;
use super::place::Place;
use super::values::Problem;
use super::{Origin, Overrides, Setting};
use crate::error::{Error, Kind, Result};

/// A value for a setting, and where it comes from.
pub struct Given<'a> {
    key: &'static str,
    /// The value as written.
    pub text: Cow<'a, str>,
    from: From<'a>,
}

enum From<'a> {
    Flag(&'static str),
    Variable(&'static str),
    File(&'a Document, Place),
    Default,
}

impl Given<'_> {
    /// Where the value comes from.
    pub fn origin(&self) -> Origin {
        match self.from {
            From::Flag(name) => Origin::Flag { name },
            From::Variable(name) => Origin::Environment { name },
            From::File(document, place) => document.origin(place),
            From::Default => Origin::Default,
        }
    }

    /// Whether a person chose the value.
    pub fn is_chosen(&self) -> bool {
        !matches!(self.from, From::Default)
    }

    /// The error for a value that cannot be used. It names the place where the value was written.
    pub fn error(&self, problem: &Problem) -> Error {
        let failure = |kind, place: &str| {
            Error::new(kind, format!("{place}: {}", problem.what)).hint(&problem.hint)
        };
        match self.from {
            From::Flag(name) => failure(Kind::Usage, name),
            From::Variable(name) => failure(Kind::Config, name),
            From::File(document, place) => document.error(self.key, place, problem),
            From::Default => failure(Kind::Config, &format!("{} (default)", self.key)),
        }
    }

    /// What the value means.
    ///
    /// # Errors
    /// The error of `check`, with the place of the value.
    pub fn check<T>(&self, check: fn(&str) -> Result<T, Problem>) -> Result<T> {
        check(&self.text).map_err(|problem| self.error(&problem))
    }
}

/// A list that stands in a file.
pub struct List<'a> {
    key: &'static str,
    document: &'a Document,
    list: &'a document::List,
}

impl List<'_> {
    /// What the items mean.
    ///
    /// # Errors
    /// The error of `check`, with the place of the item.
    pub fn check<T>(&self, check: fn(&str) -> Result<T, Problem>) -> Result<Vec<T>> {
        let checked = self.list.items.iter().enumerate().map(|(index, item)| {
            check(&item.text).map_err(|problem| {
                self.document.error(&format!("{}.{index}", self.key), item.place, &problem)
            })
        });
        checked.collect()
    }

    /// Where the list comes from.
    pub fn origin(&self) -> Origin {
        self.document.origin(self.list.place)
    }

    /// Whether the list has no items.
    pub fn is_empty(&self) -> bool {
        self.list.items.is_empty()
    }

    /// The error for a list that cannot be used. It names the place of the list.
    pub fn error(&self, problem: &Problem) -> Error {
        self.document.error(self.key, self.list.place, problem)
    }
}

/// All places that can hold a value, and a record of what was decided.
pub struct Layers<'a> {
    flags: &'a Overrides,
    environment: &'a Environment,
    /// The strongest first.
    documents: &'a [Document],
    /// What was decided, in that order.
    pub decided: Vec<Setting>,
    /// What a person probably did not intend; one line each.
    pub warnings: Vec<String>,
}

impl<'a> Layers<'a> {
    /// The strongest of `documents` comes first.
    pub fn new(
        flags: &'a Overrides,
        environment: &'a Environment,
        documents: &'a [Document],
    ) -> Self {
        Layers { flags, environment, documents, decided: Vec::new(), warnings: Vec::new() }
    }

    /// The value that a person gave for a setting with a single value.
    pub fn given(&self, name: &'static str) -> Option<Given<'a>> {
        let key = keys::key(name)?;
        let given =
            |text: &'a str, from| Some(Given { key: name, text: Cow::Borrowed(text), from });
        if let Some((flag, get)) = key.flag
            && let Some(text) = get(self.flags)
        {
            return given(text, From::Flag(flag));
        }
        if let Some(variable) = key.variable()
            && let Some(text) = self.environment.get(variable)
        {
            return given(text, From::Variable(variable));
        }
        self.in_files(name)
    }

    /// The value that the project's files give to a setting with a single value.
    pub fn in_files(&self, name: &'static str) -> Option<Given<'a>> {
        self.documents.iter().find_map(|document| {
            let text = document.text(name)?;
            let from = From::File(document, text.place);
            Some(Given { key: name, text: Cow::Borrowed(&text.text), from })
        })
    }

    /// The value that counts for a setting with a single value. It is recorded.
    pub fn decide(&mut self, name: &'static str, default: impl FnOnce() -> String) -> Given<'a> {
        let given = self.given(name).unwrap_or_else(|| Given {
            key: name,
            text: Cow::Owned(default()),
            from: From::Default,
        });
        self.record(name, &given.text, given.origin());
        given
    }

    /// Records the value of a setting.
    pub fn record(&mut self, key: &str, value: &str, origin: Origin) {
        self.decided.push(Setting { key: key.to_owned(), value: value.to_owned(), origin });
    }

    /// `postgres.settings` of all files together; for each name the strongest file counts. Names
    /// are in lower case, because PostgreSQL ignores their case.
    ///
    /// # Errors
    /// `check_name` refuses a name, or `check_value` a value.
    pub fn settings(
        &mut self,
        check_name: fn(&str) -> Result<(), Problem>,
        check_value: fn(Option<&str>) -> Result<String, Problem>,
    ) -> Result<BTreeMap<String, String>> {
        let mut all = BTreeMap::new();
        for document in self.documents.iter().rev() {
            for setting in document.settings() {
                let value = check_name(&setting.name)
                    .and_then(|()| check_value(setting.value.as_deref()))
                    .map_err(|problem| {
                        let key = format!("postgres.settings.{}", setting.name);
                        document.error(&key, setting.place, &problem)
                    })?;
                let origin = document.origin(setting.place);
                all.insert(setting.name.to_ascii_lowercase(), (value, origin));
            }
        }
        for (name, (value, origin)) in &all {
            self.record(&format!("postgres.settings.{name}"), value, origin.clone());
        }
        Ok(all.into_iter().map(|(name, (value, _))| (name, value)).collect())
    }

    /// `postgres.extensions` of the strongest file that has the key, each once.
    ///
    /// # Errors
    /// `check` refuses a name.
    pub fn extensions(
        &mut self,
        check: fn(&str) -> Result<String, Problem>,
    ) -> Result<Vec<String>> {
        const KEY: &str = "postgres.extensions";
        let Some(list) = self.list(KEY) else {
            self.record(KEY, "", Origin::Default);
            return Ok(Vec::new());
        };
        let mut extensions = Vec::new();
        for name in list.check(check)? {
            if !extensions.contains(&name) {
                extensions.push(name);
            }
        }
        self.record(KEY, &extensions.join(", "), list.origin());
        Ok(extensions)
    }

    /// A list of the strongest file that has it.
    pub fn list(&self, key: &'static str) -> Option<List<'a>> {
        self.documents
            .iter()
            .find_map(|document| Some(List { key, document, list: document.list(key)? }))
    }
}
