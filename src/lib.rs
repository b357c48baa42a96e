//! devdb gives every developer, every checkout and every CI job a PostgreSQL of its own.
//!
//! This crate is the program `devdb`. Its modules are public as far as its tests use them; it is not
//! a library for others. `ARCHITECTURE.md` beside the source says what each module is for, where to
//! make a change, and which rules keep data safe. `CONTRIBUTING.md` says how to build and test.
//!
//! Data flows one way, and each step is a module:
//!
//! 1. [`cli`] parses the arguments, and [`config`] turns them, devdb.yaml and the environment into one
//!    [`spec::InstanceSpec`].
//! 2. `plan` reads the migrations and seeds that the specification names.
//! 3. `golden` finds or bakes a golden state: a finished data directory in the cache.
//! 4. `instance` copies it into a generation of an [`engine::Engine`] and runs a server on it;
//!    `ephemeral` does that for one command.
//! 5. [`populate`] waits until the server accepts logins and applies what is pending, with the SQL of
//!    [`db`].
//! 6. The command returns an [`outcome::Outcome`], and `output` prints it.
//!
//! [`state`] remembers instances and has the locks. [`error`] has the kinds of errors and the exit
//! codes.

pub mod archive;
pub mod cli;
mod commands;
pub mod config;
mod context;
pub mod db;
pub mod disk;
pub mod embedded;
pub mod engine;
mod ephemeral;
pub mod error;
pub mod event;
mod golden;
mod instance;
mod interrupt;
mod manual;
pub mod outcome;
mod output;
mod plan;
pub mod populate;
mod process_group;
pub mod secret;
pub mod spec;
pub mod state;

use std::ffi::OsString;
use std::process::ExitCode;

use cli::{Cli, Format};
use commands::App;
use config::environment::{Environment, PG_OPTIONS};
use error::{Error, Kind, Result, ResultExt};
use interrupt::Interrupt;
use outcome::{Outcome, Report};
use output::{Output, Terminal, Typed, Verbosity};

/// Runs devdb with the process's own arguments and environment.
pub fn run() -> ExitCode {
    let environment = Environment::from_process();
    if let Some(options) = environment.get("PGOPTIONS") {
        return restart_without_pg_options(options);
    }
    if let Some(exit) = commands::complete(&environment) {
        return exit;
    }
    let words: Vec<OsString> = std::env::args_os().collect();
    let cli = match cli::parse(words.clone()) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &environment),
    };
    let verbosity = match (cli.global.quiet, cli.global.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    let output =
        Output::new(cli.global.format(), verbosity, (&environment).into(), Typed::of(&cli.global));
    trace(&environment);
    let exit = match execute(cli, environment, &output) {
        Ok(Outcome { report: Report::Signal(signal), .. }) => return die_of(signal),
        Ok(outcome) => output.outcome(&outcome).map(|()| outcome.exit).or_else(unprinted),
        Err(error) => {
            let error =
                error.with_disk_full_hint().with_hints_that(|hint| cli::may_help(hint, &words));
            output.error(&error).map(|()| error.kind().exit_code())
        }
    };
    ExitCode::from(exit.unwrap_or(1))
}

/// Reports a result that cannot be printed, for example on a full disk.
fn unprinted(failure: std::io::Error) -> std::io::Result<u8> {
    let error = Error::new(Kind::Unexpected, "cannot write to standard output")
        .because(failure)
        .hint("the command itself is done; devdb list and devdb ephemeral list show the databases");
    // This error is text on stderr in every format, because stdout cannot be written.
    Output::new(Format::Human, Verbosity::Quiet, Terminal::PLAIN, Typed::default())
        .error(&error)?;
    Ok(error.kind().exit_code())
}

/// sqlx always adds PGOPTIONS to its connections. A process cannot change its own environment
/// safely, so devdb starts itself again without the variable. Another one keeps its value, so that
/// `devdb env` can warn of it.
fn restart_without_pg_options(options: &str) -> ExitCode {
    use std::os::unix::process::CommandExt;
    let failure = match std::env::current_exe() {
        Ok(program) => std::process::Command::new(program)
            .args(std::env::args_os().skip(1))
            .env_remove("PGOPTIONS")
            .env(PG_OPTIONS, options)
            .exec(),
        Err(error) => error,
    };
    let output = Output::new(Format::Human, Verbosity::Normal, Terminal::PLAIN, Typed::default());
    let error = Error::new(Kind::Unexpected, "cannot start again without PGOPTIONS")
        .because(failure)
        .hint("unset PGOPTIONS");
    // A terminal that is gone shows no error.
    drop(output.error(&error));
    ExitCode::FAILURE
}

/// Ends devdb by the signal that ended its command, so that the caller sees no difference.
fn die_of(signal: i32) -> ExitCode {
    // The call returns when the signal ends no process. Shells use this exit code for signals.
    drop(signal_hook::low_level::emulate_default_handler(signal));
    ExitCode::from(u8::try_from(128 + signal).unwrap_or(1))
}

fn execute(cli: Cli, environment: Environment, output: &Output) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .or_fail(Kind::Unexpected, || "cannot start".into())?;
    let result = runtime.block_on(async {
        let interrupt = Interrupt::listen()?;
        let interrupted_again = interrupt.clone();
        let app = App::new(cli.global, environment, output.events(), interrupt);
        tokio::select! {
            outcome = commands::run(&app, cli.command) => outcome,
            () = interrupted_again.second_signal() => Err(Error::interrupted()),
        }
    });
    // A task that still waits must not keep the process alive.
    runtime.shutdown_background();
    result
}

/// Shows a usage error as clap's text, or as JSON when the arguments ask for it.
fn usage(error: &clap::Error, environment: &Environment) -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let wants_json = arguments.iter().any(|word| word == "--json" || word == "--output=json")
        || arguments.windows(2).any(|words| words[0] == "--output" && words[1] == "json");
    if error.use_stderr() && wants_json {
        let text = error.to_string();
        let message = text.trim_start_matches("error: ").trim_end();
        let output =
            Output::new(Format::Json, Verbosity::Quiet, environment.into(), Typed::default());
        return match output.error(&Error::new(Kind::Usage, message)) {
            Ok(()) => ExitCode::from(Kind::Usage.exit_code()),
            Err(_) => ExitCode::FAILURE,
        };
    }
    // A terminal that is gone shows no error.
    drop(error.print());
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// With `DEVDB_LOG=debug` the libraries log to stderr.
fn trace(environment: &Environment) {
    if let Some(filter) = environment.log_filter() {
        tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
            .with_writer(std::io::stderr)
            .init();
    }
}
