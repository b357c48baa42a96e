//! Every setting decided: what was said, else the default; validated either way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::command;
use super::layers::{Given, Layers};
use super::values::{self, Problem};
use super::{Environment, Origin, Project, branch};
use crate::error::{Result, nearest};
use crate::spec::{CacheLimits, Durability, EngineChoice, Files, Isolation, PortChoice, Retention};

/// PostgreSQL's major version where nobody names one.
pub const DEFAULT_VERSION: u16 = 15;

/// Every setting of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The project's name, for people.
    pub project: String,
    /// Who owns the instance.
    pub developer: String,
    /// The instance's name.
    pub instance: String,
    /// Whether that is the name of the branch that is checked out.
    pub of_branch: bool,
    /// Which engine is wanted.
    pub engine: EngineChoice,
    /// PostgreSQL's major version.
    pub version: u16,
    /// The image's reference.
    pub image: String,
    /// Whether a person named the image.
    pub image_chosen: bool,
    /// Where the native server programs are, when a person says so (absolute).
    pub bin_dir: Option<PathBuf>,
    /// The database to create.
    pub database: String,
    /// Its owner.
    pub user: String,
    /// Server settings; names in lower case.
    pub server: BTreeMap<String, String>,
    /// Extensions to create.
    pub extensions: Vec<String>,
    /// What a crash may cost.
    pub durability: Durability,
    /// The port on 127.0.0.1.
    pub port: PortChoice,
    /// Where the migrations are.
    pub migrations: Files,
    /// Whether a file older than the newest applied one may be applied.
    pub allow_out_of_order: bool,
    /// Where the seeds are.
    pub seeds: Files,
    /// Which seeds go on top of the common ones.
    pub profile: String,
    /// The environment variable with the encryption key.
    pub key_env: String,
    /// What is kept for `undo`.
    pub retention: Retention,
    /// What is kept of golden states.
    pub cache: CacheLimits,
}

/// Decides every setting, in the order in which `devdb config` shows them.
pub(super) fn decide(
    layers: &mut Layers<'_>,
    project: &Project,
    start: &Path,
    environment: &Environment,
    warnings: &mut Vec<String>,
) -> Result<Settings> {
    let root = match project {
        Project::Directory { root } => root,
        Project::Sample => start,
    };
    let name = layers.decide("project", || default_name(project)).check(values::label)?;
    let developer = layers.decide("developer", || environment.os_user()).check(values::label)?;
    let (instance, of_branch) = instance(layers, project, warnings)?;
    let engine = layers.decide("engine", || "auto".into()).check(values::engine)?;
    let (version, image, image_chosen) = version_and_image(layers)?;
    let bin_dir = bin_dir(layers, root)?;
    let database = layers
        .decide("postgres.database", || values::database_for(&name))
        .check(values::database)?;
    let user = layers.decide("postgres.user", || "postgres".into()).check(values::user)?;
    let server = layers.settings(values::setting_name, values::setting_value)?;
    let extensions = layers.extensions(values::extension)?;
    let durability =
        layers.decide("postgres.durability", || "full".into()).check(values::durability)?;
    let port = layers.decide("postgres.port", || "auto".into()).check(values::port)?;
    if let PortChoice::Fixed(number @ 1..1024) = port {
        warnings.push(format!(
            "port {number} is below 1024: on most machines only root may listen there"
        ));
    }
    let migrations = match command::decide(layers, &command::MIGRATIONS, root, warnings)? {
        Some(command) => Files::Command(command),
        None => directory(layers, "migrations.path", "migrations", project, root)?,
    };
    let allow_out_of_order =
        layers.decide("migrations.out_of_order", || "refuse".into()).check(values::out_of_order)?;
    let seeds = match command::decide(layers, &command::SEEDS, root, warnings)? {
        Some(command) => Files::Command(command),
        None => directory(layers, "seeds.path", "seeds", project, root)?,
    };
    let profile = layers.decide("seeds.profile", || "dev".into()).check(values::profile)?;
    let key_env =
        layers.decide("secrets.key_env", || "ENCRYPTION_KEY".into()).check(values::variable)?;
    let usual = Retention::default();
    let keep = layers.decide("generations.keep", || usual.keep.to_string()).check(values::keep)?;
    let days = layers.decide("generations.days", || usual.days.to_string()).check(values::days)?;
    Ok(Settings {
        project: name,
        developer,
        instance,
        of_branch,
        engine,
        version,
        image,
        image_chosen,
        bin_dir,
        database,
        user,
        server,
        extensions,
        durability,
        port,
        migrations,
        allow_out_of_order,
        seeds,
        profile,
        key_env,
        retention: Retention { keep, days },
        cache: cache(layers)?,
    })
}

fn cache(layers: &mut Layers<'_>) -> Result<CacheLimits> {
    let usual = CacheLimits::default();
    Ok(CacheLimits {
        states: layers.decide("cache.states", || usual.states.to_string()).check(values::states)?,
        bytes: layers.decide("cache.size", || "10GB".into()).check(values::size)?,
    })
}

/// The instance's name, and whether it is the branch's: a name that somebody gives wins.
fn instance(
    layers: &mut Layers<'_>,
    project: &Project,
    warnings: &mut Vec<String>,
) -> Result<(String, bool)> {
    let isolation = layers.decide("isolation", || "developer".into());
    if isolation.check(values::isolation)? == Isolation::Branch
        && layers.given("instance").is_none()
    {
        if let Project::Directory { root } = project {
            let name = branch::current(root)
                .and_then(|name| values::instance(&name))
                .map_err(|problem| isolation.error(&problem))?;
            layers.record("instance", &name, Origin::Branch);
            return Ok((name, true));
        }
        warnings.push("the sample project is nobody's checkout: it has one instance".to_owned());
    }
    let name = layers.decide("instance", || "main".into()).check(values::instance)?;
    Ok((name, false))
}

/// The directory's name, so far as it can be one.
fn default_name(project: &Project) -> String {
    let Project::Directory { root } = project else { return "sample".to_owned() };
    let name = root.file_name().unwrap_or_default().to_string_lossy();
    let name: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
    if name.trim().is_empty() { "project".to_owned() } else { name }
}

/// The image's tag decides the version where nobody names one; where somebody does, the two must
/// not contradict each other.
fn version_and_image(layers: &mut Layers<'_>) -> Result<(u16, String, bool)> {
    let given_version = layers.given("postgres.version");
    let given_image = layers.given("postgres.image");
    let reference = match &given_image {
        Some(image) => Some(image.check(values::image)?),
        None => None,
    };
    let told = reference.as_deref().and_then(values::image_major);
    let (version, origin) = match (&given_version, &given_image, told) {
        (Some(version), _, _) => (version.check(values::version)?, version.origin()),
        (None, Some(image), Some(major)) => {
            let version = values::version(&major.to_string());
            (version.map_err(|problem| image.error(&problem))?, image.origin())
        }
        _ => (DEFAULT_VERSION, Origin::Default),
    };
    if let (Some(image), Some(major)) = (&given_image, told)
        && major != version
    {
        return Err(image.error(&Problem {
            what: format!("{:?} is PostgreSQL {major}", image.text),
            hint: format!(
                "postgres.version is {version} ({origin}): change one of the two, or leave one out"
            ),
        }));
    }
    layers.record("postgres.version", &version.to_string(), origin);
    let image = layers.decide("postgres.image", || format!("postgres:{version}"));
    Ok((version, image.text.clone().into_owned(), image.is_chosen()))
}

fn bin_dir(layers: &mut Layers<'_>, root: &Path) -> Result<Option<PathBuf>> {
    // Whether the programs are there is the native engine's business: a colleague on docker
    // need not have them.
    let Some(given) = layers.given("postgres.bin_dir") else {
        layers.record("postgres.bin_dir", "auto", Origin::Default);
        return Ok(None);
    };
    let path = given.check(values::path)?;
    layers.record("postgres.bin_dir", &path, given.origin());
    Ok(Some(root.join(path)))
}

/// A directory of files. One that a person names must exist; the default need not.
fn directory(
    layers: &mut Layers<'_>,
    key: &'static str,
    default: &str,
    project: &Project,
    root: &Path,
) -> Result<Files> {
    let Some(given) = layers.given(key) else {
        return Ok(match project {
            Project::Sample => {
                layers.record(key, "built into devdb", Origin::Default);
                Files::Embedded
            }
            Project::Directory { .. } => {
                layers.record(key, default, Origin::Default);
                Files::Directory { path: root.join(default), required: false }
            }
        });
    };
    let path = root.join(given.check(values::path)?);
    // The usual name, written out, means no more than the default: git keeps no empty directory,
    // so a fresh clone may lack it.
    let required = given.text.trim_end_matches('/') != default;
    if !path.is_dir() && (required || path.exists()) {
        return Err(given.error(&missing(&given, &path)));
    }
    layers.record(key, &given.text, given.origin());
    Ok(Files::Directory { path, required })
}

fn missing(given: &Given<'_>, path: &Path) -> Problem {
    if path.exists() {
        return Problem {
            what: format!("{:?} is not a directory", given.text),
            hint: "name the directory that the files are in".to_owned(),
        };
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let siblings: Vec<String> = path
        .parent()
        .and_then(|parent| std::fs::read_dir(parent).ok())
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let hint = match nearest(&name, siblings.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean {meant}? There is no {}", path.display()),
        None => format!("mkdir -p {}", path.display()),
    };
    Problem { what: format!("there is no directory {:?}", given.text), hint }
}
