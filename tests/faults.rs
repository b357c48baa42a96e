//! devdb, killed at random moments of its commands, and with something going wrong at random steps
//! of theirs: nothing committed is lost, and nothing is left that nobody owns.
//!
//! `DEVDB_FAULTS` says how many kills there are on each engine (20 when it is not set),
//! `DEVDB_STEP_FAULTS` how many faults at steps on all (60), `DEVDB_FAULT_SEED` which moments, steps
//! and commands (drawn and printed when it is not set). The engine's own timing is not repeatable:
//! the seed gives the same commands and the same shares of their durations or the same numbers of
//! steps, no more.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "faults/at_steps.rs"]
mod at_steps;
#[path = "faults/commands.rs"]
mod commands;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "e2e/daemon.rs"]
#[expect(dead_code, reason = "shared with the end-to-end tests")]
mod daemon;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "e2e/disk.rs"]
#[expect(dead_code, reason = "shared with the end-to-end tests")]
mod disk;
#[path = "faults/round.rs"]
mod round;
#[path = "e2e/sandbox.rs"]
#[expect(dead_code, clippy::print_stdout, reason = "shared with the end-to-end tests")]
mod sandbox;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "faults/step.rs"]
mod step;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "faults/trace.rs"]
mod trace;
#[path = "faults/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use commands::{FAULTS, INSTANCES, NEXT};
use round::Project;
use sandbox::{On, Sandbox};

/// A run that has broken so often breaks no more.
const PROBLEMS_MAX: usize = 10;

#[test]
fn on_docker() {
    kill(On::Docker);
}

#[test]
fn on_native() {
    kill(On::Native);
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn at_steps_on_docker() {
    at_steps(On::Docker);
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn at_steps_on_native() {
    at_steps(On::Native);
}

/// A system call's registers are the machine's own.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
#[test]
fn at_steps() {
    sandbox::skipped("faults at steps: they are told by system calls of Linux on x86_64");
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn at_steps_when_the_daemon_dies() {
    let Some(mut sandbox) = Sandbox::new(On::Docker, "a daemon that dies") else { return };
    let data = Data(tempfile::Builder::new().prefix("devdb-data").tempdir().unwrap());
    let mut daemon = daemon::PrivateDaemon::with_image(data.0.path(), "postgres:15");
    sandbox.use_daemon(daemon.address());
    let faults = step_faults().0;
    let seed = seed_for("steps with a daemon that dies", On::Docker, faults);
    at_steps::AtSteps::new(&sandbox, seed, Some(&mut daemon)).go(faults);
}

/// Of the daemon that dies. It mounts it over itself.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
struct Data(tempfile::TempDir);

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
impl Drop for Data {
    fn drop(&mut self) {
        disk::unmount_below(self.0.path());
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn at_steps(on: On) {
    let Some(sandbox) = Sandbox::new(on, "faults at steps") else { return };
    let faults = step_faults().1;
    at_steps::AtSteps::new(&sandbox, seed_for("steps", on, faults), None).go(faults);
}

/// How many faults there are with a daemon that dies, which takes longest, and on each engine.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn step_faults() -> (u64, u64) {
    let all = number_from("DEVDB_STEP_FAULTS").unwrap_or(60);
    let dies = all.div_ceil(15);
    (dies, (all - dies).div_ceil(2))
}

fn seed_for(what: &str, on: On, faults: u64) -> u64 {
    let seed = number_from("DEVDB_FAULT_SEED").unwrap_or_else(|| rand::random_range(0..1_000_000));
    sandbox::say(&format!("{what} on {}: {faults} DEVDB_FAULT_SEED={seed}", on.name()));
    seed
}

fn number_from(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is no number: {value}")))
}

fn kill(on: On) {
    let Some(sandbox) = Sandbox::new(on, "faults") else { return };
    let faults = number_from("DEVDB_FAULTS").unwrap_or(20);
    let seed = seed_for("kills", on, faults);
    let mut random = StdRng::seed_from_u64(seed);
    let mut project = Project::new(&sandbox);
    for instance in INSTANCES {
        project.run(instance, &["up"]).ok();
    }
    let durations: Vec<Duration> = FAULTS.iter().map(|fault| project.duration_of(fault)).collect();
    assert_eq!(world::without_an_owner(&sandbox), BTreeSet::new(), "before any fault");

    let mut known = BTreeSet::new();
    let mut broken = Vec::new();
    for number in 1..=faults {
        let which = random.random_range(0..FAULTS.len());
        let share = random.random_range(0.0..1.0);
        let next = NEXT[random.random_range(0..NEXT.len())];
        let delay = durations[which].mul_f64(share);
        let round = project.round(&FAULTS[which], next, |mut command| {
            let mut child = command.spawn().unwrap();
            std::thread::sleep(delay);
            child.kill().unwrap();
            let killed = child.wait_with_output().unwrap();
            format!("killed: {}\n{}", killed.status, String::from_utf8_lossy(&killed.stderr))
        });
        // What broke in one round is still broken in the next.
        let fresh: Vec<&String> = round.problems.difference(&known).collect();
        if !fresh.is_empty() {
            let command = FAULTS[which].command.join(" ");
            let report = format!(
                "fault {number} (DEVDB_FAULT_SEED={seed}, {}): killed `devdb {command}` after \
                 {delay:?} of about {:?} ({:.0} %), then `devdb {}`:\n{fresh:#?}\n{}\n{}",
                on.name(),
                durations[which],
                share * 100.0,
                next.join(" "),
                round.said,
                world::describe(&sandbox),
            );
            sandbox::say(&report);
            broken.push(report);
        }
        known = round.problems;
        if number % 20 == 0 {
            sandbox::say(&format!("faults on {}: {number} of {faults}", on.name()));
        }
        assert!(broken.len() < PROBLEMS_MAX, "{} rounds broke; see above", broken.len());
    }
    // What an engine was asked for by a devdb that is no more may come late.
    std::thread::sleep(Duration::from_secs(2));
    let late: Vec<String> = world::without_an_owner(&sandbox).difference(&known).cloned().collect();
    world::remove_golden_states(&sandbox);
    assert!(late.is_empty(), "came late: {late:#?}\n{}", world::describe(&sandbox));
    assert!(broken.is_empty(), "{} of {faults} rounds broke:\n{}", broken.len(), broken.join("\n"));
}
