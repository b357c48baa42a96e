//! Where the key of `!encrypt` and `devdb secret` comes from: the environment, else one that
//! devdb made for this project and keeps outside of the repository.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use secrecy::{ExposeSecret, SecretString};

use crate::db::seed::Encrypt;
use crate::error::{Error, Result};
use crate::event::Events;
use crate::secret::{self, Key};

/// A key that is read, or made, when somebody needs it.
#[derive(Debug, Clone)]
pub struct KeySource {
    /// The variable's name and its value, when it is set.
    pub variable: (String, Option<SecretString>),
    /// devdb's data directory.
    pub data_dir: PathBuf,
    /// The project's id.
    pub project_id: String,
}

/// A key, and where it came from.
pub struct Found {
    /// The key.
    pub key: Key,
    /// Whether devdb made it just now.
    pub created: bool,
}

impl KeySource {
    /// The key.
    ///
    /// # Errors
    /// `Secret` when the variable holds no key; when the project's own cannot be read or made.
    pub fn key(&self) -> Result<Found> {
        let (name, value) = &self.variable;
        match value {
            Some(value) => {
                Ok(Found { key: Key::parse(value.expose_secret(), name)?, created: false })
            }
            None => {
                let (key, created) = secret::project_key(&self.data_dir, &self.project_id)?;
                Ok(Found { key, created })
            }
        }
    }

    /// The key, none when devdb would have to make it first. Nothing is made.
    ///
    /// # Errors
    /// As [`KeySource::key`].
    pub fn existing(&self) -> Result<Option<Key>> {
        match &self.variable {
            (name, Some(value)) => Key::parse(value.expose_secret(), name).map(Some),
            (_, None) => secret::existing_project_key(&self.data_dir, &self.project_id),
        }
    }

    /// Whether it is devdb's own, which nobody else has.
    pub fn is_made_here(&self) -> bool {
        self.variable.1.is_none()
    }

    /// Encrypts with the key, which is looked for, or made, when the first value comes.
    pub fn encrypter(&self, events: &Events) -> Encrypt {
        let source = self.clone();
        let events = events.clone();
        let key: OnceLock<Result<Key, Error>> = OnceLock::new();
        Arc::new(move |text| match key.get_or_init(|| source.announced(&events)) {
            Ok(key) => key.encrypt(text),
            Err(error) => Err(error.clone()),
        })
    }

    /// The key; says how to get at one that devdb has just made.
    ///
    /// # Errors
    /// As [`KeySource::key`].
    pub fn announced(&self, events: &Events) -> Result<Key> {
        let found = self.key()?;
        if found.created {
            let name = &self.variable.0;
            events.note(format!(
                "made an encryption key for this project, kept outside of it; \
                 `devdb env --with-key --write .env` gives it to your application as {name}"
            ));
        }
        Ok(found.key)
    }

    /// Fails when the variable is set and holds no key, before anything is done with it.
    ///
    /// # Errors
    /// `Secret`.
    pub fn check(&self) -> Result<()> {
        match &self.variable {
            (name, Some(value)) => Key::parse(value.expose_secret(), name).map(drop),
            _ => Ok(()),
        }
    }
}
