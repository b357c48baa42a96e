//! Where devdb finds the key for `!encrypt` and `devdb secret`: in an environment variable, or else
//! in a key that devdb made for the project and keeps outside the repository.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use secrecy::{ExposeSecret, SecretString};

use super::{Key, existing_project_key, project_key};
use crate::db::seed::Encrypt;
use crate::error::{Error, Result};
use crate::event::Events;

/// Where to read the key, or to make one, when it is needed.
#[derive(Debug, Clone)]
pub struct KeySource {
    /// The name of the variable, and its value if it is set.
    pub variable: (String, Option<SecretString>),
    /// devdb's data directory.
    pub data_dir: PathBuf,
    /// The project's id.
    pub project_id: String,
}

/// A key, and whether it is new.
pub struct Found {
    /// The key.
    pub key: Key,
    /// Whether devdb made it just now.
    pub created: bool,
}

impl KeySource {
    /// The key. devdb makes one for the project if the variable is not set and there is none yet.
    ///
    /// # Errors
    /// `Secret` when the variable does not hold a key, or the project's key cannot be read or made.
    pub fn key(&self) -> Result<Found> {
        let (name, value) = &self.variable;
        match value {
            Some(value) => {
                Ok(Found { key: Key::parse(value.expose_secret(), name)?, created: false })
            }
            None => project_key(&self.data_dir, &self.project_id),
        }
    }

    /// The key, if it exists. Nothing is made.
    ///
    /// # Errors
    /// As [`KeySource::key`].
    pub fn existing(&self) -> Result<Option<Key>> {
        match &self.variable {
            (name, Some(value)) => Key::parse(value.expose_secret(), name).map(Some),
            (_, None) => existing_project_key(&self.data_dir, &self.project_id),
        }
    }

    /// Whether the key is one that devdb made on this machine, so that nobody else has it.
    pub fn is_made_here(&self) -> bool {
        self.variable.1.is_none()
    }

    /// A function that encrypts with the key. The first value makes it read the key, or make one.
    pub fn encrypter(&self, events: &Events) -> Encrypt {
        let source = self.clone();
        let events = events.clone();
        let key: OnceLock<Result<Key, Error>> = OnceLock::new();
        Arc::new(move |text| match key.get_or_init(|| source.announced(&events)) {
            Ok(key) => key.encrypt(text),
            Err(error) => Err(error.clone()),
        })
    }

    /// The key. If devdb made it just now, a note says how an application gets it.
    ///
    /// # Errors
    /// As [`KeySource::key`].
    pub fn announced(&self, events: &Events) -> Result<Key> {
        let found = self.key()?;
        if found.created {
            let name = &self.variable.0;
            events.note(format!(
                "devdb made a key to encrypt values of your seeds, and keeps it outside the project; \
                 `devdb env --with-key --write .env` writes it into .env as {name}"
            ));
        }
        Ok(found.key)
    }

    /// Checks that the variable holds a key if it is set.
    ///
    /// # Errors
    /// `Secret` when it does not.
    pub fn check(&self) -> Result<()> {
        match &self.variable {
            (name, Some(value)) => Key::parse(value.expose_secret(), name).map(drop),
            _ => Ok(()),
        }
    }
}
