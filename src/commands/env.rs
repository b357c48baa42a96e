//! `devdb env`

use std::path::Path;

use super::{App, said};
use crate::cli::{EnvArgs, EnvFormat, Format as OutputFormat};
use crate::config::Overrides;
use crate::config::dotenv::{self, Format};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::instance;
use crate::outcome::{Outcome, Report};

/// `devdb env`
pub fn run(app: &App, args: EnvArgs) -> Result<Outcome> {
    check(args.write.as_deref(), args.format)?;
    let context = app.context(Overrides::default(), None)?;
    let variables = variables(&context, args.with_key)?;
    give(app, "env", args.format, args.write.as_deref(), &variables)
}

/// Prints variables, or writes them into `file`.
pub(super) fn give(
    app: &App,
    command: &'static str,
    format: EnvFormat,
    file: Option<&Path>,
    variables: &[(String, String)],
) -> Result<Outcome> {
    let as_json = app.global.format() == OutputFormat::Json && file.is_none();
    let format = match if as_json { EnvFormat::Json } else { format } {
        EnvFormat::Dotenv => Format::Dotenv,
        EnvFormat::Shell => Format::Shell,
        EnvFormat::Fish => Format::Fish,
        EnvFormat::Powershell => Format::PowerShell,
        EnvFormat::Json => Format::Json,
        EnvFormat::Github => Format::GithubEnv,
    };
    match file {
        None => {
            let text = dotenv::render(format, variables);
            Ok(Outcome { command, report: Report::Verbatim(text), exit: 0 })
        }
        Some(file) => {
            let changed = update(file, format, variables)?;
            let verb = if changed { "updated" } else { "up to date:" };
            Ok(said(command, changed, format!("{verb} {}", file.display())))
        }
    }
}

/// Fails early when devdb may not write `file`, or not in this format.
pub(super) fn check(file: Option<&Path>, format: EnvFormat) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    match format {
        EnvFormat::Dotenv | EnvFormat::Github => dotenv::refuse_tracked(file),
        EnvFormat::Shell | EnvFormat::Fish | EnvFormat::Powershell | EnvFormat::Json => {
            Err(Error::new(Kind::Usage, "--write takes --format dotenv or --format github only")
                .because("in another format devdb cannot tell its own lines from yours")
                .hint("--format dotenv, or --format github")
                .hint(format!("leave out --write, and add: > {}", file.display())))
        }
    }
}

/// Writes the instance's environment into `file`.
pub fn write(context: &Context, file: &Path) -> Result<bool> {
    update(file, Format::Dotenv, &variables(context, false)?)
}

fn update(file: &Path, format: Format, variables: &[(String, String)]) -> Result<bool> {
    match format {
        // Runners read this file line by line after the step, so devdb only adds to it.
        Format::GithubEnv => {
            dotenv::append(file, &dotenv::render(format, variables)).map(|()| true)
        }
        _ => Ok(dotenv::update_file(file, variables)? != dotenv::Changed::Unchanged),
    }
}

/// The variables that an application needs to connect.
fn variables(context: &Context, with_key: bool) -> Result<Vec<(String, String)>> {
    let address = instance::recorded_address(&instance::record(context)?);
    let mut all = Vec::from(address.variables().map(|(name, value)| (name.to_owned(), value)));
    if with_key {
        let name = context.key.variable.0.clone();
        all.push((name, context.key.key()?.key.to_base64().to_string()));
    }
    Ok(all)
}
