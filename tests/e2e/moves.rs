//! A person's commands in any order, against a small model of the promise: what was written is in the
//! database, or devdb goes back to it: `undo` step by step, `generations switch` to each.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

use crate::sandbox::{Sandbox, say};

crate::on_both_engines!(whatever_the_order_of_commands_nothing_is_lost);

type Rows = BTreeSet<u32>;

/// A generation, as the promise has it.
#[derive(Debug, Clone, Default)]
struct Generation {
    rows: Rows,
    /// Somebody wrote to it, or removed the snapshot that it came from.
    written: bool,
    /// When it was replaced it was.
    counts: bool,
    is_restored: bool,
    born: u32,
    replaced: u32,
}

#[derive(Debug, Default)]
struct Model {
    current: Generation,
    former: Vec<Generation>,
    saved: Rows,
    is_down: bool,
    clock: u32,
}

impl Model {
    fn tick(&mut self) -> u32 {
        self.clock += 1;
        self.clock
    }

    /// A new generation without rows.
    fn reset(&mut self) {
        let born = self.tick();
        self.swap_to(Generation { born, ..Generation::default() });
    }

    fn restore(&mut self) {
        let (born, rows) = (self.tick(), self.saved.clone());
        self.swap_to(Generation { rows, born, is_restored: true, ..Generation::default() });
    }

    /// The snapshot is removed, and another saved.
    fn save_again(&mut self) {
        for one in self.former.iter_mut().chain([&mut self.current]) {
            one.written |= one.is_restored;
            one.counts |= one.is_restored;
        }
        self.saved = self.current.rows.clone();
    }

    /// A new generation in place of the current one.
    fn wipe(&mut self) {
        self.current.written = false;
        self.is_down = false;
        self.current.born = 0;
        self.reset();
    }

    /// False when there is nothing to go back to.
    fn undo(&mut self) -> bool {
        self.former.sort_by_key(|one| one.replaced);
        let Some(target) = self.former.pop() else { return false };
        self.swap_to(target);
        true
    }

    fn swap_to(&mut self, new: Generation) {
        let mut old = std::mem::replace(&mut self.current, new);
        old.replaced = self.tick();
        old.counts = old.written;
        self.is_down = false;
        self.former.push(old);
        self.former.sort_by_key(|one| std::cmp::Reverse(one.replaced));
        let born = self.current.born;
        self.former.retain(|one| one.counts || born < one.born);
    }

    /// Whether each former generation counts, the newest first.
    fn written(&self) -> Vec<bool> {
        self.former.iter().map(|one| one.counts).collect()
    }
}

#[derive(Debug, Clone, Copy)]
enum Move {
    Row,
    Reset,
    ChangeSeedsAndReset,
    Wipe,
    Undo,
    Save,
    Restore,
    Up,
    Down,
    StopAndStart,
    ClearCache,
}

use Move::{
    ChangeSeedsAndReset, ClearCache, Down, Reset, Restore, Row, Save, StopAndStart, Undo, Up, Wipe,
};

/// How likely each is.
const MOVES: &[Move] = &[
    Row,
    Row,
    Row,
    Row,
    Row,
    Reset,
    Reset,
    Reset,
    ChangeSeedsAndReset,
    Wipe,
    Undo,
    Undo,
    Undo,
    Undo,
    Save,
    Restore,
    Restore,
    Up,
    Down,
    StopAndStart,
    ClearCache,
];

/// `DEVDB_TEST_MOVES` of them, chosen by `DEVDB_FAULT_SEED`.
fn whatever_the_order_of_commands_nothing_is_lost(sandbox: &Sandbox) {
    let number = |variable: &str| std::env::var(variable).ok().map(|value| value.parse().unwrap());
    let seed = number("DEVDB_FAULT_SEED").unwrap_or_else(|| rand::rng().next_u64() % 1_000_000);
    let moves = number("DEVDB_TEST_MOVES").unwrap_or(40);
    say(&format!("{moves} moves on {}: DEVDB_FAULT_SEED={seed}", sandbox.on.name()));
    let mut random = StdRng::seed_from_u64(seed);
    // Otherwise the server itself may write something of its own.
    sandbox.write("devdb.yaml", "project: shop\npostgres: { settings: { autovacuum: 'off' } }\n");
    sandbox.write("migrations/20260101000000_add_rows.sql", "CREATE TABLE rows (n int);\n");
    sandbox.write("seeds/010_nothing.sql", "SELECT 1;\n");
    sandbox.run(&["up"]).ok();
    sandbox.run(&["snapshot", "save", "kept"]).ok();
    let mut model = Model::default();
    let mut done = Vec::new();
    for number in 0..u32::try_from(moves).unwrap() {
        let next = MOVES[random.random_range(0..MOVES.len())];
        done.push(next);
        make(sandbox, &mut model, next, number);
        let found = sandbox.run(&["generations", "--json"]).ok().json();
        let found = found["result"]["generations"].as_array().unwrap().clone();
        let mut former: Vec<_> = found.iter().filter(|one| one["current"] == false).collect();
        former.sort_by_key(|one| std::cmp::Reverse(one["replaced"].to_string()));
        let written: Vec<bool> =
            former.iter().map(|one| one["written"].as_bool().unwrap()).collect();
        assert_eq!(written, model.written(), "{done:?}\n{model:#?}\n{found:#?}");
        if !model.is_down {
            let rows =
                sandbox.sql("select coalesce(string_agg(n::text, ' ' order by n), '') from rows");
            let rows: Rows = rows.split_whitespace().map(|n| n.parse().unwrap()).collect();
            assert_eq!(rows, model.current.rows, "{done:?}\n{model:#?}\n{found:#?}");
        }
    }
    every_kept_generation_is_there(sandbox, &model);
}

/// Whatever was promised can be reached by its number.
fn every_kept_generation_is_there(sandbox: &Sandbox, model: &Model) {
    let found = sandbox.run(&["generations", "--json"]).ok().json();
    let mut found = found["result"]["generations"].as_array().unwrap().clone();
    found.retain(|one| one["current"] == false);
    found.sort_by_key(|one| std::cmp::Reverse(one["replaced"].to_string()));
    assert_eq!(found.len(), model.former.len());
    for (one, model) in found.iter().zip(&model.former).filter(|(_, model)| model.counts).take(5) {
        sandbox.run(&["generations", "switch", &one["number"].to_string()]).ok();
        let rows =
            sandbox.sql("select coalesce(string_agg(n::text, ' ' order by n), '') from rows");
        let rows: Rows = rows.split_whitespace().map(|n| n.parse().unwrap()).collect();
        assert_eq!(rows, model.rows, "{one:#}");
    }
}

fn make(sandbox: &Sandbox, model: &mut Model, next: Move, number: u32) {
    let run = |arguments: &[&str]| sandbox.run(arguments);
    match next {
        Row if model.is_down => {}
        Row => {
            sandbox.sql(&format!("insert into rows values ({number})"));
            model.current.rows.insert(number);
            model.current.written = true;
        }
        Reset | ChangeSeedsAndReset => {
            if matches!(next, ChangeSeedsAndReset) {
                sandbox.write("seeds/010_nothing.sql", &format!("SELECT {number};\n"));
            }
            drop(run(&["reset"]).ok());
            model.reset();
        }
        Wipe => {
            drop(run(&["reset", "--wipe", "--yes"]).ok());
            model.wipe();
        }
        Undo => {
            let undone = run(&["undo"]);
            if model.undo() {
                drop(undone.ok());
            } else {
                drop(undone.exits(1).says("no former generation"));
            }
        }
        Save => {
            drop(run(&["snapshot", "rm", "kept"]).ok());
            drop(run(&["snapshot", "save", "kept"]).ok());
            model.save_again();
        }
        Restore => {
            drop(run(&["snapshot", "restore", "kept"]).ok());
            model.restore();
        }
        Up => {
            drop(run(&["up"]).ok());
            model.is_down = false;
        }
        Down => {
            drop(run(&["down"]).ok());
            model.is_down = true;
        }
        StopAndStart => {
            drop(run(&["up"]).ok());
            drop(run(&["stop"]).ok());
            drop(run(&["start"]).ok());
            model.is_down = false;
        }
        ClearCache => sandbox.clear_cache(),
    }
}
