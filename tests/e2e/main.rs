//! The binary, end to end, on real engines: every test has a home of its own and leaves nothing.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails; helpers are not in test functions"
)]

mod advice;
mod bad_input;
mod branch;
mod cache;
mod ci;
mod ci_system;
mod concurrent;
#[expect(dead_code, reason = "shared with tests/faults")]
mod daemon;
mod disk;
mod disk_full;
mod docker;
mod foreign;
mod gc;
mod idle;
mod interrupts;
mod keep_before;
mod lifecycle;
mod lost;
mod moves;
mod numbers;
mod other_tools;
mod output;
mod prune;
mod pull;
mod reap;
mod records;
mod reflink;
mod reset;
mod retention;
mod run;
mod run_places;
mod sandbox;
mod secrets;
mod snapshot;
mod two_homes;
mod written;
