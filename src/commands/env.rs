//! `devdb env`

use std::path::Path;

use super::{App, lent, said};
use crate::cli::{EnvArgs, EnvFormat, Format as OutputFormat};
use crate::config::Overrides;
use crate::config::dotenv::{self, Changed, Format};
use crate::context::Context;
use crate::db::connect::Address;
use crate::db::libpq;
use crate::error::{Error, Kind, Result};
use crate::instance::{self, env_file};
use crate::outcome::{EnvReport, Outcome, Report};

/// `-` in place of a file's name.
const STANDARD_OUTPUT: &str = "-";

/// `devdb env`
pub fn run(app: &App, args: EnvArgs) -> Result<Outcome> {
    check(args.write.as_deref(), args.format)?;
    let context = app.context(Overrides::default(), None)?;
    let mut variables = variables(&present(app, &context)?);
    if args.with_key {
        let key = context.key.key()?.key.to_base64().to_string();
        variables.push((context.key.variable.clone(), key));
    }
    give(app, &context, "env", args.format, args.write.as_deref(), &variables)
}

/// The address that this command is about: that of the instance, or of the database of a run.
pub(super) fn present(app: &App, context: &Context) -> Result<Address> {
    match lent::database(app, context)? {
        Some(lent) => Ok(lent.address),
        None => Ok(instance::recorded_address(&instance::record(context)?)),
    }
}

/// The variables that an application needs to connect.
pub(super) fn variables(address: &Address) -> Vec<(String, String)> {
    Vec::from(address.variables().map(|(name, value)| (name.to_owned(), value)))
}

/// Prints variables, or writes them into `file`.
pub(super) fn give(
    app: &App,
    context: &Context,
    command: &'static str,
    format: EnvFormat,
    file: Option<&Path>,
    variables: &[(String, String)],
) -> Result<Outcome> {
    let file = file.filter(|file| *file != Path::new(STANDARD_OUTPUT));
    if app.global.format() == OutputFormat::Json && file.is_none() {
        let variables = variables.iter().cloned().collect();
        let report = Report::Env(EnvReport { variables, unset: libpq::OVERRIDING.to_vec() });
        return Ok(Outcome { command, report, exit: 0 });
    }
    let format = format_of(format);
    if matches!(format, Format::Dotenv | Format::GithubEnv) {
        warn_of_the_shell(app, variables);
    }
    let Some(file) = file else {
        let text = dotenv::render(format, variables, libpq::OVERRIDING);
        return Ok(Outcome { command, report: Report::Verbatim(text), exit: 0 });
    };
    let is_new = !file.exists();
    let changed = match format {
        // Runners read this file line by line after the step, so devdb only adds to it.
        Format::GithubEnv => {
            dotenv::append(file, &dotenv::render(format, variables, &[])).map(|()| true)?
        }
        _ => update(context, file, variables)?,
    };
    let verb = match (is_new, changed) {
        (true, _) => "wrote",
        (false, true) => "updated",
        (false, false) => "up to date:",
    };
    Ok(said(command, changed, format!("{verb} {}", file.display())))
}

fn format_of(format: EnvFormat) -> Format {
    match format {
        EnvFormat::Dotenv => Format::Dotenv,
        EnvFormat::Shell => Format::Shell,
        EnvFormat::Fish => Format::Fish,
        EnvFormat::Powershell => Format::PowerShell,
        EnvFormat::Json => Format::Json,
        EnvFormat::Github => Format::GithubEnv,
    }
}

/// Fails early when devdb may not write `file`, or not in this format.
pub(super) fn check(file: Option<&Path>, format: EnvFormat) -> Result<()> {
    let Some(file) = file.filter(|file| *file != Path::new(STANDARD_OUTPUT)) else {
        return Ok(());
    };
    match format {
        EnvFormat::Dotenv | EnvFormat::Github => dotenv::refuse(file),
        EnvFormat::Shell | EnvFormat::Fish | EnvFormat::Powershell | EnvFormat::Json => {
            Err(Error::new(Kind::Usage, "--write takes --format dotenv or --format github only")
                .because("in another format devdb cannot tell its own lines from yours")
                .hint("--format dotenv, or --format github")
                .hint(format!("leave out --write, and add: > {}", file.display())))
        }
    }
}

/// Writes the instance's variables into `file`. Returns whether the file changed.
pub(super) fn write(context: &Context, file: &Path) -> Result<bool> {
    let address = instance::recorded_address(&instance::record(context)?);
    update(context, file, &variables(&address))
}

fn update(context: &Context, file: &Path, variables: &[(String, String)]) -> Result<bool> {
    let changed = env_file::write(context, file, variables)? != Changed::Unchanged;
    if changed && dotenv::is_not_ignored(file) {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        context.events.warn(format!(
            "git does not ignore {}, which holds the database's password; \
             `echo {name} >> .gitignore` keeps it out of commits",
            file.display()
        ));
    }
    Ok(changed)
}

/// Warns of variables that lead a program to another database although it has these: what the shell
/// has wins over an env file in almost every program, and devdb cannot remove it there.
fn warn_of_the_shell(app: &App, variables: &[(String, String)]) {
    let environment = &app.environment;
    let differs =
        |(name, value): &&(String, String)| environment.get(name).is_some_and(|here| here != value);
    let mut names: Vec<&str> = overriding(app).collect();
    names.extend(variables.iter().filter(differs).map(|(name, _)| name.as_str()));
    if !names.is_empty() {
        app.events.warn(format!(
            "this shell sets {}, which can lead programs to another database although a file has \
             these values; `unset {}` helps, or `eval \"$(devdb env --format shell)\"`",
            names.join(", "),
            names.join(" ")
        ));
    }
}

/// The variables of the shell that win over an address.
fn overriding(app: &App) -> impl Iterator<Item = &'static str> {
    libpq::OVERRIDING.iter().copied().filter(|name| app.environment.is_in_shell(name))
}

/// Warns of variables that win over a URL.
pub(super) fn warn_of_overrides(app: &App) {
    let names: Vec<&str> = overriding(app).collect();
    if !names.is_empty() {
        app.events.warn(format!(
            "this shell sets {}, which psql and other programs follow although they have this URL; \
             `unset {}`",
            names.join(", "),
            names.join(" ")
        ));
    }
}
