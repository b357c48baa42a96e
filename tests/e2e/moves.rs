//! A person's commands in any order, against a small model of the promise: what was written is in the
//! database, or devdb goes back to it: `undo` step by step, `generations switch` to each, and
//! `snapshot restore`.

mod harm;
mod model;

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

use crate::daemon::PrivateDaemon;
use crate::disk::{Fs, SmallDisk};
use crate::sandbox::{On, Ran, Sandbox, eventually, psql, say};
use model::{Done, Listed, Model, Rows};

crate::on_both_engines!(whatever_the_order_of_commands_nothing_is_lost);

/// Autovacuum looks for work every second, and every changed row is work.
const EAGER: &str = "autovacuum_naptime: 1s, autovacuum_analyze_threshold: 0, \
    autovacuum_analyze_scale_factor: 0, autovacuum_vacuum_threshold: 0, \
    autovacuum_vacuum_scale_factor: 0";

/// When more former generations are kept, the person removes some.
const FORMER_MAX: usize = 10;

#[derive(Debug, Clone, Copy)]
enum Move {
    Row,
    DeleteRows,
    DropTable,
    DropDatabase,
    /// A migration that deletes all rows is added. It is not applied yet.
    AddMigration,
    MigrateDestructively,
    /// A migration fails, twice.
    FailToMigrate,
    Idle,
    KillServer,
    EditEnv,
    Prune,
    Reset,
    ChangeSeedsAndReset,
    Wipe,
    Undo,
    Switch,
    Save,
    Restore,
    RestoreWithoutMigrating,
    Up,
    Down,
    StopAndStart,
    ClearCache,
}

/// How likely each is.
const MOVES: &[(Move, u32)] = &[
    (Move::Row, 14),
    (Move::DeleteRows, 3),
    (Move::DropTable, 1),
    (Move::DropDatabase, 1),
    (Move::AddMigration, 2),
    (Move::MigrateDestructively, 4),
    (Move::FailToMigrate, 2),
    (Move::Idle, 2),
    (Move::KillServer, 2),
    (Move::EditEnv, 4),
    (Move::Prune, 2),
    (Move::Reset, 5),
    (Move::ChangeSeedsAndReset, 2),
    (Move::Wipe, 1),
    (Move::Undo, 6),
    (Move::Switch, 3),
    (Move::Save, 2),
    (Move::Restore, 2),
    (Move::RestoreWithoutMigrating, 2),
    (Move::Up, 3),
    (Move::Down, 2),
    (Move::StopAndStart, 2),
    (Move::ClearCache, 1),
];

fn any_move(random: &mut StdRng) -> Move {
    let mut chosen = random.random_range(0..MOVES.iter().map(|(_, weight)| weight).sum());
    for (next, weight) in MOVES {
        match chosen < *weight {
            true => return *next,
            false => chosen -= weight,
        }
    }
    Move::Row
}

fn whatever_the_order_of_commands_nothing_is_lost(sandbox: &Sandbox) {
    Game::new(sandbox, false).play(60);
}

/// On an engine of the test's own, which can be pruned.
#[test]
fn whatever_the_order_of_commands_nothing_is_lost_on_an_engine_that_is_pruned() {
    let Some(mut sandbox) = Sandbox::new(On::Docker, "moves with prune") else { return };
    let Some(disk) = SmallDisk::new(Fs::Ext4, 6000 << 20, "moves") else { return };
    let daemon = PrivateDaemon::with_image(&disk.path(), "postgres:15");
    sandbox.use_daemon(daemon.address());
    Game::new(&sandbox, true).play(12);
    sandbox.run(&["down", "--purge", "--yes"]).ok();
}

struct Game<'a> {
    sandbox: &'a Sandbox,
    /// The engine is the test's own.
    can_prune: bool,
    model: Model,
    listed: Listed,
    random: StdRng,
    done: Vec<Move>,
}

impl<'a> Game<'a> {
    fn new(sandbox: &'a Sandbox, can_prune: bool) -> Self {
        let seed = number("DEVDB_FAULT_SEED").unwrap_or_else(|| rand::rng().next_u64() % 1_000_000);
        let mut random = StdRng::seed_from_u64(seed);
        let (settings, server_may_write) = match random.random() {
            true => (EAGER, true),
            false => ("autovacuum: 'off'", false),
        };
        say(&format!("moves on {}: DEVDB_FAULT_SEED={seed}, {settings}", sandbox.on.name()));
        let config =
            format!("env: {{ write: .env }}\npostgres: {{ settings: {{ {settings} }} }}\n");
        sandbox.write("devdb.yaml", &format!("project: shop\n{config}"));
        sandbox.write("migrations/20260101000000_add_rows.sql", "CREATE TABLE rows (n int);\n");
        sandbox.write("seeds/010_nothing.sql", "SELECT 1;\n");
        sandbox.run(&["up"]).ok();
        sandbox.run(&["snapshot", "save", "kept"]).ok();
        let listed = Listed::of(sandbox);
        let model = Model {
            number: listed.current,
            greatest: listed.current,
            last: BTreeSet::from([listed.current]),
            server_may_write,
            ..Model::default()
        };
        Game { sandbox, can_prune, model, listed, random, done: Vec::new() }
    }

    /// Makes `DEVDB_TEST_MOVES` moves, chosen by `DEVDB_FAULT_SEED`.
    fn play(mut self, usual: u64) {
        let moves = number("DEVDB_TEST_MOVES").unwrap_or(usual);
        for number in 0..u32::try_from(moves).unwrap() {
            let next = any_move(&mut self.random);
            self.done.push(next);
            let is_lost = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let done = self.make(next, number);
                self.compare(&done);
            }));
            if let Err(panic) = is_lost {
                say(&format!("{:?}\n{:#?}\n{:#?}", self.done, self.model, self.listed));
                std::panic::resume_unwind(panic);
            }
        }
        self.everything_promised_is_there();
    }

    fn run(&self, arguments: &[&str]) {
        drop(self.sandbox.run(arguments).ok());
    }

    /// What a person does to the current generation by psql.
    fn write(&self, statement: &str) {
        drop(ask(self.sandbox, statement).ok());
    }

    fn compare(&mut self, done: &Done) {
        self.listed = Listed::of(self.sandbox);
        self.model.compare(done, &self.listed);
        if !self.model.is_down {
            assert_eq!(rows(self.sandbox), self.model.current.rows);
        }
        let env = std::fs::read_to_string(self.sandbox.path(".env")).unwrap_or_default();
        for value in &self.model.env_values {
            assert!(env.contains(value), "{value} is not in .env:\n{env}");
        }
    }

    /// Whatever was promised can be reached by its number, and the snapshot by its name.
    fn everything_promised_is_there(&mut self) {
        let promised: Vec<_> = self.model.former.iter().filter(|(_, one)| one.written).collect();
        for (number, model) in promised {
            self.run(&["generations", "switch", &number.to_string()]);
            assert_eq!(rows(self.sandbox), model.rows, "{number}: {:?}", self.done);
        }
        self.run(&["snapshot", "restore", "kept", "--no-migrate"]);
        assert_eq!(rows(self.sandbox), self.model.saved.rows, "{:?}", self.done);
    }

    fn make(&mut self, next: Move, number: u32) -> Done {
        match next {
            Move::Row | Move::DeleteRows | Move::DropTable if self.model.is_down => {}
            Move::Row => {
                let create = "create table if not exists rows (n int)";
                self.write(&format!("{create}; insert into rows values ({number})"));
                self.model.current.rows.insert(number);
                self.model.current.is_dropped = false;
                self.model.current.written = true;
            }
            Move::DeleteRows if !self.model.current.is_dropped => {
                let kept = number % 2;
                self.write(&format!("delete from rows where n % 2 <> {kept}"));
                let before = self.model.current.rows.len();
                self.model.current.rows.retain(|n| n % 2 == kept);
                self.model.current.written |= self.model.current.rows.len() < before;
            }
            Move::DropTable if !self.model.current.is_dropped => {
                self.write("drop table rows");
                self.model.current.rows.clear();
                self.model.current.is_dropped = true;
                self.model.current.written = true;
            }
            Move::DeleteRows | Move::DropTable => {}
            Move::DropDatabase => return self.drop_database(),
            Move::AddMigration => self.add_migration(number),
            Move::MigrateDestructively => {
                self.add_migration(number);
                let by =
                    if self.model.is_down || number.is_multiple_of(2) { "up" } else { "migrate" };
                self.run(&[by]);
                return self.model.migrate();
            }
            Move::FailToMigrate => return self.fail_to_migrate(),
            Move::Idle => std::thread::sleep(Duration::from_millis(2500)),
            Move::KillServer => self.kill_server(),
            Move::EditEnv => self.edit_env(number),
            Move::Prune => {
                if self.can_prune {
                    self.sandbox.docker(&["volume", "prune", "-f"]);
                }
            }
            Move::Reset => {
                self.run(&["reset"]);
                self.model.reset();
            }
            Move::ChangeSeedsAndReset => {
                self.sandbox.write("seeds/010_nothing.sql", &format!("SELECT {number};\n"));
                self.run(&["reset"]);
                self.model.reset();
            }
            Move::Wipe => {
                self.run(&["reset", "--wipe", "--yes"]);
                self.model.wipe();
            }
            Move::Undo => self.undo(),
            Move::Switch => self.switch(),
            Move::Save => {
                self.run(&["snapshot", "rm", "kept"]);
                self.run(&["snapshot", "save", "kept"]);
                self.model.save_again();
            }
            Move::Restore => {
                self.run(&["snapshot", "restore", "kept"]);
                self.model.restore();
                return self.model.migrate();
            }
            Move::RestoreWithoutMigrating => {
                self.run(&["snapshot", "restore", "kept", "--no-migrate"]);
                self.model.restore();
            }
            Move::Up => return self.up(),
            Move::Down => {
                self.run(&["down"]);
                self.model.is_down = true;
                self.remove_some();
            }
            Move::StopAndStart => {
                let done = self.up();
                self.run(&["stop"]);
                self.run(&["start"]);
                return done;
            }
            Move::ClearCache => self.sandbox.clear_cache(),
        }
        Done::default()
    }

    fn up(&mut self) -> Done {
        self.run(&["up"]);
        self.model.migrate()
    }

    fn add_migration(&mut self, number: u32) {
        let statements = match number % 3 {
            0 => "DROP TABLE IF EXISTS rows;\nCREATE TABLE rows (n int);\n",
            1 => "CREATE TABLE IF NOT EXISTS rows (n int);\nDELETE FROM rows;\n",
            _ => "CREATE TABLE IF NOT EXISTS rows (n int);\nTRUNCATE rows;\n",
        };
        let name = format!("migrations/202602{:08}_delete.sql", self.model.migrations);
        self.sandbox.write(&name, statements);
        self.model.migrations += 1;
    }

    fn fail_to_migrate(&mut self) -> Done {
        let done = self.up();
        self.compare(&done);
        let file = "migrations/20270101000000_fail.sql";
        self.sandbox.write(file, "DROP TABLE IF EXISTS rows;\nSELECT 1/0;\n");
        let before = self.listed.former.len();
        for command in ["up", "migrate"] {
            drop(self.sandbox.run(&[command]).exits(20));
        }
        std::fs::remove_file(self.sandbox.path(file)).unwrap();
        let done = Done { copied: Some(self.model.current.clone()) };
        self.compare(&done);
        let copies = self.listed.former.len().saturating_sub(before);
        let most = 1 + usize::from(self.model.server_may_write);
        assert!(copies <= most, "{copies} copies of before");
        Done::default()
    }

    /// The newest of those that are kept; devdb may have removed one that nobody wrote to.
    fn undo(&mut self) {
        let undone = self.sandbox.run(&["undo"]);
        if self.model.former.is_empty() {
            drop(undone.exits(1).says("no former generation"));
            return;
        }
        drop(undone.ok());
        let current = Listed::of(self.sandbox).current;
        let newer = self.listed.former.iter().take_while(|one| one.number != current);
        for newer in newer {
            assert!(!self.model.former[&newer.number].written, "undo left out {newer:?}");
        }
        self.model.go_to(current);
    }

    fn any_promised(&mut self) -> Option<u64> {
        let promised = self.model.former.iter().filter(|(_, one)| one.written);
        let promised: Vec<u64> = promised.map(|(number, _)| *number).collect();
        match promised.len() {
            0 => None,
            len => Some(promised[self.random.random_range(0..len)]),
        }
    }

    fn switch(&mut self) {
        if let Some(number) = self.any_promised() {
            self.run(&["generations", "switch", &number.to_string()]);
            self.model.go_to(number);
        }
    }

    /// A person has no use for so many.
    fn remove_some(&mut self) {
        while self.model.former.len() > FORMER_MAX
            && let Some(number) = self.any_promised()
        {
            self.run(&["generations", "rm", &number.to_string(), "--yes"]);
            self.model.former.remove(&number);
        }
    }
}

/// What a variable says.
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().unwrap())
}

/// The rows of the current generation. A table that a person dropped has none.
fn rows(sandbox: &Sandbox) -> Rows {
    let found = ask(sandbox, "select n from rows");
    match found.stderr.contains("relation \"rows\" does not exist") {
        true => Rows::new(),
        false => found.ok().stdout.split_whitespace().map(|n| n.parse().unwrap()).collect(),
    }
}

/// Asks the current generation, and waits until the session has ended: while one is open, devdb cannot
/// know that all its writes are counted, and keeps more than the model says.
fn ask(sandbox: &Sandbox, statement: &str) -> Ran {
    let mut asked = psql(&sandbox.url(), &format!("select pg_backend_pid(); {statement}"));
    if let Some((pid, rest)) = asked.stdout.split_once('\n') {
        if let On::Native = sandbox.on {
            let process = std::path::Path::new("/proc").join(pid);
            eventually("the session ends", Duration::from_secs(30), || !process.exists());
        }
        asked.stdout = rest.to_owned();
    }
    asked
}
