//! Work on a data directory without a running server: initdb, and statements in PostgreSQL's
//! single-user mode, which needs no password and opens no port or socket.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tokio::io::AsyncWriteExt;

use super::account::{self, Account};
use super::directory::give;
use super::generation_directory::GenerationDirectory;
use super::process;
use super::programs::Programs;
use crate::error::{Error, Kind, Result, ResultExt};
use crate::process_group::ProcessGroup;
use crate::spec::{Durability, INITDB_OPTIONS, MadeWith};

/// The locales for new databases. They sort and compare text alike on every machine, whatever
/// languages it has. The second one is for systems without the first.
const LOCALES: [&str; 2] = ["C.UTF-8", "C"];

/// Fills an empty data directory: makes a cluster and the database. The superuser has the password
/// of `verifier` from the first moment.
///
/// # Errors
/// `Unexpected` with the messages of the programs. The data directory is then useless.
pub(super) async fn initialise(
    programs: &Programs,
    place: &GenerationDirectory,
    made_with: &MadeWith,
    durability: Durability,
    verifier: &str,
) -> Result<()> {
    let account = account::for_servers()?;
    initdb(programs, place, &made_with.user, durability, verifier, account).await?;
    if made_with.database == "postgres" {
        return Ok(());
    }
    let create = format!("CREATE DATABASE {}", identifier(&made_with.database));
    statement(programs, &place.pgdata(), &create)
        .await
        .map_err(|error| error.context(format!("cannot create database {:?}", made_with.database)))
}

async fn initdb(
    programs: &Programs,
    place: &GenerationDirectory,
    user: &str,
    durability: Durability,
    verifier: &str,
    account: Option<Account>,
) -> Result<()> {
    let password = password_file(place, verifier, account)?;
    let mut output = None;
    for locale in LOCALES {
        let mut command = programs.command("initdb", account);
        // devdb recognises a leftover process by `-D <path>` at the beginning of its arguments.
        command.arg("-D").arg(place.pgdata()).arg(format!("--username={user}"));
        command.arg(option("--pwfile=", password.path())).args(INITDB_OPTIONS);
        command.args(["--auth-local=scram-sha-256", "--auth-host=scram-sha-256"]);
        command.arg(format!("--locale={locale}"));
        if durability == Durability::None {
            command.arg("--no-sync");
        }
        let done = run(command, "").await?;
        let is_last = done.status.success()
            || !String::from_utf8_lossy(&done.stderr).contains("invalid locale name");
        output = Some(done);
        if is_last {
            break;
        }
    }
    match output {
        Some(output) if output.status.success() => Ok(()),
        output => Err(refused("initdb", place.directory(), output.as_ref())),
    }
}

fn option(name: &str, path: &Path) -> std::ffi::OsString {
    let mut option = std::ffi::OsString::from(name);
    option.push(path);
    option
}

/// Makes a file that only the account of the server can read. Dropping the value removes it.
fn password_file(
    place: &GenerationDirectory,
    verifier: &str,
    account: Option<Account>,
) -> Result<tempfile::NamedTempFile> {
    let write = || -> std::io::Result<tempfile::NamedTempFile> {
        let mut file =
            tempfile::Builder::new().prefix(".password-").tempfile_in(place.directory())?;
        writeln!(file, "{verifier}")?;
        Ok(file)
    };
    let file = write().or_fail(Kind::Unexpected, || {
        format!("cannot write the password file in {}", place.directory().display())
    })?;
    if let Some(account) = account {
        give(file.path(), account)?;
    }
    Ok(file)
}

/// Gives a user the password of `verifier`.
///
/// # Errors
/// `Unexpected` when the user does not exist, or when a server runs on the data directory.
pub(super) async fn set_password(
    programs: &Programs,
    pgdata: &Path,
    user: &str,
    verifier: &str,
) -> Result<()> {
    let alter =
        format!("ALTER ROLE {} PASSWORD '{}'", identifier(user), verifier.replace('\'', "''"));
    statement(programs, pgdata, &alter)
        .await
        .map_err(|error| error.context(format!("cannot set the password of user {user:?}")))
}

async fn statement(programs: &Programs, pgdata: &Path, sql: &str) -> Result<()> {
    let mut command = programs.command("postgres", account::for_servers()?);
    command.args(["--single", "-D"]).arg(pgdata);
    // An error has to end the program with an exit code. Messages must not repeat the statement,
    // because it may contain a verifier.
    command.args(["-c", "exit_on_error=on", "-c", "log_min_error_statement=panic"]);
    command.args(["-c", "logging_collector=off", "-c", "log_destination=stderr"]);
    command.args(["-c", "log_statement=none", "-c", "log_min_duration_statement=-1"]);
    // What devdb does is nobody's write.
    command.args(["-c", "track_counts=off"]);
    pardon_reused_pid(&mut command, pgdata);
    command.arg("postgres");
    let output = run(command, &format!("{sql}\n")).await?;
    match output.status.success() {
        true => Ok(()),
        false => Err(refused("postgres --single", pgdata, Some(&output))),
    }
}

/// Lets PostgreSQL start when the number in an old lock file belongs to another process. PostgreSQL
/// takes a process of its own account for a postmaster, except the one that is named as its
/// grandparent (miscinit.c, `CreateLockFile`). PostgreSQL still checks for shared memory in use.
pub(super) fn pardon_reused_pid(command: &mut Command, pgdata: &Path) {
    if let Some(pid) = process::reused_pid(pgdata) {
        command.env("PG_GRANDPARENT_PID", pid.to_string());
    }
}

/// The error for a program that failed, with the program's own message.
fn refused(program: &str, directory: &Path, output: Option<&Output>) -> Error {
    let said = output.map(|o| String::from_utf8_lossy(&o.stderr).into_owned()).unwrap_or_default();
    let reason = said
        .lines()
        .find(|line| ["error:", "FATAL:", "ERROR:", "PANIC:"].iter().any(|w| line.contains(w)))
        .or_else(|| said.lines().last())
        .unwrap_or("it said nothing");
    let error =
        Error::new(Kind::Unexpected, format!("{program} failed on {}", directory.display()))
            .because(reason);
    if said.contains("No space left on device") {
        return error.hint(format!("make room on the disk: df -h {}", directory.display()));
    }
    if said.contains("could not look up effective user ID") {
        return error.hint("PostgreSQL wants a user with an entry in /etc/passwd: add one");
    }
    error
}

/// Runs a program to its end, with `input` on its standard input. When the future is dropped, the
/// program and all processes that it started are killed.
async fn run(mut command: Command, input: &str) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let cannot = || format!("cannot run {name}");
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .spawn()
        .or_fail(Kind::Unexpected, cannot)?;
    let mut group = ProcessGroup::led_by(child.id());
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input fails and reports why.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let output = child.wait_with_output().await.or_fail(Kind::Unexpected, cannot)?;
    group.release();
    Ok(output)
}

/// Quotes an identifier in ASCII and on one line, because single-user mode takes each line for a
/// statement. See the PostgreSQL manual, 4.1.1, "Unicode escapes".
fn identifier(name: &str) -> String {
    let mut quoted = String::from("U&\"");
    for c in name.chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            quoted.push(c);
        } else {
            // Writing to a String does not fail.
            let _ = write!(quoted, "\\+{:06X}", u32::from(c));
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_survives_everything() {
        assert_eq!(identifier("mti_wifi"), "U&\"mti_wifi\"");
        assert_eq!(identifier("a \"b\""), "U&\"a\\+000020\\+000022b\\+000022\"");
        assert_eq!(identifier("ä\n;\\"), "U&\"\\+0000E4\\+00000A\\+00003B\\+00005C\"");
        assert_eq!(identifier("😀"), "U&\"\\+01F600\"");
    }

    #[tokio::test]
    async fn what_is_dropped_is_killed_with_its_children() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("alive");
        let mut command = Command::new("sh");
        let script = format!("(sleep 0.6; : > '{}') & wait", file.display());
        command.args(["-c", &script]);
        let dropped = tokio::time::timeout(std::time::Duration::from_millis(200), run(command, ""));
        assert!(dropped.await.is_err());
        tokio::time::sleep(std::time::Duration::from_millis(800)).await;
        assert!(!file.exists(), "a grandchild went on");
    }
}
