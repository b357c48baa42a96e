//! devdb, killed at random moments of its commands: nothing committed is lost, and nothing is left
//! that nobody owns.
//!
//! `DEVDB_FAULTS` says how often (20 when it is not set), `DEVDB_FAULT_SEED` which moments and
//! commands (drawn and printed when it is not set). The engine's own timing is not repeatable: the
//! seed gives the same commands and the same shares of their durations, no more.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "faults/commands.rs"]
mod commands;
#[path = "faults/round.rs"]
mod round;
#[path = "e2e/sandbox.rs"]
#[expect(dead_code, clippy::print_stdout, reason = "shared with the end-to-end tests")]
mod sandbox;
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

fn number_from(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is no number: {value}")))
}

fn kill(on: On) {
    let Some(sandbox) = Sandbox::new(on, "faults") else { return };
    let faults = number_from("DEVDB_FAULTS").unwrap_or(20);
    let seed = number_from("DEVDB_FAULT_SEED").unwrap_or_else(|| rand::random_range(0..1_000_000));
    sandbox::say(&format!(
        "faults on {}: DEVDB_FAULTS={faults} DEVDB_FAULT_SEED={seed}",
        on.name()
    ));
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
        let round = project.round(&FAULTS[which], delay, next);
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
