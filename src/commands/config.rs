//! `devdb config`

use super::App;
use crate::cli::{ConfigArgs, ConfigCommand};
use crate::config::{self, Config, Overrides, Project, identity};
use crate::error::{Kind, Result, ResultExt};
use crate::outcome::{ConfigReport, ConfigRow, Outcome, Report};
use crate::secret::Described;
use crate::state::{GenerationRecord, Store};

/// `devdb config`
pub fn run(app: &App, args: ConfigArgs) -> Result<Outcome> {
    if let Some(ConfigCommand::Schema) = args.command {
        let text = serde_json::to_string_pretty(&config::schema())
            .or_fail(Kind::Unexpected, || "cannot write the schema".into())?;
        let report = Report::Verbatim(text + "\n");
        return Ok(Outcome { command: "config schema", report, exit: 0 });
    }
    let mut config = app.config(Overrides::default())?;
    if let Some(made) = made_with(app, &config) {
        config.remember(made.profile.as_deref(), &made.made_with.database);
    }
    let mut settings: Vec<ConfigRow> = config
        .origins
        .iter()
        .map(|setting| ConfigRow {
            key: setting.key.clone(),
            value: setting.value.clone(),
            origin: setting.origin.to_string(),
        })
        .collect();
    settings.push(key(app, &config)?);
    let directory = match config.project {
        Project::Directory { root } => Some(root),
        Project::Sample => None,
    };
    Ok(Outcome {
        command: "config",
        report: Report::Config(ConfigReport { directory, settings }),
        exit: 0,
    })
}

/// What the database was made with. None when there is no database or its record cannot be read,
/// because this command works without either.
fn made_with(app: &App, config: &Config) -> Option<GenerationRecord> {
    let Project::Directory { root } = &config.project else { return None };
    let data_dir = app.environment.data_dir().ok().filter(|directory| directory.exists())?;
    let id = identity::known(root, &app.environment)?;
    let record = Store::open(&data_dir).ok()?.load(&config.spec(&id, None).owner.key()).ok()??;
    record.current_generation().cloned()
}

/// The row of the key in use. It shows a fingerprint, never the key.
fn key(app: &App, config: &Config) -> Result<ConfigRow> {
    let data_dir = app.environment.data_dir()?;
    let id = match &config.project {
        Project::Directory { root } => identity::known(root, &app.environment),
        Project::Sample if data_dir.exists() => {
            identity::sample_id(&data_dir, &app.environment).ok().map(|identity| identity.id)
        }
        Project::Sample => None,
    };
    // A project without an id has no key.
    let source = app.key_source(config, data_dir, id.unwrap_or_else(|| "unknown".to_owned()))?;
    let Described { key, origin } = source.describe();
    Ok(ConfigRow { key: "secrets.key".to_owned(), value: key, origin })
}
