//! A database for one command: what the command sees and does is as without devdb, and nothing is
//! left, however it ends.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::sandbox::{On, Ran, Sandbox, docker, eventually, finish, psql, say, spawn, wait};

crate::on_both_engines!(
    a_command_gets_a_database_of_its_own_and_leaves_nothing,
    its_exit_code_and_its_signals_are_its_own,
    its_input_and_output_pass_through_unchanged,
    a_program_on_a_terminal_works_as_without_devdb,
    an_interrupt_asks_and_a_second_one_ends_it,
    what_cannot_be_run_is_told_and_leaves_nothing,
    whenever_devdb_is_killed_nothing_is_left,
    a_failure_is_kept_when_asked_for,
    a_failure_leaves_its_log_and_its_data_when_asked_for,
    eight_at_once_all_succeed,
    many_in_a_row_leave_nothing_and_take_little_memory,
    one_for_a_time_serves_the_steps_after_it_and_goes_by_itself,
);

/// `devdb run` of a line of a shell.
fn shell(sandbox: &Sandbox, script: &str) -> Command {
    sandbox.command(&["run", "--", "sh", "-c", script])
}

/// The containers and volumes of this sandbox; native: what is in its store besides golden states.
pub fn left(sandbox: &Sandbox) -> Vec<String> {
    match sandbox.on {
        On::Docker => sandbox.leftovers(),
        On::Native => {
            let below = |directory: std::path::PathBuf| {
                let entries = fs::read_dir(directory).into_iter().flatten().flatten();
                entries.map(|entry| entry.path().display().to_string())
            };
            let store = sandbox.store();
            below(store.clone())
                .filter(|path| {
                    !["/golden", "/pool", "/store.json", "/s", "/locks"]
                        .iter()
                        .any(|end| path.ends_with(end))
                })
                .chain(below(store.join("s")))
                .collect()
        }
    }
}

/// Processes with this in their environment or their arguments.
pub fn processes(text: &str) -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let of = |entry: fs::DirEntry| {
        let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
        let all = [read("environ"), read("cmdline")].concat();
        let text_of = String::from_utf8_lossy(&all).replace('\0', " ");
        text_of.contains(text).then(|| format!("{}: {text_of}", entry.path().display()))
    };
    all.filter_map(of).collect()
}

#[track_caller]
pub fn nothing_is_left(sandbox: &Sandbox) {
    assert_eq!(left(sandbox), Vec::<String>::new());
}

fn a_command_gets_a_database_of_its_own_and_leaves_nothing(sandbox: &Sandbox) {
    sandbox.project();
    let script = "psql -XAtqc 'select count(*) from items' && psql \"$DATABASE_URL\" -XAtqc \
                  'insert into items (name) values (1); select count(*) from items' && \
                  echo $PGHOST:$PGPORT/$PGDATABASE $DATABASE_HOST:$DATABASE_PORT/$DATABASE_NAME";
    let mut command = shell(sandbox, script);
    // Whatever else the environment leads to.
    command
        .env("PGHOST", "elsewhere")
        .env("PGSERVICE", "none")
        .env("DATABASE_URL", "postgres://x/");
    let first = finish(command).ok();
    let lines: Vec<&str> = first.stdout.lines().collect();
    assert_eq!(lines[..2], ["1", "2"]);
    let (left_side, right_side) = lines[2].split_once(' ').unwrap();
    assert_eq!(left_side, right_side);
    nothing_is_left(sandbox);
    let again = finish(shell(sandbox, "psql -XAtqc 'select count(*) from items'")).ok();
    assert_eq!((again.line(), again.stderr), ("1".to_owned(), String::new()), "a hit says nothing");
    nothing_is_left(sandbox);

    // The project's instance is another database.
    sandbox.run(&["up"]).ok();
    sandbox.sql("insert into items (name) values ('mine')");
    let run =
        finish(shell(sandbox, "psql -XAtqc 'select count(*) from items'; echo $DATABASE_URL"));
    let (count, url) = run.stdout.trim().split_once('\n').unwrap();
    assert_eq!(count, "1");
    assert_ne!(url, sandbox.url());
    assert_eq!(sandbox.sql("select count(*) from items"), "2");
}

fn its_exit_code_and_its_signals_are_its_own(sandbox: &Sandbox) {
    sandbox.project();
    for code in [0, 1, 7, 130, 255] {
        assert_eq!(finish(shell(sandbox, &format!("exit {code}"))).code, code);
    }
    for signal in ["TERM", "KILL", "ABRT", "SEGV"] {
        let status = shell(sandbox, &format!("kill -{signal} $$")).status().unwrap();
        let bare = Command::new("sh").args(["-c", &format!("kill -{signal} $$")]).status().unwrap();
        assert_eq!((status.code(), status.signal()), (bare.code(), bare.signal()), "{signal}");
    }
    // What devdb gets, the command gets.
    for signal in ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2"] {
        let script =
            format!("trap 'echo got; exit 9' {signal}; echo ready; while :; do sleep 0.05; done");
        let mut child = shell(sandbox, &script).spawn().unwrap();
        wait_for_line(&mut child, "ready");
        send(&child, signal);
        let ran = wait((child, Instant::now())).exits(9);
        assert_eq!(ran.line(), "got", "{signal}");
    }
    nothing_is_left(sandbox);
}

fn send(child: &Child, signal: &str) {
    let kill = ["kill", &format!("-{signal}"), &child.id().to_string()].map(str::to_owned);
    assert!(Command::new(&kill[0]).args(&kill[1..]).status().unwrap().success());
}

/// Reads from the output of a child until a line is there. Unbuffered, so that the rest stays.
#[track_caller]
fn wait_for_line(child: &mut Child, wanted: &str) -> String {
    use std::io::Read as _;
    let (mut line, mut byte) = (String::new(), [0]);
    let output = child.stdout.as_mut().unwrap();
    while output.read(&mut byte).unwrap() == 1 {
        if byte[0] != b'\n' {
            line.push(byte[0].into());
        } else if line.contains(wanted) {
            return line;
        } else {
            line.clear();
        }
    }
    panic!("it ended without saying {wanted:?}")
}

fn its_input_and_output_pass_through_unchanged(sandbox: &Sandbox) {
    sandbox.project();
    let script = "cat; seq 1000000; echo done >&2; printf 'no line end'";
    let input = "a\0b\r\n\u{1b}[31mred".repeat(1000);
    let with = |mut command: Command| {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let text = input.clone();
        let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.status.success());
        output
    };
    finish(shell(sandbox, "true")).ok();
    let through = with(shell(sandbox, script));
    let mut bare = Command::new("sh");
    bare.args(["-c", script]);
    let bare = with(bare);
    assert!(through.stdout == bare.stdout, "{} bytes, {}", through.stdout.len(), bare.stdout.len());
    assert_eq!(String::from_utf8_lossy(&through.stderr), String::from_utf8_lossy(&bare.stderr));
    // A reader that has enough ends the command as ever.
    let piped = format!(
        "{} run -- sh -c 'yes; echo $? >&2' | head -n 1",
        env!("CARGO_BIN_EXE_devdb").replace(' ', "\\ ")
    );
    let mut command = sandbox.command(&[]);
    let mut pipeline = Command::new("sh");
    pipeline.args(["-c", &piped]).envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
    pipeline.current_dir(sandbox.work()).stdin(Stdio::null()).stdout(Stdio::piped());
    command.stdin(Stdio::null());
    assert_eq!(finish(pipeline).ok().line(), "y");
    eventually("nothing is left", Duration::from_secs(5), || left(sandbox).is_empty());
}

/// A command on a terminal of its own; what is written to it is typed. `script` is util-linux's.
fn on_a_terminal(sandbox: &Sandbox, words: &str) -> Command {
    let mut command = Command::new("script");
    let environment = sandbox.command(&[]);
    command
        .args(["-qefc", words, "/dev/null"])
        .env_clear()
        .envs(environment.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh")
        .current_dir(sandbox.work())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn devdb_run(words: &str) -> String {
    format!("exec '{}' run -- {words}", env!("CARGO_BIN_EXE_devdb"))
}

fn a_program_on_a_terminal_works_as_without_devdb(sandbox: &Sandbox) {
    sandbox.project();
    finish(shell(sandbox, "true")).ok();
    // What a full-screen program does: takes the terminal over, reads keys as they come, gives it back.
    let program = "test -t 0 && test -t 1 && test -t 2 && stty size && stty raw -echo && \
                   printf '\\033[?1049h\\033[2Jready\\n' && key=$(dd bs=1 count=3 2>/dev/null) && \
                   printf '\\033[?1049l' && stty sane && printf 'key %s\\n' \"$key\" | od -c";
    sandbox.write("program.sh", &format!("{program}\n"));
    let typed = |words: &str| {
        let mut child = on_a_terminal(sandbox, words).spawn().unwrap();
        wait_for_line(&mut child, "ready");
        child.stdin.as_mut().unwrap().write_all(b"\x03q\x1b").unwrap();
        wait((child, Instant::now())).ok().stdout
    };
    let bare = typed("exec sh program.sh");
    assert!(bare.contains("003") && bare.contains('q'), "{bare:?}");
    assert_eq!(typed(&devdb_run("sh program.sh")), bare);
    nothing_is_left(sandbox);
}

fn an_interrupt_asks_and_a_second_one_ends_it(sandbox: &Sandbox) {
    sandbox.project();
    finish(shell(sandbox, "true")).ok();
    // From the terminal it reaches the command by itself: once, not twice.
    let counts = "n=0; trap 'n=$((n+1))' INT; echo ready; i=0; while [ $i -lt 20 ]; do sleep 0.05; \
                  i=$((i+1)); done; echo \"interrupts: $n\"";
    sandbox.write("counts.sh", &format!("{counts}\n"));
    let mut child = on_a_terminal(sandbox, &devdb_run("sh counts.sh")).spawn().unwrap();
    wait_for_line(&mut child, "ready");
    child.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    wait((child, Instant::now())).ok().says("interrupts: 1");
    nothing_is_left(sandbox);

    // One that does not want to end, with a child that does not either.
    let stubborn = "trap '' INT TERM; (trap '' INT TERM; sleep 300) & echo ready; sleep 300";
    let mut child = shell(sandbox, stubborn).spawn().unwrap();
    wait_for_line(&mut child, "ready");
    send(&child, "INT");
    std::thread::sleep(Duration::from_millis(700));
    assert!(!processes("sleep 300").is_empty());
    send(&child, "INT");
    let ran = wait((child, Instant::now()));
    assert_eq!(ran.code, -1, "the command was killed, and so it looks");
    nothing_is_left(sandbox);
    assert_eq!(processes(sandbox.developer()), Vec::<String>::new());
}

fn what_cannot_be_run_is_told_and_leaves_nothing(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["run", "--", "no-such-program"]).exits(127).says("no-such-program");
    sandbox.run(&["run", "--", "./devdb.yaml"]).exits(126).says("devdb.yaml");
    sandbox.run(&["run"]).exits(2).says("COMMAND");
    sandbox.run(&["run", "--ttl", "1h", "--", "true"]).exits(2).says("--keep-on-failure");
    sandbox.run(&["run", "--profile", "none", "--", "true"]).exits(3);
    sandbox.write("migrations/20260109000000_broken.sql", "CREATE TABLE oops (;\n");
    let ran = sandbox.run(&["run", "--", "touch", "ran"]).exits(20).says("20260109000000_broken");
    assert!(!sandbox.path("ran").exists(), "{}", ran.stderr);
    nothing_is_left(sandbox);
}

#[test]
fn what_cannot_be_done_is_said_before_anything_is_started() {
    let Some(sandbox) = Sandbox::new(On::Native, "wrong options of run") else { return };
    sandbox.project();
    sandbox.write("a file", "");
    for (arguments, says) in [
        (&["run", "--ttl", "9999999999d", "--", "true"][..], "longest time is 365 days"),
        (&["run", "--timeout", "18446744073709551615s", "--", "true"], "longest time is 365 days"),
        (&["run", "--artifact", "a file", "--", "true"], "is not a directory"),
        (&["ephemeral", "start", "--format", "json", "--write", "a file"], "--format dotenv"),
        (&["env", "--format", "fish", "--write", "a file"], "--format dotenv"),
    ] {
        sandbox.run(arguments).exits(2).says(says);
    }
    let nested = sandbox.run(&["run", "--", env!("CARGO_BIN_EXE_devdb"), "config"]).ok();
    assert!(!nested.stderr.contains("is ignored"), "{}", nested.stderr);
    nothing_is_left(&sandbox);
}

#[test]
fn inside_a_run_devdb_is_about_the_database_of_the_run() {
    let Some(sandbox) = Sandbox::new(On::Native, "devdb inside of a run") else { return };
    sandbox.project();
    sandbox.run(&["up"]).ok();
    let own = sandbox.url();
    let devdb = env!("CARGO_BIN_EXE_devdb");
    let inside = |script: &str| {
        let script = script.replace("devdb ", &format!("'{devdb}' "));
        sandbox.run(&["run", "--", "sh", "-ec", &script])
    };
    // A test that empties "its" database empties its own one, whichever way it asks.
    let script = "test \"$(devdb url)\" = \"$DATABASE_URL\"
        unset DATABASE_URL PGHOST PGPORT PGDATABASE PGUSER PGPASSWORD
        url=$(devdb url)
        psql \"$url\" -Xqc 'insert into items (name) values (2)'
        test $(devdb psql -- -XAtqc 'select count(*) from items') = 2
        (eval \"$(devdb env --format shell)\"; test $(psql -XAtqc 'select count(*) from items') = 2)
        devdb status --check
        devdb migrate status --check
        devdb status
        devdb psql -- -Xqc 'truncate items'";
    inside(script).ok().says("instance run:");
    assert_eq!(sandbox.sql("select count(*) from items"), "1");
    for command in [
        "up",
        "reset",
        "down --purge -y",
        "stop",
        "undo",
        "snapshot save",
        "migrate",
        "seed",
        "logs",
    ] {
        let refused = inside(&format!("devdb {command}")).exits(2);
        refused.says("cannot work on the database").says("--instance main");
    }
    // A person who names an instance means that one, and another project is another project.
    assert_eq!(inside("devdb url --instance main").ok().line(), own);
    let script = "mkdir elsewhere; cd elsewhere; echo 'project: other' > devdb.yaml; devdb url";
    inside(script).exits(1).says("has no database");

    // The variables of `devdb ephemeral` lead to that database in the same way.
    let script = "eval \"$(devdb ephemeral start --ttl 60s --format shell)\"
        test \"$(devdb url)\" = \"$DATABASE_URL\"
        devdb psql -- -Xqc 'truncate items'
        if devdb reset; then exit 9; fi
        devdb ephemeral stop
        if devdb url; then exit 9; fi
        unset DEVDB_EPHEMERAL
        devdb url";
    let mut shell = sandbox.command(&[]);
    let mut sh = Command::new("sh");
    sh.args(["-ec", &script.replace("devdb ", &format!("'{devdb}' "))]).current_dir(sandbox.work());
    sh.env_clear();
    for (name, value) in shell.env("DEVDB_LOG", "").get_envs() {
        sh.env(name, value.unwrap_or_default());
    }
    let ended = finish(sh).ok().says("unset DEVDB_EPHEMERAL");
    assert!(ended.stdout.ends_with(&format!("{own}\n")), "{}", ended.stdout);
    assert_eq!(sandbox.sql("select count(*) from items"), "1");
    nothing_is_left_but_the_instance(&sandbox);
}

/// The outer run's watcher ends what the outer run started, and must leave the inner run's watcher
/// alone: that one removes the inner database.
#[test]
fn a_run_inside_of_a_run_leaves_nothing_when_it_is_killed() {
    let Some(sandbox) = Sandbox::new(On::Native, "a run inside of a run") else { return };
    sandbox.project();
    let devdb = env!("CARGO_BIN_EXE_devdb");
    let script = format!(
        "'{devdb}' run -- sh -c 'echo $DATABASE_URL > inner; exec sleep 300' & \
         echo $DATABASE_URL > outer; wait"
    );
    let mut command = shell(&sandbox, &script);
    command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
    let (mut child, _) = spawn(command);
    let url = |name: &str| fs::read_to_string(sandbox.path(name)).unwrap_or_default();
    let started = || url("inner").ends_with('\n') && url("outer").ends_with('\n');
    eventually("both runs have a database", Duration::from_secs(60), started);
    let [inner, outer] = ["inner", "outer"].map(|name| url(name).trim().to_owned());
    assert_ne!(inner, outer);
    psql(&inner, "select 1").ok();
    child.kill().unwrap();
    child.wait().unwrap();
    let mark = format!("DEVDB_DEVELOPER={}", sandbox.developer());
    let is_clean = || left(&sandbox).is_empty() && processes(&mark).is_empty();
    eventually("nothing is left of both", Duration::from_secs(20), is_clean);
}

/// What only looks like a variable of a connection belongs to other programs.
#[test]
fn a_command_keeps_the_variables_of_other_programs() {
    let Some(sandbox) = Sandbox::new(On::Native, "variables of others") else { return };
    sandbox.project();
    let kept = ["PG_CONFIG", "PG_COLOR", "PGRST_DB_URI", "PGCLIENTENCODING"];
    let hidden = ["PGSERVICE", "PGHOSTADDR", "PGOPTIONS", "PGPASSFILE", "PGTZ", "PGDATESTYLE"];
    let mut command = shell(&sandbox, "env");
    for name in kept.iter().chain(&hidden) {
        command.env(name, if *name == "PGCLIENTENCODING" { "UTF8" } else { "mine" });
    }
    let ran = finish(command).ok();
    let arrived = |names: &[&str]| {
        let has = |name: &&&str| {
            let begins = format!("{name}=");
            ran.stdout.lines().any(|line| line.starts_with(&begins))
        };
        names.iter().filter(has).map(|name| (*name).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(arrived(&kept), kept);
    assert_eq!(arrived(&hidden), Vec::<String>::new());
}

#[track_caller]
fn nothing_is_left_but_the_instance(sandbox: &Sandbox) {
    sandbox.run(&["down", "--purge", "--yes"]).ok();
    nothing_is_left(sandbox);
}

#[test]
fn a_mistyped_option_is_no_command() {
    let Some(sandbox) = Sandbox::new(On::Native, "options") else { return };
    sandbox.project();
    sandbox.run(&["run", "--keep-on-failur", "--", "true"]).exits(2).says("--keep-on-failure");
    sandbox.run(&["run", "--ttl", "0s", "--keep-on-failure", "--", "true"]).exits(2).says("1h");
    sandbox.run(&["ephemeral", "start", "--ttl", "5"]).exits(2).says("90s");
    // Its own options are the command's, with and without `--`.
    assert_eq!(sandbox.run(&["run", "echo", "-n", "--profile"]).ok().stdout, "--profile");
    assert_eq!(sandbox.run(&["run", "--", "echo", "-n", "--profile"]).ok().stdout, "--profile");
    // An ephemeral database is no instance that a person could take.
    sandbox.run(&["--instance", "run:abcdefgh", "up"]).exits(2).says("run:");
    let kept = sandbox.run(&["run", "--keep-on-failure", "--", "false"]).exits(1);
    let id = kept.stderr.lines().find_map(|line| line.trim().strip_prefix("devdb ephemeral stop "));
    let id = id.unwrap().split_whitespace().next().unwrap().to_owned();
    sandbox.run(&["up", "--from", &format!("run:{id}")]).exits(1).says("there is no instance");
    let url = url_of(&sandbox.run(&["ephemeral", "env", &id]).ok());
    assert_eq!(psql(&url, "select 1").ok().line(), "1");
    sandbox.run(&["ephemeral", "stop", &id]).ok();
    nothing_is_left(&sandbox);
}

fn kills() -> usize {
    std::env::var("DEVDB_TEST_RUN_KILLS").map_or(10, |times| times.parse().unwrap())
}

fn whenever_devdb_is_killed_nothing_is_left(sandbox: &Sandbox) {
    sandbox.project();
    let whole = finish(shell(sandbox, "sleep 0.3")).ok().took;
    let whole = whole.min(finish(shell(sandbox, "sleep 0.3")).ok().took);
    let seed = std::env::var("DEVDB_FAULT_SEED")
        .map_or_else(|_| rand::rng().random(), |seed| seed.parse().unwrap());
    say(&format!(
        "{} kills of devdb run on {}: DEVDB_FAULT_SEED={seed}",
        kills(),
        sandbox.on.name()
    ));
    let mut random = StdRng::seed_from_u64(seed);
    let mark = format!("DEVDB_DEVELOPER={}", sandbox.developer());
    for number in 0..kills() {
        let script = "sh -c 'sleep 400 & psql -Xc \"select pg_sleep(300)\"' & sleep 300";
        let mut command = shell(sandbox, script);
        // As from a terminal: it leads a group of its own.
        command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
        let (mut child, _) = spawn(command);
        std::thread::sleep(whole.mul_f64(random.random_range(0.0..1.3)));
        child.kill().unwrap();
        child.wait().unwrap();
        let killed = Instant::now();
        let is_clean = || started(left(sandbox)).is_empty() && processes(&mark).is_empty();
        while !is_clean() {
            assert!(
                killed.elapsed() < Duration::from_secs(2),
                "{number}: {:#?}\n{:#?}",
                started(left(sandbox)),
                processes(&mark)
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    // What was created and never started waits for the next command.
    sandbox.run(&["list"]).ok();
    eventually("nothing waits", Duration::from_secs(2), || left(sandbox).is_empty());
}

/// Without containers that were created and never started.
fn started(mut left: Vec<String>) -> Vec<String> {
    let status = |id: &String| docker(&["inspect", "-f", "{{.State.Status}}", id]);
    left.retain(|id| id.starts_with('/') || !["created", ""].contains(&status(id).trim()));
    left
}

fn a_failure_is_kept_when_asked_for(sandbox: &Sandbox) {
    sandbox.project();
    let script = "psql -XAtqc \"insert into items (name) values ('found')\"; exit 3";
    let run = ["run", "--keep-on-failure", "--ttl", "6s", "--", "sh", "-c"];
    sandbox.run(&[&run[..], &["true"]].concat()).ok();
    nothing_is_left(sandbox);
    let ran = sandbox.run(&[&run[..], &[script]].concat()).exits(3);
    let kept = Instant::now();
    let ran = ran.says("kept for 6s").says("devdb ephemeral env");
    let list = sandbox.run(&["ephemeral", "list", "--json"]).ok().json();
    let id = list["result"]["ephemerals"][0]["id"].as_str().unwrap().to_owned();
    assert!(ran.stderr.contains(&id), "{}", ran.stderr);
    let all = sandbox.run(&["list"]).ok();
    assert!(all.stdout.contains("(ephemeral)"), "{}", all.stdout);
    let url = url_of(&sandbox.run(&["ephemeral", "env", &id]).ok());
    let secret = url.split([':', '@']).nth(2).unwrap().to_owned();
    assert!(!ran.stderr.contains(&secret) && !ran.stdout.contains(&secret));
    assert_eq!(psql(&url, "select count(*) from items").ok().line(), "2");
    assert!(!left(sandbox).is_empty());
    let patience = Duration::from_secs(12).saturating_sub(kept.elapsed());
    eventually("its time is over", patience, || left(sandbox).is_empty());
    assert!(kept.elapsed() > Duration::from_secs(4), "{:?}", kept.elapsed());
    sandbox.run(&["ephemeral", "env", &id]).exits(1).says("no such ephemeral database");
}

fn url_of(ran: &Ran) -> String {
    let line = ran.stdout.lines().find_map(|line| line.strip_prefix("DATABASE_URL="));
    line.unwrap().trim_matches(['"', '\'']).to_owned()
}

fn a_failure_leaves_its_log_and_its_data_when_asked_for(sandbox: &Sandbox) {
    sandbox.project();
    let run = ["run", "--artifact", "out/of it", "--", "sh", "-c"];
    sandbox.run(&[&run[..], &["true"]].concat()).ok();
    assert!(!sandbox.path("out").exists());
    let script = "psql -XAtqc \"insert into items (name) values ('found')\"; \
                  psql -Xqc 'select broken'; exit 3";
    sandbox.run(&[&run[..], &[script]].concat()).exits(3).says("out/of it");
    nothing_is_left(sandbox);
    let log = fs::read_to_string(sandbox.path("out/of it/server.log")).unwrap();
    assert!(log.contains("column \"broken\" does not exist"), "{log}");
    sandbox.run(&["up"]).ok();
    let file = "out/of it/database.tar.zst";
    sandbox.run(&["snapshot", "import", file, "--name", "failure"]).ok();
    sandbox.run(&["snapshot", "restore", "failure"]).ok();
    assert_eq!(sandbox.sql("select name from items order by name limit 1"), "First");
    assert_eq!(sandbox.sql("select count(*) from items"), "2");
}

fn eight_at_once_all_succeed(sandbox: &Sandbox) {
    sandbox.project();
    let script = "psql -XAtqc 'create table mine (); select count(*) from items'; echo $PGPORT";
    let all: Vec<_> = (0..8).map(|_| spawn(shell(sandbox, script))).collect();
    let mut ports: Vec<String> = Vec::new();
    for child in all {
        let ran = wait(child).ok();
        let mut lines = ran.stdout.lines();
        assert_eq!(lines.next(), Some("1"), "{}", ran.stderr);
        ports.push(lines.next().unwrap().to_owned());
    }
    ports.sort();
    ports.dedup();
    assert_eq!(ports.len(), 8);
    nothing_is_left(sandbox);
}

fn one_for_a_time_serves_the_steps_after_it_and_goes_by_itself(sandbox: &Sandbox) {
    sandbox.project();
    sandbox.run(&["ephemeral", "stop"]).ok().says("nothing");
    sandbox.run(&["ephemeral", "start", "--ttl", "60s", "--write", "ci.env"]).ok();
    let text = fs::read_to_string(sandbox.path("ci.env")).unwrap();
    let lines = format!("{text}\n");
    let ran = Ran { code: 0, stdout: lines, stderr: String::new(), took: Duration::ZERO };
    let url = url_of(&ran);
    psql(&url, "insert into items (name) values ('step')").ok();
    assert_eq!(psql(&url, "select count(*) from items").ok().line(), "2");
    let second = sandbox.run(&["ephemeral", "start", "--ttl", "5s"]).ok();
    let begun = Instant::now();
    assert_ne!(url_of(&second), url);
    sandbox.run(&["ephemeral", "env"]).exits(2).says("name one");
    sandbox.run(&["ephemeral", "stop", "nothing-like-it"]).exits(2);
    // The other ends although nobody calls again.
    let there = left(sandbox).len();
    eventually("its time is over", Duration::from_secs(12), || left(sandbox).len() < there);
    assert!(begun.elapsed() > Duration::from_secs(3), "{:?}", begun.elapsed());
    psql(&url, "select 1").ok();
    let github = sandbox.path("github.env");
    fs::write(&github, "KEPT=1\n").unwrap();
    let write = ["ephemeral", "env", "--format", "github", "--write", "github.env"];
    sandbox.run(&write).ok();
    let text = fs::read_to_string(&github).unwrap();
    assert!(text.starts_with("KEPT=1\n") && text.contains("DATABASE_URL"), "{text}");
    sandbox.run(&["ephemeral", "stop"]).ok().says("1 database is removed");
    assert_ne!(psql(&url, "select 1").code, 0);
    nothing_is_left(sandbox);
    sandbox.run(&["ephemeral", "list"]).ok().says("no ephemeral database");
    let processes = || processes(&format!("DEVDB_DEVELOPER={}", sandbox.developer()));
    eventually("nobody watches any more", Duration::from_secs(3), || processes().is_empty());
}

/// `DEVDB_TEST_RUNS` of them.
fn many_in_a_row_leave_nothing_and_take_little_memory(sandbox: &Sandbox) {
    sandbox.project();
    let times: usize = std::env::var("DEVDB_TEST_RUNS").map_or(5, |times| times.parse().unwrap());
    for _ in 0..times {
        // Of the parent of the shell: devdb.
        let ran = finish(shell(sandbox, "grep VmHWM /proc/$PPID/status")).ok();
        let words: Vec<&str> = ran.stdout.split_whitespace().collect();
        let kilobytes: u64 = words[1].parse().unwrap();
        // Without optimisation twice as much.
        let most = if cfg!(debug_assertions) { 60 << 10 } else { 30 << 10 };
        assert!((1 << 10..most).contains(&kilobytes), "{}", ran.stdout);
        nothing_is_left(sandbox);
    }
    assert_eq!(processes(sandbox.developer()), Vec::<String>::new());
}
