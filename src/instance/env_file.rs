//! The env file of a project. devdb writes the address of the instance into it, knows its own lines
//! there by their values, and notices when they describe another database.

use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;

use super::recorded_address;
use crate::config::dotenv::{self, Changed, Entry, Former};
use crate::context::Context;
use crate::db::connect::Address;
use crate::error::Result;
use crate::state::Written;

/// The files that devdb looks at when nobody names one.
const USUAL: &[&str] = &[".env", ".env.local"];

/// A line of an env file with the address of another database of devdb, or of one that is gone.
#[derive(Debug, PartialEq, Eq)]
pub struct Stale {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The variable.
    pub name: String,
}

/// Writes variables into an env file. A value that devdb did not write is kept as a comment.
///
/// # Errors
/// `Config` when git tracks the file, or it cannot be written.
pub fn write(context: &Context, file: &Path, variables: &[(String, String)]) -> Result<Changed> {
    let entries = dotenv::read(file)?.unwrap_or_default();
    let own = Own::of(context, file, &entries)?;
    let judge = |name: &str, former: &str, new: &str| own.judge(name, former, new);
    let updated = dotenv::update_file(file, variables, judge)?;
    context.store.note_written(file, &updated.written)?;
    Ok(updated.changed)
}

/// The first line of the project's env files that has the address of another database of devdb.
/// `present` is the address of the instance; none when there is no instance.
///
/// # Errors
/// When a file or devdb's own notes cannot be read.
pub fn stale(context: &Context, present: Option<&Address>) -> Result<Option<Stale>> {
    for file in candidates(context) {
        let Some(entries) = dotenv::read(&file)? else { continue };
        let own = Own::of(context, &file, &entries)?;
        let found = entries.iter().find(|entry| own.is_stale(entry, present));
        if let Some(Entry { name, line, .. }) = found {
            return Ok(Some(Stale { file, line: *line, name: name.clone() }));
        }
    }
    Ok(None)
}

fn candidates(context: &Context) -> Vec<PathBuf> {
    let named = context.env_file.clone();
    let usual = USUAL.iter().map(|name| context.directory.join(name));
    let mut all: Vec<PathBuf> = named.into_iter().collect();
    for file in usual {
        if !all.contains(&file) {
            all.push(file);
        }
    }
    all
}

/// What devdb knows as its own in one env file.
struct Own<'a> {
    context: &'a Context,
    /// What devdb wrote into this file.
    written: Written,
    /// The addresses of all recorded instances.
    known: Vec<Address>,
    /// Those of them that the file has, by their passwords.
    here: Vec<Address>,
}

impl<'a> Own<'a> {
    fn of(context: &'a Context, file: &Path, entries: &[Entry]) -> Result<Self> {
        // A record that cannot be read is an error for the commands that need it.
        let records = context.store.load_all()?.into_iter().flatten();
        let known: Vec<Address> = records.map(|record| recorded_address(&record)).collect();
        let is_here = |address: &&Address| {
            let password = address.password.expose_secret();
            entries.iter().any(|entry| entry.value.contains(password))
        };
        let here = known.iter().filter(is_here).cloned().collect();
        Ok(Own { context, written: context.store.written(file)?, known, here })
    }

    /// Whether devdb wrote this value: as it noted, or because it is the value of an address that
    /// the file has, or the project's own key.
    fn has(&self, name: &str, value: &str) -> bool {
        let in_address = |address: &Address| {
            let without_parameters = address.url().split('?').next() == Some(value);
            let is_url = name == "DATABASE_URL" && without_parameters;
            is_url || address.variables().iter().any(|own| (own.0, &*own.1) == (name, value))
        };
        self.written.has(name, value)
            || self.here.iter().any(in_address)
            || (name == self.context.key.variable && self.context.key.is_of_project(value))
    }

    fn judge(&self, name: &str, former: &str, new: &str) -> Former {
        if self.has(name, former) {
            return Former::Own;
        }
        // A person may have added parameters to the URL, such as Prisma's `?schema=`.
        match (Address::parse(former), Address::parse(new)) {
            (Some(former), Some(new)) if is_same(&former, &new) => Former::Right,
            _ => Former::Foreign,
        }
    }

    /// Whether a line has the address of a database of devdb that is not the present one.
    fn is_stale(&self, entry: &Entry, present: Option<&Address>) -> bool {
        let Entry { name, value, .. } = entry;
        if let Some(url) = Address::parse(value) {
            let password = url.password.expose_secret();
            let is_known =
                self.known.iter().any(|known| known.password.expose_secret() == password);
            let is_own = is_known || self.written.has(name, value);
            return is_own && !present.is_some_and(|present| is_same(&url, present));
        }
        let Some(present) = present else { return is_of_address(name) && self.has(name, value) };
        let now = present.variables();
        let now = now.iter().find(|(of, _)| of == name).map(|(_, value)| value);
        now.is_some_and(|now| now != value && self.has(name, value))
    }
}

/// Whether a variable tells one database from another.
fn is_of_address(name: &str) -> bool {
    matches!(name, "DATABASE_PORT" | "DATABASE_PASSWORD" | "PGPORT" | "PGPASSWORD")
}

fn is_same(one: &Address, other: &Address) -> bool {
    one.variables() == other.variables()
}
