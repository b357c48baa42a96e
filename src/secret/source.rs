//! Where devdb finds the key for `!encrypt` and `devdb secret`: in an environment variable, or else
//! in an env file, or else in a key that devdb made for the project and keeps outside the repository.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::{Key, existing_project_key, project_key, project_key_file};
use crate::config::dotenv;
use crate::db::key_record::KeyMark;
use crate::db::seed::Encrypt;
use crate::error::{Error, Result};
use crate::event::Events;
use crate::spec::digest;

/// Where to read the key, or to make one, when it is needed.
#[derive(Debug, Clone)]
pub struct KeySource {
    /// The name of the variable that holds the key.
    pub variable: String,
    /// The key that a person set.
    given: Option<Given>,
    data_dir: PathBuf,
    project_id: String,
}

/// A key that a person set.
#[derive(Debug, Clone)]
struct Given {
    text: SecretString,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    /// The environment.
    Variable,
    /// This line of an env file, for people: `.env:3`.
    File(String),
}

/// A key, and whether it is new.
pub struct Found {
    /// The key.
    pub key: Key,
    /// Whether devdb made it just now.
    pub created: bool,
}

/// A key as people may see it.
pub struct Described {
    /// A fingerprint of it, or why there is none.
    pub key: String,
    /// Where it comes from.
    pub origin: String,
}

impl KeySource {
    /// The source of the key of a project. `value` is that of `variable` in the environment.
    pub fn new(
        variable: String,
        value: Option<&str>,
        data_dir: PathBuf,
        project_id: String,
    ) -> Self {
        let text = value.map(SecretString::from);
        let given = text.map(|text| Given { text, place: Place::Variable });
        KeySource { variable, given, data_dir, project_id }
    }

    /// Takes the key from an env file, unless the environment has one. An empty value counts as
    /// none. `shown` is the file's path for people.
    ///
    /// # Errors
    /// `Config` when the file cannot be read.
    pub fn or_from_file(mut self, file: &Path, shown: &str) -> Result<Self> {
        if self.given.is_some() {
            return Ok(self);
        }
        let entries = dotenv::read(file)?.unwrap_or_default();
        // Of several, programs take the last one or the first one. devdb writes all of them.
        let found = entries.into_iter().rev().find(|entry| entry.name == self.variable);
        self.given = found.filter(|entry| !entry.value.trim().is_empty()).map(|entry| Given {
            text: SecretString::from(entry.value),
            place: Place::File(format!("{shown}:{}", entry.line)),
        });
        Ok(self)
    }

    /// Where a given key is, for an error: `ENCRYPTION_KEY`, `ENCRYPTION_KEY (.env:3)`.
    fn parse(&self, given: &Given) -> Result<Key> {
        let origin = match &given.place {
            Place::Variable => self.variable.clone(),
            Place::File(place) => format!("{} ({place})", self.variable),
        };
        Key::parse(given.text.expose_secret(), &origin)
    }

    /// The key. devdb makes one for the project if nobody set one and there is none yet.
    ///
    /// # Errors
    /// `Secret` when what was set is not a key, or the project's key cannot be read or made.
    pub fn key(&self) -> Result<Found> {
        match &self.given {
            Some(given) => Ok(Found { key: self.parse(given)?, created: false }),
            None => project_key(&self.data_dir, &self.project_id),
        }
    }

    /// The key, if it exists. Nothing is made.
    ///
    /// # Errors
    /// As [`KeySource::key`].
    pub fn existing(&self) -> Result<Option<Key>> {
        match &self.given {
            Some(given) => self.parse(given).map(Some),
            None => existing_project_key(&self.data_dir, &self.project_id),
        }
    }

    /// A text that differs for every key, for a command that may encrypt with it. What somebody set
    /// need not be a key of devdb's form, because only the command reads it.
    ///
    /// # Errors
    /// As [`KeySource::existing`], for a key that nobody set.
    pub fn text(&self) -> Result<Option<Zeroizing<String>>> {
        match (self.existing(), &self.given) {
            (Err(_), Some(given)) => {
                Ok(Some(Zeroizing::new(given.text.expose_secret().to_owned())))
            }
            (existing, _) => Ok(existing?.map(|key| key.to_base64())),
        }
    }

    /// What tells the key from others. Takes the time of one key derivation.
    ///
    /// # Errors
    /// As [`KeySource::text`].
    pub fn mark(&self) -> Result<Option<KeyMark>> {
        let Some(digest) = self.digest()? else { return Ok(None) };
        let fingerprint = self.existing().ok().flatten().map(|key| key.fingerprint());
        Ok(Some(KeyMark { digest, fingerprint }))
    }

    /// A digest of the key, which takes no time. None when there is no key, and for a text that is no
    /// key of devdb's form: somebody could guess a short text from its digest.
    ///
    /// # Errors
    /// As [`KeySource::existing`], for a key that nobody set.
    pub fn digest(&self) -> Result<Option<String>> {
        match (self.existing(), &self.given) {
            (Err(_), Some(_)) => Ok(None),
            (existing, _) => {
                Ok(existing?.map(|key| digest(["key of seeded rows", key.to_base64().as_str()])))
            }
        }
    }

    /// Whether a person set the key.
    pub fn is_given(&self) -> bool {
        self.given.is_some()
    }

    /// The variable and its value, when only an env file has it.
    pub fn in_file(&self) -> Option<(&str, &str)> {
        match &self.given {
            Some(Given { text, place: Place::File(_) }) => {
                Some((&self.variable, text.expose_secret()))
            }
            _ => None,
        }
    }

    /// Whether the key is one that devdb made on this machine, so that nobody else has it. It may
    /// stand in an env file, where `devdb env --with-key --write` put it.
    pub fn is_made_here(&self) -> bool {
        match &self.given {
            None => true,
            Some(Given { place: Place::Variable, .. }) => false,
            Some(given) => self.is_of_project(given.text.expose_secret()),
        }
    }

    /// Whether a text is the key that devdb made for this project.
    pub fn is_of_project(&self, text: &str) -> bool {
        let own = existing_project_key(&self.data_dir, &self.project_id);
        own.is_ok_and(|own| own.is_some_and(|own| *own.to_base64() == text.trim()))
    }

    /// What people may see of the key. Takes the time of one key derivation.
    pub fn describe(&self) -> Described {
        let origin = match &self.given {
            Some(Given { place: Place::Variable, .. }) => self.variable.clone(),
            Some(Given { place: Place::File(place), .. }) => place.clone(),
            None => project_key_file(&self.data_dir, &self.project_id).display().to_string(),
        };
        match self.existing() {
            Ok(Some(key)) => {
                Described { key: format!("fingerprint {}", key.fingerprint()), origin }
            }
            Ok(None) => Described {
                key: "devdb makes one when it is needed".to_owned(),
                origin: "default".to_owned(),
            },
            Err(error) => Described { key: error.to_string(), origin },
        }
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
            let name = &self.variable;
            events.note(format!(
                "devdb made a key for encrypted values of your seeds, and stored it outside the \
                 project. An application that decrypts such values needs the key: `devdb env \
                 --with-key --write .env` writes it into .env as {name}"
            ));
        }
        Ok(found.key)
    }

    /// Checks that the variable holds a key if it is set. A key in an env file is checked when it is
    /// needed: an application may use the same name for something else.
    ///
    /// # Errors
    /// `Secret` when it does not.
    pub fn check(&self) -> Result<()> {
        match &self.given {
            Some(given @ Given { place: Place::Variable, .. }) => self.parse(given).map(drop),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(directory: &Path, value: Option<&str>, file: &str) -> KeySource {
        let path = directory.join(".env");
        std::fs::write(&path, file).unwrap();
        KeySource::new("KEY".into(), value, directory.join("data"), "p".into())
            .or_from_file(&path, ".env")
            .unwrap()
    }

    #[test]
    fn the_environment_wins_over_the_file_and_the_file_over_the_projects_key() {
        let home = tempfile::tempdir().unwrap();
        let [one, two] = [(), ()].map(|()| Key::generate().to_base64().to_string());
        let found = |value: Option<&str>, file: &str| {
            let source = source(home.path(), value, file);
            (source.describe().origin, source.key().unwrap().key.to_base64().to_string())
        };
        assert_eq!(found(Some(&one), &format!("KEY={two}")), ("KEY".into(), one));
        let file = format!("\u{feff}A=1\r\nexport KEY=\"{two}\" # mine\r\n");
        assert_eq!(found(None, &file), (".env:2".into(), two));
        for file in ["", "KEY=", "KEY='' # fill in", "# KEY=x"] {
            let made = source(home.path(), None, file);
            let key = made.key().unwrap().key.to_base64().to_string();
            assert!(made.describe().origin.ends_with("data/keys/p"), "{file}");
            assert!(made.is_made_here());
            // Where devdb put it into the file, it is still a key that nobody else has.
            assert!(source(home.path(), None, &format!("KEY={key}")).is_made_here());
            assert!(!source(home.path(), Some(&key), "").is_made_here());
        }
    }

    #[test]
    fn a_description_tells_keys_apart_and_shows_none() {
        let home = tempfile::tempdir().unwrap();
        let key = Key::generate().to_base64().to_string();
        let describe = |file: &str| source(home.path(), None, file).describe().key;
        let shown = describe(&format!("KEY={key}"));
        assert!(!shown.contains(&key) && !key.contains(&shown), "{shown}");
        assert_ne!(shown, describe(&format!("KEY={}", *Key::generate().to_base64())));
        let wrong = describe("KEY=abc");
        assert!(wrong.contains("KEY (.env:1) has 2 bytes") && !wrong.contains("abc"), "{wrong}");
        assert!(describe("").contains("when it is needed"));
    }

    #[test]
    fn a_text_in_the_file_that_is_no_key_matters_only_when_a_key_is_needed() {
        let home = tempfile::tempdir().unwrap();
        let source = source(home.path(), None, "KEY=of the application");
        source.check().unwrap();
        assert_eq!(*source.text().unwrap().unwrap(), "of the application");
        assert!(source.key().is_err());
    }
}
