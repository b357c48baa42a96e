//! What people and machines do to a database and its `.env` without devdb.

use std::process::Command;

use super::Game;
use super::model::{Done, Listed};
use crate::sandbox::{On, finish, psql};

impl Game<'_> {
    /// The data is gone by a person's will; devdb says how to go on, and does.
    pub fn drop_database(&mut self) -> Done {
        if self.model.is_down {
            return Done::default();
        }
        let url = self.sandbox.url();
        let (server, database) =
            url.split_once('?').map_or(&*url, |(url, _)| url).rsplit_once('/').unwrap();
        let drop_it = format!("drop database \"{database}\" with (force)");
        psql(&format!("{server}/postgres"), &drop_it).ok();
        let refused = self.sandbox.run(&["up"]);
        assert_ne!(refused.code, 0, "{}", refused.stdout);
        let lost = self.model.number;
        let promised = self.any_promised();
        let way_back =
            if promised.is_some() { "devdb undo" } else { "devdb snapshot restore kept" };
        drop(refused.says(way_back));
        match promised {
            Some(number) => {
                self.run(&["generations", "switch", &number.to_string()]);
                self.model.go_to(number);
            }
            None => {
                self.run(&["reset"]);
                self.model.reset();
            }
        }
        if Listed::of(self.sandbox).former.iter().any(|one| one.number == lost) {
            self.run(&["generations", "rm", &lost.to_string(), "--yes"]);
        }
        self.model.former.remove(&lost);
        Done::default()
    }

    pub fn kill_server(&mut self) {
        if self.model.is_down {
            return;
        }
        // Everything is on the disk, whatever the durability.
        self.sandbox.sql("checkpoint");
        match self.sandbox.on {
            On::Docker => {
                let mine = format!("label=devdb.developer={}", self.sandbox.developer());
                let running = self.sandbox.docker(&["ps", "-q", "--filter", &mine]);
                for container in running.lines() {
                    self.sandbox.docker(&["kill", container]);
                }
            }
            On::Native => {
                let file = self.sandbox.sql("select pg_read_file('postmaster.pid')");
                let mut kill = Command::new("kill");
                kill.args(["-KILL", file.lines().next().unwrap()]);
                finish(kill).ok();
            }
        }
        self.model.current.doubtful = true;
        self.model.is_down = true;
    }

    /// A person adds a line, or writes a value of their own in place of devdb's.
    pub fn edit_env(&mut self, number: u32) {
        let path = self.sandbox.path(".env");
        let env = std::fs::read_to_string(&path).unwrap_or_default();
        let own = match number % 2 {
            0 => format!("OWN_{number}=own-{number}-"),
            _ => format!("DATABASE_URL=postgres://own-{number}-@example.org/other"),
        };
        let name = own.split('=').next().unwrap().to_owned() + "=";
        let mut lines: Vec<String> = env.lines().map(str::to_owned).collect();
        match lines.iter_mut().find(|line| line.starts_with(&name) && !line.contains("own-")) {
            Some(line) => *line = own,
            None if number.is_multiple_of(2) => lines.push(own),
            None => return,
        }
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        self.model.env_values.push(format!("own-{number}-"));
    }
}
