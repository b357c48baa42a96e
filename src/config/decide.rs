//! From the documents, variables and flags to the specification: each value that a person gave, or
//! else the default, is validated once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::command;
use super::layers::{Given, Layers};
use super::values::{self, Problem};
use super::{Environment, Origin, Project, branch};
use crate::error::{Result, nearest};
use crate::spec::{
    CacheLimits, Files, InstanceSpec, Isolation, MigrationSpec, Owner, PortChoice, Retention,
    SeedSpec, ServerSpec, SourceSpec, USUAL_INSTANCE, digest,
};

/// PostgreSQL's major version where nobody names one.
const DEFAULT_VERSION: u16 = 15;

/// How long devdb waits until a server accepts logins, unless a person asks otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// The profile of the seeds where nobody names one.
const DEFAULT_PROFILE: &str = "dev";

/// The branches whose databases never stop by themselves.
const NEVER_IDLE: [&str; 2] = ["main", "master"];

/// The env file of a project, unless the settings name another one.
const ENV_FILE: &str = ".env";

/// What stands in place of a file's name for no file.
const NO_FILE: &str = "none";

/// What the settings of a project decide.
pub(super) struct Decided {
    /// The specification. The checkout's id is still missing: the settings do not hold it.
    pub spec: InstanceSpec,
    /// The environment variable with the encryption key.
    pub key_env: String,
    /// The env file that may hold the encryption key.
    pub key_file: Option<PathBuf>,
    /// The env file that devdb keeps right.
    pub env_file: Option<PathBuf>,
}

/// Decides every setting, in the order in which `devdb config` shows them. Relative paths are
/// relative to `root`.
pub(super) fn decide(
    layers: &mut Layers<'_>,
    project: &Project,
    root: &Path,
    environment: &Environment,
) -> Result<Decided> {
    let name = layers.decide("project", || default_name(project)).check(values::label)?;
    let developer = layers.decide("developer", || environment.os_user()).check(values::label)?;
    let (instance, of_branch) = instance(layers, project)?;
    let idle = layers.decide("idle", || "2h".into()).check(values::idle)?;
    let idle = idle.filter(|_| of_branch && !NEVER_IDLE.contains(&instance.as_str()));
    let engine = layers.decide("engine", || "auto".into()).check(values::engine)?;
    let server = ServerSpec { idle, ..server(layers, root, &name)? };
    let port = port(layers)?;
    let migrations = migrations(layers, project, root)?;
    let seeds = seeds(layers, project, root, environment)?;
    let key_env =
        layers.decide("secrets.key_env", || "ENCRYPTION_KEY".into()).check(values::variable)?;
    let key_file = key_file(layers, project, root)?;
    let env_file = env_file(layers, root)?;
    let retention = retention(layers)?;
    let cache = cache(layers)?;
    let owner = Owner { project_id: String::new(), project: name, developer, instance };
    let timeout = DEFAULT_TIMEOUT;
    let spec = InstanceSpec {
        owner,
        of_branch,
        engine,
        server,
        port,
        migrations,
        seeds,
        retention,
        cache,
        timeout,
    };
    Ok(Decided { spec, key_env, key_file, env_file })
}

/// The instance's name, and whether it is the name of the branch that is checked out. A name that a
/// person gives comes first.
fn instance(layers: &mut Layers<'_>, project: &Project) -> Result<(String, bool)> {
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
        layers.warnings.push(
            "isolation: branch has no effect on the sample project, which is not in a git checkout"
                .to_owned(),
        );
    }
    let name = layers.decide("instance", || USUAL_INSTANCE.into()).check(values::instance)?;
    Ok((name, false))
}

fn server(layers: &mut Layers<'_>, root: &Path, project: &str) -> Result<ServerSpec> {
    let (major, image, image_chosen) = version_and_image(layers)?;
    Ok(ServerSpec {
        major,
        image,
        image_chosen,
        bin_dir: bin_dir(layers, root)?,
        database: layers
            .decide("postgres.database", || values::database_for(project))
            .check(values::database)?,
        user: layers.decide("postgres.user", || "postgres".into()).check(values::user)?,
        settings: layers.settings(values::setting_name, values::setting_value)?,
        extensions: layers.extensions(values::extension)?,
        durability: layers
            .decide("postgres.durability", || "full".into())
            .check(values::durability)?,
        idle: None,
    })
}

fn port(layers: &mut Layers<'_>) -> Result<PortChoice> {
    let port = layers.decide("postgres.port", || "auto".into()).check(values::port)?;
    if let PortChoice::Fixed(number @ 1..1024) = port {
        layers.warnings.push(format!(
            "port {number} is below 1024: on most machines only root may listen there"
        ));
    }
    Ok(port)
}

fn migrations(layers: &mut Layers<'_>, project: &Project, root: &Path) -> Result<MigrationSpec> {
    Ok(MigrationSpec {
        source: match command::decide(layers, &command::MIGRATIONS, root)? {
            Some(command) => SourceSpec::Command(command),
            None => SourceSpec::Files(directory(
                layers,
                "migrations.path",
                "migrations",
                project,
                root,
            )?),
        },
        out_of_order: layers
            .decide("migrations.out_of_order", || "refuse".into())
            .check(values::out_of_order)?,
        keep_before: layers
            .decide("migrations.keep_before", || "true".into())
            .check(values::yes_or_no)?,
    })
}

fn seeds(
    layers: &mut Layers<'_>,
    project: &Project,
    root: &Path,
    environment: &Environment,
) -> Result<SeedSpec> {
    let source = match command::decide(layers, &command::SEEDS, root)? {
        Some(command) => SourceSpec::Command(command),
        None => SourceSpec::Files(directory(layers, "seeds.path", "seeds", project, root)?),
    };
    let usual_profile = layers.in_files("seeds.profile").map(|given| given.text.into_owned());
    let usual_profile = usual_profile.unwrap_or_else(|| DEFAULT_PROFILE.to_owned());
    let profile =
        layers.decide("seeds.profile", || DEFAULT_PROFILE.into()).check(values::profile)?;
    let notes = match &source {
        SourceSpec::Files(Files::Directory { path, .. }) => {
            let name = digest([&path.to_string_lossy(), profile.as_str()]);
            // A command that needs the data directory says why there is none.
            environment.data_dir().ok().map(|data| data.join("checked").join(&name[..16]))
        }
        SourceSpec::Files(Files::Embedded) | SourceSpec::Command(_) => None,
    };
    Ok(SeedSpec { source, profile, usual_profile, is_remembered: false, notes })
}

/// The env file that may hold the encryption key: by default the project's `.env`, where there is
/// one.
fn key_file(layers: &mut Layers<'_>, project: &Project, root: &Path) -> Result<Option<PathBuf>> {
    const KEY: &str = "secrets.env_file";
    let Some(given) = layers.given(KEY) else {
        let usual = root.join(ENV_FILE);
        let found = *project != Project::Sample && usual.is_file();
        layers.record(KEY, if found { ENV_FILE } else { NO_FILE }, Origin::Default);
        return Ok(found.then_some(usual));
    };
    let path = given.check(values::path)?;
    layers.record(KEY, &path, given.origin());
    if path == NO_FILE {
        return Ok(None);
    }
    let file = root.join(&path);
    if file.exists() && !file.is_file() {
        return Err(given.error(&Problem {
            what: format!("{path:?} is not a file"),
            hint: "name an env file, or none".to_owned(),
        }));
    }
    if !file.exists() {
        layers.warnings.push(format!("{KEY} ({}): there is no file {path}", given.origin()));
    }
    Ok(Some(file))
}

/// The env file that devdb keeps right.
fn env_file(layers: &mut Layers<'_>, root: &Path) -> Result<Option<PathBuf>> {
    let given = layers.decide("env.write", || NO_FILE.into());
    let path = given.check(values::path)?;
    Ok((path != NO_FILE).then(|| root.join(path)))
}

fn retention(layers: &mut Layers<'_>) -> Result<Retention> {
    let usual = Retention::default();
    Ok(Retention {
        days: layers.decide("generations.days", || usual.days.to_string()).check(values::days)?,
        bytes: layers.decide("generations.size", || "20GB".into()).check(values::size)?,
    })
}

fn cache(layers: &mut Layers<'_>) -> Result<CacheLimits> {
    let usual = CacheLimits::default();
    Ok(CacheLimits {
        states: layers.decide("cache.states", || usual.states.to_string()).check(values::states)?,
        bytes: layers.decide("cache.size", || "10GB".into()).check(values::size)?,
    })
}

/// The directory's name without the characters that a project's name cannot have.
fn default_name(project: &Project) -> String {
    let Project::Directory { root } = project else { return "sample".to_owned() };
    let name = root.file_name().unwrap_or_default().to_string_lossy();
    let name: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
    if name.trim().is_empty() { "project".to_owned() } else { name }
}

/// The version, the image, and whether a person chose the image. If nobody names a version, the
/// image's tag decides it. If both are named, they must agree.
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
    // The native engine checks that the programs are there: who uses docker need not have them.
    let Some(given) = layers.given("postgres.bin_dir") else {
        layers.record("postgres.bin_dir", "auto", Origin::Default);
        return Ok(None);
    };
    let path = given.check(values::path)?;
    layers.record("postgres.bin_dir", &path, given.origin());
    Ok(Some(root.join(path)))
}

/// A directory of files. It must exist if a person names it; the default directory may be missing.
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
    // The default name may be missing even if it is written out: git keeps no empty directory, so a
    // fresh clone may lack it.
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
