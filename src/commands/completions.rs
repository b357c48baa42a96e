//! `devdb completions`, and the answers to what its script asks. The script runs devdb with
//! `COMPLETE` and the words of the command line, and devdb answers with what fits: commands and
//! options from the same types as the help, names of instances and snapshots from what there is.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;
use std::time::Duration;

use clap::FromArgMatches;
use clap_complete::CompletionCandidate;
use clap_complete::engine::ArgValueCompleter;
use clap_complete::env::{CompleteEnv, Shells};

use super::App;
use crate::cli::{CompletionsArgs, Global, command};
use crate::config::environment::Environment;
use crate::config::{Overrides, Project};
use crate::ephemeral::note;
use crate::error::{Error, Kind, Result, ResultExt};
use crate::event::Events;
use crate::interrupt::Interrupt;
use crate::manual;
use crate::outcome::{Outcome, Report};
use crate::spec::EngineKind;
use crate::state::{Record, Store};

/// The variable with the shell's name, by which the script asks devdb.
const ASKED: &str = "COMPLETE";

/// A person waits for the answer. An engine that takes longer is not asked.
const PATIENCE: Duration = Duration::from_secs(1);

/// `devdb completions SHELL`
pub fn run(args: CompletionsArgs) -> Result<Outcome> {
    let shell = args.shell.to_string();
    let cannot = || format!("cannot write the completion script for {shell}");
    let shells = Shells::builtins();
    let completer =
        shells.completer(&shell).ok_or_else(|| Error::new(Kind::Unexpected, cannot()))?;
    let mut script = Vec::new();
    completer
        .write_registration(ASKED, "devdb", "devdb", "devdb", &mut script)
        .or_fail(Kind::Unexpected, cannot)?;
    let script = String::from_utf8(script).or_fail(Kind::Unexpected, cannot)?;
    Ok(Outcome { command: "completions", report: Report::Verbatim(script), exit: 0 })
}

/// Answers the completion script. None when devdb was started for something else.
pub fn answer(environment: &Environment) -> Option<ExitCode> {
    environment.get(ASKED)?;
    let words: Vec<OsString> = std::env::args_os().collect();
    let names = Names::of(environment, &words);
    let answering = CompleteEnv::with_factory(move || with_names(command(), &names))
        .var(ASKED)
        .bin("devdb")
        .try_complete(words, std::env::current_dir().ok().as_deref());
    match answering {
        Ok(true) => Some(ExitCode::SUCCESS),
        Ok(false) => None,
        // A shell shows nothing of it, and completes nothing.
        Err(_) => Some(ExitCode::FAILURE),
    }
}

/// Adds the names of what there is to the arguments that take them.
fn with_names(command: clap::Command, names: &Names) -> clap::Command {
    let is_below_snapshot = command.get_name() == "snapshot";
    let command = command.mut_args(|arg| named(arg, names));
    command.mut_subcommands(|below| {
        let takes_snapshot = ["show", "restore", "rm", "export"].contains(&below.get_name());
        let names = names.clone();
        match is_below_snapshot && takes_snapshot {
            true => below.mut_arg("name", |arg| arg.add(names.completer(Names::snapshots))),
            false => with_names(below, &names),
        }
    })
}

fn named(arg: clap::Arg, names: &Names) -> clap::Arg {
    let find: fn(&Names) -> Result<Vec<String>> = match arg.get_id().as_str() {
        "instance" | "from" => Names::instances,
        "developer" => Names::developers,
        "id" => Names::ephemerals,
        "topic" => Names::topics,
        _ => return arg,
    };
    arg.add(names.clone().completer(find))
}

/// Finds the names of what there is.
#[derive(Clone)]
struct Names {
    environment: Environment,
    global: Global,
}

impl Names {
    /// `words` is the command line of the script: devdb, `--`, and the words of the person.
    fn of(environment: &Environment, words: &[OsString]) -> Names {
        let words = words.iter().skip_while(|word| *word != "--").skip(1);
        let lenient = command().ignore_errors(true).arg_required_else_help(false);
        let global = lenient
            .try_get_matches_from(words)
            .and_then(|matches| Global::from_arg_matches(&matches));
        let global = global.unwrap_or_default();
        Names { environment: environment.clone(), global }
    }

    /// Completes with the names that `find` finds and that begin as the present word.
    fn completer(self, find: fn(&Names) -> Result<Vec<String>>) -> ArgValueCompleter {
        ArgValueCompleter::new(move |word: &OsStr| {
            let word = word.to_string_lossy();
            // A shell has no place for errors.
            let names = find(&self).unwrap_or_default();
            let fitting = names.into_iter().filter(|name| name.starts_with(&*word));
            fitting.map(CompletionCandidate::new).collect::<Vec<_>>()
        })
    }

    fn app(&self) -> App {
        let interrupt = Interrupt::default();
        App::new(self.global.clone(), self.environment.clone(), Events::silent(), interrupt)
    }

    /// The records, if devdb was used before.
    fn store(&self) -> Result<Option<Store>> {
        let directory = self.environment.data_dir()?;
        if directory.exists() { Store::open(&directory).map(Some) } else { Ok(None) }
    }

    fn records(&self) -> Result<Vec<Record>> {
        let Some(store) = self.store()? else { return Ok(Vec::new()) };
        Ok(store.load_all()?.into_iter().flatten().collect())
    }

    /// The records of this directory's project.
    fn of_project(&self) -> Result<Vec<Record>> {
        // Their values may be what is being completed.
        let global = Global { developer: None, instance: None, ..self.global.clone() };
        let config = Names { global, ..self.clone() }.app().config(Overrides::default())?;
        let root = match config.project {
            Project::Directory { root } => Some(root),
            Project::Sample => None,
        };
        let all = self.records()?;
        let is_here =
            |record: &&Record| record.home.as_ref().map(|home| &home.directory) == root.as_ref();
        let here: Vec<String> =
            all.iter().filter(is_here).map(|record| record.owner.project_id.clone()).collect();
        Ok(all.into_iter().filter(|record| here.contains(&record.owner.project_id)).collect())
    }

    fn instances(&self) -> Result<Vec<String>> {
        Ok(sorted(self.of_project()?.into_iter().map(|record| record.owner.instance)))
    }

    fn developers(&self) -> Result<Vec<String>> {
        Ok(sorted(self.of_project()?.into_iter().map(|record| record.owner.developer)))
    }

    fn ephemerals(&self) -> Result<Vec<String>> {
        let Some(store) = self.store()? else { return Ok(Vec::new()) };
        note::all(&store)?.iter().map(|note| Ok(note.id()?.to_string())).collect()
    }

    fn topics(&self) -> Result<Vec<String>> {
        let command = command();
        let commands = command.get_subcommands().filter(|below| !below.is_hide_set());
        let commands = commands.map(|below| below.get_name().to_owned());
        Ok(sorted(commands.chain(manual::pages().iter().map(|page| page.name.to_owned()))))
    }

    fn snapshots(&self) -> Result<Vec<String>> {
        let config = self.app().config(Overrides::default())?;
        let spec = config.spec("", None);
        let is_wanted = |record: &Record| {
            record.owner.developer == spec.owner.developer
                && record.owner.instance == spec.owner.instance
        };
        let Some(record) = self.of_project()?.into_iter().find(is_wanted) else {
            return Ok(Vec::new());
        };
        let engines = self.app().engines(self.environment.data_dir()?, None);
        let asking = async {
            let engine = match record.engine {
                EngineKind::Docker => engines.docker().await?,
                EngineKind::Native => engines.native_store()?,
            };
            engine.snapshot_names(&record.owner).await
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .or_fail(Kind::Unexpected, || "cannot start".into())?;
        runtime
            .block_on(async { tokio::time::timeout(PATIENCE, asking).await })
            .or_fail(Kind::NoEngine, || "the engine does not answer".into())?
    }
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names.dedup();
    names
}
