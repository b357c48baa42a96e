//! Something goes wrong at a step that leaves devdb, and the promises are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::commands::{self, FAULTS, INSTANCES, NEXT, START, STEPS};
use crate::daemon::PrivateDaemon;
use crate::round::Project;
use crate::sandbox::{self, On, Sandbox, psql};
use crate::step::Class;
use crate::trace::{At, Fault, Kind, Steps, Traced, trace};
use crate::world;

/// A run that has broken so often breaks no more.
const PROBLEMS_MAX: usize = 10;

/// The exit codes that the README explains.
const DOCUMENTED: &[i32] = &[0, 1, 2, 3, 4, 10, 11, 12, 20, 21, 22, 23, 126, 127, 130];

/// What can go wrong at a step.
fn faults_of(class: Class) -> &'static [Fault] {
    match class {
        Class::Engine | Class::Sql => &[Fault::Fail, Fault::Cut, Fault::Delay, Fault::Kill],
        Class::File => &[Fault::Fail, Fault::Full, Fault::Delay, Fault::Kill],
        Class::Program => &[Fault::Fail, Fault::Delay, Fault::Kill],
    }
}

/// A command at whose steps something goes wrong, and how many they are.
struct Target {
    command: &'static commands::Fault,
    steps: Steps,
}

/// The kinds of steps of all commands, in a random order: none comes up again, in whichever command,
/// before all have, and none again in the same command before it has in each.
struct Deck {
    /// The number of a command, and a kind of its steps.
    all: Vec<(usize, Kind)>,
    left: Vec<(usize, Kind)>,
    drawn: BTreeSet<(usize, Kind)>,
    /// How often.
    times: BTreeMap<Kind, usize>,
}

impl Deck {
    fn new(targets: &[Target]) -> Deck {
        let of = |(number, target): (usize, &Target)| {
            target.steps.keys().map(move |kind| (number, kind.clone())).collect::<Vec<_>>()
        };
        let all: Vec<_> = targets.iter().enumerate().flat_map(of).collect();
        Deck { left: all.clone(), all, drawn: BTreeSet::new(), times: BTreeMap::new() }
    }

    /// The next one; only of a class.
    fn draw(&mut self, random: &mut StdRng, only: Option<Class>) -> (usize, Kind) {
        let fits = |(_, kind): &&(usize, Kind)| only.is_none_or(|class| kind.0 == class);
        let times = |one: &(usize, Kind)| self.times.get(&one.1).copied().unwrap_or_default();
        let fewest = self.all.iter().filter(fits).map(times).min();
        let is_next = |one: &&(usize, Kind)| fits(one) && Some(times(one)) == fewest;
        let kinds: BTreeSet<&Kind> =
            self.all.iter().filter(is_next).map(|(_, kind)| kind).collect();
        let kind = (*one_of(random, &Vec::from_iter(kinds))).clone();
        if !self.left.iter().any(|one| one.1 == kind) {
            self.left.extend(self.all.iter().filter(|one| one.1 == kind).cloned());
        }
        let in_commands: Vec<_> = self.left.iter().filter(|one| one.1 == kind).collect();
        let next = (*one_of(random, &in_commands)).clone();
        self.left.retain(|one| *one != next);
        self.drawn.insert(next.clone());
        *self.times.entry(kind).or_default() += 1;
        next
    }

    /// How many came up, of how many.
    fn covered(&self) -> String {
        let kinds = |all: &mut dyn Iterator<Item = &(usize, Kind)>| {
            all.map(|(_, kind)| kind).collect::<BTreeSet<_>>().len()
        };
        format!(
            "{} of {} kinds of step, {} of {} in each command",
            kinds(&mut self.drawn.iter()),
            kinds(&mut self.all.iter()),
            self.drawn.len(),
            self.all.len()
        )
    }
}

/// The test on an engine.
pub struct AtSteps<'a> {
    sandbox: &'a Sandbox,
    project: Project<'a>,
    targets: Vec<Target>,
    deck: Deck,
    random: StdRng,
    seed: u64,
    /// Of the test's own: it dies at each of the steps.
    daemon: Option<&'a mut PrivateDaemon>,
    /// What broke in one round is still broken in the next.
    known: BTreeSet<String>,
    broken: Vec<String>,
    missed: usize,
}

impl<'a> AtSteps<'a> {
    /// Brings the project up, and counts the steps of each command.
    pub fn new(sandbox: &'a Sandbox, seed: u64, daemon: Option<&'a mut PrivateDaemon>) -> Self {
        let mut project = Project::new(sandbox);
        for instance in INSTANCES {
            project.run(instance, &["up"]).ok();
        }
        let mut targets = Vec::new();
        for command in FAULTS.iter().chain(STEPS) {
            if daemon.is_some() && command.command[0] == "cache" {
                // An image whose removal ends with the daemon has lost its name only, and goes when
                // something is baked.
                continue;
            }
            project.prepare(command);
            let run = project.command(command);
            let traced = trace(&run, &roots(sandbox), None, &mut || ());
            let name = command.command.join(" ");
            assert_eq!(traced.code, Some(0), "`devdb {name}`: {}", traced.stderr);
            project.run(command.instance, &["up"]).ok();
            targets.push(Target { command, steps: traced.steps });
        }
        let steps: usize = targets.iter().flat_map(|target| target.steps.values()).sum();
        sandbox::say(&format!(
            "steps on {}: {steps} of {} commands: {:?}",
            sandbox.on.name(),
            targets.len(),
            sums(&targets)
        ));
        assert_eq!(world::without_an_owner(sandbox), BTreeSet::new(), "before any fault");
        let random = StdRng::seed_from_u64(seed);
        let (known, broken) = (BTreeSet::new(), Vec::new());
        let deck = Deck::new(&targets);
        AtSteps { sandbox, project, targets, deck, random, seed, daemon, known, broken, missed: 0 }
    }

    /// Faults at random steps.
    pub fn go(mut self, faults: u64) {
        for number in 1..=faults {
            self.fault(number);
            assert!(self.broken.len() < PROBLEMS_MAX, "{} broke; see above", self.broken.len());
        }
        let on = self.sandbox.on.name();
        let (missed, broken) = (self.missed, self.broken.len());
        sandbox::say(&format!(
            "steps on {on}: {faults} faults at {}; {missed} at a step that did not come again; \
             {broken} broke a promise",
            self.deck.covered()
        ));
        world::remove_golden_states(self.sandbox);
        assert!(self.broken.is_empty(), "{broken} broke:\n{}", self.broken.join("\n"));
    }

    fn fault(&mut self, number: u64) {
        let only = self.daemon.as_ref().map(|_| Fault::KillDaemon);
        // It is the engine that a daemon's death is noticed by.
        let (target, kind) = self.deck.draw(&mut self.random, only.map(|_| Class::Engine));
        let target = &self.targets[target];
        let fault = only.unwrap_or_else(|| one_of(&mut self.random, faults_of(kind.0)));
        let step = self.random.random_range(1..=target.steps[&kind]);
        let next = one_of(&mut self.random, NEXT);
        let of = target.steps[&kind];
        let at = At { kind, number: step, fault };

        let command = target.command;
        let url = self.project.url(command.instance);
        let roots = roots(self.sandbox);
        let daemon = &mut self.daemon;
        let sandbox = self.sandbox;
        let (mut traced, mut noted) = (None, false);
        let act = |run: Command| {
            let mut kill_daemon = || daemon.iter_mut().for_each(|daemon| daemon.kill());
            let ended = trace(&run, &roots, Some(at.clone()), &mut kill_daemon);
            daemon.iter_mut().for_each(|daemon| daemon.restart());
            // Nobody needs another command for that.
            let serves = psql(&url, "SELECT 1").code == 0;
            let failed = ended.code.is_some_and(|code| code != 0);
            noted = failed && command.command == START && has_ephemerals(sandbox);
            let said = format!(
                "exit {:?}, serves: {serves}\n{}{}",
                ended.code, ended.stdout, ended.stderr
            );
            traced = Some((ended, serves));
            said
        };
        let mut round = self.project.round(command, next, act);
        if self.daemon.is_some() {
            // Its death was the end of the other instances' servers, too.
            INSTANCES.iter().for_each(|instance| drop(self.project.run(instance, &["up"])));
        }
        let (traced, serves) = traced.unwrap();
        round.problems.extend(noted.then(|| "it failed, and what it made is noted".to_owned()));
        self.missed += usize::from(traced.hit.is_none());
        round.problems.extend(broken_by(&traced, fault == Fault::Kill, &url));
        // A daemon that has just begun again has its containers to start.
        if command.leaves_it_serving() && !serves && only.is_none() {
            round.problems.extend(unexplained(&traced));
        }

        let fresh: Vec<&String> = round.problems.difference(&self.known).collect();
        if !fresh.is_empty() {
            let report = format!(
                "fault {number} (DEVDB_FAULT_SEED={}, {}): {at:?} of {of} of `devdb {}`: {:?}; then `devdb {}`:\n{fresh:#?}\n{}\n{}",
                self.seed,
                self.sandbox.on.name(),
                command.command.join(" "),
                traced.hit,
                next.join(" "),
                round.said,
                world::describe(self.sandbox),
            );
            sandbox::say(&report);
            self.broken.push(report);
        }
        self.known = round.problems;
    }
}

/// What a command must not do, whatever goes wrong.
fn broken_by(traced: &Traced, is_kill: bool, url: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if traced.hung {
        problems.push("it hung".to_owned());
    }
    match traced.code {
        None if !is_kill && !traced.hung => problems.push("it was killed by a signal".to_owned()),
        Some(code) if !DOCUMENTED.contains(&code) => {
            problems.push(format!("it ended with {code}, which nothing explains"));
        }
        Some(code) if code != 0 && !traced.stderr.contains("error") => {
            problems.push(format!("it ended with {code} and said not why: {}", traced.stderr));
        }
        _ => {}
    }
    if traced.stderr.contains("panicked") {
        problems.push(format!("it panicked: {}", traced.stderr));
    }
    // Also that of a database which is gone by now.
    let secret = url.split([':', '@']).nth(2);
    let shows_one =
        |word: &str| word.contains("://") && word.contains('@') && !word.contains(":***@");
    if secret.is_some_and(|secret| traced.stderr.contains(secret))
        || traced.stderr.split_whitespace().any(shows_one)
    {
        problems.push("a password is in what it said".to_owned());
    }
    problems
}

/// A database that does not answer any more is told of, with what to type.
fn unexplained(traced: &Traced) -> Option<String> {
    match traced.code {
        Some(0) => Some("it ended well, and the database does not answer".to_owned()),
        Some(_) if !traced.stderr.contains("devdb up") => {
            Some("the database does not answer, and it said not what to do".to_owned())
        }
        _ => None,
    }
}

fn has_ephemerals(sandbox: &Sandbox) -> bool {
    let list = sandbox.run(&["ephemeral", "list", "--json"]).ok().json();
    !list["result"]["ephemerals"].as_array().unwrap().is_empty()
}

fn one_of<T: Clone>(random: &mut StdRng, all: &[T]) -> T {
    all[random.random_range(0..all.len())].clone()
}

/// How many steps there are of each class, and of how many kinds.
fn sums(targets: &[Target]) -> BTreeMap<Class, (usize, usize)> {
    let mut sums: BTreeMap<Class, (usize, usize)> = BTreeMap::new();
    for ((class, _), count) in targets.iter().flat_map(|target| &target.steps) {
        let (steps, kinds) = sums.entry(*class).or_default();
        *steps += count;
        *kinds += 1;
    }
    sums
}

/// Where devdb writes.
fn roots(sandbox: &Sandbox) -> Vec<PathBuf> {
    let mut roots = vec![sandbox.home(), sandbox.work()];
    if sandbox.on == On::Native {
        roots.push(sandbox.store());
    }
    roots
}
