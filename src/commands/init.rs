//! `devdb init`: writes what a project needs from `templates/`; overwrites nothing.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use include_dir::Dir;

use super::App;
use crate::cli::InitArgs;
use crate::error::{Error, Kind, Result, ResultExt};
use crate::outcome::{InitReport, Outcome, Report};
use crate::spec::slug;

use crate::db::embedded::{self, MIGRATIONS, SEEDS};

/// `devdb init`
pub fn run(app: &App, args: InitArgs) -> Result<Outcome> {
    let root = app.start_directory()?;
    let mut report = InitReport { written: Vec::new(), kept: Vec::new() };
    let name = root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let settings = template("devdb.yaml")?.replace("{{project}}", &slug(&name));
    write(&root.join("devdb.yaml"), settings.as_bytes(), &mut report)?;
    write(&root.join(".env.example"), template("env.example")?.as_bytes(), &mut report)?;
    for (directory, sample) in [("migrations", &MIGRATIONS), ("seeds", &SEEDS)] {
        let target = root.join(directory);
        fs::create_dir_all(&target)
            .or_fail(Kind::Config, || format!("cannot create {}", target.display()))?;
        if args.sample {
            copy(sample, &target, &mut report)?;
        }
    }
    ignore(&root.join(".gitignore"), template("gitignore")?, &mut report)?;
    Ok(Outcome { command: "init", report: Report::Init(report), exit: 0 })
}

fn template(name: &str) -> Result<&'static str> {
    embedded::template(name)
        .ok_or_else(|| Error::new(Kind::Unexpected, format!("the template {name} is not built in")))
}

fn copy(from: &'static Dir<'static>, to: &Path, report: &mut InitReport) -> Result<()> {
    for file in from.files() {
        write(&to.join(file.path()), file.contents(), report)?;
    }
    for directory in from.dirs() {
        let target = to.join(directory.path());
        fs::create_dir_all(&target)
            .or_fail(Kind::Config, || format!("cannot create {}", target.display()))?;
        copy(directory, to, report)?;
    }
    Ok(())
}

/// Writes a file that is not there yet.
fn write(file: &Path, text: &[u8], report: &mut InitReport) -> Result<()> {
    match fs::OpenOptions::new().write(true).create_new(true).open(file) {
        Ok(mut new) => {
            new.write_all(text)
                .or_fail(Kind::Config, || format!("cannot write {}", file.display()))?;
            report.written.push(file.to_path_buf());
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            report.kept.push(file.to_path_buf());
        }
        Err(error) => {
            return Err(error).or_fail(Kind::Config, || format!("cannot write {}", file.display()));
        }
    }
    Ok(())
}

/// Adds the lines that a .gitignore lacks, at its end.
fn ignore(file: &PathBuf, lines: &str, report: &mut InitReport) -> Result<()> {
    let present = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(error).or_fail(Kind::Config, || format!("cannot read {}", file.display()));
        }
    };
    let missing: Vec<&str> = lines
        .lines()
        .filter(|line| !line.trim().is_empty())
        .filter(|line| !present.lines().any(|there| there.trim() == line.trim()))
        .collect();
    if missing.iter().all(|line| line.starts_with('#')) {
        report.kept.push(file.clone());
        return Ok(());
    }
    let mut addition = String::new();
    if !present.is_empty() && !present.ends_with('\n') {
        addition.push('\n');
    }
    for line in missing {
        addition.push_str(line);
        addition.push('\n');
    }
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .and_then(|mut open| open.write_all(addition.as_bytes()))
        .or_fail(Kind::Config, || format!("cannot write {}", file.display()))?;
    report.written.push(file.clone());
    Ok(())
}
