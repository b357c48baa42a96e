//! `devdb init`: writes the files of a project from `templates/`, and overwrites nothing.

use std::fs;
use std::io::Write;
use std::path::Path;

use include_dir::Dir;

use super::App;
use crate::cli::{CiSystem, InitArgs};
use crate::db::migrate::{self, OtherTool};
use crate::disk;
use crate::embedded::{self, MIGRATIONS, SEEDS};
use crate::error::{Error, Kind, Result, ResultExt};
use crate::outcome::{InitReport, Outcome, Report};
use crate::spec::slug;

/// `devdb init`
pub fn run(app: &App, args: InitArgs) -> Result<Outcome> {
    let root = app.start_directory()?;
    let next = "devdb up".to_owned();
    let mut report = InitReport { written: Vec::new(), kept: Vec::new(), next };
    // An existing project may do without the directories that devdb would create.
    if args.ci.is_none() || args.sample || !root.join("devdb.yaml").exists() {
        project(app, &root, args.sample, &mut report)?;
    }
    if let Some(system) = args.ci {
        ci(&root, system, &mut report)?;
    }
    Ok(Outcome { command: "init", report: Report::Init(report), exit: 0 })
}

fn project(app: &App, root: &Path, sample: bool, report: &mut InitReport) -> Result<()> {
    let name = root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut settings = template("devdb.yaml")?.replace("{{project}}", &slug(&name));
    let file = root.join("devdb.yaml");
    let other = migrate::other_tool(root).filter(|_| !sample && !file.exists());
    if let Some(OtherTool { name, place, section }) = &other {
        match section {
            Some(section) => {
                settings = with_section(&settings, name, section);
                app.events.note(format!(
                    "{place} has migrations of {name}, so devdb.yaml names the command of {name}; check it"
                ));
            }
            None => {
                report.next = format!(
                    "{place} has migrations of {name}: name the command that applies them in \
                     devdb.yaml (migrations.command and migrations.inputs), then: devdb up"
                );
            }
        }
    }
    write(&file, settings.as_bytes(), report)?;
    write(&root.join(".env.example"), template("env.example")?.as_bytes(), report)?;
    for (directory, files) in [("migrations", &MIGRATIONS), ("seeds", &SEEDS)] {
        if directory == "migrations" && other.is_some() {
            continue;
        }
        let target = root.join(directory);
        create_directory(&target)?;
        if sample {
            copy(files, &target, report)?;
        }
    }
    ignore(&root.join(".gitignore"), template("gitignore")?, report)
}

/// The settings with this section in place of `migrations`.
fn with_section(settings: &str, tool: &str, section: &str) -> String {
    let begins = |line: &&str| line.trim_end() == "migrations:";
    let before = settings.lines().take_while(|line| !begins(line));
    let after = settings.lines().skip_while(|line| !begins(line)).skip(1);
    // The section goes up to the next line that is not indented.
    let after = after.skip_while(|line| line.is_empty() || line.starts_with(' '));
    let comment = format!(
        "# {tool} applies its migrations itself. devdb runs its command when a file changes."
    );
    let lines = before.chain([comment.as_str(), section, ""]).chain(after);
    lines.map(|line| format!("{line}\n")).collect()
}

fn ci(root: &Path, system: CiSystem, report: &mut InitReport) -> Result<()> {
    let (name, place) = ci_file(system);
    let file = root.join(place);
    create_directory(file.parent().unwrap_or(root))?;
    write(&file, template(name)?.as_bytes(), report)?;
    report.next = match report.kept.contains(&file) {
        true => format!(
            "{place} existed already and stays as it is. Run the same command in an empty \
             directory to get a file to copy from"
        ),
        false => {
            format!(
                "fill in {place}: where to get devdb from, and the command that runs your tests"
            )
        }
    };
    Ok(())
}

/// The template for a CI system, and the path where the system expects its file.
fn ci_file(system: CiSystem) -> (&'static str, &'static str) {
    match system {
        CiSystem::Github => ("ci/github.yml", ".github/workflows/devdb.yml"),
        CiSystem::Gitlab => ("ci/gitlab.yml", ".gitlab-ci.yml"),
    }
}

fn create_directory(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)
        .or_fail(Kind::Config, || format!("cannot create {}", directory.display()))
}

fn template(name: &str) -> Result<&'static str> {
    embedded::template(name).ok_or_else(|| {
        Error::new(Kind::Unexpected, format!("the template {name} is missing from this devdb"))
    })
}

fn copy(from: &'static Dir<'static>, to: &Path, report: &mut InitReport) -> Result<()> {
    for file in from.files() {
        write(&to.join(file.path()), file.contents(), report)?;
    }
    for directory in from.dirs() {
        let target = to.join(directory.path());
        create_directory(&target)?;
        copy(directory, to, report)?;
    }
    Ok(())
}

/// Writes a file unless it exists.
fn write(file: &Path, text: &[u8], report: &mut InitReport) -> Result<()> {
    let target = disk::target(file, Kind::Config)?;
    if target.existing.is_some() {
        report.kept.push(file.to_path_buf());
        return Ok(());
    }
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&target.path)
        .and_then(|mut new| new.write_all(text))
        .or_fail(Kind::Config, || format!("cannot write {}", file.display()))?;
    report.written.push(file.to_path_buf());
    Ok(())
}

/// Adds the missing lines at the end of a .gitignore.
fn ignore(file: &Path, lines: &str, report: &mut InitReport) -> Result<()> {
    let target = disk::target(file, Kind::Config)?;
    let present = match target.existing {
        Some(_) => fs::read_to_string(&target.path)
            .or_fail(Kind::Config, || format!("cannot read {}", file.display()))?,
        None => String::new(),
    };
    let missing: Vec<&str> = lines
        .lines()
        .filter(|line| !line.trim().is_empty())
        .filter(|line| !present.lines().any(|there| there.trim() == line.trim()))
        .collect();
    if missing.iter().all(|line| line.starts_with('#')) {
        report.kept.push(file.to_path_buf());
        return Ok(());
    }
    let end = if present.contains("\r\n") { "\r\n" } else { "\n" };
    let mut addition = String::new();
    if !present.is_empty() && !present.ends_with('\n') {
        addition.push_str(end);
    }
    for line in missing {
        addition.push_str(line);
        addition.push_str(end);
    }
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(target.path)
        .and_then(|mut open| open.write_all(addition.as_bytes()))
        .or_fail(Kind::Config, || format!("cannot write {}", file.display()))?;
    report.written.push(file.to_path_buf());
    Ok(())
}
