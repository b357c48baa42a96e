//! Something goes wrong at a step that leaves devdb, and the promises are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::commands::{self, FAULTS, INSTANCES, NEXT, STEPS};
use crate::daemon::PrivateDaemon;
use crate::round::Project;
use crate::sandbox::{self, On, Sandbox};
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

/// The test on an engine.
pub struct AtSteps<'a> {
    sandbox: &'a Sandbox,
    project: Project<'a>,
    targets: Vec<Target>,
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
        AtSteps { sandbox, project, targets, random, seed, daemon, known, broken, missed: 0 }
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
            "steps on {on}: {faults} faults, {missed} of them at a step that did not come again; \
             {broken} broke a promise"
        ));
        world::remove_golden_states(self.sandbox);
        assert!(self.broken.is_empty(), "{broken} broke:\n{}", self.broken.join("\n"));
    }

    fn fault(&mut self, number: u64) {
        let only = self.daemon.as_ref().map(|_| Fault::KillDaemon);
        let target = &self.targets[self.random.random_range(0..self.targets.len())];
        // It is the engine that a daemon's death is noticed by.
        let class = only
            .map_or_else(|| one_of(&mut self.random, &classes(&target.steps)), |_| Class::Engine);
        let kinds: Vec<&Kind> = target.steps.keys().filter(|kind| kind.0 == class).collect();
        let kind = one_of(&mut self.random, &kinds).clone();
        let fault = only.unwrap_or_else(|| one_of(&mut self.random, faults_of(class)));
        let step = self.random.random_range(1..=target.steps[&kind]);
        let next = one_of(&mut self.random, NEXT);
        let of = target.steps[&kind];
        let at = At { kind, number: step, fault };

        let command = target.command;
        let secret = self.project.password(command.instance);
        let roots = roots(self.sandbox);
        let daemon = &mut self.daemon;
        let mut traced = None;
        let act = |run: Command| {
            let mut kill_daemon = || daemon.iter_mut().for_each(|daemon| daemon.kill());
            let ended = trace(&run, &roots, Some(at.clone()), &mut kill_daemon);
            daemon.iter_mut().for_each(|daemon| daemon.restart());
            let said = format!("exit {:?}\n{}{}", ended.code, ended.stdout, ended.stderr);
            traced = Some(ended);
            said
        };
        let mut round = self.project.round(command, next, act);
        let traced = traced.unwrap();
        self.missed += usize::from(traced.hit.is_none());
        let is_kill = fault == Fault::Kill;
        round.problems.extend(broken_by(&traced, is_kill, secret.as_deref()));

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
fn broken_by(traced: &Traced, is_kill: bool, secret: Option<&str>) -> Vec<String> {
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
    if secret.is_some_and(|secret| traced.stderr.contains(secret)) {
        problems.push("the password is in what it said".to_owned());
    }
    problems
}

fn one_of<T: Clone>(random: &mut StdRng, all: &[T]) -> T {
    all[random.random_range(0..all.len())].clone()
}

fn classes(steps: &Steps) -> Vec<Class> {
    let mut classes: Vec<Class> = steps.keys().map(|kind| kind.0).collect();
    classes.dedup();
    classes
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
