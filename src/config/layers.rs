//! Which of the places that can say something about a setting counts:
//! flag > environment > devdb.local.yaml > devdb.yaml > default.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::environment::Environment;
use super::file::{ConfigFile, Document, Text};
use super::values::Problem;
use super::{Origin, Overrides, Setting};
use crate::error::{Error, Kind, Result};

/// A setting and every place that can say it.
pub struct Key {
    /// Its dotted path in devdb.yaml.
    pub name: &'static str,
    variable: Option<&'static str>,
    flag: Option<(&'static str, InFlags)>,
    file: Option<InFile>,
}

type InFlags = fn(&Overrides) -> Option<&String>;
type InFile = fn(&Document) -> Option<&Text>;
type InFileList = fn(&Document) -> Option<&Vec<Text>>;

const fn key(name: &'static str, variable: &'static str) -> Key {
    Key { name, variable: Some(variable), flag: None, file: None }
}

impl Key {
    const fn flag(self, name: &'static str, get: InFlags) -> Self {
        Key { flag: Some((name, get)), ..self }
    }

    const fn file(self, get: InFile) -> Self {
        Key { file: Some(get), ..self }
    }

    const fn file_only(name: &'static str, get: InFile) -> Self {
        Key { name, variable: None, flag: None, file: Some(get) }
    }
}

/// Every setting with one value. Lists, and `postgres.settings`, are in files only.
pub const KEYS: &[Key] = &[
    key("project", "DEVDB_PROJECT").file(|d| d.project.as_ref()),
    key("developer", "DEVDB_DEVELOPER").flag("--developer", |f| f.developer.as_ref()),
    key("instance", "DEVDB_INSTANCE").flag("--instance", |f| f.instance.as_ref()),
    key("engine", "DEVDB_ENGINE")
        .flag("--engine", |f| f.engine.as_ref())
        .file(|d| d.engine.as_ref()),
    key("isolation", "DEVDB_ISOLATION").file(|d| d.isolation.as_ref()),
    key("postgres.version", "DEVDB_POSTGRES")
        .flag("--postgres", |f| f.postgres.as_ref())
        .file(|d| d.postgres.as_ref()?.version.as_ref()),
    key("postgres.image", "DEVDB_IMAGE").file(|d| d.postgres.as_ref()?.image.as_ref()),
    key("postgres.bin_dir", "DEVDB_BIN_DIR").file(|d| d.postgres.as_ref()?.bin_dir.as_ref()),
    key("postgres.database", "DEVDB_DATABASE").file(|d| d.postgres.as_ref()?.database.as_ref()),
    key("postgres.user", "DEVDB_USER").file(|d| d.postgres.as_ref()?.user.as_ref()),
    key("postgres.durability", "DEVDB_DURABILITY")
        .file(|d| d.postgres.as_ref()?.durability.as_ref()),
    key("postgres.port", "DEVDB_PORT")
        .flag("--port", |f| f.port.as_ref())
        .file(|d| d.postgres.as_ref()?.port.as_ref()),
    key("migrations.path", "DEVDB_MIGRATIONS").file(|d| d.migrations.as_ref()?.path.as_ref()),
    Key::file_only("migrations.out_of_order", |d| d.migrations.as_ref()?.out_of_order.as_ref()),
    key("seeds.path", "DEVDB_SEEDS").file(|d| d.seeds.as_ref()?.path.as_ref()),
    key("seeds.profile", "DEVDB_PROFILE")
        .flag("--profile", |f| f.profile.as_ref())
        .file(|d| d.seeds.as_ref()?.profile.as_ref()),
    key("secrets.key_env", "DEVDB_KEY_ENV").file(|d| d.secrets.as_ref()?.key_env.as_ref()),
    key("generations.keep", "DEVDB_GENERATIONS_KEEP")
        .file(|d| d.generations.as_ref()?.keep.as_ref()),
    key("generations.days", "DEVDB_GENERATIONS_DAYS")
        .file(|d| d.generations.as_ref()?.days.as_ref()),
    key("cache.states", "DEVDB_CACHE_STATES").file(|d| d.cache.as_ref()?.states.as_ref()),
    key("cache.size", "DEVDB_CACHE_SIZE").file(|d| d.cache.as_ref()?.size.as_ref()),
];

/// A value and who said it.
pub struct Given<'a> {
    key: Cow<'a, str>,
    /// The value as written.
    pub text: Cow<'a, str>,
    from: From<'a>,
}

enum From<'a> {
    Flag(&'static str),
    Variable(&'static str),
    File(&'a ConfigFile),
    Default,
}

impl Given<'_> {
    /// Who said it.
    pub fn origin(&self) -> Origin {
        match self.from {
            From::Flag(name) => Origin::Flag { name },
            From::Variable(name) => Origin::Environment { name },
            From::File(file) => {
                Origin::File { path: file.path.clone(), line: file.line(&self.key) }
            }
            From::Default => Origin::Default,
        }
    }

    /// Whether a person said it.
    pub fn is_chosen(&self) -> bool {
        !matches!(self.from, From::Default)
    }

    /// The error for a value that cannot be used, where the person wrote it.
    pub fn error(&self, problem: &Problem) -> Error {
        let failure = |kind, place: &str| {
            Error::new(kind, format!("{place}: {}", problem.what)).hint(&problem.hint)
        };
        match self.from {
            From::Flag(name) => failure(Kind::Usage, name),
            From::Variable(name) => failure(Kind::Config, name),
            From::File(file) => file.problem(&self.key, problem),
            From::Default => failure(Kind::Config, &format!("{} (default)", self.key)),
        }
    }

    /// What the value means.
    ///
    /// # Errors
    /// The check's, with the place.
    pub fn check<T>(&self, check: fn(&str) -> Result<T, Problem>) -> Result<T> {
        check(&self.text).map_err(|problem| self.error(&problem))
    }
}

/// A list in a file.
pub struct List<'a> {
    key: &'static str,
    file: &'a ConfigFile,
    items: &'a [Text],
}

impl List<'_> {
    /// What the items mean.
    ///
    /// # Errors
    /// The check's, with the place of the item.
    pub fn check<T>(&self, check: fn(&str) -> Result<T, Problem>) -> Result<Vec<T>> {
        let checked = self.items.iter().enumerate().map(|(index, Text(text))| {
            check(text)
                .map_err(|problem| self.file.problem(&format!("{}.{index}", self.key), &problem))
        });
        checked.collect()
    }

    /// Who said it.
    pub fn origin(&self) -> Origin {
        Origin::File { path: self.file.path.clone(), line: self.file.line(self.key) }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The error for a list that cannot be used, where it stands.
    pub fn error(&self, problem: &Problem) -> Error {
        self.file.problem(self.key, problem)
    }
}

/// Everything that says something, and a record of who was heard.
pub struct Layers<'a> {
    flags: &'a Overrides,
    environment: &'a Environment,
    /// The strongest first.
    files: &'a [ConfigFile],
    /// What was decided, in the order of the questions.
    pub decided: Vec<Setting>,
}

impl<'a> Layers<'a> {
    /// `files`: the strongest first.
    pub fn new(
        flags: &'a Overrides,
        environment: &'a Environment,
        files: &'a [ConfigFile],
    ) -> Self {
        Layers { flags, environment, files, decided: Vec::new() }
    }

    /// What somebody said about a setting of [`KEYS`].
    pub fn given(&self, name: &'static str) -> Option<Given<'a>> {
        let key = KEYS.iter().find(|key| key.name == name)?;
        let said = |text: &'a str, from| {
            Some(Given { key: Cow::Borrowed(name), text: Cow::Borrowed(text), from })
        };
        if let Some((flag, get)) = key.flag
            && let Some(text) = get(self.flags)
        {
            return said(text, From::Flag(flag));
        }
        if let Some(variable) = key.variable
            && let Some(text) = self.environment.get(variable)
        {
            return said(text, From::Variable(variable));
        }
        let get = key.file?;
        self.files.iter().find_map(|file| said(&get(&file.document)?.0, From::File(file)))
    }

    /// What counts for a setting of [`KEYS`], recorded.
    pub fn decide(&mut self, name: &'static str, default: impl FnOnce() -> String) -> Given<'a> {
        let given = self.given(name).unwrap_or_else(|| Given {
            key: Cow::Borrowed(name),
            text: Cow::Owned(default()),
            from: From::Default,
        });
        self.record(name, &given.text, given.origin());
        given
    }

    /// Records what a setting is.
    pub fn record(&mut self, key: &str, value: &str, origin: Origin) {
        self.decided.push(Setting { key: key.to_owned(), value: value.to_owned(), origin });
    }

    /// `postgres.settings` of all files together, a stronger file's over a weaker one's. Names
    /// are in lower case, as PostgreSQL takes them.
    ///
    /// # Errors
    /// `name` refuses a name or `value` a value.
    pub fn settings(
        &mut self,
        name: fn(&str) -> Result<(), Problem>,
        value: fn(Option<&str>) -> Result<String, Problem>,
    ) -> Result<BTreeMap<String, String>> {
        let mut all = BTreeMap::new();
        for file in self.files.iter().rev() {
            let section = file.document.postgres.as_ref();
            for (setting, text) in section.and_then(|s| s.settings.as_ref()).into_iter().flatten() {
                let key = format!("postgres.settings.{setting}");
                let checked = name(setting)
                    .and_then(|()| value(text.as_ref().map(|text| text.0.as_str())))
                    .map_err(|problem| file.problem(&key, &problem))?;
                let origin = Origin::File { path: file.path.clone(), line: file.line(&key) };
                all.insert(setting.to_ascii_lowercase(), (checked, origin));
            }
        }
        for (setting, (value, origin)) in &all {
            self.record(&format!("postgres.settings.{setting}"), value, origin.clone());
        }
        Ok(all.into_iter().map(|(setting, (value, _))| (setting, value)).collect())
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
        let Some(list) = self.list(KEY, |d| d.postgres.as_ref()?.extensions.as_ref()) else {
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
    pub fn list(&self, key: &'static str, get: InFileList) -> Option<List<'a>> {
        self.files.iter().find_map(|file| Some(List { key, file, items: get(&file.document)? }))
    }
}
