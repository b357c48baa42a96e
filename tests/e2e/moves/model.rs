//! What devdb has promised, as a small model has it.

use std::collections::{BTreeMap, BTreeSet};

use crate::sandbox::Sandbox;

pub type Rows = BTreeSet<u32>;

/// The data of a generation or of the snapshot.
#[derive(Debug, Clone, Default)]
pub struct Generation {
    pub rows: Rows,
    /// A person dropped the table.
    pub is_dropped: bool,
    /// How many of the destructive migrations were applied to it.
    pub migrations: usize,
    /// Somebody wrote to it, or removed the snapshot that it came from: devdb has to keep it.
    pub written: bool,
    /// Nobody wrote to it, but devdb may count it as written to.
    pub doubtful: bool,
    pub is_restored: bool,
}

/// A former generation, as devdb lists it.
#[derive(Debug)]
pub struct Former {
    pub number: u64,
    pub written: bool,
    why: String,
}

/// What `devdb generations` lists.
#[derive(Debug)]
pub struct Listed {
    pub current: u64,
    /// The one that was current last comes first.
    pub former: Vec<Former>,
}

#[derive(Debug, Default)]
pub struct Model {
    /// The number of the current generation.
    pub number: u64,
    /// The greatest number that was ever listed.
    pub greatest: u64,
    /// The numbers that were listed last.
    pub last: BTreeSet<u64>,
    pub current: Generation,
    pub former: BTreeMap<u64, Generation>,
    pub saved: Generation,
    /// How many destructive migrations the project has.
    pub migrations: usize,
    pub is_down: bool,
    /// Autovacuum may work between the moment when devdb looks and the one when the server has
    /// stopped. Then devdb keeps what nobody wrote to.
    pub server_may_write: bool,
    /// What a person wrote into `.env`.
    pub env_values: Vec<String>,
}

/// What one move has done beside changing the model.
#[derive(Debug, Default)]
pub struct Done {
    /// The data before migrations changed it. devdb may have kept a copy.
    pub copied: Option<Generation>,
}

impl Listed {
    pub fn of(sandbox: &Sandbox) -> Listed {
        let listed = sandbox.run(&["generations", "--json"]).ok().json();
        let mut all = listed["result"]["generations"].as_array().unwrap().clone();
        all.sort_by_key(|one| std::cmp::Reverse(one["replaced"].to_string()));
        let number = |one: &serde_json::Value| one["number"].as_u64().unwrap();
        let current = all.iter().find(|one| one["current"] == true).map(number).unwrap();
        let former = all.iter().filter(|one| one["current"] == false).map(|one| Former {
            number: number(one),
            written: one["written"].as_bool().unwrap(),
            why: one["why"].as_str().unwrap().to_owned(),
        });
        Listed { current, former: former.collect() }
    }
}

impl Model {
    /// A new generation with all migrations and without rows.
    pub fn reset(&mut self) {
        let migrations = self.migrations;
        self.replace(Generation { migrations, ..Generation::default() });
    }

    /// As [`Model::reset`], but the present data is given up.
    pub fn wipe(&mut self) {
        let given_up = self.number;
        self.reset();
        self.former.remove(&given_up);
    }

    pub fn restore(&mut self) {
        let restored = Generation { written: false, is_restored: true, ..self.saved.clone() };
        self.replace(restored);
    }

    /// The snapshot is removed, and another is saved.
    pub fn save_again(&mut self) {
        for one in self.former.values_mut().chain([&mut self.current]) {
            one.written |= one.is_restored;
        }
        self.saved = self.current.clone();
        // Of a stopped database, devdb cannot tell whether somebody writes to it after a restore.
        self.saved.doubtful |= self.is_down;
    }

    /// Back to a former generation.
    pub fn go_to(&mut self, number: u64) {
        let target = self.former.remove(&number).unwrap();
        self.replace(target);
        self.number = number;
    }

    /// The pending migrations are applied to the current generation.
    pub fn migrate(&mut self) -> Done {
        self.is_down = false;
        if self.current.migrations == self.migrations {
            return Done::default();
        }
        let copied = self.current.clone();
        self.current.rows.clear();
        self.current.is_dropped = false;
        self.current.migrations = self.migrations;
        Done { copied: Some(copied) }
    }

    fn replace(&mut self, new: Generation) {
        let old = std::mem::replace(&mut self.current, new);
        self.former.insert(self.number, old);
        self.is_down = false;
    }

    /// New numbers follow on the greatest that was given, without a gap. The others were listed
    /// before.
    fn compare_numbers(&mut self, listed: &Listed) {
        let all = listed.former.iter().map(|former| former.number).chain([listed.current]);
        let (mut new, old): (Vec<u64>, Vec<u64>) = all.partition(|number| *number > self.greatest);
        new.sort_unstable();
        let expected: Vec<u64> = (self.greatest + 1..).take(new.len()).collect();
        assert_eq!(new, expected, "new numbers have no gap");
        assert!(old.iter().all(|number| self.last.contains(number)), "{old:?} came back");
        self.greatest += u64::try_from(new.len()).unwrap();
        self.last = old.into_iter().chain(new).collect();
    }

    /// Compares what devdb lists with what it has promised. Generations that are not promised may
    /// have gone.
    pub fn compare(&mut self, done: &Done, listed: &Listed) {
        self.compare_numbers(listed);
        self.number = listed.current;
        for former in &listed.former {
            if let Some(copied) = &done.copied
                && !self.former.contains_key(&former.number)
            {
                assert_eq!(former.why, "before_migrate", "generation {}", former.number);
                let copy = Generation { written: true, ..copied.clone() };
                self.former.insert(former.number, copy);
            }
            let Some(model) = self.former.get(&former.number) else {
                panic!("generation {} is one too many", former.number)
            };
            let may_be_written = model.written || model.doubtful || self.server_may_write;
            assert!(!model.written || former.written, "generation {} is kept", former.number);
            assert!(!former.written || may_be_written, "nobody wrote to {}", former.number);
        }
        let is_listed = |number: &u64| listed.former.iter().any(|one| one.number == *number);
        for (number, model) in &self.former {
            assert!(!model.written || is_listed(number), "generation {number} was promised");
        }
        self.former.retain(|number, _| is_listed(number));
        if let Some(copied) = done.copied.as_ref().filter(|copied| copied.written) {
            let is_kept = self.former.values().any(|one| one.written && one.rows == copied.rows);
            assert!(is_kept, "no copy of before: {copied:?}");
        }
    }
}
