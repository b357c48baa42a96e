//! What is killed, and what a person types next.

/// The instances of the test's project.
pub const INSTANCES: &[&str] = &["main", "fresh"];

/// Something that is done before a command is killed.
pub enum Before {
    /// A devdb command, which succeeds.
    Run(&'static [&'static str]),
    /// One that may fail, because it has been done already.
    Try(&'static [&'static str]),
    /// A row is committed. It and all others of the database must outlive the fault.
    Row,
    /// There is a new migration.
    Migration,
    /// There is a new seed file.
    Seed,
}

/// A command that is killed.
pub struct Fault {
    pub instance: &'static str,
    pub before: &'static [Before],
    pub command: &'static [&'static str],
}

impl Fault {
    /// Whether the instance serves before the command, and should after it.
    pub fn leaves_it_serving(&self) -> bool {
        let ends = |words: &[&str]| words[0] == "down";
        let stopped = |before: &Before| matches!(before, Before::Run(words) if ends(words));
        !ends(self.command) && !self.before.iter().any(stopped)
    }

    /// Whether what it leaves when it is killed is the instance's. Anything else is collected beside
    /// the commands that follow, as far as their time goes.
    pub fn works_on_the_instance(&self) -> bool {
        !["cache", "run", "ephemeral"].contains(&self.command[0])
    }
}

const fn fault(before: &'static [Before], command: &'static [&'static str]) -> Fault {
    Fault { instance: "main", before, command }
}

use Before::{Migration, Row, Run, Seed, Try};

pub const FAULTS: &[Fault] = &[
    Fault { instance: "fresh", before: &[Run(&["down", "--purge", "--yes"])], command: &["up"] },
    Fault {
        instance: "fresh",
        before: &[Run(&["down", "--purge", "--yes"]), Seed],
        command: &["up"],
    },
    fault(&[Row, Run(&["down"])], &["up"]),
    fault(&[Row, Migration], &["up"]),
    fault(&[Row], &["reset"]),
    fault(&[Row, Seed], &["reset"]),
    fault(&[Row, Migration], &["reset"]),
    fault(&[Row, Run(&["reset"]), Row], &["undo"]),
    fault(&[Row, Try(&["snapshot", "rm", "again"])], &["snapshot", "save", "again"]),
    fault(&[Try(&["snapshot", "save", "kept"]), Row], &["snapshot", "restore", "kept"]),
    // The reset bakes a state, and those from before it go.
    fault(&[Row, Seed, Run(&["reset"])], &["cache", "prune", "--keep", "1"]),
];

/// Further commands, which something goes wrong in: what they leave when they are killed at a moment
/// of the clock's, other tests look at.
pub const STEPS: &[Fault] = &[
    fault(&[Row], &["down"]),
    fault(&[Row, Seed, Run(&["reset"])], &["gc", "--yes"]),
    fault(&[Row], &["run", "--", "true"]),
    fault(&[Row, Seed], &["run", "--", "true"]),
    fault(&[Row, Run(STOP)], START),
    fault(&[Row, Run(STOP), Run(START)], STOP),
];

/// A database for a time.
pub const START: &[&str] = &["ephemeral", "start", "--ttl", "5m", "--write", "ci.env"];

/// Whatever is left of one.
pub const STOP: &[&str] = &["ephemeral", "stop"];

/// The next command.
pub const NEXT: &[&[&str]] = &[&["up"], &["up"], &["status"], &["undo"]];

/// Whether a next command removes what the one before it left. `status` only looks.
pub fn tidies(next: &[&str]) -> bool {
    next != ["status"]
}
