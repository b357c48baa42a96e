//! One fault: what is there before, the kill, the next command, and what must hold then.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::commands::{Before, Fault, STOP, tidies};
use crate::sandbox::{Ran, Sandbox, finish, psql};
use crate::world;

/// How often a command is run to learn how long it takes.
const RUNS: usize = 3;

/// How long something may be there that goes by itself.
const PATIENCE: Duration = Duration::from_secs(3);

/// The project whose commands are killed.
pub struct Project<'a> {
    sandbox: &'a Sandbox,
    rows: u32,
    files: u32,
}

/// What one round showed.
pub struct Round {
    /// What did not hold.
    pub problems: BTreeSet<String>,
    /// What the commands said.
    pub said: String,
}

type Rows = BTreeSet<String>;

impl<'a> Project<'a> {
    pub fn new(sandbox: &'a Sandbox) -> Self {
        sandbox.write("devdb.yaml", &format!("project: {}\n", sandbox.project_name()));
        sandbox.write(
            "migrations/20260101000000_create_items.sql",
            "CREATE TABLE items (name text PRIMARY KEY);\n",
        );
        sandbox.write("seeds/010_items.sql", "INSERT INTO items VALUES ('seeded');\n");
        Project { sandbox, rows: 0, files: 0 }
    }

    pub fn run(&self, instance: &str, arguments: &[&str]) -> Ran {
        finish(self.sandbox.command(&of(instance, arguments)))
    }

    /// The median of some runs.
    pub fn duration_of(&mut self, fault: &Fault) -> Duration {
        let mut took: Vec<Duration> = (0..RUNS)
            .map(|_| {
                self.prepare(fault);
                self.run(fault.instance, fault.command).ok().took
            })
            .collect();
        took.sort();
        took[RUNS / 2]
    }

    /// The command of a fault.
    pub fn command(&self, fault: &Fault) -> Command {
        self.sandbox.command(&of(fault.instance, fault.command))
    }

    /// Has something happen to a command, types the next one, and looks. `act` runs the command and
    /// tells what it said.
    pub fn round(
        &mut self,
        fault: &Fault,
        next: &[&str],
        act: impl FnOnce(Command) -> String,
    ) -> Round {
        let expected = self.prepare(fault);
        let acted = act(self.command(fault));
        let then = self.run(fault.instance, next);
        let mut said = format!("{acted}next: exit {}\n{}{}", then.code, then.stdout, then.stderr);
        let mut problems = BTreeSet::new();
        // There may be no instance, or nothing to go back to.
        if then.code != 0 && next != ["undo"] {
            problems.insert(format!("`devdb {}` ended with {}", next.join(" "), then.code));
        }
        // Nothing may be left to the `up` after it.
        if then.code == 0 && tidies(next) && fault.works_on_the_instance() {
            let found = self.look(fault.instance, &expected, world::without_an_owner_or_leaving);
            said.push_str(&format!("right after it: {:#?}\n{}", found.problems, found.said));
            problems.extend(found.problems);
        }
        let up = self.run(fault.instance, &["up"]);
        said.push_str(&format!("up: exit {}\n{}", up.code, up.stderr));
        if up.code != 0 {
            problems.insert(format!("it cannot be brought up: {}", up.stderr));
        }
        if fault.command[0] == STOP[0] {
            let stop = self.run(fault.instance, STOP);
            if stop.code != 0 {
                problems.insert(format!("what is for a time cannot be stopped: {}", stop.stderr));
            }
        }
        let found = self.look(fault.instance, &expected, world::without_an_owner);
        said.push_str(&found.said);
        problems.extend(found.problems);
        Round { problems, said }
    }

    /// What does not hold now. `left`: what is there and should not be.
    fn look(
        &self,
        instance: &str,
        expected: &[Rows],
        left: fn(&Sandbox) -> BTreeSet<String>,
    ) -> Round {
        let begun = Instant::now();
        let mut problems = left(self.sandbox);
        while !problems.is_empty() && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(100));
            problems = left(self.sandbox);
        }
        let (lost, said) = self.lost(instance, expected);
        problems.extend(lost.into_iter().map(|row| format!("the row {row} is lost")));
        Round { problems, said }
    }

    /// Does what comes before a fault. Returns the rows of each database that must not be lost.
    pub fn prepare(&mut self, fault: &Fault) -> Vec<Rows> {
        let mut expected = Vec::new();
        for before in fault.before {
            match before {
                Before::Run(arguments) => drop(self.run(fault.instance, arguments).ok()),
                Before::Try(arguments) => drop(self.run(fault.instance, arguments)),
                Before::Row => expected.push(self.put_row(fault.instance)),
                Before::Migration => {
                    let number = self.next_file();
                    let sql = format!("CREATE TABLE more_{number} ();\n");
                    self.sandbox.write(&format!("migrations/2026{number:010}_more.sql"), &sql);
                }
                Before::Seed => {
                    let sql = format!("-- {}\nSELECT 1;\n", self.next_file());
                    self.sandbox.write("seeds/020_more.sql", &sql);
                }
            }
        }
        expected
    }

    fn next_file(&mut self) -> u32 {
        self.files += 1;
        // After the first migration's.
        200_000_000 + self.files
    }

    fn put_row(&mut self, instance: &str) -> Rows {
        self.rows += 1;
        let insert = format!("INSERT INTO items VALUES ('row {}')", self.rows);
        psql(&self.url(instance), &insert).ok();
        self.rows(instance)
    }

    /// That of an instance, which is there.
    pub fn url(&self, instance: &str) -> String {
        self.run(instance, &["url"]).ok().line()
    }

    fn rows(&self, instance: &str) -> Rows {
        let listed = psql(&self.run(instance, &["url"]).line(), "SELECT name FROM items");
        listed.stdout.lines().map(str::to_owned).collect()
    }

    /// What is neither in the database nor in a former one that devdb keeps, and what the commands
    /// said that went there.
    fn lost(&self, instance: &str, expected: &[Rows]) -> (Vec<String>, String) {
        let mut said = String::new();
        let mut missing: Vec<&Rows> = expected.iter().collect();
        let mut look = || {
            // One that does not answer has none of them.
            let rows = self.rows(instance);
            missing.retain(|expected| !expected.is_subset(&rows));
            missing.is_empty()
        };
        if look() {
            return (Vec::new(), said);
        }
        for number in self.former(instance) {
            let switch = self.run(instance, &["generations", "switch", &number.to_string()]);
            said += &format!("switch to {number}: exit {}\n{}", switch.code, switch.stderr);
            if look() {
                break;
            }
        }
        (missing.into_iter().flatten().cloned().collect(), said)
    }

    /// The numbers of the former generations.
    fn former(&self, instance: &str) -> Vec<u64> {
        let listed = self.run(instance, &["generations", "--json"]);
        if listed.code != 0 {
            return Vec::new();
        }
        let listed = listed.json();
        let all = listed["result"]["generations"].as_array().unwrap();
        let former = all.iter().filter(|one| one["current"] != true);
        former.filter_map(|one| one["number"].as_u64()).collect()
    }
}

fn of<'s>(instance: &'s str, arguments: &[&'s str]) -> Vec<&'s str> {
    [&["--instance", instance], arguments].concat()
}
