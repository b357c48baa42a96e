//! A random walk of what people do with git and with directories, against a model of which directory
//! is which project.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::config::FILE;

/// Places of projects in a checkout: its top, and a directory below.
const PROJECTS: [&str; 2] = ["", "api"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Main,
    /// `git worktree add` made it for this checkout.
    Worktree(usize),
    /// A copied worktree shares its original's git directory.
    CopyOfWorktree(usize),
}

#[derive(Debug)]
struct Checkout {
    directory: PathBuf,
    kind: Kind,
    /// Where its projects are, and their ids as far as devdb was asked.
    projects: BTreeMap<&'static str, (PathBuf, Option<String>)>,
}

struct Walk {
    _root: tempfile::TempDir,
    root: PathBuf,
    random: StdRng,
    checkouts: BTreeMap<usize, Checkout>,
    next: usize,
    done: Vec<String>,
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=T", "-c", "user.email=t@localhost"])
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Walk {
    fn new(seed: u64) -> Walk {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().canonicalize().unwrap();
        let first = path.join("d0");
        fs::create_dir_all(first.join("api")).unwrap();
        for project in PROJECTS {
            fs::write(first.join(project).join(FILE), "").unwrap();
        }
        git(&first, &["init", "-q", "-b", "main"]);
        git(&first, &["add", "."]);
        git(&first, &["commit", "-qm", "all"]);
        let mut walk = Walk {
            _root: root,
            root: path,
            random: StdRng::seed_from_u64(seed),
            checkouts: BTreeMap::new(),
            next: 0,
            done: vec![format!("seed {seed}")],
        };
        walk.enter(first, Kind::Main);
        walk
    }

    /// A checkout whose commit may have the project below at another place than the first.
    fn enter(&mut self, directory: PathBuf, kind: Kind) -> usize {
        let names = fs::read_dir(&directory).unwrap().flatten().map(|entry| entry.file_name());
        let below = names.map(PathBuf::from).find(|name| directory.join(name).join(FILE).is_file());
        let projects = [("", (PathBuf::new(), None)), ("api", (below.unwrap(), None))];
        let checkout = Checkout { directory, kind, projects: projects.into() };
        self.next += 1;
        self.checkouts.insert(self.next - 1, checkout);
        self.next - 1
    }

    fn new_path(&mut self) -> PathBuf {
        let number = self.random.random_range(0..u32::MAX);
        self.root.join(format!("d{number}"))
    }

    fn any(&mut self, wanted: impl Fn(&Checkout) -> bool) -> Option<usize> {
        let fit: Vec<usize> = self
            .checkouts
            .iter()
            .filter(|(_, one)| wanted(one))
            .map(|(number, _)| *number)
            .collect();
        (!fit.is_empty()).then(|| fit[self.random.random_range(0..fit.len())])
    }

    fn id(&self, directory: &Path) -> String {
        let environment = Environment::from_pairs([("A", "b")]);
        project_id(directory, &self.root.join("data"), &environment).unwrap().id
    }

    /// Asks for one project, and compares with what it was.
    fn visit(&mut self, number: usize, project: &'static str) {
        let checkout = &self.checkouts[&number];
        let (place, known) = &checkout.projects[project];
        let id = self.id(&checkout.directory.join(place));
        if let Some(known) = known {
            assert_eq!(&id, known, "{number} {project:?}: {:#?}", self.done);
        }
        let place = place.clone();
        self.checkouts.get_mut(&number).unwrap().projects.insert(project, (place, Some(id)));
    }

    fn visit_all(&mut self, number: usize) {
        for project in PROJECTS {
            self.visit(number, project);
        }
    }

    fn visit_some(&mut self) {
        let all: Vec<usize> = self.checkouts.keys().copied().collect();
        for number in all {
            for project in PROJECTS {
                if self.random.random_bool(0.5) {
                    self.visit(number, project);
                }
            }
        }
    }

    fn step(&mut self) {
        let what = self.random.random_range(0..11);
        let Some(number) = self.any(|_| true) else { return };
        let Checkout { directory, kind, .. } = &self.checkouts[&number];
        let (directory, kind) = (directory.clone(), *kind);
        self.done.push(format!("{what} on {number} ({})", directory.display()));
        match what {
            0 => {
                let path = self.new_path();
                git(
                    &self.root,
                    &["clone", "-q", &directory.to_string_lossy(), &path.to_string_lossy()],
                );
                self.enter(path, Kind::Main);
            }
            1 => self.add_worktree(),
            2 => self.copy(number),
            3 => self.move_checkout(number),
            4 => self.away_for_a_moment(),
            // A copied worktree shares the index with its original, and git is not for it.
            5..=9 if matches!(kind, Kind::CopyOfWorktree(_)) => {}
            5 => {
                git(&directory, &["clean", "-fdxq"]);
            }
            6 => self.move_below(number),
            7 => {
                git(&directory, &["stash", "-qu"]);
                self.visit_some();
                let _ = Command::new("git")
                    .args(["stash", "pop", "-q"])
                    .current_dir(&directory)
                    .output();
            }
            8 if self.checkouts.len() > 4 => self.remove(number),
            9 => {
                // A branch that has not the project.
                let here = git(&directory, &["rev-parse", "HEAD"]);
                git(&directory, &["checkout", "-q", "--orphan", &format!("o{}", self.done.len())]);
                git(&directory, &["rm", "-rqf", "--ignore-unmatch", "."]);
                git(&directory, &["commit", "-q", "--allow-empty", "-m", "empty"]);
                git(&directory, &["checkout", "-q", "--detach", &here]);
            }
            _ => {}
        }
        self.visit_some();
    }

    fn add_worktree(&mut self) {
        let Some(main) = self.any(|one| one.kind == Kind::Main) else { return };
        let path = self.new_path();
        let directory = self.checkouts[&main].directory.clone();
        git(&directory, &["worktree", "add", "-q", "--detach", &path.to_string_lossy()]);
        self.enter(path, Kind::Worktree(main));
    }

    /// A copy is asked for before its original is moved or removed: nobody could tell them apart later.
    fn copy(&mut self, number: usize) {
        self.visit_all(number);
        let path = self.new_path();
        let Checkout { directory, kind, .. } = &self.checkouts[&number];
        let kind = match kind {
            Kind::Main => Kind::Main,
            Kind::Worktree(main) | Kind::CopyOfWorktree(main) => Kind::CopyOfWorktree(*main),
        };
        let copied = Command::new("cp").arg("-a").args([directory, &path]).status().unwrap();
        assert!(copied.success());
        let new = self.enter(path, kind);
        self.visit_all(new);
    }

    fn move_checkout(&mut self, number: usize) {
        // git does not repair copied worktrees.
        if self.checkouts.values().any(|one| one.kind == Kind::CopyOfWorktree(number)) {
            return;
        }
        self.visit_all(number);
        let path = self.new_path();
        fs::rename(&self.checkouts[&number].directory, &path).unwrap();
        self.checkouts.get_mut(&number).unwrap().directory = path.clone();
        self.visit_all(number);
        let of_it = |one: &&Checkout| one.kind == Kind::Worktree(number);
        let trees: Vec<String> = self
            .checkouts
            .values()
            .filter(of_it)
            .map(|one| one.directory.to_string_lossy().into_owned())
            .collect();
        for tree in &trees {
            // They are themselves again after the repair, whatever they are meanwhile.
            if self.random.random_bool(0.5) {
                for project in PROJECTS {
                    if Path::new(tree).join(project).join(FILE).exists() {
                        self.id(&Path::new(tree).join(project));
                    }
                }
            }
        }
        if !trees.is_empty() {
            let arguments: Vec<&str> = ["worktree", "repair"]
                .into_iter()
                .chain(trees.iter().map(String::as_str))
                .collect();
            git(&path, &arguments);
        }
    }

    fn away_for_a_moment(&mut self) {
        let Some(main) = self.any(|one| one.kind == Kind::Main) else { return };
        let directory = self.checkouts[&main].directory.clone();
        let away = self.root.join("away");
        fs::rename(&directory, &away).unwrap();
        let others: Vec<(PathBuf, bool)> = self
            .checkouts
            .iter()
            .filter(|(number, _)| **number != main)
            .flat_map(|(_, one)| {
                let depends =
                    matches!(one.kind, Kind::Worktree(of) | Kind::CopyOfWorktree(of) if of == main);
                one.projects.values().map(move |(place, _)| (one.directory.join(place), depends))
            })
            .collect();
        for (project, depends) in others {
            if depends && self.random.random_bool(0.5) {
                self.id(&project);
            }
        }
        fs::rename(&away, &directory).unwrap();
    }

    fn move_below(&mut self, number: usize) {
        self.visit_all(number);
        let name = PathBuf::from(format!("api{}", self.done.len()));
        let checkout = &self.checkouts[&number];
        let from = checkout.directory.join(&checkout.projects["api"].0);
        fs::rename(from, checkout.directory.join(&name)).unwrap();
        git(&checkout.directory, &["add", "-A"]);
        git(&checkout.directory, &["commit", "-qm", "moved"]);
        let id = checkout.projects["api"].1.clone();
        self.checkouts.get_mut(&number).unwrap().projects.insert("api", (name, id));
        self.visit_all(number);
    }

    fn remove(&mut self, number: usize) {
        let is_of_it = |one: &Checkout| matches!(one.kind, Kind::Worktree(main) | Kind::CopyOfWorktree(main) if main == number);
        if self.checkouts.values().any(is_of_it) {
            return;
        }
        let gone = self.checkouts.remove(&number).unwrap();
        fs::remove_dir_all(gone.directory).unwrap();
    }

    fn end(mut self) {
        let all: Vec<usize> = self.checkouts.keys().copied().collect();
        for number in all {
            self.visit_all(number);
        }
        let ids = self.checkouts.values().flat_map(|one| one.projects.values());
        let ids: Vec<String> = ids.map(|(_, id)| id.clone().unwrap()).collect();
        let different: BTreeSet<&String> = ids.iter().collect();
        assert_eq!(
            different.len(),
            ids.len(),
            "two projects have one id: {:#?} {:#?}",
            self.done,
            self.checkouts
        );
    }
}

#[test]
fn whatever_people_do_with_git_each_directory_stays_itself() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let seeds = number("DEVDB_TEST_WALKS").unwrap_or(8);
    let first = number("DEVDB_FAULT_SEED").unwrap_or(1);
    for seed in first..first + seeds {
        let mut walk = Walk::new(seed);
        for _ in 0..40 {
            walk.step();
        }
        walk.end();
    }
}
