//! `devdb config`

use super::App;
use crate::cli::{ConfigArgs, ConfigCommand};
use crate::config::{self, Overrides, Project};
use crate::error::{Kind, Result, ResultExt};
use crate::outcome::{ConfigReport, ConfigRow, Outcome, Report};

/// `devdb config`
pub fn run(app: &App, args: ConfigArgs) -> Result<Outcome> {
    if let Some(ConfigCommand::Schema) = args.command {
        let text = serde_json::to_string_pretty(&config::schema())
            .or_fail(Kind::Unexpected, || "cannot write the schema".into())?;
        let report = Report::Verbatim(text + "\n");
        return Ok(Outcome { command: "config schema", report, exit: 0 });
    }
    let config = app.config(Overrides::default())?;
    let settings = config
        .origins
        .iter()
        .map(|setting| ConfigRow {
            key: setting.key.clone(),
            value: setting.value.clone(),
            origin: setting.origin.to_string(),
        })
        .collect();
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
