//! Runs a command and reads its output.

use std::collections::VecDeque;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::{Stage, Target, Tool};
use crate::db::connect::Address;
use crate::db::libpq::hidden_from_commands;
use crate::error::{Error, Kind, Result, ResultExt};
use crate::event::{Event, Events};
use crate::plan::{EPHEMERAL_VARIABLE, LentVariables};
use crate::process_group::ProcessGroup;

/// How many of the last lines an error shows. node writes 24 lines about one failed statement.
const TAIL: usize = 40;

/// How long devdb reads on after the command has ended. A process that the command left in the
/// background may keep the output open for ever.
const OUTPUT_DEADLINE: Duration = Duration::from_secs(1);

/// See [`Tool::run`].
pub(super) async fn run(tool: &Tool, target: &Target<'_>) -> Result<()> {
    let Target { address, events, .. } = *target;
    events.working(format!("running {}", address.mask(&tool.label())));
    let mut child = start(tool, target)?;
    let mut group = ProcessGroup::led_by(child.id());
    let listener = Listener { address, events, tail: Mutex::default() };
    let status = listener.listen_to(&mut child).await;
    let status =
        status.or_fail(Kind::Unexpected, || format!("cannot wait for {}", tool.command))?;
    group.release();
    match status.success() {
        true => Ok(()),
        false => Err(listener.failure(tool, status)),
    }
}

fn start(tool: &Tool, target: &Target<'_>) -> Result<Child> {
    let command = &tool.command;
    let (name, arguments) = command.argv.split_first().ok_or_else(|| {
        Error::new(Kind::Config, format!("{}.command is empty", tool.stage.as_str()))
    })?;
    // A program with a slash is relative to the project, as the inputs are.
    let program = match name.contains('/') {
        true => command.directory.join(name),
        false => PathBuf::from(name),
    };
    let mut spawning = Command::new(program);
    // PG variables of the person's environment must not lead the tool to another server.
    let Target { address, environment, project_id, key, .. } = *target;
    for name in hidden_from_commands(environment.names("PG")) {
        spawning.env_remove(name);
    }
    // An application reads its env file itself; a seed command may not.
    spawning.envs(key.in_file().filter(|_| tool.stage == Stage::Seeds));
    spawning
        .args(arguments)
        .envs(target.address.variables())
        .envs(target.address.session_variable())
        // devdb itself, when the tool runs it, is about this database too.
        .envs(LentVariables::for_tool(environment, address, project_id).to_set())
        .env_remove(EPHEMERAL_VARIABLE)
        .current_dir(&command.directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| cannot_start(tool, name, &error))
}

fn cannot_start(tool: &Tool, program: &str, error: &io::Error) -> Error {
    let setting = format!("{}.command", tool.stage.as_str());
    let failure = Error::new(Kind::Config, format!("{setting}: cannot run {program:?}"));
    match error.kind() {
        io::ErrorKind::NotFound if program.contains('/') => failure
            .because(format!("there is no such file in {}", tool.command.directory.display()))
            .because("or the interpreter in its first line is not installed")
            .hint(format!(
                "install the package that has it (npm ci), or correct `{setting}` in devdb.yaml"
            )),
        io::ErrorKind::NotFound => failure
            .because("there is no program of this name on PATH")
            .hint(format!("install it, or correct `{setting}` in devdb.yaml"))
            .hint("a program in the project needs its path: node_modules/.bin/dbmate"),
        io::ErrorKind::PermissionDenied => {
            failure.because(error).hint(format!("chmod +x {program}"))
        }
        _ => failure.because(error),
    }
}

/// Reads every line of a command's output.
struct Listener<'a> {
    address: &'a Address,
    events: &'a Events,
    tail: Mutex<VecDeque<String>>,
}

impl Listener<'_> {
    async fn listen_to(&self, child: &mut Child) -> io::Result<ExitStatus> {
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let ended = CancellationToken::new();
        let waiting = async {
            let status = child.wait().await;
            ended.cancel();
            status
        };
        let too_long = async {
            ended.cancelled().await;
            tokio::time::sleep(OUTPUT_DEADLINE).await;
        };
        let listening = async {
            tokio::select! {
                _ = async { tokio::join!(self.read_lines(stdout), self.read_lines(stderr)) } => {}
                () = too_long => {}
            }
        };
        let (status, ()) = tokio::join!(waiting, listening);
        status
    }

    async fn read_lines(&self, stream: Option<impl AsyncRead + Unpin>) {
        let Some(stream) = stream else { return };
        let mut lines = BufReader::new(stream).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            let line = self.address.mask(String::from_utf8_lossy(&line).trim_end());
            let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
            if tail.len() == TAIL {
                tail.pop_front();
            }
            tail.push_back(line.clone());
            drop(tail);
            self.events.emit(Event::CommandSaid { line });
        }
    }

    fn failure(self, tool: &Tool, status: ExitStatus) -> Error {
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("it ended with exit code {code}"),
            (None, Some(signal)) => format!("signal {signal} ended it"),
            (None, None) => "it ended without an exit code".to_owned(),
        };
        let said = self.tail.into_inner().unwrap_or_else(PoisonError::into_inner);
        let stage = tool.stage.as_str();
        let label = self.address.mask(&tool.label());
        let failure =
            Error::new(tool.failure(), format!("{stage}.command failed: {label}")).because(how);
        let failure = match said.iter().any(|line| line.contains("track_counts")) {
            true => failure.note(
                "only a superuser may log in with track_counts=off, which devdb sets for the command \
                 while every role that can log in is a superuser",
            ),
            false => failure,
        };
        let failure = failure.excerpt(Vec::from(said).join("\n"));
        match tool.stage {
            Stage::Migrations => failure,
            Stage::Seeds => failure.hint_of_database(
                "devdb reset   makes a fresh database, in case the command applied a part",
            ),
        }
        .hint("--verbose   shows the whole output of the command")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    use secrecy::SecretString;

    use super::*;
    use crate::config::environment::Environment;
    use crate::db::connect::Counting;
    use crate::secret::KeySource;
    use crate::spec::ToolCommand;

    fn address() -> Address {
        Address {
            host: "127.0.0.1".into(),
            port: 25_432,
            database: "shop".into(),
            user: "anna".into(),
            password: SecretString::from("s3cret"),
            counting: Counting::On,
        }
    }

    async fn run(tool: &Tool, events: &Events) -> Result<()> {
        let target = Target {
            address: &address(),
            environment: &Environment::from_pairs::<&str, &str>([]),
            project_id: "p",
            events,
            key: &KeySource::new("KEY".into(), None, PathBuf::new(), "p".into()),
            encrypt: Arc::new(|text| Ok(text.to_owned())),
            encrypting: None,
        };
        tool.run(&target).await
    }

    /// `sh` as any program that a project may name.
    async fn run_script(script: &str) -> (Result<()>, Vec<String>) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("input"), "").unwrap();
        let argv = ["sh", "-c", script].map(str::to_owned).into();
        let inputs = vec!["input".to_owned()];
        let command = ToolCommand { argv, inputs, directory: directory.path().to_owned() };
        let tool = Tool::load(Stage::Migrations, &command).unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&said);
        let events = Events::new(move |event| match event {
            Event::CommandSaid { line } => sink.lock().unwrap().push(line),
            Event::Warning { text } => sink.lock().unwrap().push(format!("warning: {text}")),
            _ => {}
        });
        let result = run(&tool, &events).await;
        let said = said.lock().unwrap().clone();
        (result, said)
    }

    #[tokio::test]
    async fn it_finds_the_database_and_says_no_password() {
        let script = "echo $DATABASE_URL; echo $PGHOST $PGPORT $PGSSLMODE >&2; cat; \
                      test $PGPASSWORD = s3cret && test $DEVDB_RUN_URL = $DATABASE_URL";
        let (result, mut said) = run_script(script).await;
        result.unwrap();
        said.sort();
        assert_eq!(
            said,
            [
                "127.0.0.1 25432 disable",
                "postgresql://anna:***@127.0.0.1:25432/shop?sslmode=disable"
            ]
        );
    }

    #[tokio::test]
    async fn a_failure_ends_with_its_last_lines() {
        let script = "i=0; while [ $i -lt 50 ]; do i=$((i+1)); echo line $i; done; \
                      echo $DATABASE_PASSWORD; exit 3";
        let error = run_script(script).await.0.unwrap_err();
        assert_eq!(error.kind(), Kind::Migration);
        assert_eq!(error.causes(), ["it ended with exit code 3"]);
        let lines: Vec<&str> = error.excerpt_text().unwrap().lines().collect();
        assert_eq!((lines.len(), lines[0], lines[39]), (TAIL, "line 12", "***"));
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    }

    #[tokio::test]
    async fn what_it_leaves_in_the_background_is_not_waited_for() {
        let begun = Instant::now();
        let (result, said) = run_script("echo done; sleep 5 &").await;
        result.unwrap();
        assert_eq!(said, ["done"]);
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_command_that_writes_its_inputs_is_warned_about() {
        let (result, said) = run_script("echo changed > input").await;
        result.unwrap();
        assert!(said[0].contains("migrations.inputs"), "{said:?}");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        for (program, why) in [("no-such-program", "on PATH"), ("bin/none", "no such file")] {
            let directory = tempfile::tempdir().unwrap();
            std::fs::write(directory.path().join("input"), "").unwrap();
            let command = ToolCommand {
                argv: vec![program.into()],
                inputs: vec!["input".into()],
                directory: directory.path().to_owned(),
            };
            let tool = Tool::load(Stage::Seeds, &command).unwrap();
            let error = run(&tool, &Events::silent()).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Config);
            assert_eq!(error.message(), format!("seeds.command: cannot run {program:?}"));
            assert!(error.causes()[0].contains(why), "{error}");
        }
    }
}
